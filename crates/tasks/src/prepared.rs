//! A picture as the input of a network.

use warmstart_data::{DataError, DecodedPicture, Preprocessing, evaluation_pixels_of};

use crate::detect::evaluation_pixels_of_picture;

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
        picture: &DecodedPicture,
        preprocessing: &Preprocessing,
    ) -> Result<Self, DataError> {
        Ok(Self {
            pixels: evaluation_pixels_of(&picture.image, preprocessing)?,
            size: picture.size.into(),
        })
    }

    /// The input of a detector.
    pub fn for_detector(picture: &DecodedPicture, preprocessing: &Preprocessing) -> Self {
        Self {
            pixels: evaluation_pixels_of_picture(picture, preprocessing),
            size: picture.size.into(),
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

#[cfg(test)]
mod tests {
    use warmstart_data::{Decode, Fit, Interpolation, RgbImage};

    use super::*;

    #[test]
    fn a_picture_that_was_decoded_smaller_keeps_the_size_that_its_boxes_are_in() {
        let picture = DecodedPicture {
            image: RgbImage::black(50, 40),
            size: (400, 313),
        };
        let preprocessing = Preprocessing {
            resize: 32,
            crop: 32,
            fit: Fit::Letterbox,
            decode: Decode::Scaled,
            interpolation: Interpolation::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        let prepared = PreparedPicture::for_detector(&picture, &preprocessing);
        assert_eq!(prepared.size(), [400, 313]);
        // 25 rows of the picture, 3 of grey above them and 4 below.
        let rows = prepared.pixels().chunks(32 * 3);
        let black = rows.filter(|row| row.iter().all(|value| *value == 0.0));
        assert_eq!(black.count(), 25);
        let prepared = PreparedPicture::for_classifier(&picture, &preprocessing).unwrap();
        assert_eq!(prepared.size(), [400, 313]);
    }
}
