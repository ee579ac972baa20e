//! The pass that applies a batch norm, an optional residual and the activation.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use rayon::prelude::*;

use crate::batch_norm::BatchNorm;
use crate::channels::ChannelKernel;
use crate::epilogue::Activation;
use crate::memory::{Output, Unwritten};
use crate::operand::{Affine, Normalized};
use crate::vector::Vector;

/// `y = act(batch_norm(z) [+ residual])` for `z` and `residual` `[.., channels]`.
///
/// # Panics
/// If the lengths don't fit.
pub fn normalize(z: &[f32], norm: BatchNorm<'_>, residual: Option<&[f32]>) -> Vec<f32> {
    if let Some(residual) = residual {
        assert_eq!(residual.len(), z.len(), "the residual has the shape of z");
    }
    let normalized = Normalized::new(z, norm);
    let mut y = Unwritten::new(z.len());
    let output = y.output();
    normalized.layout.tiles().for_each(|range| {
        let kernel = Normalize {
            affine: normalized.affine(),
            activation: norm.activation,
            residual,
            output,
        };
        normalized.layout.run(range, kernel);
    });
    // SAFETY: the tiles cover all values.
    unsafe { y.written(z.len()) }
}

struct Normalize<'a> {
    affine: Affine<'a>,
    activation: Activation,
    residual: Option<&'a [f32]>,
    output: Output,
}

impl ChannelKernel for Normalize<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees; every value is in one tile.
        unsafe {
            let [_, mut value] = self.affine.before::<V>(offset, place, lanes);
            if let Some(residual) = self.residual {
                value = value.add(V::load(residual.as_ptr().add(offset), lanes));
            }
            let y = self.activation.apply(value);
            y.store(self.output.at(offset), lanes);
        }
    }
}
