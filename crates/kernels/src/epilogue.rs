//! The operations on a value between its sum and its only store.
#![allow(unsafe_code, reason = "vector loads take pointers")]

use crate::gelu::{gelu, gelu_derivative};
use crate::sigmoid::sigmoid;
use crate::vector::Vector;

/// An activation function, fused into the kernel before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `y = x`
    Identity,
    /// `y = max(x, 0)`
    Relu,
    /// `y = min(max(x, 0), 6)`
    Relu6,
    /// `y = x · Relu6(x + 3) / 6`: Howard and others, "Searching for MobileNetV3", 2019, section
    /// 5.2.
    HardSwish,
    /// `y = x · σ(x)`: Elfwing and others, "Sigmoid-Weighted Linear Units for Neural Network
    /// Function Approximation in Reinforcement Learning", 2017, section 2; Ramachandran and others,
    /// "Searching for Activation Functions", 2017, call it Swish.
    Silu,
    /// `y = σ(x)`, the logistic function.
    Sigmoid,
    /// `y = Relu6(x + 3) / 6`: Howard and others, as above.
    HardSigmoid,
    /// `y = x · Φ(x)` with the distribution function Φ of the normal distribution, not its
    /// approximation by tanh: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2.
    Gelu,
}

impl Activation {
    /// The activation of `value`; NaN stays NaN.
    #[inline(always)]
    pub(crate) fn apply<V: Vector>(self, value: V) -> V {
        match self {
            Self::Identity => value,
            Self::Relu => value.clamp(V::splat(0.0), V::splat(f32::INFINITY)),
            Self::Relu6 => value.clamp(V::splat(0.0), V::splat(6.0)),
            Self::HardSwish => value.mul(hard_sigmoid(value)),
            Self::Silu => value.mul(sigmoid(value)),
            Self::Sigmoid => sigmoid(value),
            Self::HardSigmoid => hard_sigmoid(value),
            Self::Gelu => gelu(value),
        }
    }

    /// `gradient` times the derivative at `value`, the argument of the activation. At the kinks
    /// that is zero for ReLU, ReLU6 and hard sigmoid, and for hard-swish zero at -3 and one at 3, as
    /// in PyTorch 2.
    #[inline(always)]
    pub(crate) fn backward<V: Vector>(self, value: V, gradient: V) -> V {
        let keep = |low, high| gradient.keep_where_between(value, V::splat(low), V::splat(high));
        match self {
            Self::Identity => gradient,
            Self::Relu => keep(0.0, f32::INFINITY),
            Self::Relu6 => keep(0.0, 6.0),
            Self::HardSwish => {
                // σ + x σ', with σ' = 1/6 between the kinks.
                let slope = value.mul(V::splat(1.0 / 6.0));
                let slope = slope.keep_where_between(value, V::splat(-3.0), V::splat(3.0));
                gradient.mul(hard_sigmoid(value).add(slope))
            }
            Self::Silu => {
                // σ + x σ', with σ' = σ (1 - σ).
                let sigmoid = sigmoid(value);
                let rest = V::splat(1.0).sub(sigmoid);
                gradient.mul(sigmoid.mul(value.mul_add(rest, V::splat(1.0))))
            }
            Self::Sigmoid => {
                let sigmoid = sigmoid(value);
                gradient.mul(sigmoid.mul(V::splat(1.0).sub(sigmoid)))
            }
            Self::HardSigmoid => keep(-3.0, 3.0).mul(V::splat(1.0 / 6.0)),
            Self::Gelu => gradient.mul(gelu_derivative(value)),
        }
    }
}

/// `Relu6(x + 3) / 6`, exactly one from 3 on.
#[inline(always)]
fn hard_sigmoid<V: Vector>(value: V) -> V {
    let raised = value.add(V::splat(3.0));
    let limited = raised.clamp(V::splat(0.0), V::splat(6.0));
    limited.mul(V::splat(1.0 / 6.0))
}

/// `y = act(sum + bias + residual)`.
#[derive(Clone, Copy)]
pub(crate) struct Epilogue<'a> {
    /// One value a channel of the destination.
    pub bias: Option<&'a [f32]>,
    /// The shape of the destination.
    pub residual: Option<&'a [f32]>,
    pub activation: Activation,
}

impl<'a> Epilogue<'a> {
    pub(crate) fn new(
        bias: Option<&'a [f32]>,
        residual: Option<&'a [f32]>,
        activation: Activation,
    ) -> Self {
        Self {
            bias,
            residual,
            activation,
        }
    }

    /// `y = sum`.
    pub(crate) const NONE: Self = Self {
        bias: None,
        residual: None,
        activation: Activation::Identity,
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
            // SAFETY: in bounds, as the caller guarantees.
            value = value.add(unsafe { V::load(bias.as_ptr().add(channel), lanes) });
        }
        if let Some(residual) = self.residual {
            // SAFETY: in bounds, as the caller guarantees.
            value = value.add(unsafe { V::load(residual.as_ptr().add(offset), lanes) });
        }
        self.activation.apply(value)
    }
}
