//! The part of a picture that a random view shows, for each way to fit a picture to a square.

use crate::augmentation::Augmentation;
use crate::letterbox::{letterboxed, letterboxed_region};
use crate::preprocessing::{Fit, Preprocessing};
use crate::random::ChaCha8Rng;
use crate::rgb_image::{Region, RgbImage};

impl Augmentation {
    /// A random region of what the fit shows of a picture: `[crop, crop, 3]`.
    pub(crate) fn random_part(
        &self,
        image: &RgbImage,
        preprocessing: &Preprocessing,
        random: &mut ChaCha8Rng,
    ) -> RgbImage {
        // The square that is squashed or letterboxed, in pixels of the picture's longer side.
        let side = image.width.max(image.height);
        match preprocessing.fit {
            Fit::Crop => {
                let region = self.random_region(image.width, image.height, random);
                preprocessing.resized(image, region)
            }
            Fit::Squash => {
                let region = self.random_region(side, side, random);
                preprocessing.resized(image, unsquashed(region, image))
            }
            Fit::Letterbox => {
                let (size, filter) = (preprocessing.crop, preprocessing.interpolation);
                // A small region may lie in the grey beside a narrow picture: nothing to learn from.
                (0..10)
                    .find_map(|_| {
                        let region = self.random_region(side, side, random);
                        letterboxed_region(image, region, size, filter)
                    })
                    .unwrap_or_else(|| letterboxed(image, size, filter))
            }
        }
    }
}

/// The part of a picture that `region` shows once the picture is squashed to a square of its longer
/// side: the same shares of width and of height, in whole pixels, of at least 1.
fn unsquashed(region: Region, image: &RgbImage) -> Region {
    let side = image.width.max(image.height);
    let axis = |start: usize, shown: usize, length: usize| {
        let nearest = |place: usize| (place * length + side / 2) / side;
        let first = nearest(start).min(length - 1);
        (first, nearest(start + shown).max(first + 1) - first)
    };
    let (left, width) = axis(region.left, region.width, image.width);
    let (top, height) = axis(region.top, region.height, image.height);
    Region {
        left,
        top,
        width,
        height,
    }
}
