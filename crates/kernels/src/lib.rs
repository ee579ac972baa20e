//! CPU kernels for training and running convolutional networks.
//!
//! They work on plain `f32` slices and know nothing of tensors or autodiff: activations are
//! contiguous `[batch, height, width, channels]`, weights PyTorch's `[out_channels,
//! in_channels / groups, kernel height, kernel width]`. Work is spread over rayon's current pool,
//! vector instructions are picked at run time ([`simd_level`]), and no result depends on the number
//! of threads. The README has the tiling and the reasons.

mod arrange;
mod attention;
mod batch_norm;
mod channels;
mod convolution;
mod dense;
mod depthwise;
mod epilogue;
mod excitation;
mod exponential;
mod forward;
mod gather;
mod gelu;
mod geometry;
mod images;
mod inference;
mod inference_unit;
#[cfg(test)]
mod lanewise;
mod layer_norm;
mod memory;
mod norm_gradient;
mod normalize;
mod operand;
mod optimizer;
mod pack;
mod pointwise;
mod pool;
mod product;
mod response_norm;
mod sigmoid;
mod simd;
mod statistics;
mod sums;
mod training;
mod vector;
mod view;
mod weight_gradient;
mod winograd;

/// The formulas of the integration tests, which name this crate from outside.
#[cfg(test)]
#[path = "../tests/kernels/reference.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod reference;
#[cfg(test)]
extern crate self as warmstart_kernels;

pub use arrange::{
    Map, concatenate, depth_to_space, reverse_channels, space_to_depth, split_channels, stack,
    upsample, upsample_backward,
};
pub use attention::{Attention, attention, attention_backward};
pub use batch_norm::BatchNorm;
pub use convolution::{
    convolution_forward, convolution_gradients, convolution_input_gradient,
    convolution_weight_gradient,
};
pub use epilogue::Activation;
pub use excitation::{
    excitation_input_gradient, gate_gradient, image_means, image_means_backward, scale_channels,
    scale_channels_backward,
};
pub use forward::pack_weights;
pub use geometry::{Convolution, GeometryError};
pub use inference::branch_inference;
pub use inference_unit::InferenceUnit;
pub use layer_norm::{LayerNorm, NormGradients, layer_norm, layer_norm_backward};
pub use norm_gradient::activation_backward;
pub use normalize::normalize;
pub use operand::NormSums;
pub use optimizer::{Adam, Sgd, Update, adam_step, sgd_step, sum_of_squares};
pub use pool::{Pooling, average_pool, average_pool_backward, max_pool, max_pool_backward};
pub use response_norm::{ResponseNorm, response_norm, response_norm_backward};
pub use simd::{SimdLevel, SimdLevelError, simd_level};
pub use statistics::batch_statistics;
pub use sums::{add, channel_sums, scale, sum};
pub use training::{
    ConvolutionGradients, Input, OutputGradient, Wanted, training_backward, training_forward,
};
