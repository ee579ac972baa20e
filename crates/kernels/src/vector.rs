//! The register of each SIMD level, behind one trait.
#![allow(
    unsafe_code,
    reason = "vector instructions are only reachable through unsafe intrinsics"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A register of `LANES` f32. Values exist only inside [`dispatch`](crate::simd::dispatch), at a level the processor has;
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
