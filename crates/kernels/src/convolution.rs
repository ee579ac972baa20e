//! The convolution entry points: check, then hand over to the kernel for the kind.

use crate::epilogue::{Activation, Epilogue};
use crate::geometry::Convolution;
use crate::{dense, depthwise, weight_gradient as dense_weight_gradient, winograd};

/// `y = act(conv(x, w) + bias [+ residual])`, in one pass over `y`.
///
/// `x` is `[batch, in_height, in_width, in_channels]`, `w` `[out_channels, in_channels / groups,
/// kernel height, kernel width]`, `bias` `[out_channels]`; `residual` and the result are
/// `[batch, out_height, out_width, out_channels]`.
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn convolution_inference(
    c: &Convolution,
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    residual: Option<&[f32]>,
    act: Activation,
) -> Vec<f32> {
    assert_eq!(bias.len(), c.out_channels, "bias: one value a channel");
    if let Some(residual) = residual {
        assert_eq!(residual.len(), c.output_len(), "residual: wrong length");
    }
    forward(c, x, w, Epilogue::new(Some(bias), residual, act))
}

/// `y = conv(x, w)`; shapes as in [`convolution_inference`].
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn convolution_forward(c: &Convolution, x: &[f32], w: &[f32]) -> Vec<f32> {
    forward(c, x, w, Epilogue::NONE)
}

fn forward(c: &Convolution, x: &[f32], w: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
    check(c, Some(x), Some(w), None);
    if c.is_depthwise() {
        depthwise::forward(c, x, w, epilogue)
    } else if winograd::suits(c) {
        winograd::forward(c, x, w, epilogue)
    } else {
        dense::forward(c, x, w, epilogue)
    }
}

/// The gradient of `x`, `[batch, in_height, in_width, in_channels]`, given that of `y`.
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn convolution_input_gradient(c: &Convolution, grad_y: &[f32], w: &[f32]) -> Vec<f32> {
    check(c, None, Some(w), Some(grad_y));
    if c.is_depthwise() {
        depthwise::input_gradient(c, grad_y, w)
    } else if winograd::suits(c) {
        winograd::input_gradient(c, grad_y, w)
    } else {
        dense::input_gradient(c, grad_y, w)
    }
}

/// The gradient of `w`, `[out_channels, in_channels / groups, kernel height, kernel width]`, given
/// that of `y`, summed over the batch.
///
/// # Panics
/// If [`Convolution::check`] fails or the lengths don't fit.
pub fn convolution_weight_gradient(c: &Convolution, x: &[f32], grad_y: &[f32]) -> Vec<f32> {
    check(c, Some(x), None, Some(grad_y));
    if c.is_depthwise() {
        depthwise::weight_gradient(c, x, grad_y)
    } else if winograd::suits(c) {
        winograd::weight_gradient(c, x, grad_y)
    } else {
        dense_weight_gradient::weight_gradient(c, x, grad_y)
    }
}

/// The kernels read through pointers, so lengths are checked in every build.
fn check(c: &Convolution, x: Option<&[f32]>, w: Option<&[f32]>, y: Option<&[f32]>) {
    if let Err(error) = c.check() {
        panic!("{error}");
    }
    for (name, values, len) in [
        ("x", x, c.input_len()),
        ("w", w, c.weight_len()),
        ("grad_y", y, c.output_len()),
    ] {
        let found = values.map_or(len, <[f32]>::len);
        assert_eq!(found, len, "{name}: wrong length for {c:?}");
    }
}
