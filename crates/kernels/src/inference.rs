//! Inference: batch norm folded into the weights, which are packed once.

use crate::convolution::check;
use crate::depthwise::Separable;
use crate::forward::{ForwardWeights, forward};
use crate::inference_unit::InferenceUnit;
use crate::operand::Operand;

/// Runs units one after another, and adds `residual` before the last activation. An image's result
/// depends on no other image of the batch.
///
/// `x` is `[batch, in_height, in_width, in_channels]` of the first unit; `residual` and the result
/// are `[batch, out_height, out_width, out_channels]` of the last.
///
/// # Panics
/// If there is no unit, [`Convolution::check`](crate::Convolution::check) fails, or the lengths
/// don't fit.
pub fn branch_inference(
    units: &[InferenceUnit<'_>],
    x: &[f32],
    residual: Option<&[f32]>,
) -> Vec<f32> {
    check_branch(units, x, residual);
    if let Some(separable) = Separable::of(units) {
        return separable.run(x, residual);
    }
    let (last, others) = units.split_last().expect("a branch has a unit");
    let mut between = None;
    for unit in others {
        between = Some(run(unit, between.as_deref().unwrap_or(x), None));
    }
    run(last, between.as_deref().unwrap_or(x), residual)
}

fn run(unit: &InferenceUnit<'_>, x: &[f32], residual: Option<&[f32]>) -> Vec<f32> {
    let c = &unit.convolution;
    let weights = ForwardWeights::for_inference(c, unit.packed);
    let epilogue = unit.epilogue(residual);
    forward(c, Operand::Values(x), &weights, epilogue, |_, _| ()).0
}

fn check_branch(units: &[InferenceUnit<'_>], x: &[f32], residual: Option<&[f32]>) {
    let mut len = x.len();
    for unit in units {
        let c = &unit.convolution;
        check(c, Some(len), None, None);
        assert_eq!(unit.bias.len(), c.out_channels, "bias: one value a channel");
        len = c.output_len();
    }
    if let Some(residual) = residual {
        assert_eq!(residual.len(), len, "residual: wrong length");
    }
}
