//! The objects in a picture, for detection.

use serde::{Deserialize, Serialize};

/// A rectangle in a picture, in pixels: x goes right, y goes down, and the picture spans 0 to its
/// width and 0 to its height, so that a box of one pixel is 1 wide.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundingBox {
    /// Smallest x.
    pub left: f64,
    /// Smallest y.
    pub top: f64,
    /// Largest x.
    pub right: f64,
    /// Largest y.
    pub bottom: f64,
}

impl BoundingBox {
    /// Extent in x, in pixels.
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    /// Extent in y, in pixels.
    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// In pixels².
    pub fn area(&self) -> f64 {
        self.width() * self.height()
    }

    /// `[left, top, right, bottom]`
    pub fn corners(&self) -> [f64; 4] {
        [self.left, self.top, self.right, self.bottom]
    }

    /// The part inside a picture of that size; empty boxes stay where they are outside of it.
    pub fn clipped(&self, width: f64, height: f64) -> Self {
        Self {
            left: self.left.clamp(0.0, width),
            top: self.top.clamp(0.0, height),
            right: self.right.clamp(0.0, width),
            bottom: self.bottom.clamp(0.0, height),
        }
    }
}

/// A labelled object.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Index into the class names.
    pub class: usize,
    /// Its box.
    pub bounds: BoundingBox,
    /// Its area in pixels²: the box's, unless the data set gives that of the object's outline (COCO).
    pub area: f64,
    /// A box around a crowd of objects (COCO): not learned from, and a detection in it counts
    /// neither as right nor as wrong.
    pub crowd: bool,
    /// Marked as difficult (VOC): learned from, and left out of the VOC metric.
    pub difficult: bool,
}

/// A picture's size and its objects; no object is a label, too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// Width of the decoded picture in pixels.
    pub width: usize,
    /// Height of the decoded picture in pixels.
    pub height: usize,
    /// The objects, in the order of their file.
    pub objects: Vec<Object>,
}
