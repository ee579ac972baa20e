//! The register of each SIMD level, behind one trait.
#![allow(
    unsafe_code,
    reason = "vector instructions are only reachable through unsafe intrinsics"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(test)]
mod tests;

pub(crate) use scalar::Lanes4;

/// A register of `LANES` f32. Values exist only inside [`dispatch`](crate::simd::dispatch), at a
/// level the processor has; that is what makes the arithmetic methods safe.
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

    /// Prefetches the cache line at `source`, which need not exist.
    fn prefetch(source: *const f32);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;

    /// `self * factor + addend`, in one rounding where the level has the instruction.
    fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// 2 to the power of whole numbers from -126 to 128; infinity for 128, and any value for
    /// others.
    fn power_of_two(self) -> Self;

    /// Limits to `low..=high`; NaN stays NaN.
    fn clamp(self, low: Self, high: Self) -> Self;

    /// `self` where `low < value < high`, else zero.
    fn keep_where_between(self, value: Self, low: Self, high: Self) -> Self;
}

/// The most lanes that a register has.
pub(crate) const MAX_LANES: usize = 16;

/// All lanes of a register combined as a tree: one half with the other, until one is left.
#[inline(always)]
pub(crate) fn combine_lanes<V: Vector>(vector: V, combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; MAX_LANES];
    // SAFETY: no register has more lanes.
    unsafe { vector.store(lanes.as_mut_ptr(), V::LANES) };
    let mut half = V::LANES / 2;
    while half > 0 {
        let (low, high) = lanes.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low = combine(*low, *high);
        }
        half /= 2;
    }
    lanes[0]
}
