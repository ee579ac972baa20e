//! Boxes that are compared: true objects and detections.

/// An object that is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Index of its class.
    pub class: usize,
    /// Left, top, right and bottom in pixels, as a continuous rectangle: a box of one pixel is 1 wide.
    pub bounds: [f64; 4],
    /// Pixels² that decide whether it is small, medium or large. COCO takes the annotation's own
    /// area, which is that of the object's outline, not of its box.
    pub area: f64,
    /// COCO's `iscrowd`: a region with many objects. It need not be found, and detections in it
    /// count neither for nor against a model.
    pub crowd: bool,
    /// VOC's `difficult`: in VOC's figures it need not be found, in COCO's it is like any other.
    pub difficult: bool,
}

/// An object that a model says is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detected {
    /// Index of its class.
    pub class: usize,
    /// How sure the model is; only the order matters.
    pub score: f64,
    /// Left, top, right and bottom in pixels, as a continuous rectangle: a box of one pixel is 1 wide.
    pub bounds: [f64; 4],
}
