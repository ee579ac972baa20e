//! The linear layer.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::Shape;

use crate::ops::records::LinearGradients;

/// See [`VisionOps::linear_layer`](crate::ops::VisionOps::linear_layer).
pub fn linear<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    let outputs = weight.shape()[0];
    B::float_add(
        B::float_matmul(x, B::float_swap_dims(weight, 0, 1)),
        B::float_reshape(bias, Shape::new([1, outputs])),
    )
}

/// See [`VisionOps::linear_layer_backward`](crate::ops::VisionOps::linear_layer_backward).
pub fn linear_backward<B: Backend>(
    gradient: FloatTensor<B>,
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    need_x: bool,
) -> LinearGradients<B> {
    let (device, dtype) = (gradient.device(), gradient.dtype());
    let outputs = weight.shape()[0];
    LinearGradients {
        x: if need_x {
            B::float_matmul(gradient.clone(), weight)
        } else {
            B::float_zeros(Shape::new([0]), &device, dtype.into())
        },
        weight: B::float_matmul(B::float_swap_dims(gradient.clone(), 0, 1), x),
        bias: B::float_reshape(B::float_sum_dim(gradient, 0), Shape::new([outputs])),
    }
}
