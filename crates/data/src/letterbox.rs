//! A whole picture on a square canvas.

use crate::placement::{Axis, Placement, fitted, grey_canvas};
use crate::resize::Interpolation;
use crate::rgb_image::{DecodedPicture, Region, RgbImage};
use crate::scene::BoundingBox;

/// A picture's place on a square canvas: resized so that the longer side fills it, aspect kept,
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

/// The 8-bit canvas that a network sees in evaluation, before normalisation: `[size, size, 3]`, the
/// picture as [`Letterbox`] places it.
pub fn letterboxed(image: &RgbImage, size: usize, interpolation: Interpolation) -> RgbImage {
    painted(image, (image.width, image.height), size, interpolation)
}

/// [`letterboxed`] of a picture that may have been decoded smaller: it lies where the whole picture would lie.
pub fn letterboxed_picture(
    picture: &DecodedPicture,
    size: usize,
    interpolation: Interpolation,
) -> RgbImage {
    painted(&picture.image, picture.size, size, interpolation)
}

/// A canvas with a picture in the place of one of that width and height.
fn painted(
    image: &RgbImage,
    (width, height): (usize, usize),
    size: usize,
    interpolation: Interpolation,
) -> RgbImage {
    let mut canvas = grey_canvas(size);
    Letterbox::new(width, height, size)
        .placement
        .paint(&mut canvas, image, interpolation);
    canvas
}

/// A part of a letterbox: `[size, size, 3]`. `region` is in pixels of the smallest square canvas that
/// holds the picture at its own size; with the whole of it, this is [`letterboxed`]. `None` if the
/// region shows nothing of the picture.
pub(crate) fn letterboxed_region(
    image: &RgbImage,
    region: Region,
    size: usize,
    interpolation: Interpolation,
) -> Option<RgbImage> {
    let side = image.width.max(image.height);
    let axis = |length: usize, first: usize, shown: usize| {
        let scale = size as f64 / shown as f64;
        let resized = (length as f64 * scale).round().max(1.0);
        // Divided last, so that the whole canvas has its centre exactly in the middle of the view.
        let center = (side as f64 / 2.0 - first as f64) * size as f64 / shown as f64;
        let start = (center - resized / 2.0).floor() as i64;
        Axis::new(length, resized as usize, start, 0..size)
    };
    let placement = Placement {
        columns: axis(image.width, region.left, region.width),
        rows: axis(image.height, region.top, region.height),
    };
    placement.is_seen().then(|| {
        let mut canvas = grey_canvas(size);
        placement.paint(&mut canvas, image, interpolation);
        canvas
    })
}
