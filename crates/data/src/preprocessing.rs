//! Changes to a picture before a network sees it, in evaluation.

use crate::decode::{decode_bytes_for, decode_for};
use crate::error::DataError;
use crate::letterbox::letterboxed;
use crate::needed::{Length, Needed};
use crate::resize::{Interpolation, resize};
use crate::rgb_image::{DecodedPicture, Region, RgbImage};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use warmstart_language::{english, translated};

/// The largest `resize` and `crop` that are accepted.
const MAX_SIDE: usize = 16_384;

/// The way in which a picture of any shape fills the square that a network sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The shorter side is resized and the centre is cut out, as torchvision's `Resize` and
    /// `CenterCrop`: shapes stay, the ends of a long picture are lost.
    #[default]
    Crop,
    /// The whole picture is resized to the square: nothing is lost, shapes change.
    Squash,
    /// The whole picture on grey, as a [`Letterbox`](crate::Letterbox): nothing is lost, shapes stay,
    /// and what a long picture shows is smaller.
    Letterbox,
}

impl fmt::Display for Fit {
    /// As in a recipe.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Crop => "crop",
            Self::Squash => "squash",
            Self::Letterbox => "letterbox",
        })
    }
}

/// How much of a JPEG is decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decode {
    /// Every pixel.
    #[default]
    Full,
    /// A half, a quarter or an eighth of its width and height, where that is enough for the network.
    Scaled,
}

impl Decode {
    /// Whether every pixel is decoded.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Scaled => false,
        }
    }
}

impl fmt::Display for Decode {
    /// As in a recipe.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Scaled => "scaled",
        })
    }
}

/// The steps from a picture to the input of a network: fit to a square, then torchvision's `ToTensor` and
/// `Normalize`. Stored in the model file: a network is only as good as its preprocessing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Length of the shorter side after resizing, in pixels; only [`Fit::Crop`] uses it.
    pub resize: usize,
    /// Side of the square that the network sees, in pixels. [`Fit::Crop`] cuts it from the centre, and
    /// adds black where a side is shorter.
    pub crop: usize,
    /// The way in which the picture fills that square. Model files older than this choice crop.
    #[serde(default)]
    pub fit: Fit,
    /// How much of a JPEG is decoded. Model files older than this choice decode every pixel, and those that do so do
    /// not say it.
    #[serde(default, skip_serializing_if = "Decode::is_full")]
    pub decode: Decode,
    /// The filter of the resizing.
    pub interpolation: Interpolation,
    /// Mean of red, green and blue, on a scale of 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of red, green and blue, on the same scale.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// Refuses sizes of 0 or above 16384, and means and deviations that are not finite.
    pub fn check(&self) -> Result<(), DataError> {
        for (name, size) in [("resize", self.resize), ("crop", self.crop)] {
            if !(1..=MAX_SIDE).contains(&size) {
                let found = size.to_string();
                return Err(DataError::OutOfRange {
                    name,
                    expected: translated(english!("1 to 16384")),
                    found,
                });
            }
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            let found = format!("{:?}", self.mean);
            return Err(DataError::OutOfRange {
                name: "mean",
                expected: translated(english!("finite numbers")),
                found,
            });
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            let found = format!("{:?}", self.std);
            return Err(DataError::OutOfRange {
                name: "std",
                expected: translated(english!("positive numbers")),
                found,
            });
        }
        Ok(())
    }

    /// Decodes a picture for evaluation: as [`decode`](crate::decode()), or where [`Decode::Scaled`] asks for it, a
    /// JPEG at the smallest fraction of its size that is not enlarged afterwards.
    ///
    /// # Errors
    /// Those of [`decode`](crate::decode()).
    pub fn decoded(&self, path: &Path) -> Result<DecodedPicture, DataError> {
        decode_for(path, self.needed())
    }

    /// [`decoded`](Self::decoded) for bytes in memory; the error is the reason alone.
    ///
    /// # Errors
    /// Those of [`decode_bytes`](crate::decode_bytes).
    pub fn decoded_bytes(&self, bytes: &[u8]) -> Result<DecodedPicture, String> {
        decode_bytes_for(bytes, self.needed())
    }

    /// The pixels that evaluation needs: as many as the picture has once it is resized.
    fn needed(&self) -> Needed {
        let (pixels, length) = match self.fit {
            Fit::Crop => (self.resize, Length::Shorter),
            Fit::Squash => (self.crop, Length::Shorter),
            Fit::Letterbox => (self.crop, Length::Longer),
        };
        self.needed_of(pixels, length, 1.0)
    }

    /// So many pixels in a share of a length, unless every pixel is decoded.
    pub(crate) fn needed_of(&self, pixels: usize, length: Length, share: f64) -> Needed {
        match self.decode {
            Decode::Full => Needed::All,
            Decode::Scaled => Needed::AtLeast {
                pixels,
                length,
                share,
            },
        }
    }

    /// The 8-bit picture that the network sees, before normalisation: `[crop, crop, 3]`.
    pub fn fitted(&self, image: &RgbImage) -> Result<RgbImage, DataError> {
        self.check()?;
        Ok(match self.fit {
            Fit::Crop => self.cropped(image),
            Fit::Squash => self.resized(image, image.bounds()),
            Fit::Letterbox => letterboxed(image, self.crop, self.interpolation),
        })
    }

    /// A region of a picture resized to the square of the network, whatever its shape.
    pub(crate) fn resized(&self, image: &RgbImage, region: Region) -> RgbImage {
        let size = self.crop;
        let window = Region {
            left: 0,
            top: 0,
            width: size,
            height: size,
        };
        resize(image, region, (size, size), window, self.interpolation)
    }

    /// The centre of a picture whose shorter side is resized.
    fn cropped(&self, image: &RgbImage) -> RgbImage {
        let short = image.width.min(image.height);
        // As torchvision: the long side is cut to an integer, not rounded.
        let side = |length: usize| (self.resize * length).checked_div(short).unwrap_or(0);
        let (width, height) = (side(image.width), side(image.height));
        let (left, to_left, width_kept) = center(width, self.crop);
        let (top, to_top, height_kept) = center(height, self.crop);
        let window = Region {
            left,
            top,
            width: width_kept,
            height: height_kept,
        };
        let part = resize(
            image,
            image.bounds(),
            (width, height),
            window,
            self.interpolation,
        );
        if (part.width, part.height) == (self.crop, self.crop) {
            return part;
        }
        let mut padded = RgbImage::black(self.crop, self.crop);
        for y in 0..part.height {
            let start = ((to_top + y) * self.crop + to_left) * 3;
            padded.pixels[start..start + part.width * 3].copy_from_slice(part.row(y));
        }
        padded
    }

    /// `(value / 255 - mean) / std` for every value, in `f32` as PyTorch computes it.
    pub fn normalized(&self, image: &RgbImage) -> Vec<f32> {
        let table: [[f32; 256]; 3] = std::array::from_fn(|channel| {
            std::array::from_fn(|value| {
                (value as f32 / 255.0 - self.mean[channel]) / self.std[channel]
            })
        });
        let (pixels, _) = image.pixels.as_chunks::<3>();
        let mut values = Vec::with_capacity(image.pixels.len());
        for [red, green, blue] in pixels {
            values.extend_from_slice(&[
                table[0][usize::from(*red)],
                table[1][usize::from(*green)],
                table[2][usize::from(*blue)],
            ]);
        }
        values
    }

    /// The 8-bit picture `[crop, crop, 3]` of normalised values in that order.
    ///
    /// # Panics
    /// If there is another number of values.
    pub fn pictured(&self, values: &[f32]) -> RgbImage {
        assert_eq!(
            values.len(),
            self.crop * self.crop * 3,
            "values of a square"
        );
        let value = |(index, value): (usize, &f32)| {
            let channel = index % 3;
            let value = (value * self.std[channel] + self.mean[channel]) * 255.0;
            value.round().clamp(0.0, 255.0) as u8
        };
        RgbImage {
            width: self.crop,
            height: self.crop,
            pixels: values.iter().enumerate().map(value).collect(),
        }
    }
}

/// The place of a centre crop of `crop` on an axis of `length`: (first pixel taken, pixels of padding
/// before it, pixels taken). Halves are rounded to even, as Python's `round` does in torchvision.
fn center(length: usize, crop: usize) -> (usize, usize, usize) {
    match length.checked_sub(crop) {
        Some(spare) => {
            let half = spare / 2;
            (half + (spare % 2) * (half % 2), 0, crop)
        }
        None => (0, (crop - length) / 2, length),
    }
}

/// The input of a network for evaluation: `[crop, crop, 3]` (height, width, channel), normalised.
pub fn evaluation_pixels(
    path: &Path,
    preprocessing: &Preprocessing,
) -> Result<Vec<f32>, DataError> {
    evaluation_pixels_of(&preprocessing.decoded(path)?.image, preprocessing)
}

/// [`evaluation_pixels`] of a picture that is already decoded.
pub fn evaluation_pixels_of(
    image: &RgbImage,
    preprocessing: &Preprocessing,
) -> Result<Vec<f32>, DataError> {
    Ok(preprocessing.normalized(&preprocessing.fitted(image)?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Some preprocessing, which decodes no more pixels than it needs.
    pub(crate) fn scaled(fit: Fit, resize: usize, crop: usize) -> Preprocessing {
        Preprocessing {
            resize,
            crop,
            fit,
            decode: Decode::Scaled,
            interpolation: Interpolation::Bilinear,
            mean: [0.5; 3],
            std: [0.25; 3],
        }
    }

    #[test]
    fn evaluation_takes_the_smallest_fraction_that_is_not_enlarged() {
        let sides = [1, 2, 63, 64, 65, 223, 224, 447, 500, 1792, 3000, 60_000];
        let mut chosen = [0; 9];
        for (width, height) in sides.into_iter().flat_map(|a| sides.map(|b| (a, b))) {
            for (resize, crop) in [(256, 224), (64, 64), (32, 56)] {
                for fit in [Fit::Crop, Fit::Squash, Fit::Letterbox] {
                    let is_enough = |divisor: &usize| {
                        let is_long = |side: usize, pixels: usize| side >= pixels * divisor;
                        match fit {
                            Fit::Crop => is_long(width, resize) && is_long(height, resize),
                            Fit::Squash => is_long(width, crop) && is_long(height, crop),
                            Fit::Letterbox => is_long(width, crop) || is_long(height, crop),
                        }
                    };
                    let expected = [1, 2, 4, 8].into_iter().filter(is_enough).max();
                    let found = scaled(fit, resize, crop).needed().divisor(width, height);
                    let case = format!("{width}×{height}, {resize}, {crop}, {fit}");
                    assert_eq!(found, expected.unwrap_or(1), "{case}");
                    chosen[found] += 1;
                }
            }
        }
        assert!([1, 2, 4, 8].iter().all(|&it| chosen[it] > 10), "{chosen:?}");
    }

    #[test]
    fn model_files_of_before_decode_every_pixel_and_a_new_one_says_otherwise() {
        let scaled = scaled(Fit::Crop, 256, 224);
        let text = serde_json::to_string(&scaled).unwrap();
        let said = "\"decode\":\"scaled\",";
        assert!(text.contains(said), "{text}");
        let read: Preprocessing = serde_json::from_str(&text).unwrap();
        assert_eq!(read, scaled);
        let before = text.replace(said, "");
        let full: Preprocessing = serde_json::from_str(&before).unwrap();
        assert_eq!(full.decode, Decode::Full);
        assert_eq!(full.needed(), Needed::All);
        assert_eq!(serde_json::to_string(&full).unwrap(), before);
    }
}
