//! The backward pass of a 1×1 convolution: a task computes the gradient of its rows once, in the
//! cache, and makes both gradients of it.
#![allow(unsafe_code, reason = "the result is written tile by tile")]

use std::ops::Range;

use rayon::prelude::*;

use crate::epilogue::Epilogue;
use crate::geometry::Convolution;
use crate::memory::{Output, Unwritten, with_scratch};
use crate::operand::Operand;
use crate::pack::{PANEL, WeightView};
use crate::product::{Buffers, Product, Rows, rows_per_task};
use crate::view::with_input_view;
use crate::weight_gradient::{GroupSums, Operands, TILE, chunks};

/// With fewer chunks than this the work does not spread over threads, and channels must be split.
const MIN_CHUNKS: usize = 6;

/// Whether the fused pass suits a convolution.
pub(crate) fn fits(c: &Convolution) -> bool {
    let sums = c.in_channels.next_multiple_of(TILE) * c.out_channels.next_multiple_of(PANEL);
    c.is_pointwise()
        && c.in_channels.is_multiple_of(2)
        && chunks(c.batch * c.in_height * c.in_width, sums) >= MIN_CHUNKS
}

/// The gradients of `x` (`[+ residual]`), finished range by range as in [`dense`](crate::dense), and
/// of `w`.
pub(crate) fn backward<P: Send>(
    c: &Convolution,
    x: Operand<'_>,
    w: &[f32],
    grad_y: Operand<'_>,
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> ((Vec<f32>, Vec<P>), Vec<f32>) {
    let mut grad_x = Unwritten::new(c.input_len());
    let output = grad_x.output();
    let mut grad_w = vec![0.0; c.weight_len()];
    let pixels = c.batch * c.in_height * c.in_width;
    let depth_places: Vec<_> = (0..c.out_channels).map(|out| out * c.in_channels).collect();
    let weights = WeightView {
        weights: w,
        tap_places: &[0],
        depth_places: &depth_places,
        columns: c.in_channels,
        column_stride: 1,
    };
    let product = Product {
        rows: Rows::Same(pixels),
        source: grad_y,
        source_channels: c.out_channels,
        source_first: 0,
        depth: c.out_channels,
        weights: &weights.packed(),
        taps: 1,
        column_first: 0,
        columns: c.in_channels,
        destination_channels: c.in_channels,
        epilogue,
    };
    let finished = with_input_view(c, x, true, |view, x| {
        let sums = GroupSums::new(c, view, 0);
        with_scratch(sums.chunks * sums.chunk_len(), |scratch| {
            let chunk_pixels = pixels.div_ceil(sums.chunks);
            let rows = rows_per_task(c.in_channels.max(c.out_channels));
            let chunks = scratch.par_chunks_exact_mut(sums.chunk_len());
            let finished = chunks
                .with_max_len(1)
                .enumerate()
                .map(|(chunk, chunk_sums)| {
                    chunk_sums.fill(0.0);
                    let mut buffers = Buffers::default();
                    let (mut x_rows, mut gradient_rows) = (Vec::new(), Vec::new());
                    let mut pointers = Vec::new();
                    let end = pixels.min((chunk + 1) * chunk_pixels);
                    let starts = (chunk * chunk_pixels..end).step_by(rows);
                    let ranges = starts.map(|first| {
                        let range = first..end.min(first + rows);
                        let values = |channels| range.start * channels..range.end * channels;
                        let operands = Operands {
                            x: x.read(values(c.in_channels), &mut x_rows),
                            grad_y: grad_y.read(values(c.out_channels), &mut gradient_rows),
                        };
                        let tiles = 0..sums.tiles();
                        sums.add(
                            operands,
                            range.clone(),
                            tiles,
                            &[],
                            &mut pointers,
                            chunk_sums,
                        );
                        let (panels, start) = (0..product.panels(), operands.grad_y);
                        product.run_task(range.clone(), panels, start, &[], &mut buffers, output);
                        finish(output, values(c.in_channels))
                    });
                    ranges.collect::<Vec<_>>()
                });
            let finished: Vec<Vec<P>> = finished.collect();
            sums.add_chunks(scratch, &mut grad_w);
            finished.into_iter().flatten().collect()
        })
    });
    // SAFETY: the chunks cover all pixels.
    ((unsafe { grad_x.written(c.input_len()) }, finished), grad_w)
}
