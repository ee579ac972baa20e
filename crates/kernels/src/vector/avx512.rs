//! 16 lanes of AVX-512.

use std::arch::x86_64::*;

use super::Vector;

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
            // SAFETY: the caller guarantees 16 values.
            unsafe { _mm512_loadu_ps(source) }
        } else {
            // SAFETY: lanes outside the mask are not accessed.
            unsafe { _mm512_maskz_loadu_ps((1 << lanes) - 1, source) }
        }
    }

    #[inline(always)]
    unsafe fn store(self, destination: *mut f32, lanes: usize) {
        if lanes >= 16 {
            // SAFETY: the caller guarantees 16 values.
            unsafe { _mm512_storeu_ps(destination, self) }
        } else {
            // SAFETY: lanes outside the mask are not accessed.
            unsafe { _mm512_mask_storeu_ps(destination, (1 << lanes) - 1, self) }
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
    fn div(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm512_div_ps(self, other) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { _mm512_fmadd_ps(self, factor, addend) }
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        // SAFETY: as in `splat`. The conversion turns NaN into the lowest number.
        unsafe {
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(self), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        }
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
