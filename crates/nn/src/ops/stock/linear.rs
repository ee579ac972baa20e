//! The linear layer.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

use super::convolution::product_over_rows;
use super::sum_of_rows::sum_of_rows;
use crate::ops::format::{in_format, single};
use crate::ops::records::LinearGradients;

/// See [`VisionOps::linear_layer`](crate::ops::VisionOps::linear_layer).
pub fn linear<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    let format = x.dtype();
    let outputs = weight.shape()[0];
    let weight = in_format::<B>(weight, format);
    let products = B::float_matmul(x, B::float_swap_dims(weight, 0, 1));
    let bias = B::float_reshape(bias, Shape::new([1, outputs]));
    in_format::<B>(B::float_add(single::<B>(products), bias), format)
}

/// See [`VisionOps::linear_layer_backward`](crate::ops::VisionOps::linear_layer_backward).
pub fn linear_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    need_x: bool,
) -> LinearGradients<B> {
    let (device, format) = (x.device(), x.dtype());
    LinearGradients {
        x: if need_x {
            B::float_matmul(gradient.clone(), in_format::<B>(weight, format))
        } else {
            B::float_zeros(Shape::new([0]), &device, format.into())
        },
        weight: product_over_rows::<B>(gradient.clone(), x),
        bias: sum_of_rows::<B>(single::<B>(gradient)),
    }
}
