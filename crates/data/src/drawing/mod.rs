//! Detected objects, drawn on their picture or cut out of it.

mod caption;
mod class_color;
mod paint;

use crate::rgb_image::{Region, RgbImage};
use crate::scene::BoundingBox;
use caption::{Caption, place};
use class_color::class_color;
use paint::{fill, frame};

/// Shorter side of a picture per pixel of a frame's thickness.
const PIXELS_PER_THICKNESS: usize = 300;

/// A box to draw on a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct DrawnBox {
    /// The box, in pixels of the picture. The part outside of the picture is not drawn.
    pub bounds: BoundingBox,
    /// Index into the class names; it gives the colour.
    pub class: usize,
    /// One line such as `dog 0.87`. An empty one has no plate.
    pub caption: String,
}

/// Draws a frame and a caption for each box. The boxes come in falling order of score: the first
/// lies on top and chooses first where its caption goes.
///
/// A frame lies on the edge of the pixels that the box touches, half of its thickness to either
/// side, so that small objects stay visible. A caption is black or white on a plate of the frame's
/// colour, above the box or, where there is no room or another caption, inside or below. It is
/// never outside of the picture: one that is too wide ends in `…`, and in a picture too small for
/// any text there is none. Thickness and text follow the shorter side of the picture.
///
/// The font is GNU Unifont, which has the characters of the Basic Multilingual Plane; others, such
/// as emoji, show as `�`. Boxes that touch no pixel, and those with a NaN, are left out.
pub fn draw_boxes(image: &mut RgbImage, boxes: &[DrawnBox]) {
    let thickness = image.width.min(image.height).div_ceil(PIXELS_PER_THICKNESS);
    let mut frames = Vec::new();
    let mut plates: Vec<(Region, Caption, [u8; 3])> = Vec::new();
    for drawn in boxes {
        let Some(touched) = touched(drawn.bounds, image) else {
            continue;
        };
        let outline = grown(touched, thickness / 2, image);
        let color = class_color(drawn.class);
        frames.push((outline, color));
        if let Some(caption) = Caption::new(&drawn.caption, image) {
            let taken: Vec<Region> = plates.iter().map(|plate| plate.0).collect();
            let plate = place(caption.plate_size(), outline, &taken, image);
            plates.push((plate, caption, color));
        }
    }
    // No frame hides a caption, however sure its box is.
    for &(outline, color) in frames.iter().rev() {
        frame(image, outline, thickness, color);
    }
    for (plate, caption, color) in plates.iter().rev() {
        fill(image, *plate, *color);
        caption.draw(image, (plate.left, plate.top), class_color::text_on(*color));
    }
}

/// The pixels that a box touches; `None` if there are none in the picture, or if a number is NaN.
pub fn crop(image: &RgbImage, bounds: BoundingBox) -> Option<RgbImage> {
    let region = touched(bounds, image)?;
    let columns = region.left * 3..(region.left + region.width) * 3;
    let rows = region.top..region.top + region.height;
    Some(RgbImage {
        width: region.width,
        height: region.height,
        pixels: rows
            .flat_map(|y| &image.row(y)[columns.clone()])
            .copied()
            .collect(),
    })
}

fn touched(bounds: BoundingBox, image: &RgbImage) -> Option<Region> {
    // Not the same as `<=`: NaN is in no order.
    if !(bounds.right > bounds.left && bounds.bottom > bounds.top) {
        return None;
    }
    let inside = bounds.clipped(image.width as f64, image.height as f64);
    let (left, right) = (inside.left.floor() as usize, inside.right.ceil() as usize);
    let (top, bottom) = (inside.top.floor() as usize, inside.bottom.ceil() as usize);
    (right > left && bottom > top).then(|| Region {
        left,
        top,
        width: right - left,
        height: bottom - top,
    })
}

/// The region with so many pixels more on each side, as far as the picture goes.
fn grown(region: Region, by: usize, image: &RgbImage) -> Region {
    let left = region.left.saturating_sub(by);
    let top = region.top.saturating_sub(by);
    Region {
        left,
        top,
        width: (region.left + region.width + by).min(image.width) - left,
        height: (region.top + region.height + by).min(image.height) - top,
    }
}
