//! A few rows at a time, in registers: their statistics, and loops over their channels.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use crate::vector::{MAX_LANES, Vector, combine_lanes};

/// A computation on the same register of several rows.
pub(super) trait RowKernel<V: Vector> {
    /// Works on `lanes` channels from `channel` on. The implementation is `#[inline(always)]`.
    ///
    /// # Safety
    /// `channel + lanes` is within a row.
    unsafe fn step(&mut self, channel: usize, lanes: usize);
}

/// Runs the kernel over every register of its rows.
///
/// # Safety
/// The rows have `channels` values.
#[inline(always)]
pub(super) unsafe fn over_channels<V: Vector, K: RowKernel<V>>(channels: usize, kernel: &mut K) {
    let whole = channels / V::LANES * V::LANES;
    for channel in (0..whole).step_by(V::LANES) {
        // SAFETY: within a row.
        unsafe { kernel.step(channel, V::LANES) };
    }
    if whole < channels {
        // SAFETY: as above.
        unsafe { kernel.step(whole, channels - whole) };
    }
}

/// Rows that follow each other in `values`.
#[derive(Clone, Copy)]
pub(super) struct Block<'a, const ROWS: usize> {
    values: &'a [f32],
    /// Places of the rows' first values.
    pub starts: [usize; ROWS],
}

impl<'a, const ROWS: usize> Block<'a, ROWS> {
    #[inline(always)]
    pub(super) fn new(values: &'a [f32], first_row: usize, channels: usize) -> Self {
        let mut starts = [0; ROWS];
        for (index, start) in starts.iter_mut().enumerate() {
            *start = (first_row + index) * channels;
        }
        Self { values, starts }
    }

    /// # Safety
    /// The row is in the values, `channel + lanes` within it.
    #[inline(always)]
    pub(super) unsafe fn load<V: Vector>(&self, row: usize, channel: usize, lanes: usize) -> V {
        let place = self.starts[row] + channel;
        // SAFETY: as the caller guarantees.
        unsafe { V::load(self.values.as_ptr().add(place), lanes) }
    }
}

/// Sums of rows.
struct Sums<'a, V, const ROWS: usize> {
    x: Block<'a, ROWS>,
    sums: [V; ROWS],
}

impl<V: Vector, const ROWS: usize> RowKernel<V> for Sums<'_, V, ROWS> {
    #[inline(always)]
    unsafe fn step(&mut self, channel: usize, lanes: usize) {
        for row in 0..ROWS {
            // SAFETY: as the loop guarantees.
            let x = unsafe { self.x.load::<V>(row, channel, lanes) };
            self.sums[row] = self.sums[row].add(x);
        }
    }
}

/// Sums of the deviations of rows from a number near their mean, and of their squares.
pub(super) struct Deviations<'a, V, const ROWS: usize> {
    x: Block<'a, ROWS>,
    near: [f32; ROWS],
    sums: [V; ROWS],
    squares: [V; ROWS],
}

impl<'a, V: Vector, const ROWS: usize> Deviations<'a, V, ROWS> {
    /// Sums of nothing yet, near the rounded means.
    ///
    /// # Safety
    /// The rows are in the values of `x`.
    #[inline(always)]
    pub(super) unsafe fn new(x: Block<'a, ROWS>, channels: usize) -> Self {
        let sums = [V::splat(0.0); ROWS];
        let mut of_rows = Sums { x, sums };
        // SAFETY: as the caller guarantees.
        unsafe { over_channels::<V, _>(channels, &mut of_rows) };
        let share = 1.0 / channels as f64;
        let mut near = [0.0; ROWS];
        for (near, sum) in near.iter_mut().zip(of_rows.sums) {
            *near = (f64::from(add_lanes(sum)) * share) as f32;
        }
        Self {
            x,
            near,
            sums,
            squares: sums,
        }
    }

    /// Adds a register of one row, and returns its deviations: any value beyond `lanes`.
    ///
    /// # Safety
    /// `channel + lanes` is within a row.
    #[inline(always)]
    pub(super) unsafe fn add(&mut self, row: usize, channel: usize, lanes: usize) -> V {
        // SAFETY: as the caller guarantees. Lanes beyond a row are zero in both.
        let deviation = unsafe { self.x.load::<V>(row, channel, lanes) };
        let deviation = deviation.sub(first_lanes(self.near[row], lanes));
        self.sums[row] = self.sums[row].add(deviation);
        self.squares[row] = deviation.mul_add(deviation, self.squares[row]);
        deviation
    }

    /// How the rows are normalised, after all their values have been added.
    #[inline(always)]
    pub(super) fn standard(&self, channels: usize, epsilon: f32) -> [Standard; ROWS] {
        let share = 1.0 / channels as f64;
        let mut standard = [Standard::default(); ROWS];
        for (row, standard) in standard.iter_mut().enumerate() {
            let rest = f64::from(add_lanes(self.sums[row])) * share;
            let square = f64::from(add_lanes(self.squares[row])) * share;
            let variance = f64::max(square - rest * rest, 0.0);
            let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
            *standard = Standard {
                near: self.near[row],
                inverse: inverse as f32,
                shift: (-rest * inverse) as f32,
            };
        }
        standard
    }
}

impl<V: Vector, const ROWS: usize> RowKernel<V> for Deviations<'_, V, ROWS> {
    #[inline(always)]
    unsafe fn step(&mut self, channel: usize, lanes: usize) {
        for row in 0..ROWS {
            // SAFETY: as the loop guarantees.
            unsafe { self.add(row, channel, lanes) };
        }
    }
}

/// A row with mean 0 and variance 1: `(x - near) · inverse + shift`.
#[derive(Clone, Copy, Default)]
pub(super) struct Standard {
    near: f32,
    pub inverse: f32,
    /// What is left of the mean without `near`, normalised.
    pub shift: f32,
}

impl Standard {
    #[inline(always)]
    pub(super) fn apply<V: Vector>(self, x: V) -> V {
        let deviation = x.sub(V::splat(self.near));
        deviation.mul_add(V::splat(self.inverse), V::splat(self.shift))
    }
}

/// `value` in the first `lanes` lanes, zero in the rest.
#[inline(always)]
fn first_lanes<V: Vector>(value: f32, lanes: usize) -> V {
    if lanes >= V::LANES {
        return V::splat(value);
    }
    let values = [value; MAX_LANES];
    // SAFETY: no register has more lanes.
    unsafe { V::load(values.as_ptr(), lanes) }
}

/// The sum of all lanes.
#[inline(always)]
pub(super) fn add_lanes<V: Vector>(vector: V) -> f32 {
    combine_lanes(vector, |a, b| a + b)
}
