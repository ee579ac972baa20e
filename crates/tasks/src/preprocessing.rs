//! The preprocessing that an architecture's pretrained weights expect, at any image size.

use warmstart_data::{Decode, Fit, Interpolation, Preprocessing};
use warmstart_models::{self as models, Pretrained};

/// The preprocessing for `fit`, of every pixel; a crop is in the proportion that the weights were evaluated at.
pub fn for_size(pretrained: &Pretrained, image_size: usize, fit: Fit) -> Preprocessing {
    Preprocessing {
        resize: pretrained.resized(image_size),
        crop: image_size,
        fit,
        decode: Decode::Full,
        interpolation: match pretrained.interpolation {
            models::Interpolation::Bilinear => Interpolation::Bilinear,
            models::Interpolation::Bicubic => Interpolation::Bicubic,
        },
        mean: pretrained.mean,
        std: pretrained.deviation,
    }
}

/// The preprocessing of a detector: the whole picture in its square.
pub fn letterboxed(pretrained: &Pretrained, image_size: usize) -> Preprocessing {
    Preprocessing {
        resize: image_size,
        ..for_size(pretrained, image_size, Fit::Letterbox)
    }
}
