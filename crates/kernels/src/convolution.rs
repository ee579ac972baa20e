//! The convolution entry points: check, then hand over to the kernel for the kind.

use crate::epilogue::{Activation, Epilogue};
use crate::forward::{ForwardWeights, forward};
use crate::geometry::Convolution;
use crate::operand::Operand;
use crate::{dense, depthwise, weight_gradient as dense_weight_gradient};

/// `y = act(conv(x, w) + bias [+ residual])`, in one pass over `y`. An image's result depends on no
/// other image of the batch.
///
/// `x` is `[batch, in_height, in_width, in_channels]`, `packed` what [`pack_weights`](crate::pack_weights)
/// made of `w`, `bias` `[out_channels]`; `residual` and the result are
/// `[batch, out_height, out_width, out_channels]`.
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn convolution_inference(
    c: &Convolution,
    x: &[f32],
    packed: &[f32],
    bias: &[f32],
    residual: Option<&[f32]>,
    act: Activation,
) -> Vec<f32> {
    check(c, Some(x.len()), None, None);
    assert_eq!(bias.len(), c.out_channels, "bias: one value a channel");
    if let Some(residual) = residual {
        assert_eq!(residual.len(), c.output_len(), "residual: wrong length");
    }
    let weights = ForwardWeights::for_inference(c, packed);
    let epilogue = Epilogue::new(Some(bias), residual, act);
    forward(c, Operand::Values(x), &weights, epilogue, |_, _| ()).0
}

/// `y = conv(x, w)` of `w` `[out_channels, in_channels / groups, kernel height, kernel width]`; the
/// other shapes as in [`convolution_inference`].
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn convolution_forward(c: &Convolution, x: &[f32], w: &[f32]) -> Vec<f32> {
    check(c, Some(x.len()), Some(w.len()), None);
    let weights = ForwardWeights::for_training(c, w);
    forward(c, Operand::Values(x), &weights, Epilogue::NONE, |_, _| ()).0
}

/// The gradient of `x`, `[batch, in_height, in_width, in_channels]`, given that of `y`.
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn convolution_input_gradient(c: &Convolution, grad_y: &[f32], w: &[f32]) -> Vec<f32> {
    check(c, None, Some(w.len()), Some(grad_y.len()));
    let grad_y = Operand::Values(grad_y);
    let (grad_x, _) = match c.is_depthwise() {
        true => depthwise::input_gradient(c, grad_y, w, Epilogue::NONE, |_, _| ()),
        false => dense::input_gradient(c, grad_y, w, Epilogue::NONE, |_, _| ()),
    };
    grad_x
}

/// The gradient of `w`, `[out_channels, in_channels / groups, kernel height, kernel width]`, given
/// that of `y`, summed over the batch.
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn convolution_weight_gradient(c: &Convolution, x: &[f32], grad_y: &[f32]) -> Vec<f32> {
    check(c, Some(x.len()), None, Some(grad_y.len()));
    match c.is_depthwise() {
        true => depthwise::weight_gradient(c, x, grad_y),
        false => dense_weight_gradient::weight_gradient(c, x, grad_y),
    }
}

/// The kernels read through pointers, so lengths are checked in every build.
pub(crate) fn check(c: &Convolution, x: Option<usize>, w: Option<usize>, y: Option<usize>) {
    if let Err(error) = c.check() {
        panic!("{error}");
    }
    for (name, found, len) in [
        ("x", x, c.input_len()),
        ("w", w, c.weight_len()),
        ("grad_y", y, c.output_len()),
    ] {
        assert_eq!(found.unwrap_or(len), len, "{name}: wrong length for {c:?}");
    }
}
