//! Layer norm and global response norm.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

use super::by_channel;
use super::sum_of_rows::sums_by_channel;
use crate::ops::format::{in_format, single};
use crate::ops::records::NormGradients;

/// See [`VisionOps::layer_normalization`](crate::ops::VisionOps::layer_normalization).
pub fn layer_norm<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f32,
) -> FloatTensor<B> {
    let format = x.dtype();
    let output = B::layer_norm(single::<B>(x), gamma, Some(beta), f64::from(epsilon));
    in_format::<B>(output, format)
}

/// See [`VisionOps::layer_normalization_backward`](crate::ops::VisionOps::layer_normalization_backward).
pub fn layer_norm_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    epsilon: f32,
    need_x: bool,
) -> NormGradients<B> {
    let format = x.dtype();
    let empty = B::float_zeros(Shape::new([0]), &x.device(), format.into());
    let (gradient, x) = (single::<B>(gradient), single::<B>(x));
    let centred = B::float_sub(x.clone(), B::float_mean_dim(x, 3));
    let variance = B::float_mean_dim(B::float_mul(centred.clone(), centred.clone()), 3);
    let deviation = B::float_sqrt(B::float_add_scalar(variance, epsilon.into()));
    let normalized = B::float_div(centred, deviation.clone());
    let by_normalized = B::float_mul(gradient.clone(), by_channel::<B>(gamma));
    NormGradients {
        x: if need_x {
            let mean = B::float_mean_dim(by_normalized.clone(), 3);
            let products = B::float_mul(by_normalized.clone(), normalized.clone());
            let along = B::float_mul(normalized.clone(), B::float_mean_dim(products, 3));
            let across = B::float_sub(B::float_sub(by_normalized, mean), along);
            in_format::<B>(B::float_div(across, deviation), format)
        } else {
            empty
        },
        gamma: sums_by_channel::<B>(B::float_mul(gradient.clone(), normalized)),
        beta: sums_by_channel::<B>(gradient),
    }
}

/// The sum over the pixels of each image: `[batch, height, width, channels]` to `[batch, 1, 1, channels]`.
fn sums_of_images<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_sum_dim(B::float_sum_dim(x, 1), 2)
}

/// The lengths of the channels of each image, `[batch, 1, 1, channels]`, and what they are divided by,
/// `[batch, 1, 1, 1]`.
fn responses<B: Backend>(x: FloatTensor<B>, epsilon: f32) -> (FloatTensor<B>, FloatTensor<B>) {
    let lengths = B::float_sqrt(sums_of_images::<B>(B::float_mul(x.clone(), x)));
    let mean = B::float_mean_dim(lengths.clone(), 3);
    (lengths, B::float_add_scalar(mean, epsilon.into()))
}

/// See [`VisionOps::response_normalization`](crate::ops::VisionOps::response_normalization).
pub fn response_norm<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    epsilon: f32,
) -> FloatTensor<B> {
    let format = x.dtype();
    let x = single::<B>(x);
    let (lengths, divisor) = responses::<B>(x.clone(), epsilon);
    let scaled = B::float_mul(B::float_div(lengths, divisor), by_channel::<B>(gamma));
    let scale = B::float_add_scalar(scaled, 1f32.into());
    let output = B::float_add(B::float_mul(x, scale), by_channel::<B>(beta));
    in_format::<B>(output, format)
}

/// See [`VisionOps::response_normalization_backward`](crate::ops::VisionOps::response_normalization_backward). The
/// gradient of the length of a channel of zeros is taken to be zero, as in PyTorch.
pub fn response_norm_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    epsilon: f32,
    need_x: bool,
) -> NormGradients<B> {
    let format = x.dtype();
    let empty = B::float_zeros(Shape::new([0]), &x.device(), format.into());
    let (gradient, x) = (single::<B>(gradient), single::<B>(x));
    let (lengths, divisor) = responses::<B>(x.clone(), epsilon);
    let responses = B::float_div(lengths.clone(), divisor.clone());
    let products = sums_of_images::<B>(B::float_mul(gradient.clone(), x.clone()));
    let gamma = by_channel::<B>(gamma);
    NormGradients {
        gamma: sums_by_channel::<B>(B::float_mul(products.clone(), responses.clone())),
        beta: sums_by_channel::<B>(gradient.clone()),
        x: if need_x {
            let by_response = B::float_mul(products, gamma.clone());
            let of_mean = B::float_mul(by_response.clone(), responses.clone());
            let across = B::float_sub(by_response, B::float_mean_dim(of_mean, 3));
            let by_length = B::float_div(across, divisor);
            let lengths = without_zeros::<B>(lengths);
            let through_length = B::float_mul(x, B::float_div(by_length, lengths));
            let scale = B::float_add_scalar(B::float_mul(responses, gamma), 1f32.into());
            let by_x = B::float_add(B::float_mul(gradient, scale), through_length);
            in_format::<B>(by_x, format)
        } else {
            empty
        },
    }
}

/// One where a value is zero.
fn without_zeros<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let bool_dtype = burn::backend::get_or_init_device_settings::<B>(&x.device()).bool_dtype;
    let is_zero = B::float_equal_elem(x.clone(), 0f32.into(), bool_dtype);
    B::float_mask_fill(x, is_zero, 1f32.into())
}
