//! The forward pass: the choice of its kernel, and its weights in the order in which the kernel
//! reads them.

use std::borrow::Cow;
use std::ops::Range;

use crate::epilogue::Epilogue;
use crate::geometry::Convolution;
use crate::memory::Output;
use crate::operand::Operand;
use crate::{dense, depthwise, winograd};

/// A kernel and the order of its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// `[tap, channels]`
    Depthwise,
    /// `[group, panel, tap, depth, PANEL]`
    Dense,
    /// `[panel, point, depth, PANEL]`, transformed
    Winograd,
}

/// The weights of a forward pass.
pub(crate) struct ForwardWeights<'a> {
    order: Order,
    values: Cow<'a, [f32]>,
}

impl<'a> ForwardWeights<'a> {
    /// Packs weights for one pass over this batch.
    pub(crate) fn for_training(c: &Convolution, w: &[f32]) -> Self {
        let order = order(c, winograd::suits(c));
        Self {
            order,
            values: Cow::Owned(pack(c, w, order)),
        }
    }

    /// Uses weights that [`pack_weights`] packed.
    ///
    /// # Panics
    /// If they were packed for another convolution.
    pub(crate) fn for_inference(c: &Convolution, packed: &'a [f32]) -> Self {
        let order = inference_order(c);
        let expected = match order {
            Order::Depthwise => c.weight_len(),
            Order::Dense => dense::packed_len(c),
            Order::Winograd => winograd::packed_len(c),
        };
        assert_eq!(packed.len(), expected, "weights: not packed for {c:?}");
        Self {
            order,
            values: Cow::Borrowed(packed),
        }
    }
}

/// Puts the weights of a convolution, `[out_channels, in_channels / groups, kernel height, kernel
/// width]`, in the order in which [`branch_inference`](crate::branch_inference) reads them.
/// The order depends on neither the batch nor the size of the images, nor on the SIMD level.
///
/// # Panics
/// If the length doesn't fit.
pub fn pack_weights(c: &Convolution, w: &[f32]) -> Vec<f32> {
    assert_eq!(w.len(), c.weight_len(), "w: wrong length for {c:?}");
    pack(c, w, inference_order(c))
}

/// Ignores batch and image size, because an image's result must not depend on the rest of the
/// batch.
fn inference_order(c: &Convolution) -> Order {
    order(c, winograd::suits_channels(c))
}

fn order(c: &Convolution, suits_winograd: bool) -> Order {
    match (c.is_depthwise(), suits_winograd) {
        (true, _) => Order::Depthwise,
        (false, true) => Order::Winograd,
        (false, false) => Order::Dense,
    }
}

fn pack(c: &Convolution, w: &[f32], order: Order) -> Vec<f32> {
    match order {
        Order::Depthwise => depthwise::pack(c, w),
        Order::Dense => dense::pack(c, w),
        Order::Winograd => winograd::pack(c, w),
    }
}

/// `y[b, oy, ox, o] = act(Σ x[b, iy, ix, i] · w[o, i, ky, kx] + bias[o] + residual)`, and the
/// results of `finish` on ranges of its rows, in order, while they are in the cache.
pub(crate) fn forward<P: Send>(
    c: &Convolution,
    x: Operand<'_>,
    weights: &ForwardWeights<'_>,
    epilogue: Epilogue<'_>,
    finish: impl Fn(Output, Range<usize>) -> P + Sync,
) -> (Vec<f32>, Vec<P>) {
    let w = &weights.values;
    match weights.order {
        Order::Depthwise => depthwise::forward(c, x, w, epilogue, finish),
        Order::Dense => dense::forward(c, x, w, epilogue, finish),
        Order::Winograd => winograd::forward(c, x, w, epilogue, finish),
    }
}
