//! A random rectangle of an area and a shape.

use crate::random::{ChaCha8Rng, below, between};
use crate::rgb_image::Region;

/// A rectangle in `width` × `height`, anywhere. Its share of the area is uniform in `scale`, the
/// logarithm of its ratio of width to height in that of `ratio`; both are drawn up to ten times until
/// the rectangle fits.
pub(crate) fn random_region(
    scale: [f64; 2],
    ratio: [f64; 2],
    (width, height): (usize, usize),
    random: &mut ChaCha8Rng,
) -> Option<Region> {
    let area = (width * height) as f64;
    let [narrow, wide] = ratio;
    for _ in 0..10 {
        let target = area * between(random, scale[0], scale[1]);
        let ratio = between(random, narrow.ln(), wide.ln()).exp();
        let w = (target * ratio).sqrt().round_ties_even() as usize;
        let h = (target / ratio).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let top = below(random, height - h + 1);
            let left = below(random, width - w + 1);
            return Some(Region {
                left,
                top,
                width: w,
                height: h,
            });
        }
    }
    None
}
