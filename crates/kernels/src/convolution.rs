//! The convolution entry points: check, then call the kernel for the shape.

use crate::epilogue::Epilogue;
use crate::forward::{ForwardWeights, forward};
use crate::geometry::Convolution;
use crate::operand::Operand;
use crate::{dense, depthwise, pointwise, weight_gradient as dense_weight_gradient};

/// `y = conv(x, w)` for `w` `[out_channels, in_channels / groups, kernel height, kernel width]`;
/// `x` is `[batch, in_height, in_width, in_channels]`, the result `[batch, out_height, out_width,
/// out_channels]`.
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
    let (grad_x, _) = if c.is_depthwise() {
        depthwise::input_gradient(c, grad_y, w, Epilogue::NONE, |_, _| ())
    } else {
        dense::input_gradient(c, grad_y, w, Epilogue::NONE, |_, _| ())
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
    if c.is_depthwise() {
        depthwise::weight_gradient(c, x, grad_y)
    } else {
        dense_weight_gradient::weight_gradient(c, x, grad_y)
    }
}

/// The gradients of `x` and of `w`: those of [`convolution_input_gradient`] and [`convolution_weight_gradient`] up to
/// rounding, in one pass over `grad_y` where the shape allows it.
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn convolution_gradients(
    c: &Convolution,
    x: &[f32],
    w: &[f32],
    grad_y: &[f32],
) -> [Vec<f32>; 2] {
    check(c, Some(x.len()), Some(w.len()), Some(grad_y.len()));
    if pointwise::fits(c) {
        let [x, grad_y] = [x, grad_y].map(Operand::Values);
        let ((grad_x, _), grad_w) = pointwise::backward(c, x, w, grad_y, Epilogue::NONE, |_, _| ());
        return [grad_x, grad_w];
    }
    [
        convolution_input_gradient(c, grad_y, w),
        convolution_weight_gradient(c, x, grad_y),
    ]
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
