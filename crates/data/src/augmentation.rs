//! Changes to a picture before a network sees it, in training.

use crate::color_jitter::{Adjustment, adjust};
use crate::decode::decode_for;
use crate::erasing::erase;
use crate::error::{DataError, require_up_to};
use crate::needed::{Length, Needed};
use crate::preprocessing::{Fit, Preprocessing};
use crate::rand_augment::{MAX_MAGNITUDE, rand_augment};
use crate::random::{ChaCha8Rng, between, shuffle, unit};
use crate::random_region::random_region;
use crate::rgb_image::{Region, RgbImage};
use serde::{Deserialize, Serialize};
use std::path::Path;
use warmstart_language::{english, translated};

/// The largest α accepted. It also bounds how often a share is drawn again: one draw in
/// six is taken at 2, and more below.
pub(crate) const MAX_ALPHA: f64 = 2.0;

/// Random views of a picture, as torchvision's `RandomResizedCrop`, `RandomHorizontalFlip`,
/// `ColorJitter`, `RandAugment` and `RandomErasing`, in this order. The size of the view, its filter and
/// the normalisation are those of [`Preprocessing`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Smallest and largest share of the area that a crop takes, within 0 to 1.
    pub scale: [f64; 2],
    /// Smallest and largest ratio of width to height of a crop.
    pub ratio: [f64; 2],
    /// Probability of a horizontal flip.
    pub flip: f64,
    /// Brightness is multiplied by 1 - `brightness` to 1 + `brightness`; 0 leaves it.
    pub brightness: f64,
    /// Contrast is multiplied by 1 - `contrast` to 1 + `contrast`; 0 leaves it.
    pub contrast: f64,
    /// Saturation is multiplied by 1 - `saturation` to 1 + `saturation`; 0 leaves it.
    pub saturation: f64,
    /// Hue is turned by up to this part of the circle, at most 0.5; 0 leaves it.
    pub hue: f64,
    /// Magnitude, 0 to 10, of the two operations of RandAugment (Cubuk and others, arXiv 1909.13719),
    /// of which 10 is the strongest; 0 leaves them out. torchvision's default, 9 of its 30, is 3 here.
    pub rand_augment: f64,
    /// Probability that a rectangle of 0.02 to 0.33 of the area is filled with random bytes (Zhong and
    /// others, arXiv 1708.04896).
    pub erase: f64,
    /// The α of the Beta(α, α) that shares of mixup are drawn from (Zhang and others, arXiv
    /// 1710.09412), at most 2; 0 mixes nothing. Views do not have it: see [`Augmentation::mixing`].
    pub mixup: f64,
    /// The same for CutMix (Yun and others, arXiv 1905.04899), which pastes a square of another image.
    pub cutmix: f64,
}

impl Default for Augmentation {
    /// The usual crops and flips of ImageNet training (Szegedy et al., 2015), without jitter.
    fn default() -> Self {
        Self {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            flip: 0.5,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            rand_augment: 0.0,
            erase: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
        }
    }
}

impl Augmentation {
    /// Refuses ranges that are empty or out of bounds.
    pub fn check(&self) -> Result<(), DataError> {
        let [smallest, largest] = self.scale;
        let [narrow, wide] = self.ratio;
        let pairs = [
            (
                "scale",
                english!("0 < smallest <= largest <= 1"),
                self.scale,
                { smallest > 0.0 && smallest <= largest && largest <= 1.0 },
            ),
            (
                "ratio",
                english!("0 < narrowest <= widest, finite"),
                self.ratio,
                { narrow > 0.0 && narrow <= wide && wide.is_finite() },
            ),
        ];
        for (name, expected, pair, holds) in pairs {
            if !holds {
                return Err(DataError::OutOfRange {
                    name,
                    expected: translated(expected),
                    found: format!("{pair:?}"),
                });
            }
        }
        let numbers = [
            ("flip", self.flip, 1.0, english!("0 to 1")),
            ("brightness", self.brightness, 1.0, english!("0 to 1")),
            ("contrast", self.contrast, 1.0, english!("0 to 1")),
            ("saturation", self.saturation, 1.0, english!("0 to 1")),
            ("hue", self.hue, 0.5, english!("0 to 0.5")),
            (
                "rand_augment",
                self.rand_augment,
                MAX_MAGNITUDE,
                english!("0 to 10"),
            ),
            ("erase", self.erase, 1.0, english!("0 to 1")),
            ("mixup", self.mixup, MAX_ALPHA, english!("0 to 2")),
            ("cutmix", self.cutmix, MAX_ALPHA, english!("0 to 2")),
        ];
        require_up_to(&numbers)
    }

    /// A random region of a picture of `width` × `height`: an area and a shape are drawn up to ten
    /// times until they fit, else the largest central region of an allowed shape is taken.
    pub fn random_region(&self, width: usize, height: usize, random: &mut ChaCha8Rng) -> Region {
        let [narrow, wide] = self.ratio;
        if let Some(region) = random_region(self.scale, self.ratio, (width, height), random) {
            return region;
        }
        let shape = width as f64 / height as f64;
        let side = |exact: f64, limit: usize| (exact.round_ties_even() as usize).clamp(1, limit);
        let (w, h) = if shape < narrow {
            (width, side(width as f64 / narrow, height))
        } else if shape > wide {
            (side(height as f64 * wide, width), height)
        } else {
            (width, height)
        };
        Region {
            left: (width - w) / 2,
            top: (height - h) / 2,
            width: w,
            height: h,
        }
    }

    /// The pixels that views need of a picture: the smallest and narrowest region that is taken has as many on each
    /// side as the network's square, so that no view is enlarged that would not be if every pixel were decoded.
    pub(crate) fn needed(&self, preprocessing: &Preprocessing) -> Needed {
        let [smallest, _] = self.scale;
        let [narrow, wide] = self.ratio;
        let share = (smallest * narrow.min(1.0 / wide).min(1.0)).sqrt();
        let length = match preprocessing.fit {
            Fit::Crop => Length::OfSquare,
            Fit::Squash => Length::Shorter,
            Fit::Letterbox => Length::Longer,
        };
        preprocessing.needed_of(preprocessing.crop, length, share)
    }

    /// A random 8-bit view of a picture, before normalisation: `[crop, crop, 3]`.
    ///
    /// The view varies with the fit of `preprocessing`: [`Fit::Crop`](crate::Fit) takes a random region
    /// of the picture, the others one of the square that they make of the whole picture. The region is
    /// resized straight from the source; the rest of the picture costs nothing.
    pub fn view(
        &self,
        image: &RgbImage,
        preprocessing: &Preprocessing,
        random: &mut ChaCha8Rng,
    ) -> Result<RgbImage, DataError> {
        self.check()?;
        preprocessing.check()?;
        let mut view = self.random_part(image, preprocessing, random);
        if unit(random) < self.flip {
            flip(&mut view);
        }
        self.jitter(&mut view, random);
        // An option that is off draws nothing, so that it does not change what a seed gives.
        if self.rand_augment > 0.0 {
            rand_augment(&mut view, self.rand_augment, random);
        }
        if self.erase > 0.0 && unit(random) < self.erase {
            erase(&mut view, random);
        }
        Ok(view)
    }

    /// The enabled adjustments in a random order, each with a random factor.
    fn jitter(&self, image: &mut RgbImage, random: &mut ChaCha8Rng) {
        let mut order = [
            (Adjustment::Brightness, self.brightness, 1.0),
            (Adjustment::Contrast, self.contrast, 1.0),
            (Adjustment::Saturation, self.saturation, 1.0),
            (Adjustment::Hue, self.hue, 0.0),
        ];
        shuffle(random, &mut order);
        for (adjustment, reach, neutral) in order {
            if reach > 0.0 {
                let factor = between(random, neutral - reach, neutral + reach);
                adjust(image, adjustment, factor);
            }
        }
    }
}

/// Mirrors a picture left to right.
pub(crate) fn flip(image: &mut RgbImage) {
    for row in image.pixels.chunks_exact_mut(image.width * 3) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

/// The input of a network for training: `[crop, crop, 3]` (height, width, channel), a random view,
/// normalised.
pub fn training_pixels(
    path: &Path,
    preprocessing: &Preprocessing,
    augmentation: &Augmentation,
    random: &mut ChaCha8Rng,
) -> Result<Vec<f32>, DataError> {
    let picture = decode_for(path, augmentation.needed(preprocessing))?;
    training_pixels_of(&picture.image, preprocessing, augmentation, random)
}

/// [`training_pixels`] of a picture that is already decoded.
pub fn training_pixels_of(
    image: &RgbImage,
    preprocessing: &Preprocessing,
    augmentation: &Augmentation,
    random: &mut ChaCha8Rng,
) -> Result<Vec<f32>, DataError> {
    Ok(preprocessing.normalized(&augmentation.view(image, preprocessing, random)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocessing::Decode;
    use crate::preprocessing::tests::scaled;

    #[test]
    fn no_view_of_a_fraction_has_fewer_pixels_than_the_square() {
        let augmentation = Augmentation::default();
        let [smallest, _] = augmentation.scale;
        let sides = [1, 224, 448, 1792, 1793, 3000, 4000, 10_000, 60_000];
        let mut fractions = 0;
        for (width, height) in sides.into_iter().flat_map(|a| sides.map(|b| (a, b))) {
            for fit in [Fit::Crop, Fit::Squash, Fit::Letterbox] {
                let divisor = augmentation
                    .needed(&scaled(fit, 256, 224))
                    .divisor(width, height);
                if divisor == 1 {
                    continue;
                }
                fractions += 1;
                let [wide, high] = [width, height].map(|side| side as f64 / divisor as f64);
                let longer = wide.max(high);
                for ratio in augmentation.ratio {
                    // Width and height of the smallest region of that shape.
                    let region = |area: f64| [(area * ratio).sqrt(), (area / ratio).sqrt()];
                    let [across, down] = match fit {
                        Fit::Crop => {
                            let [across, down] = region(smallest * wide * high);
                            [across.min(wide), down.min(high)]
                        }
                        Fit::Squash => {
                            let [across, down] = region(smallest);
                            [across * wide, down * high]
                        }
                        Fit::Letterbox => region(smallest * longer * longer),
                    };
                    let least = across.min(down);
                    assert!(least > 223.999, "{width}×{height}, {fit}: {least}");
                }
            }
        }
        assert!(fractions > 50, "{fractions}");
    }

    #[test]
    fn views_of_a_photograph_need_more_of_it_where_regions_are_small() {
        let of = |smallest, width, height| {
            let augmentation = Augmentation {
                scale: [smallest, 1.0],
                ..Augmentation::default()
            };
            augmentation
                .needed(&scaled(Fit::Crop, 256, 224))
                .divisor(width, height)
        };
        assert_eq!(of(0.35, 4000, 3000), 4);
        assert_eq!(of(0.08, 4000, 3000), 2);
        assert_eq!(of(0.35, 500, 375), 1);
    }

    #[test]
    fn views_need_every_pixel_where_every_pixel_is_decoded() {
        let full = Preprocessing {
            decode: Decode::Full,
            ..scaled(Fit::Crop, 256, 224)
        };
        assert_eq!(Augmentation::default().needed(&full), Needed::All);
    }
}
