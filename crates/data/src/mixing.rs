//! Two images in one: mixup and CutMix.

use crate::augmentation::Augmentation;
use crate::random::{ChaCha8Rng, below, unit};
use crate::rgb_image::Region;

/// The part of another image that goes into an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixing {
    /// The other image, of `0..images`; it may be the image itself.
    pub partner: usize,
    /// Share of the image itself in the target, 0 to 1; the rest is the partner's.
    pub share: f64,
    /// The pixels that are the partner's (CutMix; may be empty), or `None` if every pixel is of both
    /// (mixup).
    pub region: Option<Region>,
}

impl Augmentation {
    /// Draws how one of `images` images of `size` × `size` is mixed with another: by mixup (Zhang and
    /// others, arXiv 1710.09412, section 2) or CutMix (Yun and others, arXiv 1905.04899, section 3.1);
    /// if both are on, by either with equal chance. `None`, and nothing is drawn, if both are off.
    pub fn mixing(&self, images: usize, size: usize, random: &mut ChaCha8Rng) -> Option<Mixing> {
        let cut = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return None,
            (true, true) => below(random, 2) == 1,
            (_, only_cut) => only_cut,
        };
        let alpha = if cut { self.cutmix } else { self.mixup };
        let partner = below(random, images);
        let share = symmetric_beta(alpha, random);
        if !cut {
            return Some(Mixing {
                partner,
                share,
                region: None,
            });
        }
        let region = cut_region(share, size, random);
        let area = (region.width * region.height) as f64;
        Some(Mixing {
            partner,
            share: 1.0 - area / (size * size) as f64,
            region: Some(region),
        })
    }
}

impl Mixing {
    /// Mixes `other` into `pixels`, both `[size, size, 3]` (height, width, channel), normalised, of the
    /// size that was drawn for.
    pub fn apply(&self, pixels: &mut [f32], other: &[f32]) {
        match self.region {
            None => {
                let (own, others) = (self.share as f32, (1.0 - self.share) as f32);
                for (value, other) in pixels.iter_mut().zip(other) {
                    *value = own * *value + others * other;
                }
            }
            Some(region) => {
                let stride = (pixels.len() / 3).isqrt() * 3;
                for y in region.top..region.top + region.height {
                    let start = y * stride + region.left * 3;
                    let row = start..start + region.width * 3;
                    pixels[row.clone()].copy_from_slice(&other[row]);
                }
            }
        }
    }
}

/// A square of the share that is not the image's own, its centre anywhere and clipped to the image, as
/// in the authors' program: what is clipped makes the partner's share smaller.
fn cut_region(share: f64, size: usize, random: &mut ChaCha8Rng) -> Region {
    let half = (0.5 * size as f64 * (1.0 - share).sqrt()) as usize;
    let mut span = || {
        let center = below(random, size);
        let start = center.saturating_sub(half);
        (start, (center + half).min(size) - start)
    };
    let (left, width) = span();
    let (top, height) = span();
    Region {
        left,
        top,
        width,
        height,
    }
}

/// A draw of Beta(α, α), for α above 0 and at most [`MAX_ALPHA`](crate::augmentation::MAX_ALPHA), by rejection (Jöhnk, "Erzeugung von
/// betaverteilten und gammaverteilten Zufallszahlen", Metrika 8, 1964): of uniform u and v,
/// x / (x + y) with x = u^(1/α) and y = v^(1/α), if x + y is at most 1.
fn symmetric_beta(alpha: f64, random: &mut ChaCha8Rng) -> f64 {
    loop {
        // Logarithms: for a small α both powers are often too small for a number. 1 - u is never 0.
        let u = (1.0 - unit(random)).ln();
        let v = (1.0 - unit(random)).ln();
        if (u / alpha).exp() + (v / alpha).exp() <= 1.0 {
            return 1.0 / (1.0 + ((v - u) / alpha).exp());
        }
    }
}
