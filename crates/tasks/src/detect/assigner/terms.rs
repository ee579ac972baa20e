//! What assigners work on: labelled boxes, predictions, their distance, and matches.

use super::super::boxes::{Corners, Point};

/// A labelled box in pixels of the network's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Truth {
    /// Index of its class.
    pub class: usize,
    /// The box.
    pub corners: Corners,
}

/// The box that a point is assigned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Index of the truth.
    pub truth: usize,
    /// IoU with the box that the point predicts now, 0..1: the soft label.
    pub iou: f32,
}

/// The current predictions of an image's points.
#[derive(Clone, Copy)]
pub struct Predicted<'a> {
    /// Logits `[points, classes]`.
    pub logits: &'a [f32],
    /// Logits by point of whether there is an object, where a detector has them.
    pub objectness: Option<&'a [f32]>,
    /// One box per point.
    pub boxes: &'a [Corners],
    /// Number of classes.
    pub classes: usize,
}

impl<'a> Predicted<'a> {
    /// Logits of a point's classes.
    pub(super) fn logits_of(&self, point: usize) -> &'a [f32] {
        &self.logits[point * self.classes..(point + 1) * self.classes]
    }
}

/// The centre of a box.
pub(super) fn center([x1, y1, x2, y2]: Corners) -> [f32; 2] {
    [0.5 * (x1 + x2), 0.5 * (y1 + y2)]
}

/// Distance from a point to a box's centre, in strides.
pub(super) fn distance(point: &Point, corners: Corners) -> f32 {
    let [x, y] = center(corners);
    ((point.x - x).powi(2) + (point.y - y).powi(2)).sqrt() / point.stride
}
