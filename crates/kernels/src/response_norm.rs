//! Global response normalisation: each channel of an image is scaled by how strong it is among the
//! channels of that image.
//!
//! Woo and others, "ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders", 2023
//! (arXiv 2301.00808), section 3.2. Activations are `[batch, pixels, channels]`; with `n[c]`, the
//! root of the sum of a channel's squares over the pixels of an image, and `m`, the mean of all
//! `n[c]` plus epsilon, `y = x · (1 + gamma · n / m) + beta`. Each way reads its operands twice,
//! for the sums and for the result. An image has the same bits in any batch.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use crate::channels::ChannelKernel;
use crate::images::Images;
use crate::layer_norm::NormGradients;
use crate::memory::Output;
use crate::vector::Vector;

/// `x · (1 + gamma · n / m) + beta`, as above.
#[derive(Clone, Copy, Debug)]
pub struct ResponseNorm<'a> {
    /// Images.
    pub batch: usize,
    /// Scale of the responses, one value a channel.
    pub gamma: &'a [f32],
    /// Added to the mean of the channels, above 0.
    pub epsilon: f32,
}

/// Global response normalisation of `x` `[batch, .., channels]`, with the shift `beta`.
///
/// # Panics
/// If the lengths don't fit.
pub fn response_norm(x: &[f32], norm: ResponseNorm<'_>, beta: &[f32]) -> Vec<f32> {
    let layout = Images::new(x.len(), norm.batch, norm.gamma.len());
    let shift = layout.all.widen(beta);
    let squares = layout.map(|_, range| {
        let mut sums = vec![0.0; layout.all.width()];
        let kernel = Squares { x, sums: &mut sums };
        layout.all.run(range, kernel);
        layout.all.fold(&sums)
    });
    let scales = Responses::new(norm, layout.sums(&squares)).scales(norm.gamma);
    layout.write(|image, range, output| {
        let kernel = Scale {
            x,
            scale: &layout.widen(&scales, image),
            shift: &shift,
            output,
        };
        layout.all.run(range, kernel);
    })
}

/// The gradients of [`response_norm`], given that of its result, in the shape of `x`. The responses
/// are computed from `x` again. A channel of zeros has no gradient through its response, as in
/// PyTorch.
///
/// # Panics
/// If the lengths don't fit.
pub fn response_norm_backward(
    gradient: &[f32],
    x: &[f32],
    norm: ResponseNorm<'_>,
    need_x: bool,
) -> NormGradients {
    assert_eq!(gradient.len(), x.len(), "the gradient has the shape of x");
    let channels = norm.gamma.len();
    let layout = Images::new(x.len(), norm.batch, channels);
    let tiles = layout.map(|_, range| {
        let width = layout.all.width();
        let mut sums = [vec![0.0; width], vec![0.0; width], vec![0.0; width]];
        let [squares, products, gradients] = &mut sums;
        let kernel = GradientSums {
            x,
            gradient,
            squares,
            products,
            gradients,
        };
        layout.all.run(range, kernel);
        sums.map(|sums| layout.all.fold(&sums))
    });
    let sums = |part: usize| layout.sums(tiles.iter().map(|tile| &tile[part]));
    let responses = Responses::new(norm, sums(0));
    let products = sums(1);
    NormGradients {
        x: need_x.then(|| {
            let scales = responses.scales(norm.gamma);
            let slopes = responses.slopes(norm.gamma, &products);
            layout.write(|image, range, output| {
                let kernel = Differentiate {
                    x,
                    gradient,
                    scale: &layout.widen(&scales, image),
                    slope: &layout.widen(&slopes, image),
                    output,
                };
                layout.all.run(range, kernel);
            })
        }),
        gamma: over_images(&responses.scaled(&products), channels),
        beta: over_images(&sums(2), channels),
    }
}

/// The sums over all images of `[images, channels]`.
fn over_images(per_image: &[f64], channels: usize) -> Vec<f32> {
    let mut totals: Vec<f64> = vec![0.0; channels];
    for image in per_image.chunks_exact(channels) {
        for (total, value) in totals.iter_mut().zip(image) {
            *total += value;
        }
    }
    totals.into_iter().map(|total| total as f32).collect()
}

/// How strong each channel of each image is.
struct Responses {
    channels: usize,
    /// `n`, `[images, channels]`.
    norms: Vec<f64>,
    /// `m` of each image.
    means: Vec<f64>,
}

impl Responses {
    /// The responses, given the sums of squares `[images, channels]`.
    fn new(norm: ResponseNorm<'_>, squares: Vec<f64>) -> Self {
        let channels = norm.gamma.len();
        let norms: Vec<f64> = squares.into_iter().map(f64::sqrt).collect();
        let mean = |norms: &[f64]| norms.iter().sum::<f64>() / channels as f64;
        let means = norms
            .chunks_exact(channels)
            .map(|norms| mean(norms) + f64::from(norm.epsilon));
        Self {
            channels,
            means: means.collect(),
            norms,
        }
    }

    /// `values · n / m`, all `[images, channels]`.
    fn scaled(&self, values: &[f64]) -> Vec<f64> {
        let places = values.iter().zip(&self.norms).enumerate();
        places
            .map(|(place, (value, norm))| value * norm / self.means[place / self.channels])
            .collect()
    }

    /// `1 + gamma · n / m`, `[images, channels]`.
    fn scales(&self, gamma: &[f32]) -> Vec<f32> {
        let gamma: Vec<f64> = gamma.iter().copied().map(f64::from).collect();
        let scaled = self.scaled(&gamma.repeat(self.means.len()));
        scaled.iter().map(|scaled| (1.0 + scaled) as f32).collect()
    }

    /// The gradient of `n`, over `n`: what each `x` counts in its own gradient. `products` are
    /// `Σ x · gradient`, all `[images, channels]`.
    fn slopes(&self, gamma: &[f32], products: &[f64]) -> Vec<f32> {
        let mut slopes = Vec::with_capacity(products.len());
        let images = self.norms.chunks_exact(self.channels);
        let images = images.zip(products.chunks_exact(self.channels));
        for ((norms, products), mean) in images.zip(&self.means) {
            // The gradient of n / m.
            let shares = products.iter().zip(gamma);
            let shares: Vec<f64> = shares.map(|(p, gamma)| p * f64::from(*gamma)).collect();
            let through_mean: f64 = shares.iter().zip(norms).map(|(share, n)| share * n).sum();
            let through_mean = through_mean / (mean * mean * self.channels as f64);
            slopes.extend(shares.iter().zip(norms).map(|(share, norm)| {
                if *norm == 0.0 {
                    0.0
                } else {
                    ((share / mean - through_mean) / norm) as f32
                }
            }));
        }
        slopes
    }
}

struct Squares<'a> {
    x: &'a [f32],
    sums: &'a mut [f32],
}

impl ChannelKernel for Squares<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees.
        unsafe {
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let sum = self.sums.as_mut_ptr().add(place);
            x.mul_add(x, V::load(sum, lanes)).store(sum, lanes);
        }
    }
}

struct Scale<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    output: Output,
}

impl ChannelKernel for Scale<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees; every value is in one tile.
        unsafe {
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let scale = V::load(self.scale.as_ptr().add(place), lanes);
            let shift = V::load(self.shift.as_ptr().add(place), lanes);
            let y = x.mul_add(scale, shift);
            y.store(self.output.at(offset), lanes);
        }
    }
}

struct GradientSums<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    squares: &'a mut [f32],
    products: &'a mut [f32],
    gradients: &'a mut [f32],
}

impl ChannelKernel for GradientSums<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees.
        unsafe {
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let gradient = V::load(self.gradient.as_ptr().add(offset), lanes);
            let sum = self.squares.as_mut_ptr().add(place);
            x.mul_add(x, V::load(sum, lanes)).store(sum, lanes);
            let sum = self.products.as_mut_ptr().add(place);
            x.mul_add(gradient, V::load(sum, lanes)).store(sum, lanes);
            let sum = self.gradients.as_mut_ptr().add(place);
            V::load(sum, lanes).add(gradient).store(sum, lanes);
        }
    }
}

struct Differentiate<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    scale: &'a [f32],
    slope: &'a [f32],
    output: Output,
}

impl ChannelKernel for Differentiate<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees; every value is in one tile.
        unsafe {
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let gradient = V::load(self.gradient.as_ptr().add(offset), lanes);
            let scale = V::load(self.scale.as_ptr().add(place), lanes);
            let slope = V::load(self.slope.as_ptr().add(place), lanes);
            let grad_x = gradient.mul_add(scale, x.mul(slope));
            grad_x.store(self.output.at(offset), lanes);
        }
    }
}
