//! Convolution and batch norm in training: each result is kept before its batch norm, which the
//! next convolution applies as it reads.
#![allow(
    unsafe_code,
    reason = "statistics are taken of rows that were just written"
)]

use crate::batch_norm::BatchNorm;
use crate::channels::Channels;
use crate::convolution::check;
use crate::epilogue::Epilogue;
use crate::forward::{ForwardWeights, forward};
use crate::geometry::Convolution;
use crate::memory::Output;
use crate::norm_gradient::mask_in_place;
use crate::operand::{NormGradient, NormSums, Normalized, Operand};
use crate::statistics::{Moments, merge};
use crate::{dense, depthwise, pointwise, weight_gradient};

/// The input of a convolution in training, `[batch, in_height, in_width, in_channels]`.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Values as they are.
    Values(&'a [f32]),
    /// `act(batch_norm(z))`, computed as it is read.
    Normalized {
        /// The result of the previous convolution.
        z: &'a [f32],
        /// Its batch norm and activation.
        norm: BatchNorm<'a>,
    },
}

/// The gradient of a convolution's result, before its batch norm, computed as it is read.
#[derive(Clone, Copy, Debug)]
pub struct OutputGradient<'a> {
    /// The gradient between batch norm and activation, `[batch, out_height, out_width,
    /// out_channels]`.
    pub masked: &'a [f32],
    /// The convolution's result, of that shape.
    pub z: &'a [f32],
    /// Its batch norm.
    pub norm: BatchNorm<'a>,
    /// The sums of `masked`.
    pub sums: &'a NormSums,
    /// Whether mean and variance are those of `z`, and depend on it.
    pub batch_statistics: bool,
}

/// The gradients of a convolution.
#[derive(Clone, Debug, Default)]
pub struct ConvolutionGradients {
    /// The gradient of the input, if asked for. For a normalised input, it is the gradient between
    /// batch norm and activation, with its sums.
    pub input: Option<(Vec<f32>, Option<NormSums>)>,
    /// `[out_channels, in_channels / groups, kernel height, kernel width]`, if asked for.
    pub weight: Option<Vec<f32>>,
}

/// Which gradients are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The input's.
    pub input: bool,
    /// The weights'.
    pub weight: bool,
}

/// `z = conv(x, w)`, and mean and biased variance of its channels, taken while they are in the
/// cache, if `statistics` asks for them.
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn training_forward(
    c: &Convolution,
    input: Input<'_>,
    w: &[f32],
    statistics: bool,
) -> (Vec<f32>, Option<[Vec<f32>; 2]>) {
    with_operand(input, |x, _| {
        check(c, Some(x.len()), Some(w.len()), None);
        let layout = Channels::new(c.output_len(), c.out_channels);
        let moments = |output: Output, range| {
            // SAFETY: the range was just written, by this thread.
            statistics.then(|| unsafe { Moments::of(layout, output.at(0), range) })
        };
        let weights = ForwardWeights::for_training(c, w);
        let (z, tiles) = forward(c, x, &weights, Epilogue::NONE, moments);
        let tiles: Option<Vec<_>> = tiles.into_iter().collect();
        (
            z,
            tiles
                .filter(|_| statistics)
                .map(|tiles| merge(&tiles, c.out_channels).into()),
        )
    })
}

/// The gradients of [`training_forward`]. `residual`, of the input's shape, is added to the
/// gradient of the input.
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn training_backward(
    c: &Convolution,
    input: Input<'_>,
    w: &[f32],
    gradient: OutputGradient<'_>,
    residual: Option<&[f32]>,
    wanted: Wanted,
) -> ConvolutionGradients {
    let OutputGradient {
        masked,
        z,
        norm,
        sums,
        batch_statistics,
    } = gradient;
    let gradient = NormGradient::new(masked, z, norm, sums, batch_statistics);
    let grad_z = Operand::Gradient(&gradient);
    with_operand(input, |x, normalized| {
        check(c, Some(x.len()), Some(w.len()), Some(grad_z.len()));
        let epilogue = Epilogue {
            residual,
            ..Epilogue::NONE
        };
        let finish = |output: Output, range| normalized.map(|n| mask_in_place(n, output, range));
        let (input, weight) = if wanted.input && wanted.weight && pointwise::fits(c) {
            let (input, weight) = pointwise::backward(c, x, w, grad_z, epilogue, finish);
            (Some(input), Some(weight))
        } else if wanted.input && wanted.weight && c.is_depthwise() {
            let (input, weight) = depthwise::backward(c, x, w, grad_z, epilogue, finish);
            (Some(input), Some(weight))
        } else {
            let grad_z = &grad_z.whole();
            let weight = wanted.weight.then(|| {
                if c.is_depthwise() {
                    depthwise::weight_gradient(c, &x.whole(), grad_z)
                } else {
                    weight_gradient::weight_gradient(c, &x.whole(), grad_z)
                }
            });
            let input = wanted.input.then(|| {
                if c.is_depthwise() {
                    depthwise::input_gradient(c, Operand::Values(grad_z), w, epilogue, finish)
                } else {
                    dense::input_gradient(c, Operand::Values(grad_z), w, epilogue, finish)
                }
            });
            (input, weight)
        };
        let input = input.map(|(values, sums)| {
            let sums: Option<Vec<_>> = sums.into_iter().collect();
            let sums = sums.filter(|_| normalized.is_some());
            (
                values,
                sums.map(|sums| NormSums::total(&sums, c.in_channels)),
            )
        });
        ConvolutionGradients { input, weight }
    })
}

fn with_operand<R>(
    input: Input<'_>,
    work: impl FnOnce(Operand<'_>, Option<&Normalized<'_>>) -> R,
) -> R {
    match input {
        Input::Values(values) => work(Operand::Values(values), None),
        Input::Normalized { z, norm } => {
            let normalized = Normalized::new(z, norm);
            work(Operand::Normalized(&normalized), Some(&normalized))
        }
    }
}
