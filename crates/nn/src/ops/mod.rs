//! The operations that the networks are made of, as one extension of Burn's backends.
//!
//! Shapes: activations `[batch, height, width, channels]`, convolution weights
//! `[out, in / groups, kernel_height, kernel_width]`, everything per channel `[channels]`.
//!
//! On a graphics card activations may be bf16 or f16, and a result has the format of its first argument; means over an
//! image are f32. Parameters, statistics and gates are always f32.

mod activate;
mod arrange;
mod attention;
mod autodiff;
mod branch;
#[cfg(feature = "gpu")]
mod cube;
mod flex;
mod format;
mod gate;
mod hear;
mod linear;
mod list;
mod listener;
mod norm;
mod pool;
mod records;
pub mod stock;
mod sums;
mod values;
mod vision_ops;

pub use activate::activate;
pub use arrange::{MAX_MAPS, concatenate, reverse_channels, space_to_depth, upsample};
pub use attention::attention;
pub use branch::{
    Added, InferenceUnit, TrainedBranch, TrainingUnit, branch, branch_inference, pack_weight,
};
pub use gate::{image_means, scale_channels};
pub use linear::linear;
pub use list::{AnyTensor, List, Tensors};
pub use listener::{Heard, Listener};
pub use norm::{layer_norm, response_norm};
pub use pool::{average_pool, global_average_pool, max_pool};
pub use records::{
    BranchGradients, BranchOutput, ConvSpec, FoldedTensors, FoldedUnits, LinearGradients,
    NormGradients, PackedWeight, Padding, PoolSpec, Rates, Residual, Statistics, UnitGradientList,
    UnitGradients, UnitResult, UnitResults, UnitSpec, UnitTensors, Units,
};
pub use sums::{add, fork, with_gradient};
pub use values::values;
pub use vision_ops::{MAX_UNITS, VisionOps};
pub use warmstart_kernels::{Adam, Sgd, stack};
