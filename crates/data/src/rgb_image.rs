//! An 8-bit RGB picture in memory.

/// An 8-bit RGB picture: `[height, width, 3]`, row by row, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Pixels in a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// `height * width * 3` values, 0 to 255.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// A black picture.
    pub fn black(width: usize, height: usize) -> Self {
        let pixels = vec![0; width * height * 3];
        Self {
            width,
            height,
            pixels,
        }
    }

    /// The whole picture as a region.
    pub fn bounds(&self) -> Region {
        Region {
            left: 0,
            top: 0,
            width: self.width,
            height: self.height,
        }
    }

    /// The `width * 3` values of row `y`, which must be below `height`.
    pub fn row(&self, y: usize) -> &[u8] {
        &self.pixels[y * self.width * 3..(y + 1) * self.width * 3]
    }
}

/// A decoded picture, which may be smaller than it is in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedPicture {
    /// What was decoded.
    pub image: RgbImage,
    /// Width and height of the whole picture, in pixels.
    pub size: (usize, usize),
}

impl From<RgbImage> for DecodedPicture {
    /// A picture of which every pixel was decoded.
    fn from(image: RgbImage) -> Self {
        let size = (image.width, image.height);
        Self { image, size }
    }
}

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}
