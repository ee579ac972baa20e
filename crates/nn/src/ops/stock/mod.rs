//! [`VisionOps`](super::VisionOps) in stock Burn operations: the default on every backend, and the
//! reference that the CPU kernels are tested against.
//!
//! The format of an activation is that of the operands of convolutions and products, and of the activation's gradient.
//! Parameters, statistics, gates, and everything that is summed up are f32; so are the gradients of parameters.

mod activation;
mod arrange;
mod attention;
mod batch_norm;
mod branch;
mod convolution;
mod gate;
mod groups;
mod linear;
mod norm;
mod optimizer;
mod pool;
mod sum_of_rows;
mod sums;

use std::ops::Range;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, Slice};

pub use arrange::{
    concatenate, depth_to_space, reverse_channels, space_to_depth, split_channels, upsample,
    upsample_backward,
};
pub use attention::{attention, attention_backward};
pub use branch::{branch, branch_backward, branch_inference, pack_weight};
pub use gate::{image_means, image_means_backward, scale_channels, scale_channels_backward};
pub use linear::{linear, linear_backward};
pub use norm::{layer_norm, layer_norm_backward, response_norm, response_norm_backward};
pub use optimizer::{adam_step, move_averages, sgd_step, sum_of_squares};
pub use pool::{average_pool, average_pool_backward, max_pool, max_pool_backward};
pub use sums::{add, fork, hear, scale, with_gradient};

fn channels_first<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[0, 3, 1, 2])
}

fn channels_last<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[0, 2, 3, 1])
}

/// A parameter or statistic by channel as `[1, 1, 1, channels]`.
fn by_channel<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    let channels = tensor.shape()[0];
    B::float_reshape(tensor, Shape::new([1, 1, 1, channels]))
}

/// The part of a tensor of four dimensions within a range of each.
fn part<B: Backend>(x: FloatTensor<B>, ranges: [Range<usize>; 4]) -> FloatTensor<B> {
    B::float_slice(x, &ranges.map(Slice::from))
}
