//! The layers of every network in warmstart, and the seam behind which they compute.
//!
//! - [`ops`]: [`VisionOps`](ops::VisionOps), an extension of Burn's backends whose unit is
//!   *convolution → batch norm → (+ residual) → activation*. Stock Burn operations are its default
//!   body, so another backend needs no code of its own; on the CPU it calls `warmstart-kernels`.
//! - [`Parameters`]: every weight and statistic of a model, by its native name.
//! - [`layers`]: the kinds of layers that networks are made of, a file each.
//! - [`Graph`]: layers and the paths between them; a network is data.
//! - [`Forward`]: the modes in which a batch goes through it, training and inference.
//! - [`Folded`]: layers prepared for inference, batch norm folded into convolutions.
//! - [`initialization`]: initial weights where none are loaded.
//! - [`devices`]: the processor and the graphics cards that tensors lie on.
//!
//! Between operations an activation is a contiguous `[batch, height, width, channels]` tensor.

mod allocator;
pub mod devices;
mod folded;
mod forward;
mod graph;
pub mod initialization;
pub mod layers;
pub mod ops;
mod parameter_info;
mod parameters;
mod statistics;
mod unit;

pub use allocator::{
    Continuation, catching_card_failures, catching_exhausted_cards, explain_exhaustion,
    forget_memory_peak, memory_in_use, memory_peak, memory_reserved, release_free_memory,
    run_when_exhausted, translate_exhaustion,
};
pub use burn;
pub use folded::{Folded, Part};
pub use forward::{Forward, StepKey, StochasticDepth};
pub use graph::{Graph, Node, Place, Value};
pub use parameter_info::{Kind, ParameterInfo};
pub use parameters::Parameters;
pub use statistics::{
    BatchStatistics, pool_statistics, statistics_from_bytes, statistics_to_bytes,
    update_running_statistics,
};
pub use unit::{BatchNorm, Unit};
use warmstart_kernels::SimdLevel;
pub use warmstart_kernels::{Activation, SimdLevelError};

/// SIMD level that the CPU kernels run at; the same bits are promised within one level.
///
/// # Errors
/// If `WARMSTART_SIMD` asks for a level that doesn't exist or that this processor lacks.
pub fn simd_level() -> Result<&'static str, SimdLevelError> {
    warmstart_kernels::simd_level().map(SimdLevel::name)
}

/// The processor as a device.
pub fn device() -> burn::tensor::Device {
    burn::tensor::Device::flex()
}
