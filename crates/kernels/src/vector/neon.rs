//! 8 lanes of NEON, as two registers of 4.
//!
//! A pair, since the register tile is at most two vectors wide: 6 rows of two pairs keep 24 of the
//! 32 registers busy and need 6 broadcasts for 24 multiply-adds, where 12 rows of two single
//! registers need 12.

use std::arch::aarch64::*;

use super::Vector;

impl Vector for float32x4x2_t {
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: values of this type exist only where NEON does.
        let register = unsafe { vdupq_n_f32(value) };
        Self(register, register)
    }

    #[inline(always)]
    unsafe fn load(source: *const f32, lanes: usize) -> Self {
        // SAFETY: the caller guarantees `lanes` values.
        unsafe {
            match lanes {
                8.. => Self(vld1q_f32(source), vld1q_f32(source.add(4))),
                4.. => Self(vld1q_f32(source), load_fewer(source.add(4), lanes - 4)),
                _ => Self(load_fewer(source, lanes), vdupq_n_f32(0.0)),
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, destination: *mut f32, lanes: usize) {
        // SAFETY: the caller guarantees `lanes` values.
        unsafe {
            if lanes < 4 {
                return store_fewer(self.0, destination, lanes);
            }
            vst1q_f32(destination, self.0);
            match lanes {
                8.. => vst1q_f32(destination.add(4), self.1),
                _ => store_fewer(self.1, destination.add(4), lanes - 4),
            }
        }
    }

    #[inline(always)]
    fn prefetch(_source: *const f32) {}

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { Self(vaddq_f32(self.0, other.0), vaddq_f32(self.1, other.1)) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { Self(vsubq_f32(self.0, other.0), vsubq_f32(self.1, other.1)) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { Self(vmulq_f32(self.0, other.0), vmulq_f32(self.1, other.1)) }
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: as in `splat`.
        unsafe { Self(vdivq_f32(self.0, other.0), vdivq_f32(self.1, other.1)) }
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: as in `splat`. The instruction's first operand is the addend.
        unsafe {
            Self(
                vfmaq_f32(addend.0, self.0, factor.0),
                vfmaq_f32(addend.1, self.1, factor.1),
            )
        }
    }

    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(power_of_two(self.0), power_of_two(self.1))
    }

    #[inline(always)]
    fn clamp(self, low: Self, high: Self) -> Self {
        // SAFETY: as in `splat`. These instructions give NaN if an operand is; the ones whose names
        // have `nm` would give the number.
        unsafe {
            Self(
                vminq_f32(vmaxq_f32(self.0, low.0), high.0),
                vminq_f32(vmaxq_f32(self.1, low.1), high.1),
            )
        }
    }

    #[inline(always)]
    fn keep_where_between(self, value: Self, low: Self, high: Self) -> Self {
        Self(
            keep_where_between(self.0, value.0, low.0, high.0),
            keep_where_between(self.1, value.1, low.1, high.1),
        )
    }
}

#[inline(always)]
fn power_of_two(exponent: float32x4_t) -> float32x4_t {
    // SAFETY: called only where NEON is. The conversion turns NaN into zero.
    unsafe {
        let biased = vaddq_s32(vcvtnq_s32_f32(exponent), vdupq_n_s32(127));
        vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
    }
}

#[inline(always)]
fn keep_where_between(
    kept: float32x4_t,
    value: float32x4_t,
    low: float32x4_t,
    high: float32x4_t,
) -> float32x4_t {
    // SAFETY: called only where NEON is. Comparisons with NaN give a mask of zeros.
    unsafe {
        let inside = vandq_u32(vcltq_f32(low, value), vcltq_f32(value, high));
        vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(kept), inside))
    }
}

/// The first `lanes` (0 to 3) values from `source`, zero in the rest.
///
/// # Safety
/// `source` must be valid for reading `lanes` values.
#[inline(always)]
unsafe fn load_fewer(source: *const f32, lanes: usize) -> float32x4_t {
    // SAFETY: the caller guarantees `lanes` values, and no case reads more.
    unsafe {
        let zero = vdupq_n_f32(0.0);
        match lanes {
            0 => zero,
            1 => vld1q_lane_f32::<0>(source, zero),
            2 => vcombine_f32(vld1_f32(source), vdup_n_f32(0.0)),
            _ => {
                let two = vcombine_f32(vld1_f32(source), vdup_n_f32(0.0));
                vld1q_lane_f32::<2>(source.add(2), two)
            }
        }
    }
}

/// Writes the first `lanes` (0 to 3) values.
///
/// # Safety
/// `destination` must be valid for writing `lanes` values.
#[inline(always)]
unsafe fn store_fewer(values: float32x4_t, destination: *mut f32, lanes: usize) {
    // SAFETY: the caller guarantees `lanes` values, and no case writes more.
    unsafe {
        match lanes {
            0 => {}
            1 => vst1q_lane_f32::<0>(destination, values),
            2 => vst1_f32(destination, vget_low_f32(values)),
            _ => {
                vst1_f32(destination, vget_low_f32(values));
                vst1q_lane_f32::<2>(destination.add(2), values);
            }
        }
    }
}
