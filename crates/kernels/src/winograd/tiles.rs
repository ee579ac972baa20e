//! The tiles of an image: 2×2 output pixels, made of 4×4 input pixels.
#![allow(unsafe_code, reason = "pixels are read through pointers")]

use std::ops::Range;

use super::transform::OUTPUTS;
use crate::geometry::Convolution;
use crate::vector::Vector;

/// All tiles of a convolution, numbered row by row over the batch. At odd heights and widths the
/// last tiles reach beyond the output.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    batch: usize,
    /// Height and width.
    input: [usize; 2],
    output: [usize; 2],
    padding: [usize; 2],
}

/// The place of a tile: its image and its first output pixel.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    image: usize,
    y: usize,
    x: usize,
}

impl Tiles {
    pub(super) fn new(c: &Convolution) -> Self {
        Self {
            batch: c.batch,
            input: [c.in_height, c.in_width],
            output: [c.out_height(), c.out_width()],
            padding: c.padding,
        }
    }

    /// Tiles side by side.
    pub(super) fn columns(&self) -> usize {
        self.output[1].div_ceil(OUTPUTS)
    }

    pub(super) fn count(&self) -> usize {
        self.batch * self.output[0].div_ceil(OUTPUTS) * self.columns()
    }

    /// The tiles in `range`.
    #[inline(always)]
    pub(super) fn range(self, range: Range<usize>) -> impl Iterator<Item = Tile> {
        let (rows, columns) = (self.output[0].div_ceil(OUTPUTS), self.columns());
        range.map(move |number| Tile {
            image: number / (rows * columns),
            y: number / columns % rows * OUTPUTS,
            x: number % columns * OUTPUTS,
        })
    }

    /// The input pixels of a tile, from an input with this many channels.
    #[inline(always)]
    pub(super) fn input<'a>(&self, tile: Tile, source: &'a [f32], channels: usize) -> Patch<'a> {
        let first = |axis: usize, position: usize| position as isize - self.padding[axis] as isize;
        Patch::new(
            source,
            self.input,
            channels,
            tile.image,
            [first(0, tile.y), first(1, tile.x)],
        )
    }

    /// The output pixels of a tile, from an output with this many channels.
    #[inline(always)]
    pub(super) fn output<'a>(&self, tile: Tile, source: &'a [f32], channels: usize) -> Patch<'a> {
        let first = [tile.y as isize, tile.x as isize];
        Patch::new(source, self.output, channels, tile.image, first)
    }

    /// The pixels of the output that a tile computes, `None` outside the image.
    #[inline(always)]
    pub(super) fn destinations(&self, tile: Tile) -> [[Option<usize>; OUTPUTS]; OUTPUTS] {
        let [height, width] = self.output;
        let mut pixels = [[None; OUTPUTS]; OUTPUTS];
        for (y, row) in pixels.iter_mut().enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (y, x) = (tile.y + y, tile.x + x);
                *pixel = (y < height && x < width).then_some((tile.image * height + y) * width + x);
            }
        }
        pixels
    }
}

/// A square of pixels of one image; those outside of the image are zero.
#[derive(Clone, Copy)]
pub(super) struct Patch<'a> {
    image: &'a [f32],
    extent: [usize; 2],
    channels: usize,
    first: [isize; 2],
}

impl<'a> Patch<'a> {
    #[inline(always)]
    fn new(
        source: &'a [f32],
        extent: [usize; 2],
        channels: usize,
        image: usize,
        first: [isize; 2],
    ) -> Self {
        let len = extent[0] * extent[1] * channels;
        Self {
            image: &source[image * len..][..len],
            extent,
            channels,
            first,
        }
    }

    /// Whether a square of `size` pixels a side lies in the image.
    #[inline(always)]
    pub(super) fn is_inside(&self, size: usize) -> bool {
        let mut axes = self.first.iter().zip(self.extent);
        axes.all(|(&first, extent)| first >= 0 && first as usize + size <= extent)
    }

    /// Reads `lanes` channels of a square. `INSIDE` skips the check which pixels exist.
    ///
    /// # Safety
    /// `lanes` channels from `channel` on exist, and with `INSIDE` all pixels do.
    #[inline(always)]
    pub(super) unsafe fn load<V: Vector, const SIZE: usize, const INSIDE: bool>(
        &self,
        channel: usize,
        lanes: usize,
    ) -> [[V; SIZE]; SIZE] {
        let mut values = [[V::splat(0.0); SIZE]; SIZE];
        for (y, row) in values.iter_mut().enumerate() {
            let y = self.first[0] + y as isize;
            for (x, value) in row.iter_mut().enumerate() {
                let x = self.first[1] + x as isize;
                let exists = (0..self.extent[0] as isize).contains(&y)
                    && (0..self.extent[1] as isize).contains(&x);
                if INSIDE || exists {
                    let pixel = y as usize * self.extent[1] + x as usize;
                    let place = self
                        .image
                        .as_ptr()
                        .wrapping_add(pixel * self.channels + channel);
                    // SAFETY: a pixel of the image, and channels that exist.
                    *value = unsafe { V::load(place, lanes) };
                }
            }
        }
        values
    }
}
