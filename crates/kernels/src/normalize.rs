//! Batch normalisation over all but the last dimension, with the activation that follows.
//!
//! Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
//! Covariate Shift", 2015.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use rayon::prelude::*;

use crate::channels::{ChannelKernel, Channels};
use crate::epilogue::{Activation, Epilogue};
use crate::memory::{Output, Unwritten};
use crate::vector::Vector;

/// `1 / √(variance + eps)` of each channel.
pub(crate) fn inverse_deviations(var: &[f32], eps: f32) -> Vec<f32> {
    let inverse = |var: &f32| (1.0 / (f64::from(*var) + f64::from(eps)).sqrt()) as f32;
    var.iter().map(inverse).collect()
}

pub(crate) fn products(a: &[f32], b: &[f32]) -> Vec<f32> {
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
    let mut y = Unwritten::new(x.len());
    let output = y.output();
    layout.tiles().for_each(|range| {
        let kernel = Normalize {
            x,
            mean: &mean,
            scale: &scale,
            shift: &shift,
            epilogue: Epilogue::new(None, residual, act),
            output,
        };
        layout.run(range, kernel);
    });
    // SAFETY: the tiles cover all values.
    unsafe { y.written(x.len()) }
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
