//! 4 lanes of plain Rust.

use super::Vector;

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
            // SAFETY: the caller guarantees 4 values.
            return Self(unsafe { source.cast::<[f32; 4]>().read_unaligned() });
        }
        let mut values = [0.0; 4];
        for (lane, value) in values.iter_mut().enumerate().take(lanes) {
            // SAFETY: the caller guarantees `lanes` values.
            *value = unsafe { source.add(lane).read() };
        }
        Self(values)
    }

    #[inline(always)]
    unsafe fn store(self, destination: *mut f32, lanes: usize) {
        if lanes >= 4 {
            // SAFETY: the caller guarantees 4 values.
            return unsafe { destination.cast::<[f32; 4]>().write_unaligned(self.0) };
        }
        for lane in 0..lanes {
            // SAFETY: the caller guarantees `lanes` values.
            unsafe { destination.add(lane).write(self.0[lane]) };
        }
    }

    #[inline(always)]
    fn prefetch(_source: *const f32) {}

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
    fn div(self, other: Self) -> Self {
        self.combine(other, |a, b| a / b)
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
    fn power_of_two(self) -> Self {
        // The conversion turns NaN into zero.
        let biased = self.0.map(|exponent| (exponent as i32).wrapping_add(127));
        Self(biased.map(|biased| f32::from_bits((biased as u32) << 23)))
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
