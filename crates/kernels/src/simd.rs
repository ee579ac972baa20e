//! The one place that knows which vector instructions a processor has.
//!
//! A kernel is written once over [`Vector`] and started by [`dispatch`], which compiles it for
//! every level and picks one at run time. Closures handed to rayon do not inherit instruction sets,
//! so threads are spread first and each tile dispatches for itself.
#![allow(
    unsafe_code,
    reason = "a function compiled for instructions the processor may lack is unsafe to call"
)]

use std::fmt;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};
#[cfg(target_arch = "aarch64")]
use std::arch::{aarch64::float32x4x2_t, is_aarch64_feature_detected};

use warmstart_language::message;

use crate::vector::{Lanes4, Vector};

/// A set of vector instructions. Results have the same bits at the same level, but not across
/// levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimdLevel {
    /// 16 lanes with fused multiply-add.
    Avx512,
    /// 8 lanes with fused multiply-add.
    Avx2,
    /// 8 lanes, in pairs of registers, with fused multiply-add.
    Neon,
    /// Plain Rust in groups of 4 lanes, which the compiler maps to instructions that every such
    /// target has.
    Scalar,
}

impl SimdLevel {
    const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Scalar];

    /// Its name in `WARMSTART_SIMD`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Scalar => "scalar",
        }
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => is_aarch64_feature_detected!("neon"),
            Self::Scalar => true,
            // A level of another kind of processor.
            _ => false,
        }
    }

    /// The levels of this processor, best first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_available())
    }

    fn best() -> Self {
        Self::available().next().unwrap_or(Self::Scalar)
    }
}

/// `WARMSTART_SIMD` asks for a level that is unknown or that this processor lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimdLevelError {
    requested: String,
}

impl fmt::Display for SimdLevelError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let available: Vec<_> = SimdLevel::available().map(SimdLevel::name).collect();
        formatter.write_str(&message!(
            "WARMSTART_SIMD: expected one of {} on this processor, found {:?}; unset it for the best",
            available.join(", "),
            self.requested
        ))
    }
}

impl std::error::Error for SimdLevelError {}

/// The level all kernels of this process run at: the best one, or what the environment variable
/// `WARMSTART_SIMD` asks for. Read once.
///
/// # Errors
/// If `WARMSTART_SIMD` names no level of this processor. The kernels then run at the best level, so
/// a program that cares calls this first.
pub fn simd_level() -> Result<SimdLevel, SimdLevelError> {
    static LEVEL: OnceLock<Result<SimdLevel, SimdLevelError>> = OnceLock::new();
    LEVEL
        .get_or_init(|| match std::env::var_os("WARMSTART_SIMD") {
            None => Ok(SimdLevel::best()),
            Some(requested) => parse(&requested.to_string_lossy()),
        })
        .clone()
}

fn parse(requested: &str) -> Result<SimdLevel, SimdLevelError> {
    SimdLevel::available()
        .find(|level| level.name() == requested)
        .ok_or_else(|| SimdLevelError {
            requested: requested.to_owned(),
        })
}

/// A computation written once for all levels. Implementations mark `run`, and everything it calls,
/// `#[inline(always)]`: only then is it compiled with the instructions of the level.
pub(crate) trait Kernel {
    type Output;
    fn run<V: Vector>(self) -> Self::Output;
}

/// Runs a kernel at the level of this process.
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    let level = simd_level().unwrap_or_else(|_| SimdLevel::best());
    // SAFETY: a level is only ever chosen after `is_available` found its instructions.
    unsafe { run_at(level, kernel) }
}

/// # Safety
/// The level must be one of [`SimdLevel::available`].
pub(crate) unsafe fn run_at<K: Kernel>(level: SimdLevel, kernel: K) -> K::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the caller guarantees the level.
        SimdLevel::Avx512 => unsafe { run_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        SimdLevel::Avx2 => unsafe { run_avx2(kernel) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        SimdLevel::Neon => unsafe { run_neon(kernel) },
        _ => kernel.run::<Lanes4>(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<__m512>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<__m256>()
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn run_neon<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<float32x4x2_t>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_level_is_an_error_that_says_what_there_is() {
        let message = parse("sse9").unwrap_err().to_string();
        assert!(message.contains("scalar"), "{message}");
        assert!(message.contains("\"sse9\""), "{message}");
        assert_eq!(parse("scalar"), Ok(SimdLevel::Scalar));
    }

    #[test]
    fn a_level_of_another_kind_of_processor_is_an_error() {
        let foreign = if cfg!(target_arch = "aarch64") {
            "avx2"
        } else {
            "neon"
        };
        let message = parse(foreign).unwrap_err().to_string();
        let (available, found) = message.split_once("found").unwrap();
        assert!(!available.contains(foreign), "{message}");
        assert!(found.contains(foreign), "{message}");
    }
}
