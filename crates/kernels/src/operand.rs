//! Operands of a convolution: values in memory, or values computed as they are read.
//!
//! In training a layer's result is kept before its batch norm, and its readers normalise and
//! activate it a tile at a time, in scratch space that stays in the L2 cache. So if one task reads
//! a tile, neither normalised activations nor gradients before a batch norm are written to memory.
//! If several tasks would compute the same values, they are computed once, as a whole.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use crate::batch_norm::{BatchNorm, inverse_deviations, products};
use crate::channels::{ChannelKernel, Channels};
use crate::epilogue::Activation;
use crate::memory::{Output, Unwritten};
use crate::vector::Vector;

/// Activations or gradients `[batch, height, width, channels]`.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'a> {
    Values(&'a [f32]),
    Normalized(&'a Normalized<'a>),
    Gradient(&'a NormGradient<'a>),
}

impl<'a> Operand<'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Normalized(normalized) => normalized.z.len(),
            Self::Gradient(gradient) => gradient.masked.len(),
        }
    }

    /// Makes the values in `range` (whole pixels) readable, in memory or in `scratch`, and returns
    /// the address that value 0 would have. Only `range` can be read from there.
    pub(crate) fn read(self, range: Range<usize>, scratch: &mut Vec<f32>) -> *const f32 {
        assert!(range.end <= self.len());
        if let Self::Values(values) = self {
            return values.as_ptr();
        }
        let output = Output::of_range(scratch, range.clone());
        self.compute(range, output);
        output.start().cast_const()
    }

    /// All values, computed once for kernels whose tasks would compute them several times.
    pub(crate) fn whole(self) -> Cow<'a, [f32]> {
        let layout = match self {
            Self::Values(values) => return Cow::Borrowed(values),
            Self::Normalized(normalized) => normalized.layout,
            Self::Gradient(gradient) => gradient.layout,
        };
        let mut values = Unwritten::new(self.len());
        let output = values.output();
        layout.tiles().for_each(|range| self.compute(range, output));
        // SAFETY: the tiles cover all values.
        Cow::Owned(unsafe { values.written(self.len()) })
    }

    fn compute(self, range: Range<usize>, output: Output) {
        match self {
            Self::Values(_) => {}
            Self::Normalized(normalized) => {
                let kernel = Normalize {
                    affine: normalized.affine(),
                    activation: normalized.activation,
                    output,
                };
                normalized.layout.run(range, kernel);
            }
            Self::Gradient(gradient) => {
                let kernel = Differentiate {
                    terms: gradient.terms(),
                    output,
                };
                gradient.layout.run(range, kernel);
            }
        }
    }
}

/// `act((z - mean) · scale + shift)`, its parameters repeated over a wide row.
pub(crate) struct Normalized<'a> {
    pub layout: Channels,
    z: &'a [f32],
    mean: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    activation: Activation,
}

impl<'a> Normalized<'a> {
    pub(crate) fn new(z: &'a [f32], norm: BatchNorm<'_>) -> Self {
        let layout = Channels::new(z.len(), norm.mean.len());
        let scale = products(norm.gamma, &inverse_deviations(norm.variance, norm.epsilon));
        Self {
            layout,
            z,
            mean: layout.widen(norm.mean),
            scale: layout.widen(&scale),
            shift: layout.widen(norm.beta),
            activation: norm.activation,
        }
    }

    pub(crate) fn affine(&self) -> Affine<'_> {
        Affine {
            z: self.z,
            mean: &self.mean,
            scale: &self.scale,
            shift: &self.shift,
        }
    }

    pub(crate) fn activation(&self) -> Activation {
        self.activation
    }
}

/// Batch norm without its activation. A kernel holds it by value: behind a reference, the loop
/// would load the addresses of the parameters again after every store.
#[derive(Clone, Copy)]
pub(crate) struct Affine<'a> {
    z: &'a [f32],
    mean: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
}

impl Affine<'_> {
    /// `z - mean`, and the value before the activation.
    ///
    /// # Safety
    /// `offset + lanes` is within the values, `place + lanes` within a wide row.
    #[inline(always)]
    pub(crate) unsafe fn before<V: Vector>(
        &self,
        offset: usize,
        place: usize,
        lanes: usize,
    ) -> [V; 2] {
        // SAFETY: as the caller guarantees.
        unsafe {
            let z = load_ahead::<V>(self.z.as_ptr(), offset, lanes);
            let centered = z.sub(V::load(self.mean.as_ptr().add(place), lanes));
            let scale = V::load(self.scale.as_ptr().add(place), lanes);
            let shift = V::load(self.shift.as_ptr().add(place), lanes);
            [centered, centered.mul_add(scale, shift)]
        }
    }
}

/// Loads from memory that is read once, in order, and prefetches the values that come later.
///
/// # Safety
/// As for [`Vector::load`] at `offset`.
#[inline(always)]
unsafe fn load_ahead<V: Vector>(start: *const f32, offset: usize, lanes: usize) -> V {
    /// Distance in values, far enough for memory to answer in time.
    const AHEAD: usize = 1024;
    V::prefetch(start.wrapping_add(offset + AHEAD));
    // SAFETY: as the caller guarantees.
    unsafe { V::load(start.add(offset), lanes) }
}

struct Normalize<'a> {
    affine: Affine<'a>,
    activation: Activation,
    output: Output,
}

impl ChannelKernel for Normalize<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees.
        unsafe {
            let [_, before] = self.affine.before::<V>(offset, place, lanes);
            let y = self.activation.apply(before);
            y.store(self.output.at(offset), lanes);
        }
    }
}

/// The gradient before a batch norm, from the one after it:
/// `∂L/∂z = scale · (g - mean(g) - ẑ · mean(g · ẑ))`, `ẑ = (z - mean) / √(var + eps)`, as
/// `scale · g - constant - (z - mean) · slope`. With constant statistics it is `scale · g`.
pub(crate) struct NormGradient<'a> {
    layout: Channels,
    /// The gradient after the batch norm and before the activation.
    masked: &'a [f32],
    scale: Vec<f32>,
    through_statistics: Option<ThroughStatistics<'a>>,
}

struct ThroughStatistics<'a> {
    z: &'a [f32],
    mean: Vec<f32>,
    constant: Vec<f32>,
    slope: Vec<f32>,
}

/// Sums over the rows of each channel, for the gradients of a batch norm.
#[derive(Clone, Debug, PartialEq)]
pub struct NormSums {
    /// `Σ g`: the gradient of beta.
    pub gradient: Vec<f64>,
    /// `Σ g · (z - mean)`: the gradient of gamma times the deviation.
    pub product: Vec<f64>,
}

impl<'a> NormGradient<'a> {
    pub(crate) fn new(
        masked: &'a [f32],
        z: &'a [f32],
        norm: BatchNorm<'_>,
        sums: &NormSums,
        batch_statistics: bool,
    ) -> Self {
        assert_eq!(masked.len(), z.len(), "the gradient has the shape of z");
        let layout = Channels::new(z.len(), norm.mean.len());
        let inverse = inverse_deviations(norm.variance, norm.epsilon);
        let scale = products(norm.gamma, &inverse);
        let rows = layout.rows().max(1) as f64;
        let through_statistics = batch_statistics.then(|| {
            let channels = 0..norm.mean.len();
            let constant = |c: usize| (sums.gradient[c] * f64::from(scale[c]) / rows) as f32;
            let slope = |c: usize| {
                let inverse = f64::from(inverse[c]);
                (sums.product[c] * f64::from(scale[c]) * inverse * inverse / rows) as f32
            };
            ThroughStatistics {
                z,
                mean: layout.widen(norm.mean),
                constant: layout.widen(&channels.clone().map(constant).collect::<Vec<_>>()),
                slope: layout.widen(&channels.map(slope).collect::<Vec<_>>()),
            }
        });
        Self {
            layout,
            masked,
            scale: layout.widen(&scale),
            through_statistics,
        }
    }
}

/// A [`NormGradient`], held by value for the same reason as [`Affine`].
#[derive(Clone, Copy)]
struct GradientTerms<'a> {
    masked: &'a [f32],
    scale: &'a [f32],
    through_statistics: Option<StatisticsTerms<'a>>,
}

#[derive(Clone, Copy)]
struct StatisticsTerms<'a> {
    z: &'a [f32],
    mean: &'a [f32],
    constant: &'a [f32],
    slope: &'a [f32],
}

impl NormGradient<'_> {
    fn terms(&self) -> GradientTerms<'_> {
        let through = self.through_statistics.as_ref();
        GradientTerms {
            masked: self.masked,
            scale: &self.scale,
            through_statistics: through.map(|through| StatisticsTerms {
                z: through.z,
                mean: &through.mean,
                constant: &through.constant,
                slope: &through.slope,
            }),
        }
    }
}

struct Differentiate<'a> {
    terms: GradientTerms<'a>,
    output: Output,
}

impl ChannelKernel for Differentiate<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        let terms = self.terms;
        // SAFETY: as the loop guarantees.
        unsafe {
            let masked = load_ahead::<V>(terms.masked.as_ptr(), offset, lanes);
            let scale = V::load(terms.scale.as_ptr().add(place), lanes);
            let mut gradient = masked.mul(scale);
            if let Some(terms) = &terms.through_statistics {
                let z = load_ahead::<V>(terms.z.as_ptr(), offset, lanes);
                let mean = V::load(terms.mean.as_ptr().add(place), lanes);
                let constant = V::load(terms.constant.as_ptr().add(place), lanes);
                let slope = V::load(terms.slope.as_ptr().add(place), lanes);
                gradient = mean.sub(z).mul_add(slope, gradient).sub(constant);
            }
            gradient.store(self.output.at(offset), lanes);
        }
    }
}
