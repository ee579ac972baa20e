//! Boxes that were drawn on a picture before its EXIF orientation turned it.

use crate::picture_header::PictureHeader;
use crate::scene::BoundingBox;
use image::metadata::Orientation;

impl PictureHeader {
    /// Returns whether the orientation changes anything.
    pub(super) fn is_turned(&self) -> bool {
        self.orientation != Orientation::NoTransforms
    }

    /// A box of the picture as it is stored, neither empty nor inverted, as a box of the upright one.
    pub(super) fn turned(&self, stored: BoundingBox) -> BoundingBox {
        let (width, height) = (self.stored.0 as f64, self.stored.1 as f64);
        let corner = |x: f64, y: f64| match self.orientation {
            Orientation::NoTransforms => (x, y),
            Orientation::Rotate90 => (height - y, x),
            Orientation::Rotate180 => (width - x, height - y),
            Orientation::Rotate270 => (y, width - x),
            Orientation::FlipHorizontal => (width - x, y),
            Orientation::FlipVertical => (x, height - y),
            Orientation::Rotate90FlipH => (y, x),
            Orientation::Rotate270FlipH => (height - y, width - x),
        };
        let a = corner(stored.left, stored.top);
        let b = corner(stored.right, stored.bottom);
        BoundingBox {
            left: a.0.min(b.0),
            top: a.1.min(b.1),
            right: a.0.max(b.0),
            bottom: a.1.max(b.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, Rgb, RgbImage};

    #[test]
    fn a_box_turns_with_its_picture() {
        let stored = BoundingBox {
            left: 1.0,
            top: 2.0,
            right: 4.0,
            bottom: 3.0,
        };
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let picture = PictureHeader {
                stored: (9, 5),
                orientation,
                bytes: 0,
            };
            let marked = RgbImage::from_fn(9, 5, |x, y| match (x, y) {
                (1..4, 2..3) => Rgb([255; 3]),
                _ => Rgb([0; 3]),
            });
            let mut shown = DynamicImage::ImageRgb8(marked);
            shown.apply_orientation(orientation);
            let shown = shown.to_rgb8();
            let (width, height) = (shown.width() as usize, shown.height() as usize);
            assert_eq!(picture.upright(), (width, height));
            let turned = picture.turned(stored);
            for (x, y, pixel) in shown.enumerate_pixels() {
                let (x, y) = (f64::from(x), f64::from(y));
                let within =
                    x >= turned.left && x < turned.right && y >= turned.top && y < turned.bottom;
                assert_eq!(pixel[0] == 255, within, "orientation {exif}, {x}, {y}");
            }
        }
    }
}
