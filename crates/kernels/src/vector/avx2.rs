//! 8 lanes of AVX2, with FMA.

use std::arch::x86_64::*;

use super::Vector;

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
            // SAFETY: the caller guarantees 8 values.
            unsafe { _mm256_loadu_ps(source) }
        } else {
            // SAFETY: lanes outside the mask are not accessed.
            unsafe { _mm256_maskload_ps(source, first_of_8(lanes)) }
        }
    }

    #[inline(always)]
    unsafe fn store(self, destination: *mut f32, lanes: usize) {
        if lanes >= 8 {
            // SAFETY: the caller guarantees 8 values.
            unsafe { _mm256_storeu_ps(destination, self) }
        } else {
            // SAFETY: lanes outside the mask are not accessed.
            unsafe { _mm256_maskstore_ps(destination, first_of_8(lanes), self) }
        }
    }

    #[inline(always)]
    fn prefetch(source: *const f32) {
        // SAFETY: a hint may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(source.cast()) };
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
    fn div(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm256_div_ps(self, other) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm256_fmadd_ps(self, factor, addend) }
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        // SAFETY: as in `splat`. The conversion turns NaN into the lowest number.
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(self), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        }
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
#[inline(always)]
fn first_of_8(lanes: usize) -> __m256i {
    // SAFETY: called only where AVX2 is.
    unsafe {
        let index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(lanes as i32), index)
    }
}
