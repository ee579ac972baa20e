//! A picture as the input of a network.

use warmstart_data::{DataError, Preprocessing, RgbImage, evaluation_pixels_of};

use crate::detect::evaluation_pixels;

/// A picture as the input of a network, with its own size, which a detector needs to place its boxes.
pub struct PreparedPicture {
    pixels: Vec<f32>,
    size: [usize; 2],
}

impl PreparedPicture {
    /// The input of a classifier.
    ///
    /// # Errors
    /// If the preprocessing is out of range.
    pub fn for_classifier(
        image: &RgbImage,
        preprocessing: &Preprocessing,
    ) -> Result<Self, DataError> {
        Ok(Self {
            pixels: evaluation_pixels_of(image, preprocessing)?,
            size: [image.width, image.height],
        })
    }

    /// The input of a detector.
    pub fn for_detector(image: &RgbImage, preprocessing: &Preprocessing) -> Self {
        Self {
            pixels: evaluation_pixels(image, preprocessing),
            size: [image.width, image.height],
        }
    }

    /// Normalised pixels `[height, width, 3]` of the network's square.
    pub fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// Width and height of the picture before it was prepared, in pixels.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }
}
