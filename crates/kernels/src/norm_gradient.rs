//! The gradients of batch normalisation and the activation after it, in two parts: first the mask
//! of the activation and the sums over the batch, then the gradient before the batch norm, computed
//! as it is read ([`Operand::Gradient`](crate::operand::Operand)).
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use std::ops::Range;

use rayon::prelude::*;

use crate::batch_norm::{BatchNorm, inverse_deviations};
use crate::channels::ChannelKernel;
use crate::epilogue::Activation;
use crate::memory::{Output, Unwritten};
use crate::operand::{Affine, NormSums, Normalized};
use crate::vector::Vector;

impl NormSums {
    /// The sums of ranges of rows, added in their order.
    pub(crate) fn total(ranges: &[Self], channels: usize) -> Self {
        let mut total = Self {
            gradient: vec![0.0; channels],
            product: vec![0.0; channels],
        };
        for range in ranges {
            for channel in 0..channels {
                total.gradient[channel] += range.gradient[channel];
                total.product[channel] += range.product[channel];
            }
        }
        total
    }

    /// The gradients of gamma and beta.
    pub fn parameter_gradients(&self, variance: &[f32], epsilon: f32) -> [Vec<f32>; 2] {
        let inverse = inverse_deviations(variance, epsilon);
        let products = self.product.iter().zip(inverse);
        [
            products
                .map(|(sum, i)| (sum * f64::from(i)) as f32)
                .collect(),
            self.gradient.iter().map(|sum| *sum as f32).collect(),
        ]
    }
}

/// The gradient before the activation of `act(batch_norm(z) [+ residual])`, and its sums, from the
/// gradient after it; all `[.., channels]`. It is also the residual's gradient. `None` with
/// [`Activation::Identity`], where both gradients are the same.
///
/// # Panics
/// If the lengths don't fit.
pub fn activation_backward(
    gradient: &[f32],
    z: &[f32],
    norm: BatchNorm<'_>,
    residual: Option<&[f32]>,
) -> (Option<Vec<f32>>, NormSums) {
    assert_eq!(gradient.len(), z.len(), "the gradient has the shape of z");
    let normalized = Normalized::new(z, norm);
    let residual = residual.filter(|_| norm.activation != Activation::Identity);
    assert!(residual.is_none_or(|residual| residual.len() == z.len()));
    let mut masked = (norm.activation != Activation::Identity).then(|| Unwritten::new(z.len()));
    let output = masked.as_mut().map(Unwritten::output);
    let sums = normalized.layout.tiles().map(|range| {
        let source = gradient.as_ptr();
        mask(&normalized, residual, source, output, range)
    });
    let sums: Vec<_> = sums.collect();
    // SAFETY: the tiles cover all values.
    let masked = masked.map(|masked| unsafe { masked.written(z.len()) });
    (masked, NormSums::total(&sums, norm.mean.len()))
}

/// The same in place, for a range of rows that a kernel has just written to `output`.
pub(crate) fn mask_in_place(
    normalized: &Normalized<'_>,
    output: Output,
    range: Range<usize>,
) -> NormSums {
    let changed = normalized.activation() != Activation::Identity;
    // SAFETY: place 0 is in the buffer.
    let source = unsafe { output.at(0) }.cast_const();
    mask(normalized, None, source, changed.then_some(output), range)
}

fn mask(
    normalized: &Normalized<'_>,
    residual: Option<&[f32]>,
    source: *const f32,
    output: Option<Output>,
    range: Range<usize>,
) -> NormSums {
    let layout = normalized.layout;
    let mut gradient = vec![0.0; layout.width()];
    let mut product = vec![0.0; layout.width()];
    let kernel = Mask {
        affine: normalized.affine(),
        activation: normalized.activation(),
        residual,
        source,
        output,
        gradient: &mut gradient,
        product: &mut product,
    };
    layout.run(range, kernel);
    NormSums {
        gradient: layout.fold(&gradient),
        product: layout.fold(&product),
    }
}

struct Mask<'a> {
    affine: Affine<'a>,
    activation: Activation,
    residual: Option<&'a [f32]>,
    source: *const f32,
    output: Option<Output>,
    gradient: &'a mut [f32],
    product: &'a mut [f32],
}

impl ChannelKernel for Mask<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees; every value is in one range.
        unsafe {
            let [centered, mut before] = self.affine.before::<V>(offset, place, lanes);
            if let Some(residual) = self.residual {
                before = before.add(V::load(residual.as_ptr().add(offset), lanes));
            }
            let mut gradient = V::load(self.source.add(offset), lanes);
            if let Some(output) = self.output {
                gradient = self.activation.backward(before, gradient);
                gradient.store(output.at(offset), lanes);
            }
            let sum = self.gradient.as_mut_ptr().add(place);
            V::load(sum, lanes).add(gradient).store(sum, lanes);
            let sum = self.product.as_mut_ptr().add(place);
            let total = gradient.mul_add(centered, V::load(sum, lanes));
            total.store(sum, lanes);
        }
    }
}
