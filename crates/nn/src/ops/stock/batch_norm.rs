//! Batch norm, in f32.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

use super::by_channel;
use super::sum_of_rows::sums_by_channel;
use crate::ops::records::{Statistics, UnitResult, UnitSpec, UnitTensors};

/// The mean over all pixels of all images: x `[batch, height, width, channels]` to `[channels]`.
fn means_by_channel<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let pixels = pixels::<B>(&x);
    B::float_div_scalar(sums_by_channel::<B>(x), pixels.into())
}

fn pixels<B: Backend>(x: &FloatTensor<B>) -> f64 {
    let [batch, height, width, _] = x.shape().dims();
    (batch * height * width) as f64
}

/// Mean and (biased) variance of each channel of x `[batch, height, width, channels]`.
pub(super) fn statistics<B: Backend>(x: FloatTensor<B>) -> [FloatTensor<B>; 2] {
    let mean = means_by_channel::<B>(x.clone());
    let centred = B::float_sub(x, by_channel::<B>(mean.clone()));
    let variance = means_by_channel::<B>(B::float_mul(centred.clone(), centred));
    [mean, variance]
}

fn inverse_deviation<B: Backend>(result: &UnitResult<B>, spec: &UnitSpec) -> FloatTensor<B> {
    let epsilon = f64::from(spec.epsilon);
    let variance = B::float_add_scalar(result.variance.clone(), epsilon.into());
    by_channel::<B>(B::float_recip(B::float_sqrt(variance)))
}

fn centred<B: Backend>(values: FloatTensor<B>, result: &UnitResult<B>) -> FloatTensor<B> {
    B::float_sub(values, by_channel::<B>(result.mean.clone()))
}

/// `values` are those of the unit's convolution in f32.
pub(super) fn normalize<B: Backend>(
    values: FloatTensor<B>,
    result: &UnitResult<B>,
    unit: &UnitTensors<B>,
    spec: &UnitSpec,
) -> FloatTensor<B> {
    let gamma = by_channel::<B>(unit.gamma.clone());
    let scale = B::float_mul(gamma, inverse_deviation::<B>(result, spec));
    B::float_add(
        B::float_mul(centred::<B>(values, result), scale),
        by_channel::<B>(unit.beta.clone()),
    )
}

/// Gradients of a unit's batch norm.
pub(super) struct BatchNormGradients<B: Backend> {
    /// With respect to the convolution's result.
    pub conv: FloatTensor<B>,
    /// With respect to the scale.
    pub gamma: FloatTensor<B>,
    /// With respect to the shift.
    pub beta: FloatTensor<B>,
}

/// The gradients of [`normalize`], from that of its result; through the statistics as well, where they are the batch's.
pub(super) fn normalize_backward<B: Backend>(
    gradient: FloatTensor<B>,
    values: FloatTensor<B>,
    result: &UnitResult<B>,
    unit: &UnitTensors<B>,
    spec: &UnitSpec,
) -> BatchNormGradients<B> {
    let pixels = pixels::<B>(&values);
    let inverse_deviation = inverse_deviation::<B>(result, spec);
    let normalized = B::float_mul(centred::<B>(values, result), inverse_deviation.clone());
    let scale = B::float_mul(by_channel::<B>(unit.gamma.clone()), inverse_deviation);
    let gamma = sums_by_channel::<B>(B::float_mul(gradient.clone(), normalized.clone()));
    let beta = sums_by_channel::<B>(gradient.clone());
    let by_normalized = match unit.statistics {
        Statistics::Frozen { .. } => gradient,
        Statistics::Batch => {
            let mean_of = |sums: &FloatTensor<B>| {
                by_channel::<B>(B::float_div_scalar(sums.clone(), pixels.into()))
            };
            let along = B::float_mul(normalized, mean_of(&gamma));
            B::float_sub(B::float_sub(gradient, mean_of(&beta)), along)
        }
    };
    BatchNormGradients {
        conv: B::float_mul(by_normalized, scale),
        gamma,
        beta,
    }
}
