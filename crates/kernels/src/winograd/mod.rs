//! Convolutions of 3×3 taps and stride 1 with 2.25 times fewer multiplications.
//!
//! Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
//! 2016): in tiles of 2×2 outputs a convolution becomes 16 independent matrix products over channels,
//! one for each point of the transformed 4×4 input tile. Larger tiles would save more, but their
//! transforms have factors that cost accuracy; with 2×2 outputs they are sums and halves.
mod product;
#[cfg(test)]
mod tests;
mod tiles;
mod transform;
mod weight_gradient;
mod weights;

use crate::epilogue::Epilogue;
use crate::geometry::Convolution;
use crate::memory::Output;
use product::Product;
use tiles::Tiles;
use transform::TAPS;
pub(crate) use weight_gradient::weight_gradient;
use weights::TransformedWeights;

/// With fewer channels on either side the transforms cost more than they save.
const MIN_CHANNELS: usize = 32;
/// With fewer output pixels the transform of the weights costs more than it saves.
const MIN_PIXELS: usize = 128;

/// Whether a convolution is computed this way: it can be, and it was measured to be faster.
pub(crate) fn suits(c: &Convolution) -> bool {
    let pixels = c.batch * c.out_height() * c.out_width();
    fits(c) && c.in_channels.min(c.out_channels) >= MIN_CHANNELS && pixels >= MIN_PIXELS
}

/// Whether a convolution can be computed this way. (The input gradient pads by `2 - padding`.)
fn fits(c: &Convolution) -> bool {
    c.kernel == [TAPS; 2]
        && c.stride == [1; 2]
        && c.dilation == [1; 2]
        && c.groups == 1
        && c.padding.iter().all(|&padding| padding < TAPS)
}

/// Writes `y[b, oy, ox, o] = act(Σ x[b, iy, ix, i] · w[o, i, ky, kx] + bias[o] + residual)`.
pub(crate) fn forward(
    c: &Convolution,
    x: &[f32],
    w: &[f32],
    epilogue: Epilogue<'_>,
    output: Output,
) {
    convolve(c, x, &TransformedWeights::forward(c, w), epilogue, output);
}

/// Writes `∂L/∂x[b, iy, ix, i] = Σ ∂L/∂y[b, oy, ox, o] · w[o, i, ky, kx] [+ residual]`, which is again
/// a convolution.
pub(crate) fn input_gradient(
    c: &Convolution,
    grad_y: &[f32],
    w: &[f32],
    epilogue: Epilogue<'_>,
    output: Output,
) {
    let gradient = Convolution {
        in_height: c.out_height(),
        in_width: c.out_width(),
        in_channels: c.out_channels,
        out_channels: c.in_channels,
        padding: c.padding.map(|padding| TAPS - 1 - padding),
        ..*c
    };
    let weights = TransformedWeights::input_gradient(c, w);
    convolve(&gradient, grad_y, &weights, epilogue, output);
}

fn convolve(
    c: &Convolution,
    source: &[f32],
    weights: &TransformedWeights,
    epilogue: Epilogue<'_>,
    output: Output,
) {
    debug_assert!(fits(c));
    let product = Product {
        tiles: Tiles::new(c),
        source,
        weights,
        epilogue,
    };
    product.run(output);
}
