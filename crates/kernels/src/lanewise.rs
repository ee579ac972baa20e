//! Tests of functions of one register: their values on a slice, at every SIMD level.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use crate::simd::{Kernel, SimdLevel, run_at};
use crate::vector::Vector;

/// A function of each lane. The implementation is `#[inline(always)]`.
pub(crate) trait Lanewise: Copy {
    fn apply<V: Vector>(self, value: V) -> V;
}

/// Calls `check` with the function's results at every level of this processor.
pub(crate) fn at_every_level<F: Lanewise>(
    function: F,
    values: &[f32],
    check: impl Fn(SimdLevel, Vec<f32>),
) {
    for level in SimdLevel::available() {
        // SAFETY: the level is available.
        check(level, unsafe { run_at(level, Map { function, values }) });
    }
}

struct Map<'a, F> {
    function: F,
    values: &'a [f32],
}

impl<F: Lanewise> Kernel for Map<'_, F> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Vec<f32> {
        let mut found = vec![0.0; self.values.len()];
        for first in (0..found.len()).step_by(V::LANES) {
            let lanes = V::LANES.min(found.len() - first);
            // SAFETY: there are `lanes` values from `first` on in both.
            unsafe {
                let value = V::load(self.values.as_ptr().add(first), lanes);
                let result = self.function.apply(value);
                result.store(found.as_mut_ptr().add(first), lanes);
            }
        }
        found
    }
}
