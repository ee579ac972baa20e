//! Batch normalisation over all but the last dimension, with the activation that follows.
//!
//! Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
//! Covariate Shift", 2015.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use rayon::prelude::*;

use crate::channels::{ChannelKernel, Channels};
use crate::epilogue::{Activation, Epilogue};
use crate::memory::{Output, written};
use crate::simd::Vector;

/// Mean and biased variance of each channel of `x` `[.., channels]`: `(mean, variance)`.
///
/// Each tile is read twice while it is in the cache, the second time for the deviations from its
/// own mean, and the tiles are merged in f64 (Chan, Golub and LeVeque, "Algorithms for Computing the
/// Sample Variance", 1983), so a mean far from zero costs no accuracy. Without rows both are zero.
///
/// # Panics
/// If `x` is not a whole number of rows.
pub fn batch_statistics(x: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let layout = Channels::new(x.len(), channels);
    let tiles: Vec<_> = layout
        .tiles()
        .map(|range| {
            let rows = (range.len() / channels) as f64;
            let mut sums = vec![0.0; layout.width()];
            let sum = Sum { x, sums: &mut sums };
            layout.run(range.clone(), sum);
            let near: Vec<_> = layout.fold(&sums).iter().map(|s| (s / rows) as f32).collect();
            let center = layout.widen(&near);
            sums.fill(0.0);
            let mut squares = vec![0.0; layout.width()];
            let deviations = Deviations {
                x,
                center: &center,
                sums: &mut sums,
                squares: &mut squares,
            };
            layout.run(range, deviations);
            let sums = layout.fold(&sums).into_iter().zip(layout.fold(&squares));
            let moments = sums.zip(near).map(|((sum, square), near)| {
                let mean = f64::from(near) + sum / rows;
                (mean, square - sum * sum / rows)
            });
            (rows, moments.collect::<Vec<_>>())
        })
        .collect();
    let total_rows = layout.rows().max(1) as f64;
    let mut means = vec![0.0; channels];
    for (rows, moments) in &tiles {
        for (mean, moment) in means.iter_mut().zip(moments) {
            *mean += rows * moment.0;
        }
    }
    means.iter_mut().for_each(|mean| *mean /= total_rows);
    let mut variances = vec![0.0; channels];
    for (rows, moments) in &tiles {
        for ((variance, moment), mean) in variances.iter_mut().zip(moments).zip(&means) {
            *variance += moment.1 + rows * (moment.0 - mean).powi(2);
        }
    }
    let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    variances.iter_mut().for_each(|variance| *variance = f64::max(*variance / total_rows, 0.0));
    (single(means), single(variances))
}

struct Sum<'a> {
    x: &'a [f32],
    sums: &'a mut [f32],
}

impl ChannelKernel for Sum<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop vouches.
        unsafe {
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let sum = self.sums.as_mut_ptr().add(place);
            V::load(sum, lanes).add(x).store(sum, lanes);
        }
    }
}

struct Deviations<'a> {
    x: &'a [f32],
    center: &'a [f32],
    sums: &'a mut [f32],
    squares: &'a mut [f32],
}

impl ChannelKernel for Deviations<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop vouches.
        unsafe {
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let deviation = x.sub(V::load(self.center.as_ptr().add(place), lanes));
            let sum = self.sums.as_mut_ptr().add(place);
            V::load(sum, lanes).add(deviation).store(sum, lanes);
            let square = self.squares.as_mut_ptr().add(place);
            let total = deviation.mul_add(deviation, V::load(square, lanes));
            total.store(square, lanes);
        }
    }
}

/// `1 / √(variance + eps)` of each channel.
fn inverse_deviations(var: &[f32], eps: f32) -> Vec<f32> {
    let inverse = |var: &f32| (1.0 / (f64::from(*var) + f64::from(eps)).sqrt()) as f32;
    var.iter().map(inverse).collect()
}

fn products(a: &[f32], b: &[f32]) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "one parameter a channel");
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// `y = act((x - mean) / √(var + eps) · gamma + beta [+ residual])` for `x` and `residual`
/// `[.., channels]` and one `mean`, `var`, `gamma` and `beta` a channel.
///
/// # Panics
/// If the lengths don't fit.
#[expect(clippy::too_many_arguments, reason = "the terms of the formula")]
pub fn normalize(
    x: &[f32],
    mean: &[f32],
    var: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f32,
    residual: Option<&[f32]>,
    act: Activation,
) -> Vec<f32> {
    let layout = Channels::new(x.len(), mean.len());
    if let Some(residual) = residual {
        assert_eq!(residual.len(), x.len(), "the residual has the shape of x");
    }
    let scale = layout.widen(&products(gamma, &inverse_deviations(var, eps)));
    let (mean, shift) = (layout.widen(mean), layout.widen(beta));
    let write = |output: Output| {
        layout.tiles().for_each(|range| {
            let kernel = Normalize {
                x,
                mean: &mean,
                scale: &scale,
                shift: &shift,
                epilogue: Epilogue {
                    bias: None,
                    residual,
                    activation: act,
                },
                output,
            };
            layout.run(range, kernel);
        });
    };
    // SAFETY: the tiles cover all values.
    unsafe { written(x.len(), write) }
}

struct Normalize<'a> {
    x: &'a [f32],
    mean: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    epilogue: Epilogue<'a>,
    output: Output,
}

impl ChannelKernel for Normalize<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop vouches; every value is in one tile.
        unsafe {
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let centered = x.sub(V::load(self.mean.as_ptr().add(place), lanes));
            let scale = V::load(self.scale.as_ptr().add(place), lanes);
            let shift = V::load(self.shift.as_ptr().add(place), lanes);
            let y = centered.mul_add(scale, shift);
            let y = self.epilogue.apply(y, 0, offset, lanes);
            y.store(self.output.at(offset), lanes);
        }
    }
}

/// Gradients of [`normalize`].
#[derive(Clone, Debug, PartialEq)]
pub struct NormGradients {
    /// The shape of `x`.
    pub x: Vec<f32>,
    /// One value a channel.
    pub gamma: Vec<f32>,
    /// One value a channel.
    pub beta: Vec<f32>,
    /// The shape of `x`, if asked for.
    pub residual: Option<Vec<f32>>,
}

/// The gradients of [`normalize`] given that of its result, `grad_y`, all `[.., channels]`.
///
/// The mask of the activation comes from its result `y`: the derivative is one where `y > 0` (and
/// `y < 6` for [`Activation::Relu6`]), else zero; for [`Activation::Identity`] `y` is not read and
/// may be empty. With `batch_statistics`, `mean` and `var` are those of `x` and depend on it;
/// otherwise they are constants.
///
/// # Panics
/// If the lengths don't fit.
#[expect(clippy::too_many_arguments, reason = "the terms of the formula")]
pub fn normalize_backward(
    grad_y: &[f32],
    x: &[f32],
    y: &[f32],
    mean: &[f32],
    var: &[f32],
    gamma: &[f32],
    eps: f32,
    act: Activation,
    batch_statistics: bool,
    need_residual: bool,
) -> NormGradients {
    let layout = Channels::new(x.len(), mean.len());
    assert_eq!(grad_y.len(), x.len(), "the gradient has the shape of x");
    let masked = act != Activation::Identity;
    assert!(!masked || y.len() == x.len(), "y has the shape of x");
    let inverse = inverse_deviations(var, eps);
    let scale = products(gamma, &inverse);
    let (wide_mean, wide_scale) = (layout.widen(mean), layout.widen(&scale));
    let gradient = MaskedGradient {
        grad_y,
        y: masked.then_some((y, act)),
    };

    let sums = |residual: Option<Output>, frozen_x: Option<Output>| {
        let tiles: Vec<_> = layout
            .tiles()
            .map(|range| {
                let mut beta = vec![0.0; layout.width()];
                let mut gamma = vec![0.0; layout.width()];
                let kernel = GradientSums {
                    gradient,
                    x,
                    mean: &wide_mean,
                    beta: &mut beta,
                    gamma: &mut gamma,
                    residual,
                    scale: &wide_scale,
                    frozen_x,
                };
                layout.run(range, kernel);
                (layout.fold(&beta), layout.fold(&gamma))
            })
            .collect();
        let (mut beta, mut gamma) = (vec![0.0; mean.len()], vec![0.0; mean.len()]);
        for (tile_beta, tile_gamma) in tiles {
            beta.iter_mut().zip(tile_beta).for_each(|(sum, tile)| *sum += tile);
            gamma.iter_mut().zip(tile_gamma).for_each(|(sum, tile)| *sum += tile);
        }
        gamma.iter_mut().zip(&inverse).for_each(|(sum, inverse)| *sum *= f64::from(*inverse));
        (beta, gamma)
    };

    let mut totals = Default::default();
    let mut residual = None;
    let mut frozen_x = None;
    // SAFETY: the tiles cover all values, in the sums and in the gradient of x.
    unsafe {
        match (need_residual, batch_statistics) {
            (true, true) => residual = Some(written(x.len(), |g| totals = sums(Some(g), None))),
            (false, true) => totals = sums(None, None),
            (false, false) => frozen_x = Some(written(x.len(), |dx| totals = sums(None, Some(dx)))),
            (true, false) => {
                residual = Some(written(x.len(), |g| {
                    frozen_x = Some(written(x.len(), |dx| totals = sums(Some(g), Some(dx))));
                }));
            }
        }
    }
    let (beta, gamma): (Vec<f64>, Vec<f64>) = totals;
    let x = frozen_x.unwrap_or_else(|| {
        // ∂L/∂x = scale · (g - mean(g) - x̂ · mean(g · x̂)), x̂ = (x - mean) · inverse
        let rows = layout.rows().max(1) as f64;
        let per_channel = |totals: &[f64], factor: &[f32]| -> Vec<f32> {
            let terms = totals.iter().zip(factor).zip(&scale);
            let terms = terms.map(|((total, factor), scale)| {
                (f64::from(*scale) * f64::from(*factor) * total / rows) as f32
            });
            terms.collect()
        };
        let constant = layout.widen(&per_channel(&beta, &vec![1.0; mean.len()]));
        let slope = layout.widen(&per_channel(&gamma, &inverse));
        // The masked gradient, if it was kept, saves reading y again.
        let gradient = match &residual {
            Some(residual) => MaskedGradient {
                grad_y: residual,
                y: None,
            },
            None => gradient,
        };
        let write = |output| {
            layout.tiles().for_each(|range| {
                let kernel = InputGradient {
                    gradient,
                    x,
                    mean: &wide_mean,
                    scale: &wide_scale,
                    constant: &constant,
                    slope: &slope,
                    output,
                };
                layout.run(range, kernel);
            });
        };
        // SAFETY: the tiles cover all values.
        unsafe { written(x.len(), write) }
    });
    let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    NormGradients {
        x,
        gamma: single(gamma),
        beta: single(beta),
        residual,
    }
}

/// The gradient behind the activation.
#[derive(Clone, Copy)]
struct MaskedGradient<'a> {
    grad_y: &'a [f32],
    y: Option<(&'a [f32], Activation)>,
}

impl MaskedGradient<'_> {
    /// # Safety
    /// `offset + lanes` must be within the values.
    #[inline(always)]
    unsafe fn load<V: Vector>(&self, offset: usize, lanes: usize) -> V {
        // SAFETY: as the caller vouches.
        unsafe {
            let gradient = V::load(self.grad_y.as_ptr().add(offset), lanes);
            let Some((y, act)) = self.y else {
                return gradient;
            };
            let y = V::load(y.as_ptr().add(offset), lanes);
            let (low, high) = act.limits();
            gradient.keep_where_between(y, V::splat(low), V::splat(high))
        }
    }
}

/// `Σ g` and `Σ g · (x - mean)`; with constant statistics also the gradient of x, `scale · g`.
struct GradientSums<'a> {
    gradient: MaskedGradient<'a>,
    x: &'a [f32],
    mean: &'a [f32],
    beta: &'a mut [f32],
    gamma: &'a mut [f32],
    residual: Option<Output>,
    scale: &'a [f32],
    frozen_x: Option<Output>,
}

impl ChannelKernel for GradientSums<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop vouches; every value is in one tile.
        unsafe {
            let gradient: V = self.gradient.load(offset, lanes);
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let centered = x.sub(V::load(self.mean.as_ptr().add(place), lanes));
            let beta = self.beta.as_mut_ptr().add(place);
            V::load(beta, lanes).add(gradient).store(beta, lanes);
            let gamma = self.gamma.as_mut_ptr().add(place);
            let total = gradient.mul_add(centered, V::load(gamma, lanes));
            total.store(gamma, lanes);
            if let Some(residual) = self.residual {
                gradient.store(residual.at(offset), lanes);
            }
            if let Some(frozen_x) = self.frozen_x {
                let scale = V::load(self.scale.as_ptr().add(place), lanes);
                gradient.mul(scale).store(frozen_x.at(offset), lanes);
            }
        }
    }
}

/// `scale · g - constant - (x - mean) · slope`
struct InputGradient<'a> {
    gradient: MaskedGradient<'a>,
    x: &'a [f32],
    mean: &'a [f32],
    scale: &'a [f32],
    constant: &'a [f32],
    slope: &'a [f32],
    output: Output,
}

impl ChannelKernel for InputGradient<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop vouches; every value is in one tile.
        unsafe {
            let gradient: V = self.gradient.load(offset, lanes);
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let mean = V::load(self.mean.as_ptr().add(place), lanes);
            let scale = V::load(self.scale.as_ptr().add(place), lanes);
            let constant = V::load(self.constant.as_ptr().add(place), lanes);
            let slope = V::load(self.slope.as_ptr().add(place), lanes);
            let varying = mean.sub(x).mul_add(slope, gradient.mul(scale));
            varying.sub(constant).store(self.output.at(offset), lanes);
        }
    }
}
