//! The place of a resized picture on a canvas: the one geometry that pixels and boxes share.

use crate::resize::{Interpolation, resize};
use crate::rgb_image::{Region, RgbImage};
use crate::scene::BoundingBox;
use std::ops::Range;

/// The value of canvas that no picture covers, in all three channels: close to the mean of natural
/// pictures, and what detectors are usually padded with.
const GREY: u8 = 114;

/// A square canvas before anything is painted.
pub(crate) fn grey_canvas(size: usize) -> RgbImage {
    RgbImage {
        width: size,
        height: size,
        pixels: vec![GREY; size * size * 3],
    }
}

/// The size of a picture of `width` × `height` whose longer side is resized to `longer`, aspect kept:
/// both sides are rounded to whole pixels, halves away from 0, and are at least 1.
pub(crate) fn fitted(width: usize, height: usize, longer: f64) -> (usize, usize) {
    let scale = longer / width.max(height).max(1) as f64;
    let side = |length: usize| (length as f64 * scale).round().max(1.0) as usize;
    (side(width), side(height))
}

/// One axis of a picture on a canvas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    /// Pixels of the picture.
    length: usize,
    /// Pixels that they are resized to.
    resized: usize,
    /// Canvas pixel of the first of these; the canvas begins at 0.
    start: i64,
    /// The canvas pixels that show the picture.
    seen: (usize, usize),
}

impl Axis {
    /// A picture's axis resized to `resized` pixels, the first at canvas pixel `start`, and shown only
    /// within `tile`.
    pub(crate) fn new(length: usize, resized: usize, start: i64, tile: Range<usize>) -> Self {
        let within = |place: i64| (place.max(0) as usize).clamp(tile.start, tile.end);
        Self {
            length: length.max(1),
            resized,
            start,
            seen: (within(start), within(start + resized as i64)),
        }
    }

    /// From a coordinate of the picture to one of the canvas.
    pub(crate) fn place(&self, x: f64) -> f64 {
        x * self.resized as f64 / self.length as f64 + self.start as f64
    }

    /// From a coordinate of the canvas to one of the picture.
    pub(crate) fn back(&self, x: f64) -> f64 {
        (x - self.start as f64) * self.length as f64 / self.resized as f64
    }

    fn clip(&self, x: f64) -> f64 {
        x.clamp(self.seen.0 as f64, self.seen.1 as f64)
    }

    fn count(&self) -> usize {
        self.seen.1 - self.seen.0
    }

    /// The first pixel of the resized picture that is seen.
    fn first(&self) -> usize {
        (self.seen.0 as i64 - self.start) as usize
    }
}

/// A resized picture on a canvas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Placement {
    /// From left to right.
    pub(crate) columns: Axis,
    /// From top to bottom.
    pub(crate) rows: Axis,
}

impl Placement {
    /// A box of the picture on the canvas, whether seen or not.
    pub(crate) fn place(&self, bounds: BoundingBox) -> BoundingBox {
        BoundingBox {
            left: self.columns.place(bounds.left),
            top: self.rows.place(bounds.top),
            right: self.columns.place(bounds.right),
            bottom: self.rows.place(bounds.bottom),
        }
    }

    /// The part of a box of the canvas where the picture is seen.
    pub(crate) fn clip(&self, bounds: BoundingBox) -> BoundingBox {
        BoundingBox {
            left: self.columns.clip(bounds.left),
            top: self.rows.clip(bounds.top),
            right: self.columns.clip(bounds.right),
            bottom: self.rows.clip(bounds.bottom),
        }
    }

    /// Returns whether any part of the picture is visible.
    pub(crate) fn is_seen(&self) -> bool {
        self.columns.count() > 0 && self.rows.count() > 0
    }

    /// The longer side of the resized picture, in pixels, whether seen or not.
    pub(crate) fn longer_side(&self) -> usize {
        self.columns.resized.max(self.rows.resized)
    }

    /// Paints what is seen of `image`, which has the size that this was made for, or was decoded smaller. Only that
    /// part is resized, straight from the source.
    pub(crate) fn paint(&self, canvas: &mut RgbImage, image: &RgbImage, filter: Interpolation) {
        let (columns, rows) = (self.columns, self.rows);
        if !self.is_seen() {
            return;
        }
        let window = Region {
            left: columns.first(),
            top: rows.first(),
            width: columns.count(),
            height: rows.count(),
        };
        let resized = (columns.resized, rows.resized);
        let part = resize(image, image.bounds(), resized, window, filter);
        for y in 0..part.height {
            let start = ((rows.seen.0 + y) * canvas.width + columns.seen.0) * 3;
            canvas.pixels[start..start + part.width * 3].copy_from_slice(part.row(y));
        }
    }
}
