//! Convolutions whose groups mix channels, as indirect matrix products.
#![allow(unsafe_code, reason = "the result is written tile by tile")]

use std::ops::Range;

use crate::channels::Channels;
use crate::epilogue::Epilogue;
use crate::gather::Gather;
use crate::geometry::Convolution;
use crate::memory::{Output, Unwritten};
use crate::operand::Operand;
use crate::pack::{PANEL, WeightView};
use crate::product::{Product, Rows};
use crate::view::{WeightPlaces, with_input_view};
use crate::winograd;

/// Values of the packed weights, `[group, panel, tap, depth, PANEL]`.
pub(crate) fn packed_len(c: &Convolution) -> usize {
    c.groups * group_len(c)
}

fn group_len(c: &Convolution) -> usize {
    c.group_out_channels().next_multiple_of(PANEL) * c.taps() * c.group_in_channels()
}

/// The weights in the order in which [`forward`] reads them.
pub(crate) fn pack(c: &Convolution, w: &[f32]) -> Vec<f32> {
    let places = WeightPlaces::new(c);
    let columns = c.group_out_channels();
    let column_stride = c.group_in_channels() * c.taps();
    let mut packed = Vec::with_capacity(packed_len(c));
    for group in 0..c.groups {
        let weights = WeightView {
            weights: &w[group * columns * column_stride..],
            tap_places: &places.taps,
            depth_places: &places.depths,
            columns,
            column_stride,
        };
        weights.pack_onto(&mut packed);
    }
    packed
}

/// See [`forward`](crate::forward::forward).
pub(crate) fn forward<P: Send>(
    c: &Convolution,
    x: Operand<'_>,
    packed: &[f32],
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    let mut y = Unwritten::new(c.output_len());
    let output = y.output();
    let mut finished = Vec::new();
    with_input_view(c, x, false, |view, x| {
        for group in 0..c.groups {
            let product = Product {
                rows: rows(c, &view.gather),
                source: x,
                source_channels: c.in_channels,
                source_first: group * c.group_in_channels(),
                depth: view.places.depths.len(),
                weights: &packed[group * group_len(c)..][..group_len(c)],
                taps: view.places.taps.len(),
                column_first: group * c.group_out_channels(),
                columns: c.group_out_channels(),
                destination_channels: c.out_channels,
                epilogue,
            };
            finished.extend(product.run(output, &finish));
        }
    });
    let layout = Channels::new(c.output_len(), c.out_channels);
    let finished = layout.finish_rest(finished, output, finish);
    // SAFETY: the gather covers the output's pixels, every group its channels of them.
    (unsafe { y.written(c.output_len()) }, finished)
}

/// `∂L/∂x[b, iy, ix, i] = Σ ∂L/∂y[b, oy, ox, o] · w[o, i, ky, kx] [+ residual]`, finished as in
/// [`forward`](crate::forward::forward).
pub(crate) fn input_gradient<P: Send>(
    c: &Convolution,
    grad_y: Operand<'_>,
    w: &[f32],
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    if winograd::suits(c) {
        return winograd::input_gradient(c, grad_y, w, epilogue, finish);
    }
    let mut grad_x = Unwritten::new(c.input_len());
    let output = grad_x.output();
    let mut finished = Vec::new();
    let (depth, columns) = (c.group_out_channels(), c.group_in_channels());
    let depth_places: Vec<_> = (0..depth).map(|out| out * columns * c.taps()).collect();
    for gather in Gather::input_gradient(c) {
        for group in 0..c.groups {
            let weights = WeightView {
                weights: &w[group * depth * columns * c.taps()..],
                tap_places: &gather.tap_indices(c.kernel[1]),
                depth_places: &depth_places,
                columns,
                column_stride: c.taps(),
            };
            let product = Product {
                rows: rows(c, &gather),
                source: grad_y,
                source_channels: c.out_channels,
                source_first: group * depth,
                depth,
                weights: &weights.packed(),
                taps: weights.tap_places.len(),
                column_first: group * columns,
                columns,
                destination_channels: c.in_channels,
                epilogue,
            };
            finished.extend(product.run(output, &finish));
        }
    }
    let layout = Channels::new(c.input_len(), c.in_channels);
    let finished = layout.finish_rest(finished, output, finish);
    // SAFETY: the gathers cover the input's pixels, every group its channels of them.
    (unsafe { grad_x.written(c.input_len()) }, finished)
}

/// The rows of a product. If every pixel depends only on the one at its place, no list of pointers
/// is needed.
fn rows<'a>(c: &Convolution, gather: &'a Gather) -> Rows<'a> {
    if c.is_pointwise() {
        Rows::Same(gather.pixels())
    } else {
        Rows::Gathered(gather)
    }
}
