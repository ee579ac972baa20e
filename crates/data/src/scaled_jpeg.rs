//! A JPEG at a half, a quarter or an eighth of its size, by an inverse DCT of fewer points.
//!
//! jpeg-decoder does it; whatever it does not take, or takes differently, is left to the decoder of whole pictures.

use crate::picture_limits::limit;
use crate::rgb_image::RgbImage;
use jpeg_decoder::{ColorTransform, Decoder};
use std::panic::catch_unwind;
use zune_jpeg::zune_core::colorspace::ColorSpace;

/// What of a JPEG's header decides how its components become red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colors {
    Grey,
    Rgb,
    YCbCr,
}

impl Colors {
    /// By the number of components and what the decoder of whole pictures has read; `None` for others, such as CMYK.
    pub(crate) fn of(components: u8, space: Option<ColorSpace>) -> Option<Self> {
        match (components, space?) {
            (1, _) => Some(Self::Grey),
            // Adobe's marker says of three components that they need no change as it says CMYK of four.
            (3, ColorSpace::RGB | ColorSpace::CMYK) => Some(Self::Rgb),
            (3, ColorSpace::YCbCr | ColorSpace::YCCK) => Some(Self::YCbCr),
            _ => None,
        }
    }

    fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb | Self::YCbCr => 3,
        }
    }
}

/// The picture as it is stored, its sides divided by 2, 4 or 8 and rounded up; `None` where only the decoder of whole
/// pictures can tell what the file is, or where this way takes more memory than the file allows.
pub(crate) fn scaled_jpeg(
    bytes: &[u8],
    stored: (usize, usize),
    colors: Colors,
    divisor: usize,
) -> Option<RgbImage> {
    let (width, height) = (stored.0.div_ceil(divisor), stored.1.div_ceil(divisor));
    let decoded = (width * height * colors.channels()) as u64;
    if needed_bytes(stored, colors, decoded, bytes.len() as u64) > limit(bytes.len() as u64) {
        return None;
    }
    // Of other people's code as that of whole pictures, which has the last word on a damaged file.
    let pixels = catch_unwind(|| {
        let mut decoder = Decoder::new(bytes);
        decoder.set_max_decoding_buffer_size(usize::try_from(decoded).ok()?);
        match colors {
            Colors::Grey => {}
            Colors::Rgb => decoder.set_color_transform(ColorTransform::RGB),
            Colors::YCbCr => decoder.set_color_transform(ColorTransform::YCbCr),
        }
        let found = decoder.scale(requested(width, height)?, requested(height, width)?);
        let [found_width, found_height] = found.ok().map(|(w, h)| [w, h].map(usize::from))?;
        let is_expected = (found_width, found_height) == (width, height);
        is_expected.then(|| decoder.decode().ok()).flatten()
    });
    let pixels = pixels.ok().flatten()?;
    if pixels.len() as u64 != decoded {
        return None;
    }
    Some(RgbImage {
        width,
        height,
        pixels: match colors {
            Colors::Grey => pixels.into_iter().flat_map(|value| [value; 3]).collect(),
            Colors::Rgb | Colors::YCbCr => pixels,
        },
    })
}

/// The length to ask for, so that the longer side alone decides the fraction: the decoder stops at the smallest at
/// which one of the two is long enough.
fn requested(side: usize, other: usize) -> Option<u16> {
    if side >= other {
        u16::try_from(side).ok()
    } else {
        Some(u16::MAX)
    }
}

/// Most bytes that this way takes: the file, coefficients that wait for the threads which transform them, in a
/// progressive JPEG beside all of them, and what comes out, before and after its colours, and once more while it is
/// turned.
fn needed_bytes(stored: (usize, usize), colors: Colors, decoded: u64, file: u64) -> u64 {
    /// A side in whole blocks of the largest subsampling.
    const BLOCK: u64 = 4 * 8;
    /// Bytes of a coefficient, twice.
    const COEFFICIENTS: u64 = 2 * 2;
    let [wide, high] = [stored.0, stored.1].map(|side| (side as u64).next_multiple_of(BLOCK));
    let coefficients = wide * high * colors.channels() as u64 * COEFFICIENTS;
    let pixels = decoded.saturating_mul(2 + 2 * 3);
    coefficients.saturating_add(pixels).saturating_add(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_become_colours_as_in_the_decoder_of_whole_pictures() {
        for (components, space, colors) in [
            (1, Some(ColorSpace::Luma), Some(Colors::Grey)),
            (3, Some(ColorSpace::YCbCr), Some(Colors::YCbCr)),
            (3, Some(ColorSpace::YCCK), Some(Colors::YCbCr)),
            (3, Some(ColorSpace::RGB), Some(Colors::Rgb)),
            (3, Some(ColorSpace::CMYK), Some(Colors::Rgb)),
            (4, Some(ColorSpace::CMYK), None),
            (4, Some(ColorSpace::YCCK), None),
            (2, Some(ColorSpace::YCbCr), None),
            (3, None, None),
        ] {
            assert_eq!(Colors::of(components, space), colors, "{components}");
        }
    }

    #[test]
    fn a_picture_whose_coefficients_are_above_the_limit_is_left_to_the_other_decoder() {
        let of = |side| needed_bytes((side, side), Colors::YCbCr, 0, 0);
        assert!(of(3500) < limit(3_000_000));
        assert!(of(14_000) > limit(u64::MAX));
    }
}
