//! The pixels that are needed of a picture, and so the fraction of its size that is enough.

/// The fractions of its width and height at which a JPEG can be decoded, as divisors: the smallest picture first.
const DIVISORS: [usize; 3] = [8, 4, 2];

/// A length in a picture, whichever way it is turned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Length {
    /// The shorter side.
    Shorter,
    /// The longer side.
    Longer,
    /// The side of a square of the picture's area; the shorter side where that is less than the share.
    OfSquare,
}

/// The pixels that are needed of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Needed {
    /// All that are there.
    All,
    /// So many in a share of a length; a picture with more of them may be decoded smaller.
    AtLeast {
        /// Pixels.
        pixels: usize,
        /// The length that has them.
        length: Length,
        /// Its share, 0 to 1.
        share: f64,
    },
}

impl Needed {
    /// The largest divisor of width and height that leaves enough pixels; 1 where the whole picture is needed.
    pub(crate) fn divisor(self, width: usize, height: usize) -> usize {
        let (pixels, length, share) = match self {
            Self::All => return 1,
            Self::AtLeast {
                pixels,
                length,
                share,
            } => (pixels, length, share),
        };
        let [shorter, longer] = [width.min(height), width.max(height)].map(|side| side as f64);
        let there = match length {
            Length::Shorter => shorter * share,
            Length::Longer => longer * share,
            Length::OfSquare => shorter.min((shorter * longer).sqrt() * share),
        };
        let mut divisors = DIVISORS.into_iter();
        let enough = divisors.find(|divisor| there >= *divisor as f64 * pixels as f64);
        enough.unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_fraction_with_enough_pixels_is_taken_whichever_way_the_picture_is_turned() {
        let at_least = |pixels, length, share| Needed::AtLeast {
            pixels,
            length,
            share,
        };
        for (needed, size, divisor) in [
            (Needed::All, (60_000, 60_000), 1),
            (at_least(256, Length::Shorter, 1.0), (4000, 2048), 8),
            (at_least(256, Length::Shorter, 1.0), (4000, 2047), 4),
            (at_least(256, Length::Shorter, 1.0), (4000, 1023), 2),
            (at_least(256, Length::Shorter, 1.0), (4000, 511), 1),
            (at_least(256, Length::Longer, 1.0), (2048, 1), 8),
            (at_least(256, Length::Longer, 0.5), (2048, 1), 4),
            (at_least(100, Length::OfSquare, 0.5), (800, 800), 4),
            (at_least(100, Length::OfSquare, 0.5), (6400, 100), 1),
            (at_least(1, Length::Shorter, 1.0), (1, 1), 1),
        ] {
            let (width, height) = size;
            assert_eq!(
                needed.divisor(width, height),
                divisor,
                "{needed:?} {size:?}"
            );
            assert_eq!(
                needed.divisor(height, width),
                divisor,
                "{needed:?} {size:?}"
            );
        }
    }
}
