//! True and detected objects.

use serde::{Deserialize, Serialize};

/// A labelled object in an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Index of its class.
    pub class: usize,
    /// Left, top, right and bottom in pixels, as a continuous rectangle: a box of one pixel is 1 wide.
    pub bounds: [f64; 4],
    /// Area in pixels² that decides whether the object is small, medium or large. COCO uses the annotation's
    /// area, which is that of the object's outline, not of its box.
    pub area: f64,
    /// COCO's `iscrowd`: a region with many objects. It need not be found, and detections in it
    /// count neither for nor against a model.
    pub crowd: bool,
    /// VOC's `difficult`: in VOC's figures it need not be found; COCO's treat it like any other.
    pub difficult: bool,
}

/// An object that a model detected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detected {
    /// Index of its class.
    pub class: usize,
    /// Confidence of the model; only the order matters.
    pub score: f64,
    /// Left, top, right and bottom in pixels, as a continuous rectangle: a box of one pixel is 1 wide.
    pub bounds: [f64; 4],
}
