//! RandAugment (Cubuk and others, arXiv 1909.13719, section 3): operations drawn from a list, all of
//! one magnitude.

mod geometry;
mod tones;

use crate::color_jitter::{Adjustment, adjust};
use crate::random::{ChaCha8Rng, below};
use crate::rgb_image::RgbImage;
use geometry::{rotation, transform};
use tones::{autocontrast, equalize, posterize, sharpen, solarize};

/// The largest magnitude: every operation is then at the strongest that torchvision has.
pub const MAX_MAGNITUDE: f64 = 10.0;

/// Operations on a picture, the paper's N.
const OPERATIONS: usize = 2;

/// An operation on a picture: torchvision's list, with torchvision's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Nothing.
    Identity,
    /// Rows are moved by up to 0.3 pixels for each row from the top; signed.
    ShearX,
    /// Columns are moved by up to 0.3 pixels for each column from the left; signed.
    ShearY,
    /// Moved by up to 150 / 331 of the width; signed.
    TranslateX,
    /// Moved by up to 150 / 331 of the height; signed.
    TranslateY,
    /// Turned about the centre by up to 30 degrees; signed.
    Rotate,
    /// [`Adjustment::Brightness`] by a factor of 0.1 to 1.9; signed.
    Brightness,
    /// [`Adjustment::Saturation`] by a factor of 0.1 to 1.9; signed.
    Color,
    /// [`Adjustment::Contrast`] by a factor of 0.1 to 1.9; signed.
    Contrast,
    /// Away from the smoothed picture by a factor of 0.1 to 1.9; signed.
    Sharpness,
    /// 8 down to 4 bits are kept of every value.
    Posterize,
    /// Values from a threshold on are inverted; it falls from 255 to 0.
    Solarize,
    /// The values of each channel are stretched to 0 to 255, whatever the magnitude.
    AutoContrast,
    /// The histogram of each channel is made flat, whatever the magnitude.
    Equalize,
}

impl Operation {
    /// All of them. The order is part of what a seed means.
    pub const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];

    /// Returns whether a negative magnitude means the opposite.
    pub fn is_signed(self) -> bool {
        match self {
            Self::ShearX
            | Self::ShearY
            | Self::TranslateX
            | Self::TranslateY
            | Self::Rotate
            | Self::Brightness
            | Self::Color
            | Self::Contrast
            | Self::Sharpness => true,
            Self::Identity
            | Self::Posterize
            | Self::Solarize
            | Self::AutoContrast
            | Self::Equalize => false,
        }
    }
}

/// Changes `image` in place, as torchvision's `RandAugment` with Pillow. `magnitude` is 0 to
/// [`MAX_MAGNITUDE`], or down to its negative for signed operations.
///
/// Areas from outside the picture are black, and pixels are taken whole, without interpolation:
/// torchvision's defaults, so that a recipe means the same in both.
pub fn apply(image: &mut RgbImage, operation: Operation, magnitude: f64) {
    let level = magnitude / MAX_MAGNITUDE;
    let factor = 1.0 + 0.9 * level;
    let distance = |side: usize| (150.0 / 331.0 * side as f64 * level).trunc();
    match operation {
        Operation::Identity => {}
        Operation::ShearX => transform(image, [1.0, 0.3 * level, 0.0, 0.0, 1.0, 0.0]),
        Operation::ShearY => transform(image, [1.0, 0.0, 0.0, 0.3 * level, 1.0, 0.0]),
        Operation::TranslateX => {
            let distance = distance(image.width);
            transform(image, [1.0, 0.0, -distance, 0.0, 1.0, 0.0]);
        }
        Operation::TranslateY => {
            let distance = distance(image.height);
            transform(image, [1.0, 0.0, 0.0, 0.0, 1.0, -distance]);
        }
        Operation::Rotate => {
            let matrix = rotation(30.0 * level, image.width, image.height);
            transform(image, matrix);
        }
        Operation::Brightness => adjust(image, Adjustment::Brightness, factor),
        Operation::Color => adjust(image, Adjustment::Saturation, factor),
        Operation::Contrast => adjust(image, Adjustment::Contrast, factor),
        Operation::Sharpness => sharpen(image, factor),
        Operation::Posterize => posterize(image, 8 - (4.0 * level).round_ties_even() as u32),
        Operation::Solarize => solarize(image, 255.0 * (1.0 - level)),
        Operation::AutoContrast => autocontrast(image),
        Operation::Equalize => equalize(image),
    }
}

/// Two operations, one after the other, each drawn from all of them and then, if it is signed, its
/// sign.
pub(crate) fn rand_augment(image: &mut RgbImage, magnitude: f64, random: &mut ChaCha8Rng) {
    for _ in 0..OPERATIONS {
        let operation = Operation::ALL[below(random, Operation::ALL.len())];
        let opposite = operation.is_signed() && below(random, 2) == 1;
        apply(
            image,
            operation,
            if opposite { -magnitude } else { magnitude },
        );
    }
}
