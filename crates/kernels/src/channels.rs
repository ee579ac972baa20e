//! The loop shared by all kernels with one parameter per channel.
//!
//! Activations are `[rows, channels]`. Few channels don't fill a register, so several rows count as
//! one wide row whose parameters repeat. Wide rows come in tiles that fit in the L2 cache; how many
//! depends on the shape alone, so sums by tile, added in order, have the same bits on any number of
//! threads.
#![allow(unsafe_code, reason = "the loop vouches for the bounds of its steps")]

use std::ops::Range;

use rayon::prelude::*;

use crate::memory::Output;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

const TILE_VALUES: usize = 32 * 1024;
const MIN_WIDTH: usize = 256;

/// `[rows, channels]` as tiles of wide rows.
#[derive(Clone, Copy)]
pub(crate) struct Channels {
    channels: usize,
    /// Rows in a wide row.
    repeat: usize,
    len: usize,
}

impl Channels {
    /// # Panics
    /// If `len` is not a whole number of rows.
    pub(crate) fn new(len: usize, channels: usize) -> Self {
        assert!(
            channels > 0 && len.is_multiple_of(channels),
            "expected whole rows of {channels} channels, found {len} values"
        );
        Self {
            channels,
            repeat: MIN_WIDTH.div_ceil(channels).next_power_of_two(),
            len,
        }
    }

    pub(crate) fn channels(self) -> usize {
        self.channels
    }

    pub(crate) fn rows(self) -> usize {
        self.len / self.channels
    }

    /// Values of a wide row.
    pub(crate) fn width(self) -> usize {
        self.channels * self.repeat
    }

    /// Values of a tile: whole wide rows.
    pub(crate) fn tile_len(self) -> usize {
        (TILE_VALUES / self.width()).max(1) * self.width()
    }

    /// The ranges of values of all tiles, in order.
    pub(crate) fn tiles(self) -> impl IndexedParallelIterator<Item = Range<usize>> {
        let tiles = self.len.div_ceil(self.tile_len());
        (0..tiles).into_par_iter().map(move |tile| {
            let first = tile * self.tile_len();
            first..self.len.min(first + self.tile_len())
        })
    }

    /// Results of `finish` for all rows of `output`, or `finished` if the tasks have finished them.
    pub(crate) fn finish_rest<P: Send>(
        self,
        finished: Vec<P>,
        output: Output,
        finish: impl Fn(Output, Range<usize>) -> P + Sync,
    ) -> Vec<P> {
        if finished.is_empty() {
            self.tiles().map(|range| finish(output, range)).collect()
        } else {
            finished
        }
    }

    /// Repeats one parameter per channel for every place of a wide row.
    pub(crate) fn widen(self, parameters: &[f32]) -> Vec<f32> {
        assert_eq!(parameters.len(), self.channels, "one parameter a channel");
        parameters.repeat(self.repeat)
    }

    /// Adds the sums of a wide row's places by channel.
    pub(crate) fn fold(self, wide: &[f32]) -> Vec<f64> {
        let mut sums = vec![0.0; self.channels];
        for row in wide.chunks_exact(self.channels) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += f64::from(*value);
            }
        }
        sums
    }

    /// Runs the kernel over every register of `range`, which starts at a row: wide rows are counted
    /// from there.
    pub(crate) fn run<K: ChannelKernel>(self, range: Range<usize>, kernel: K) {
        assert!(range.end <= self.len);
        dispatch(Loop {
            width: self.width(),
            range,
            kernel,
        });
    }
}

/// A computation on one register of values.
pub(crate) trait ChannelKernel {
    /// Works on `lanes` values from `offset` on, which are at `place` in their wide row. The
    /// implementation is `#[inline(always)]`.
    ///
    /// # Safety
    /// `offset + lanes` is within the values, `place + lanes` within a wide row.
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize);
}

struct Loop<K> {
    width: usize,
    range: Range<usize>,
    kernel: K,
}

impl<K: ChannelKernel> Kernel for Loop<K> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(mut self) {
        for row in self.range.clone().step_by(self.width) {
            let len = self.width.min(self.range.end - row);
            let whole = len / V::LANES * V::LANES;
            for place in (0..whole).step_by(V::LANES) {
                // SAFETY: within the range and a wide row.
                unsafe { self.kernel.step::<V>(row + place, place, V::LANES) };
            }
            if whole < len {
                // SAFETY: as above.
                unsafe { self.kernel.step::<V>(row + whole, whole, len - whole) };
            }
        }
    }
}
