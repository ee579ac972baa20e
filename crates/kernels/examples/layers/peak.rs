//! Peak rate of arithmetic on this machine.
#![allow(
    unsafe_code,
    reason = "a function compiled for instructions the processor may lack is unsafe to call"
)]

use std::hint::black_box;
use std::time::Instant;

use warmstart_kernels::SimdLevel;

/// Independent sums: enough to hide the latency of two multiply-adds a cycle, few enough to stay in
/// the 16 registers of AVX2 together with both factors.
const SUMS: usize = 12;

/// Multiply-adds of each sum in a run, which then takes some tens of milliseconds.
const LENGTH: usize = 4_000_000;

/// GFLOP/s of multiply-adds between registers on all threads at once; a multiply-add is two
/// operations. The best of many runs, because a clock rate can be missed but not exceeded.
pub fn peak_gigaflops(level: SimdLevel) -> f64 {
    let run = || {
        let started = Instant::now();
        let lanes = rayon::broadcast(|_| multiply_adds(level));
        let operations = (2 * SUMS * LENGTH * lanes.into_iter().sum::<usize>()) as f64;
        operations / started.elapsed().as_secs_f64() / 1e9
    };
    (0..20).map(|_| run()).fold(0.0, f64::max)
}

/// Does [`LENGTH`] multiply-adds in each of [`SUMS`] registers and returns the lanes of a register.
fn multiply_adds(level: SimdLevel) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the kernels run at a level only where the processor has its instructions.
        SimdLevel::Avx512 => unsafe { multiply_adds_avx512() },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        SimdLevel::Avx2 => unsafe { multiply_adds_avx2() },
        _ => multiply_adds_scalar(),
    }
}

/// The loop, for a vector type and its multiply-add. The factors are hidden from the compiler and
/// keep the sums near one: numbers too small to be normal would be slow.
macro_rules! multiply_adds {
    ($splat:expr, $multiply_add:expr) => {{
        let (factor, addend) = black_box(($splat(0.5), $splat(0.5)));
        let mut sums = [black_box($splat(1.0)); SUMS];
        for _ in 0..LENGTH {
            for sum in &mut sums {
                *sum = $multiply_add(*sum, factor, addend);
            }
        }
        black_box(sums);
        size_of_val(&factor) / size_of::<f32>()
    }};
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn multiply_adds_avx512() -> usize {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    multiply_adds!(_mm512_set1_ps, |x, y, z| _mm512_fmadd_ps(x, y, z))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn multiply_adds_avx2() -> usize {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    multiply_adds!(_mm256_set1_ps, |x, y, z| _mm256_fmadd_ps(x, y, z))
}

/// In groups of 4 lanes, as the kernels do it at this level.
fn multiply_adds_scalar() -> usize {
    let splat = |value: f32| [value; 4];
    let multiply_add = |x: [f32; 4], y: [f32; 4], z: [f32; 4]| {
        std::array::from_fn(|lane| x[lane] * y[lane] + z[lane])
    };
    multiply_adds!(splat, multiply_add)
}
