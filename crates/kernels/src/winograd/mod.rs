//! Convolutions of 3×3 taps and stride 1 with 2.25 times fewer multiplications.
//!
//! Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for Convolutional Neural
//! Networks", 2016): in tiles of 2×2 outputs a convolution becomes 16 independent matrix products
//! over channels, one for each point of the transformed 4×4 input tile. Larger tiles would save
//! more, but their transforms have factors that cost accuracy; with 2×2 outputs they are sums and
//! halves.
#![allow(unsafe_code, reason = "the result is written tile by tile")]

mod product;
#[cfg(test)]
mod tests;
mod tiles;
mod transform;
mod weight_gradient;
mod weights;

use std::ops::Range;

use crate::channels::Channels;
use crate::epilogue::Epilogue;
use crate::geometry::Convolution;
use crate::memory::{Output, Unwritten};
use crate::operand::Operand;
use product::Product;
use tiles::Tiles;
use transform::TAPS;
pub(crate) use weight_gradient::weight_gradient;
use weights::TransformedWeights;

/// With fewer channels on either side the transforms cost more than they save.
const MIN_CHANNELS: usize = 32;
/// With fewer output pixels the transform of the weights costs more than it saves.
const MIN_PIXELS: usize = 128;

/// Whether a convolution of this batch is computed this way: it can be, and it was measured to be
/// faster.
pub(crate) fn suits(c: &Convolution) -> bool {
    let pixels = c.batch * c.out_height() * c.out_width();
    suits_channels(c) && pixels >= MIN_PIXELS
}

/// Whether a convolution is computed this way where the transform of the weights costs nothing.
pub(crate) fn suits_channels(c: &Convolution) -> bool {
    fits(c) && c.in_channels.min(c.out_channels) >= MIN_CHANNELS
}

/// Whether a convolution can be computed this way. (The input gradient pads by `2 - padding`.)
fn fits(c: &Convolution) -> bool {
    c.kernel == [TAPS; 2]
        && c.stride == [1; 2]
        && c.dilation == [1; 2]
        && c.groups == 1
        && [c.padding, c.padding_end]
            .iter()
            .flatten()
            .all(|&padding| padding < TAPS)
}

/// Values of the packed weights.
pub(crate) fn packed_len(c: &Convolution) -> usize {
    weights::transformed_len(c.in_channels, c.out_channels)
}

/// The weights in the order in which [`forward`] reads them.
pub(crate) fn pack(c: &Convolution, w: &[f32]) -> Vec<f32> {
    weights::transform_forward(c, w)
}

/// See [`forward`](crate::forward::forward).
pub(crate) fn forward<P: Send>(
    c: &Convolution,
    x: Operand<'_>,
    packed: &[f32],
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    convolve(c, x, packed, epilogue, finish)
}

/// `∂L/∂x[b, iy, ix, i] = Σ ∂L/∂y[b, oy, ox, o] · w[o, i, ky, kx] [+ residual]`, which is again a
/// convolution, finished as in [`forward`].
pub(crate) fn input_gradient<P: Send>(
    c: &Convolution,
    grad_y: Operand<'_>,
    w: &[f32],
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    let gradient = Convolution {
        in_height: c.out_height(),
        in_width: c.out_width(),
        in_channels: c.out_channels,
        out_channels: c.in_channels,
        padding: c.padding.map(|padding| TAPS - 1 - padding),
        padding_end: c.padding_end.map(|padding| TAPS - 1 - padding),
        ..*c
    };
    let packed = weights::transform_input_gradient(c, w);
    convolve(&gradient, grad_y, &packed, epilogue, finish)
}

fn convolve<P: Send>(
    c: &Convolution,
    x: Operand<'_>,
    packed: &[f32],
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    debug_assert!(fits(c));
    let mut y = Unwritten::new(c.output_len());
    let output = y.output();
    let product = Product {
        tiles: Tiles::new(c),
        source: &x.whole(),
        weights: TransformedWeights {
            values: packed,
            depth: c.in_channels,
            columns: c.out_channels,
        },
        epilogue,
    };
    product.run(output);
    let layout = Channels::new(c.output_len(), c.out_channels);
    let finished = layout.finish_rest(Vec::new(), output, finish);
    // SAFETY: the tiles cover the output's pixels.
    (unsafe { y.written(c.output_len()) }, finished)
}
