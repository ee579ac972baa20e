//! CPU kernels for training and running convolutional networks.
//!
//! They work on plain `f32` slices and know nothing of tensors or autodiff: activations are
//! contiguous `[batch, height, width, channels]`, weights PyTorch's `[out_channels,
//! in_channels / groups, kernel height, kernel width]`. Work is spread over rayon's current pool,
//! vector instructions are picked at run time ([`simd_level`]), and no result depends on the number
//! of threads. The README has the tiling and the reasons.

mod channels;
mod convolution;
mod dense;
mod depthwise;
mod epilogue;
mod gather;
mod geometry;
mod memory;
mod normalize;
mod normalize_gradient;
mod pack;
mod product;
mod simd;
mod statistics;
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

pub use convolution::{
    convolution_forward, convolution_inference, convolution_input_gradient,
    convolution_weight_gradient,
};
pub use epilogue::Activation;
pub use geometry::{Convolution, GeometryError};
pub use normalize::normalize;
pub use normalize_gradient::{NormGradients, normalize_backward};
pub use simd::{SimdLevel, SimdLevelError, simd_level};
pub use statistics::batch_statistics;
