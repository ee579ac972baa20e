//! The gradients of batch normalisation and the activation behind it.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use rayon::prelude::*;

use crate::channels::{ChannelKernel, Channels};
use crate::epilogue::Activation;
use crate::memory::{Output, Unwritten};
use crate::normalize::{inverse_deviations, products};
use crate::vector::Vector;

/// Gradients of [`normalize`](crate::normalize).
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

/// The gradients of [`normalize`](crate::normalize) given that of its result, `grad_y`, all `[.., channels]`.
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
    let terms = Terms {
        layout,
        gradient: MaskedGradient {
            grad_y,
            y: masked.then_some((y, act)),
        },
        x,
        mean: &layout.widen(mean),
        scale: &layout.widen(&scale),
    };

    let mut residual = need_residual.then(|| Unwritten::new(x.len()));
    // With constant statistics the gradient of x needs no sums and comes with the same pass.
    let mut grad_x = Unwritten::new(x.len());
    let grad_x_now = (!batch_statistics).then(|| grad_x.output());
    let (beta, mut gamma) = terms.sums(residual.as_mut().map(Unwritten::output), grad_x_now);
    for (sum, inverse) in gamma.iter_mut().zip(&inverse) {
        *sum *= f64::from(*inverse);
    }
    // SAFETY: the tiles cover all values.
    let residual = residual.map(|residual| unsafe { residual.written(x.len()) });

    if batch_statistics {
        // The masked gradient, if it was kept, saves reading y again.
        let gradient = match &residual {
            Some(grad_y) => MaskedGradient { grad_y, y: None },
            None => terms.gradient,
        };
        let rows = layout.rows().max(1) as f64;
        let per_row = |(total, factor): (&f64, &f32)| (total * f64::from(*factor) / rows) as f32;
        let constant: Vec<_> = beta.iter().zip(&scale).map(per_row).collect();
        let factors = products(&scale, &inverse);
        let slope: Vec<_> = gamma.iter().zip(&factors).map(per_row).collect();
        Terms { gradient, ..terms }.input_gradient(&constant, &slope, grad_x.output());
    }
    let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    NormGradients {
        // SAFETY: the tiles cover all values, in the sums or in the pass after them.
        x: unsafe { grad_x.written(x.len()) },
        gamma: single(gamma),
        beta: single(beta),
        residual,
    }
}

/// What both passes read.
#[derive(Clone, Copy)]
struct Terms<'a> {
    layout: Channels,
    gradient: MaskedGradient<'a>,
    x: &'a [f32],
    /// Wide, as is the scale, `gamma / √(var + eps)`.
    mean: &'a [f32],
    scale: &'a [f32],
}

impl Terms<'_> {
    /// `Σ g` and `Σ g · (x - mean)` of each channel. Writes `g` to `residual` and `scale · g` to
    /// `grad_x`.
    fn sums(&self, residual: Option<Output>, grad_x: Option<Output>) -> (Vec<f64>, Vec<f64>) {
        let layout = self.layout;
        let tiles = layout.tiles().map(|range| {
            let mut beta = vec![0.0; layout.width()];
            let mut gamma = vec![0.0; layout.width()];
            let kernel = GradientSums {
                terms: *self,
                beta: &mut beta,
                gamma: &mut gamma,
                residual,
                grad_x,
            };
            layout.run(range, kernel);
            (layout.fold(&beta), layout.fold(&gamma))
        });
        let tiles: Vec<_> = tiles.collect();
        let (mut beta, mut gamma) = (layout.fold(&[]), layout.fold(&[]));
        for (tile_beta, tile_gamma) in tiles {
            for channel in 0..beta.len() {
                beta[channel] += tile_beta[channel];
                gamma[channel] += tile_gamma[channel];
            }
        }
        (beta, gamma)
    }

    /// Writes `∂L/∂x = scale · (g - mean(g) - x̂ · mean(g · x̂))`, `x̂ = (x - mean) / √(var + eps)`,
    /// as `scale · g - constant - (x - mean) · slope`.
    fn input_gradient(&self, constant: &[f32], slope: &[f32], output: Output) {
        let (constant, slope) = (self.layout.widen(constant), self.layout.widen(slope));
        self.layout.tiles().for_each(|range| {
            let kernel = InputGradient {
                terms: *self,
                constant: &constant,
                slope: &slope,
                output,
            };
            self.layout.run(range, kernel);
        });
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

struct GradientSums<'a> {
    terms: Terms<'a>,
    beta: &'a mut [f32],
    gamma: &'a mut [f32],
    residual: Option<Output>,
    grad_x: Option<Output>,
}

impl ChannelKernel for GradientSums<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop vouches; every value is in one tile.
        unsafe {
            let gradient: V = self.terms.gradient.load(offset, lanes);
            let x = V::load(self.terms.x.as_ptr().add(offset), lanes);
            let centered = x.sub(V::load(self.terms.mean.as_ptr().add(place), lanes));
            let beta = self.beta.as_mut_ptr().add(place);
            V::load(beta, lanes).add(gradient).store(beta, lanes);
            let gamma = self.gamma.as_mut_ptr().add(place);
            let total = gradient.mul_add(centered, V::load(gamma, lanes));
            total.store(gamma, lanes);
            if let Some(residual) = self.residual {
                gradient.store(residual.at(offset), lanes);
            }
            if let Some(grad_x) = self.grad_x {
                let scale = V::load(self.terms.scale.as_ptr().add(place), lanes);
                gradient.mul(scale).store(grad_x.at(offset), lanes);
            }
        }
    }
}

struct InputGradient<'a> {
    terms: Terms<'a>,
    constant: &'a [f32],
    slope: &'a [f32],
    output: Output,
}

impl ChannelKernel for InputGradient<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop vouches; every value is in one tile.
        unsafe {
            let gradient: V = self.terms.gradient.load(offset, lanes);
            let x = V::load(self.terms.x.as_ptr().add(offset), lanes);
            let mean = V::load(self.terms.mean.as_ptr().add(place), lanes);
            let scale = V::load(self.terms.scale.as_ptr().add(place), lanes);
            let constant = V::load(self.constant.as_ptr().add(place), lanes);
            let slope = V::load(self.slope.as_ptr().add(place), lanes);
            let varying = mean.sub(x).mul_add(slope, gradient.mul(scale));
            varying.sub(constant).store(self.output.at(offset), lanes);
        }
    }
}
