//! The source pixels that each destination pixel of a convolution depends on.
//!
//! Forward and input gradient are the same sum over taps with other offsets: along one axis,
//! destination `position` reads source `position * step + offset` for every tap. The forward pass
//! has `step = stride`. The input gradient falls into `stride` phases, the input pixels with the
//! same remainder, and within a phase the step is 1 and the taps that meet it are always the same.

use std::ops::Range;

use crate::geometry::Convolution;

/// One tap of a kernel along one axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    /// Its index in the kernel.
    pub index: usize,
    /// The source position that it reads for position 0.
    pub offset: isize,
}

/// One axis of the destination: the pixels that it reads and writes.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// Number of destination pixels.
    pub positions: usize,
    pub step: isize,
    pub source_extent: usize,
    pub taps: Vec<Tap>,
    /// The destination pixel of position 0, and the distance to the next.
    pub destination_first: usize,
    pub destination_step: usize,
}

impl Axis {
    fn forward(c: &Convolution, axis: usize) -> Self {
        let taps = (0..c.kernel[axis])
            .map(|index| Tap {
                index,
                offset: (index * c.dilation[axis]) as isize - c.padding[axis] as isize,
            })
            .collect();
        Self {
            positions: [c.out_height(), c.out_width()][axis],
            step: c.stride[axis] as isize,
            source_extent: [c.in_height, c.in_width][axis],
            taps,
            destination_first: 0,
            destination_step: 1,
        }
    }

    fn input_gradient(c: &Convolution, axis: usize, phase: usize) -> Self {
        let stride = c.stride[axis];
        let taps = (0..c.kernel[axis])
            .filter_map(|index| {
                let distance =
                    (phase + c.padding[axis]) as isize - (index * c.dilation[axis]) as isize;
                let offset = distance.div_euclid(stride as isize);
                (distance.rem_euclid(stride as isize) == 0).then_some(Tap { index, offset })
            })
            .collect();
        let destination_extent = [c.in_height, c.in_width][axis];
        Self {
            positions: destination_extent.saturating_sub(phase).div_ceil(stride),
            step: 1,
            source_extent: [c.out_height(), c.out_width()][axis],
            taps,
            destination_first: phase,
            destination_step: stride,
        }
    }

    /// The positions at which every tap reads a source pixel.
    pub(crate) fn inner_positions(&self) -> Range<usize> {
        let mut inner = 0..self.positions;
        for tap in &self.taps {
            let first = (-tap.offset).max(0) as usize;
            let end = (self.source_extent as isize - tap.offset).max(0) as usize;
            inner.start = inner.start.max(first.div_ceil(self.step as usize));
            inner.end = inner.end.min(end.div_ceil(self.step as usize));
        }
        inner.start.min(inner.end)..inner.end
    }

    /// The source pixel that a tap reads for a position, if there is one.
    pub(crate) fn source(&self, position: usize, tap: Tap) -> Option<usize> {
        let pixel = position as isize * self.step + tap.offset;
        usize::try_from(pixel)
            .ok()
            .filter(|&pixel| pixel < self.source_extent)
    }
}

/// Source pixels by destination pixel. Destination pixels are numbered row by row over the batch.
#[derive(Clone, Debug)]
pub(crate) struct Gather {
    pub batch: usize,
    pub vertical: Axis,
    pub horizontal: Axis,
    pub destination_extent: [usize; 2],
    /// Whether consecutive numbers are consecutive pixels of the destination.
    pub is_contiguous: bool,
}

/// Location of the pixels to gather in memory.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    /// The first channel wanted of the first pixel.
    pub start: *const f32,
    /// Values from one pixel to the next.
    pub pixel: usize,
    /// Padding that taps outside the image read: as many zeros as channels are wanted.
    pub padding: *const f32,
}

impl Gather {
    /// Gather of the input pixels of each output pixel.
    pub(crate) fn forward(c: &Convolution) -> Self {
        Self {
            batch: c.batch,
            vertical: Axis::forward(c, 0),
            horizontal: Axis::forward(c, 1),
            destination_extent: [c.out_height(), c.out_width()],
            is_contiguous: true,
        }
    }

    /// Gathers of the output pixels of each input pixel, one for each phase of the stride. Together
    /// the phases cover every input pixel once.
    pub(crate) fn input_gradient(c: &Convolution) -> Vec<Self> {
        let phases = (0..c.stride[0]).flat_map(|y| (0..c.stride[1]).map(move |x| (y, x)));
        phases
            .map(|(y, x)| Self {
                batch: c.batch,
                vertical: Axis::input_gradient(c, 0, y),
                horizontal: Axis::input_gradient(c, 1, x),
                destination_extent: [c.in_height, c.in_width],
                is_contiguous: c.stride == [1, 1],
            })
            .collect()
    }

    /// Keeps the first tap of each kernel row, for sources in which the others follow it in memory.
    pub(crate) fn with_merged_rows(mut self) -> Self {
        self.horizontal.taps.truncate(1);
        self
    }

    /// Number of destination pixels.
    pub(crate) fn pixels(&self) -> usize {
        self.batch * self.vertical.positions * self.horizontal.positions
    }

    /// Number of taps of every destination pixel.
    pub(crate) fn tap_count(&self) -> usize {
        self.vertical.taps.len() * self.horizontal.taps.len()
    }

    /// The taps as indices into a kernel of the given width, in the order of [`Gather::pointers`].
    pub(crate) fn tap_indices(&self, kernel_width: usize) -> Vec<usize> {
        let vertical = self.vertical.taps.iter();
        vertical
            .flat_map(|y| {
                let horizontal = self.horizontal.taps.iter();
                horizontal.map(move |x| y.index * kernel_width + x.index)
            })
            .collect()
    }

    /// The larger of the pixels that a destination row writes and those that it reads anew.
    pub(crate) fn row_pixels(&self) -> usize {
        let source = self.vertical.step as usize * self.horizontal.source_extent;
        self.horizontal.positions.max(source)
    }

    /// Source pixels that hold all that the destination pixels in `range` read: whole rows.
    pub(crate) fn source_span(&self, range: Range<usize>) -> Range<usize> {
        if range.is_empty() || self.tap_count() == 0 {
            return 0..0;
        }
        let (height, width) = (self.vertical.positions, self.horizontal.positions);
        let pixel = |number: usize, offset: isize| {
            let row = number / width;
            let (image, y) = (row / height, (row % height) as isize);
            let extent = self.vertical.source_extent;
            let source = (y * self.vertical.step + offset).clamp(0, extent as isize) as usize;
            (image * extent + source) * self.horizontal.source_extent
        };
        let offsets = || self.vertical.taps.iter().map(|tap| tap.offset);
        let first = pixel(range.start, offsets().min().unwrap_or(0));
        let end = pixel(range.end - 1, offsets().max().unwrap_or(0) + 1);
        first..end.max(first)
    }

    /// Lists the source of every tap of the destination pixels in `range`, as
    /// `[range / tile, pitch, tile]`. Places beyond the taps and beyond the range hold the padding.
    pub(crate) fn pointers(
        &self,
        range: Range<usize>,
        tile: usize,
        pitch: usize,
        source: Source,
        pointers: &mut Vec<*const f32>,
    ) {
        pointers.clear();
        pointers.resize(range.len().div_ceil(tile) * tile * pitch, source.padding);
        let line = self.vertical.source_extent * self.horizontal.source_extent;
        // Place of a pixel's first pointer: the tile's first place plus the pixel's number in the
        // tile.
        let (mut first, mut slot) = (0, 0);
        self.visit(range, |image, y, x| {
            let mut place = first + slot;
            for &tap_y in &self.vertical.taps {
                let Some(source_y) = self.vertical.source(y, tap_y) else {
                    place += tile * self.horizontal.taps.len();
                    continue;
                };
                let row = image * line + source_y * self.horizontal.source_extent;
                for &tap_x in &self.horizontal.taps {
                    if let Some(source_x) = self.horizontal.source(x, tap_x) {
                        pointers[place] =
                            source.start.wrapping_add((row + source_x) * source.pixel);
                    }
                    place += tile;
                }
            }
            slot += 1;
            if slot == tile {
                (first, slot) = (first + tile * pitch, 0);
            }
        });
    }

    /// Lists the destination pixels in `range` by their place in the destination image.
    pub(crate) fn destinations(&self, range: Range<usize>, destinations: &mut Vec<usize>) {
        destinations.clear();
        let [height, width] = self.destination_extent;
        self.visit(range, |image, y, x| {
            let row = self.vertical.destination_first + y * self.vertical.destination_step;
            let column = self.horizontal.destination_first + x * self.horizontal.destination_step;
            destinations.push((image * height + row) * width + column);
        });
    }

    /// Calls `visit(image, y, x)` for every destination pixel in `range`.
    fn visit(&self, range: Range<usize>, mut visit: impl FnMut(usize, usize, usize)) {
        if range.is_empty() {
            return;
        }
        let [height, width] = [self.vertical.positions, self.horizontal.positions];
        let (mut image, mut y, mut x) = (
            range.start / (height * width),
            range.start / width % height,
            range.start % width,
        );
        for _ in range {
            visit(image, y, x);
            x += 1;
            if x == width {
                (x, y) = (0, y + 1);
                if y == height {
                    (y, image) = (0, image + 1);
                }
            }
        }
    }
}
