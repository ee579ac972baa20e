//! The one place that knows which vector instructions a processor has.
//!
//! A kernel is written once over [`Vector`] and started by [`dispatch`], which compiles it for every
//! level and picks one at run time. Closures handed to rayon do not inherit instruction sets, so
//! threads are spread first and each tile dispatches for itself.
#![allow(
    unsafe_code,
    reason = "vector instructions are only reachable through unsafe intrinsics"
)]

use std::fmt;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A set of vector instructions. Results are the same bits at the same level, never across levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimdLevel {
    /// 16 lanes with fused multiply-add.
    Avx512,
    /// 8 lanes with fused multiply-add.
    Avx2,
    /// Plain Rust in groups of 4 lanes, which the compiler maps to what the target guarantees.
    Scalar,
}

impl SimdLevel {
    const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Scalar];

    /// The name `WARMSTART_SIMD` knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
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
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Scalar => true,
        }
    }

    fn best() -> Self {
        let available = Self::ALL.into_iter().find(|level| level.is_available());
        available.unwrap_or(Self::Scalar)
    }
}

/// `WARMSTART_SIMD` asks for a level that is unknown or that this processor lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimdLevelError {
    requested: String,
}

impl fmt::Display for SimdLevelError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let available: Vec<_> = SimdLevel::ALL
            .into_iter()
            .filter(|level| level.is_available())
            .map(SimdLevel::name)
            .collect();
        write!(
            formatter,
            "WARMSTART_SIMD: expected one of {} on this processor, found {:?}; unset it for the best",
            available.join(", "),
            self.requested
        )
    }
}

impl std::error::Error for SimdLevelError {}

/// The level all kernels of this process run at: the best one, or what the environment variable
/// `WARMSTART_SIMD` asks for. Read once.
///
/// # Errors
/// If `WARMSTART_SIMD` names no level of this processor. The kernels then run at the best level, so
/// a program that cares asks here first.
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
    SimdLevel::ALL
        .into_iter()
        .find(|level| level.name() == requested && level.is_available())
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
    match simd_level().unwrap_or_else(|_| SimdLevel::best()) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a level is only ever chosen after `is_available` found its instructions.
        SimdLevel::Avx512 => unsafe { run_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        SimdLevel::Avx2 => unsafe { run_avx2(kernel) },
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

/// A register of `LANES` f32. Values exist only inside [`dispatch`], at a level the processor has;
/// that is what makes the arithmetic methods safe.
pub(crate) trait Vector: Copy {
    const LANES: usize;

    fn splat(value: f32) -> Self;

    /// The first `lanes` (1 to `LANES`) values from `source`, zero in the rest.
    ///
    /// # Safety
    /// `source` must be valid for reading `lanes` values.
    unsafe fn load(source: *const f32, lanes: usize) -> Self;

    /// Writes the first `lanes` (1 to `LANES`) values to `destination`.
    ///
    /// # Safety
    /// `destination` must be valid for writing `lanes` values.
    unsafe fn store(self, destination: *mut f32, lanes: usize);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;

    /// `self * factor + addend`, in one rounding where the level has the instruction.
    fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// Limits to `low..=high`; NaN stays NaN.
    fn clamp(self, low: Self, high: Self) -> Self;

    /// `self` where `low < value < high`, else zero.
    fn keep_where_between(self, value: Self, low: Self, high: Self) -> Self;
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m512 {
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: values of this type exist only where AVX-512 does.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32, lanes: usize) -> Self {
        if lanes >= 16 {
            // SAFETY: the caller vouches for 16 values.
            unsafe { _mm512_loadu_ps(source) }
        } else {
            // SAFETY: lanes outside the mask are not accessed.
            unsafe { _mm512_maskz_loadu_ps((1 << lanes) - 1, source) }
        }
    }

    #[inline(always)]
    unsafe fn store(self, destination: *mut f32, lanes: usize) {
        if lanes >= 16 {
            // SAFETY: the caller vouches for 16 values.
            unsafe { _mm512_storeu_ps(destination, self) }
        } else {
            // SAFETY: lanes outside the mask are not accessed.
            unsafe { _mm512_mask_storeu_ps(destination, (1 << lanes) - 1, self) }
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm512_sub_ps(self, other) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm512_mul_ps(self, other) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm512_fmadd_ps(self, factor, addend) }
    }

    #[inline(always)]
    fn clamp(self, low: Self, high: Self) -> Self {
        // SAFETY: as in `splat`. With a NaN the instructions return their second operand.
        unsafe { _mm512_min_ps(high, _mm512_max_ps(low, self)) }
    }

    #[inline(always)]
    fn keep_where_between(self, value: Self, low: Self, high: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe {
            let above = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(low, value);
            let inside = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(above, value, high);
            _mm512_maskz_mov_ps(inside, self)
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: values of this type exist only where AVX2 and FMA do.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32, lanes: usize) -> Self {
        if lanes >= 8 {
            // SAFETY: the caller vouches for 8 values.
            unsafe { _mm256_loadu_ps(source) }
        } else {
            // SAFETY: lanes outside the mask are not accessed.
            unsafe { _mm256_maskload_ps(source, first_of_8(lanes)) }
        }
    }

    #[inline(always)]
    unsafe fn store(self, destination: *mut f32, lanes: usize) {
        if lanes >= 8 {
            // SAFETY: the caller vouches for 8 values.
            unsafe { _mm256_storeu_ps(destination, self) }
        } else {
            // SAFETY: lanes outside the mask are not accessed.
            unsafe { _mm256_maskstore_ps(destination, first_of_8(lanes), self) }
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm256_sub_ps(self, other) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm256_mul_ps(self, other) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm256_fmadd_ps(self, factor, addend) }
    }

    #[inline(always)]
    fn clamp(self, low: Self, high: Self) -> Self {
        // SAFETY: as in `splat`. With a NaN the instructions return their second operand.
        unsafe { _mm256_min_ps(high, _mm256_max_ps(low, self)) }
    }

    #[inline(always)]
    fn keep_where_between(self, value: Self, low: Self, high: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe {
            let above = _mm256_cmp_ps::<_CMP_LT_OQ>(low, value);
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(value, high);
            _mm256_and_ps(self, _mm256_and_ps(above, below))
        }
    }
}

/// A mask of the first `lanes` of 8.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn first_of_8(lanes: usize) -> __m256i {
    // SAFETY: called only where AVX2 is.
    unsafe {
        let index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes as i32), index)
    }
}

/// Four lanes without intrinsics.
#[derive(Clone, Copy)]
pub(crate) struct Lanes4([f32; 4]);

impl Lanes4 {
    #[inline(always)]
    fn combine(self, other: Self, operation: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|lane| {
            operation(self.0[lane], other.0[lane])
        }))
    }
}

impl Vector for Lanes4 {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    unsafe fn load(source: *const f32, lanes: usize) -> Self {
        if lanes >= 4 {
            // SAFETY: the caller vouches for 4 values.
            return Self(unsafe { source.cast::<[f32; 4]>().read_unaligned() });
        }
        let mut values = [0.0; 4];
        for (lane, value) in values.iter_mut().enumerate().take(lanes) {
            // SAFETY: the caller vouches for `lanes` values.
            *value = unsafe { source.add(lane).read() };
        }
        Self(values)
    }

    #[inline(always)]
    unsafe fn store(self, destination: *mut f32, lanes: usize) {
        if lanes >= 4 {
            // SAFETY: the caller vouches for 4 values.
            return unsafe { destination.cast::<[f32; 4]>().write_unaligned(self.0) };
        }
        for lane in 0..lanes {
            // SAFETY: the caller vouches for `lanes` values.
            unsafe { destination.add(lane).write(self.0[lane]) };
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.combine(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.combine(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.combine(other, |a, b| a * b)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // Without the instruction `f32::mul_add` is a slow library call.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            Self(std::array::from_fn(|lane| {
                self.0[lane].mul_add(factor.0[lane], addend.0[lane])
            }))
        } else {
            self.mul(factor).add(addend)
        }
    }

    #[inline(always)]
    fn clamp(self, low: Self, high: Self) -> Self {
        let raised = self.combine(low, |value, low| if value < low { low } else { value });
        raised.combine(high, |value, high| if value > high { high } else { value })
    }

    #[inline(always)]
    fn keep_where_between(self, value: Self, low: Self, high: Self) -> Self {
        Self(std::array::from_fn(|lane| {
            if low.0[lane] < value.0[lane] && value.0[lane] < high.0[lane] {
                self.0[lane]
            } else {
                0.0
            }
        }))
    }
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
}
