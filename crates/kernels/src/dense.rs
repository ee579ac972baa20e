//! Convolutions whose groups mix channels, as indirect matrix products.
#![allow(unsafe_code, reason = "the result is written tile by tile")]

use std::ops::Range;

use crate::channels::Channels;
use crate::epilogue::Epilogue;
use crate::gather::Gather;
use crate::geometry::Convolution;
use crate::memory::{Output, Unwritten, with_scratch};
use crate::operand::Operand;
use crate::pack::WeightView;
use crate::product::{Product, Rows};
use crate::view::with_input_view;
use crate::winograd;

/// `y[b, oy, ox, o] = act(Σ x[b, iy, ix, i] · w[o, i, ky, kx] + bias[o] + residual)`, and what
/// `finish` makes of ranges of its rows, in order, while they are in the cache.
pub(crate) fn forward<P: Send>(
    c: &Convolution,
    x: Operand<'_>,
    w: &[f32],
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    let mut y = Unwritten::new(c.output_len());
    let output = y.output();
    let mut finished = Vec::new();
    if winograd::suits(c) {
        winograd::forward(c, &x.whole(), w, epilogue, output);
    } else {
        with_input_view(c, x, false, |view, x| {
            let columns = c.group_out_channels();
            let column_stride = c.group_in_channels() * c.taps();
            for group in 0..c.groups {
                let weights = WeightView {
                    weights: &w[group * columns * column_stride..],
                    tap_places: &view.tap_places,
                    depth_places: &view.depth_places,
                    columns,
                    column_stride,
                };
                let channels = Group {
                    source_channels: c.in_channels,
                    source_first: group * c.group_in_channels(),
                    destination_channels: c.out_channels,
                    column_first: group * columns,
                };
                let rows = rows(c, &view.gather);
                let ranges = multiply(rows, x, weights, channels, epilogue, output, &finish);
                finished.extend(ranges);
            }
        });
    }
    let layout = Channels::new(c.output_len(), c.out_channels);
    let finished = layout.finish_rest(finished, output, finish);
    // SAFETY: both ways cover the output's pixels, every group its channels of them.
    (unsafe { y.written(c.output_len()) }, finished)
}

/// `∂L/∂x[b, iy, ix, i] = Σ ∂L/∂y[b, oy, ox, o] · w[o, i, ky, kx] [+ residual]`, finished as in
/// [`forward`].
pub(crate) fn input_gradient<P: Send>(
    c: &Convolution,
    grad_y: Operand<'_>,
    w: &[f32],
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    let mut grad_x = Unwritten::new(c.input_len());
    let output = grad_x.output();
    let mut finished = Vec::new();
    if winograd::suits(c) {
        winograd::input_gradient(c, &grad_y.whole(), w, epilogue, output);
    } else {
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
                let channels = Group {
                    source_channels: c.out_channels,
                    source_first: group * depth,
                    destination_channels: c.in_channels,
                    column_first: group * columns,
                };
                let rows = rows(c, &gather);
                let ranges = multiply(rows, grad_y, weights, channels, epilogue, output, &finish);
                finished.extend(ranges);
            }
        }
    }
    let layout = Channels::new(c.input_len(), c.in_channels);
    let finished = layout.finish_rest(finished, output, finish);
    // SAFETY: both ways cover the input's pixels, every group its channels of them.
    (unsafe { grad_x.written(c.input_len()) }, finished)
}

/// Where every pixel is made of the one at its place, no list of pointers is needed.
fn rows<'a>(c: &Convolution, gather: &'a Gather) -> Rows<'a> {
    match c.is_pointwise() {
        true => Rows::Same(gather.pixels()),
        false => Rows::Gathered(gather),
    }
}

/// The channels that one group reads and writes.
struct Group {
    source_channels: usize,
    source_first: usize,
    destination_channels: usize,
    column_first: usize,
}

/// Packs the weights of one group and multiplies.
fn multiply<P: Send>(
    rows: Rows<'_>,
    source: Operand<'_>,
    weights: WeightView<'_>,
    channels: Group,
    epilogue: Epilogue<'_>,
    output: Output,
    finish: &(impl Fn(Output, Range<usize>) -> P + Sync),
) -> Vec<P> {
    with_scratch(weights.packed_len(), |packed| {
        weights.pack(packed);
        let product = Product {
            rows,
            source,
            source_channels: channels.source_channels,
            source_first: channels.source_first,
            depth: weights.depth_places.len(),
            weights: packed,
            taps: weights.tap_places.len(),
            column_first: channels.column_first,
            columns: weights.columns,
            destination_channels: channels.destination_channels,
            epilogue,
        };
        product.run(output, finish)
    })
}
