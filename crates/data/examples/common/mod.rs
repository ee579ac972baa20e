//! What the measurements of preprocessing have in common.

use warmstart_data::{Decode, Fit, Interpolation, Preprocessing};

/// The preprocessing of a classifier that takes squares of so many pixels.
pub fn preprocessing(crop: usize, decode: Decode) -> Preprocessing {
    Preprocessing {
        resize: crop * 8 / 7,
        crop,
        fit: Fit::Crop,
        decode,
        interpolation: Interpolation::Bilinear,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    }
}
