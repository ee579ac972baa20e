//! Convolutions whose groups mix channels, as indirect matrix products.
#![allow(unsafe_code, reason = "the result is written tile by tile")]

use crate::epilogue::Epilogue;
use crate::gather::Gather;
use crate::geometry::Convolution;
use crate::memory::{Output, Unwritten, with_scratch};
use crate::pack::WeightView;
use crate::product::Product;
use crate::view::with_input_view;

/// `y[b, oy, ox, o] = act(Σ x[b, iy, ix, i] · w[o, i, ky, kx] + bias[o] + residual)`.
pub(crate) fn forward(c: &Convolution, x: &[f32], w: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
    let mut y = Unwritten::new(c.output_len());
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
            multiply(&view.gather, x, weights, channels, epilogue, y.output());
        }
    });
    // SAFETY: the gather's pixels are the output's, and every group wrote its channels of them.
    unsafe { y.written(c.output_len()) }
}

/// `∂L/∂x[b, iy, ix, i] = Σ ∂L/∂y[b, oy, ox, o] · w[o, i, ky, kx]`.
pub(crate) fn input_gradient(c: &Convolution, grad_y: &[f32], w: &[f32]) -> Vec<f32> {
    let mut grad_x = Unwritten::new(c.input_len());
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
            let output = grad_x.output();
            multiply(&gather, grad_y, weights, channels, Epilogue::NONE, output);
        }
    }
    // SAFETY: the phases cover the input's pixels, and every group wrote its channels of them.
    unsafe { grad_x.written(c.input_len()) }
}

/// The channels that one group reads and writes.
struct Group {
    source_channels: usize,
    source_first: usize,
    destination_channels: usize,
    column_first: usize,
}

/// Packs the weights of one group and multiplies.
fn multiply(
    gather: &Gather,
    source: &[f32],
    weights: WeightView<'_>,
    channels: Group,
    epilogue: Epilogue<'_>,
    output: Output,
) {
    with_scratch(weights.packed_len(), |packed| {
        weights.pack(packed);
        let product = Product {
            gather,
            source,
            source_channels: channels.source_channels,
            source_first: channels.source_first,
            depth: weights.depth_places.len(),
            panels: packed,
            taps: weights.tap_places.len(),
            column_first: channels.column_first,
            columns: weights.columns,
            destination_channels: channels.destination_channels,
            epilogue,
        };
        product.run(output);
    });
}
