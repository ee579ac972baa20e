//! A whole picture on a square canvas, for detection.

use crate::placement::{Axis, Placement, fitted, grey_canvas};
use crate::resize::Interpolation;
use crate::rgb_image::RgbImage;
use crate::scene::BoundingBox;

/// How a picture lies on a square canvas: resized so that the longer side fills it, aspect kept,
/// nothing cut, centred, and grey (114) around.
///
/// The resized sides are rounded to whole pixels, of at least 1, so the scale of x and that of y may
/// differ a little, or much for a picture so narrow that a side would vanish; boxes are moved by the
/// scales that the pixels really have. An odd pixel of grey goes to the right and the bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Letterbox {
    width: usize,
    height: usize,
    placement: Placement,
}

impl Letterbox {
    /// A picture of `width` × `height` pixels on `size` × `size`; each is at least 1.
    pub fn new(width: usize, height: usize, size: usize) -> Self {
        let (resized_width, resized_height) = fitted(width, height, size as f64);
        let centred = |length: usize, resized: usize| {
            let start = (size.saturating_sub(resized) / 2) as i64;
            Axis::new(length, resized, start, 0..size)
        };
        Self {
            width,
            height,
            placement: Placement {
                columns: centred(width, resized_width),
                rows: centred(height, resized_height),
            },
        }
    }

    /// A box in pixels of the picture, in pixels of the canvas.
    pub fn place(&self, bounds: BoundingBox) -> BoundingBox {
        self.placement.place(bounds)
    }

    /// A box in pixels of the canvas, in pixels of the picture and clipped to it: for boxes in the
    /// picture, the inverse of [`place`](Self::place).
    pub fn back(&self, bounds: BoundingBox) -> BoundingBox {
        let Placement { columns, rows } = self.placement;
        BoundingBox {
            left: columns.back(bounds.left),
            top: rows.back(bounds.top),
            right: columns.back(bounds.right),
            bottom: rows.back(bounds.bottom),
        }
        .clipped(self.width as f64, self.height as f64)
    }
}

/// The 8-bit canvas that a detector sees in evaluation, before normalisation: `[size, size, 3]`, the
/// picture as [`Letterbox`] places it.
pub fn letterboxed(image: &RgbImage, size: usize, interpolation: Interpolation) -> RgbImage {
    let mut canvas = grey_canvas(size);
    Letterbox::new(image.width, image.height, size)
        .placement
        .paint(&mut canvas, image, interpolation);
    canvas
}
