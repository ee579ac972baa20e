//! Filled regions and frames.

use crate::rgb_image::{Region, RgbImage};

/// Four bars inside of the outline, each at most as thick as the outline is wide.
pub(super) fn frame(image: &mut RgbImage, outline: Region, thickness: usize, color: [u8; 3]) {
    let across = Region {
        height: thickness.min(outline.height),
        ..outline
    };
    let along = Region {
        width: thickness.min(outline.width),
        ..outline
    };
    let lower = Region {
        top: outline.top + outline.height - across.height,
        ..across
    };
    let right = Region {
        left: outline.left + outline.width - along.width,
        ..along
    };
    for bar in [across, lower, along, right] {
        fill(image, bar, color);
    }
}

/// Paints a region, which must lie in the picture.
pub(super) fn fill(image: &mut RgbImage, region: Region, color: [u8; 3]) {
    for y in region.top..region.top + region.height {
        let start = (y * image.width + region.left) * 3;
        let row = &mut image.pixels[start..start + region.width * 3];
        for pixel in row.as_chunks_mut().0 {
            *pixel = color;
        }
    }
}
