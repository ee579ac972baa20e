//! Convolutions with one kernel a channel, vectorised over channels.
//!
//! All three passes go row by row. The taps of a row's pixels lie at the same distances, except for
//! the few pixels at the border that lack some. Pixels go in blocks that share each load of a
//! weight, all channels of a block before the next, which reads and writes memory in order.
#![allow(unsafe_code, reason = "the result is written tile by tile")]

mod pass;
mod separable;
mod tasks;
mod weights;

use std::borrow::Cow;
use std::ops::Range;

use crate::epilogue::Epilogue;
use crate::gather::Gather;
use crate::geometry::Convolution;
use crate::memory::{Output, Unwritten};
use crate::operand::Operand;
use pass::Pass;
pub(crate) use separable::Separable;
use tasks::{pixels, rows, rows_per_tile, union};
use weights::WeightPass;

/// The weights as `[tap, channel]`.
pub(crate) fn pack(c: &Convolution, w: &[f32]) -> Vec<f32> {
    pack_taps(c, 0..c.taps(), w)
}

fn pack_taps(c: &Convolution, taps: impl IntoIterator<Item = usize>, w: &[f32]) -> Vec<f32> {
    let taps = taps.into_iter();
    taps.flat_map(|tap| w.iter().skip(tap).step_by(c.taps()).copied())
        .collect()
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
    let gathers = vec![(Gather::forward(c), Cow::Borrowed(packed))];
    let pass = Pass::new(c, gathers, epilogue, y.output());
    let finished = pass.run(x, finish);
    // SAFETY: the gather's pixels are the output's.
    (unsafe { y.written(c.output_len()) }, finished)
}

/// `∂L/∂x[b, iy, ix, c] = Σ ∂L/∂y[b, oy, ox, c] · w[c, ky, kx] [+ residual]`, finished as in
/// [`forward`](crate::forward::forward).
pub(crate) fn input_gradient<P: Send>(
    c: &Convolution,
    grad_y: Operand<'_>,
    w: &[f32],
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    let mut grad_x = Unwritten::new(c.input_len());
    let pass = Pass::new(c, gradient_phases(c, w), epilogue, grad_x.output());
    let finished = pass.run(grad_y, finish);
    // SAFETY: the phases cover the input's pixels.
    (unsafe { grad_x.written(c.input_len()) }, finished)
}

/// Both gradients, each tile of the operands read once.
pub(crate) fn backward<P: Send>(
    c: &Convolution,
    x: Operand<'_>,
    w: &[f32],
    grad_y: Operand<'_>,
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> ((Vec<f32>, Vec<P>), Vec<f32>) {
    let mut grad_x = Unwritten::new(c.input_len());
    let pass = Pass::new(c, gradient_phases(c, w), epilogue, grad_x.output());
    let weights = WeightPass::new(c);
    let tasks = pass.tasks().max(1);
    let (grad_w, finished) = weights.run(tasks, |task, tile, sums| {
        let rows = weights.rows(task, tasks);
        let range = pixels(&weights.gather, rows.clone());
        let span = union(pass.span(task, tasks), range);
        let channels = c.in_channels;
        let grad_y = grad_y.read(span.start * channels..span.end * channels, &mut tile.grad_y);
        weights.add(rows, x, grad_y, &mut tile.x, sums);
        pass.run_tile(task, tasks, grad_y);
        pass.completed(task, tasks)
            .map(|range| finish(pass.output, range))
    });
    let finished = finished.into_iter().flatten().collect();
    let finished = pass.finish_rest(finished, finish);
    // SAFETY: the phases cover the input's pixels.
    ((unsafe { grad_x.written(c.input_len()) }, finished), grad_w)
}

/// `∂L/∂w[c, ky, kx] = Σ x[b, iy, ix, c] · ∂L/∂y[b, oy, ox, c]`.
pub(crate) fn weight_gradient(c: &Convolution, x: &[f32], grad_y: &[f32]) -> Vec<f32> {
    let weights = WeightPass::new(c);
    let rows = rows(&weights.gather);
    let tasks = rows
        .div_ceil(rows_per_tile(&weights.gather, c.in_channels))
        .max(1);
    let (gradient, _) = weights.run(tasks, |task, tile, sums| {
        let rows = weights.rows(task, tasks);
        weights.add(rows, Operand::Values(x), grad_y.as_ptr(), &mut tile.x, sums);
    });
    gradient
}

/// The phases of the input gradient, each with its own taps.
fn gradient_phases<'a>(c: &Convolution, w: &[f32]) -> Vec<(Gather, Cow<'a, [f32]>)> {
    let phases = Gather::input_gradient(c).into_iter().map(|gather| {
        let packed = pack_taps(c, gather.tap_indices(c.kernel[1]), w);
        (gather, Cow::Owned(packed))
    });
    phases.collect()
}
