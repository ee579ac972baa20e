//! Random erasing (Zhong and others, arXiv 1708.04896, algorithm 1).

use crate::random::{ChaCha8Rng, below};
use crate::random_region::random_region;
use crate::rgb_image::RgbImage;

/// Smallest and largest share of the area that is erased: torchvision's.
const SCALE: [f64; 2] = [0.02, 0.33];

/// Smallest and largest ratio of its width to its height: torchvision's.
const RATIO: [f64; 2] = [0.3, 3.3];

/// Fills a random rectangle with random bytes, each value its own: the variant RE-R of the paper. In a
/// picture where none of ten rectangles fits, nothing is erased.
pub(crate) fn erase(image: &mut RgbImage, random: &mut ChaCha8Rng) {
    let (width, height) = (image.width, image.height);
    let Some(region) = random_region(SCALE, RATIO, (width, height), random) else {
        return;
    };
    for y in region.top..region.top + region.height {
        let row = &mut image.pixels[(y * width + region.left) * 3..][..region.width * 3];
        for pixel in row.as_chunks_mut::<3>().0 {
            let [red, green, blue, ..] = below(random, 1 << 24).to_le_bytes();
            *pixel = [red, green, blue];
        }
    }
}
