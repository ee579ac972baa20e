//! What happens to a value between its sum and its only store.
#![allow(unsafe_code, reason = "vector loads take pointers")]

use crate::vector::Vector;

/// An activation function that rides along with the kernel before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `y = x`
    Identity,
    /// `y = max(x, 0)`
    Relu,
    /// `y = min(max(x, 0), 6)`
    Relu6,
}

impl Activation {
    /// The lowest and the highest value. Strictly between them the derivative is one, elsewhere zero.
    pub(crate) fn limits(self) -> (f32, f32) {
        match self {
            Self::Identity => (f32::NEG_INFINITY, f32::INFINITY),
            Self::Relu => (0.0, f32::INFINITY),
            Self::Relu6 => (0.0, 6.0),
        }
    }

    /// The activation of `value`.
    #[inline(always)]
    pub(crate) fn apply<V: Vector>(self, value: V) -> V {
        let (low, high) = self.limits();
        value.clamp(V::splat(low), V::splat(high))
    }

    /// `gradient` times the derivative at `value`, the argument of the activation.
    #[inline(always)]
    pub(crate) fn backward<V: Vector>(self, value: V, gradient: V) -> V {
        let (low, high) = self.limits();
        gradient.keep_where_between(value, V::splat(low), V::splat(high))
    }
}

/// `y = act(sum + bias + residual)`.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// One value a channel of the destination.
    pub bias: Option<&'a [f32]>,
    /// The shape of the destination.
    pub residual: Option<&'a [f32]>,
    /// The limits of the activation.
    pub low: f32,
    pub high: f32,
}

impl<'a> Epilogue<'a> {
    pub(crate) fn new(
        bias: Option<&'a [f32]>,
        residual: Option<&'a [f32]>,
        activation: Activation,
    ) -> Self {
        let (low, high) = activation.limits();
        Self {
            bias,
            residual,
            low,
            high,
        }
    }

    /// `y = sum`.
    pub(crate) const NONE: Self = Self {
        bias: None,
        residual: None,
        low: f32::NEG_INFINITY,
        high: f32::INFINITY,
    };

    /// Finishes `lanes` sums from `channel` on that belong at `offset` of the destination.
    ///
    /// # Safety
    /// Bias and residual must reach `lanes` values beyond `channel` and `offset`.
    #[inline(always)]
    pub(crate) unsafe fn apply<V: Vector>(
        &self,
        sum: V,
        channel: usize,
        offset: usize,
        lanes: usize,
    ) -> V {
        let mut value = sum;
        if let Some(bias) = self.bias {
            // SAFETY: in bounds, as the caller vouches.
            value = value.add(unsafe { V::load(bias.as_ptr().add(channel), lanes) });
        }
        if let Some(residual) = self.residual {
            // SAFETY: in bounds, as the caller vouches.
            value = value.add(unsafe { V::load(residual.as_ptr().add(offset), lanes) });
        }
        value.clamp(V::splat(self.low), V::splat(self.high))
    }
}
