//! The layers of every network in warmstart, and the seam behind which they compute.
//!
//! - [`ops`]: [`VisionOps`](ops::VisionOps), an extension of Burn's backends whose unit is
//!   *convolution → batch norm → (+ residual) → activation*. Stock Burn operations are its default
//!   body, so another backend needs no code of its own; on the CPU it calls `warmstart-kernels`.
//! - [`Parameters`]: every weight and statistic of a model, by its native name.
//! - [`block`]: the few kinds of blocks that architectures are made of, and how a batch goes
//!   through them in training and in inference.
//! - [`Folded`]: a part of a network prepared for inference, batch norm folded into its convolutions.
//! - [`initialization`]: initial weights where none are loaded.
//!
//! Between operations an activation is a contiguous `[batch, height, width, channels]` tensor.

mod allocator;
pub mod block;
mod folded;
pub mod initialization;
pub mod ops;
mod parameters;
mod unit;

pub use allocator::{
    explain_exhaustion, forget_memory_peak, memory_in_use, memory_peak, memory_reserved,
    release_free_memory, run_when_exhausted,
};
pub use burn;
pub use folded::Folded;
pub use parameters::Parameters;
use warmstart_kernels::SimdLevel;
pub use warmstart_kernels::{Activation, SimdLevelError};

/// SIMD level that the CPU kernels run at; the same bits are promised within one level.
///
/// # Errors
/// If `WARMSTART_SIMD` asks for a level that doesn't exist or that this processor lacks.
pub fn simd_level() -> Result<&'static str, SimdLevelError> {
    warmstart_kernels::simd_level().map(SimdLevel::name)
}

/// The device that a default build trains on: the processor.
pub fn device() -> burn::tensor::Device {
    burn::tensor::Device::flex()
}
