//! The sums of an objective over images, and its gradients.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Sums over images.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Objective {
    /// The classes' loss.
    pub(super) classes: f64,
    /// The boxes' loss, with its weight.
    pub(super) boxes: f64,
    /// The loss of whether there is an object.
    pub(super) objectness: f64,
    /// The loss of the boxes' values.
    pub(super) values: f64,
    /// What all are divided by where it is above one: the sum of the IoUs of all matched points, or their number.
    pub(super) divisor: f64,
}

impl Objective {
    /// Adds the sums over other images.
    pub fn add(&mut self, other: Self) {
        self.classes += other.classes;
        self.boxes += other.boxes;
        self.objectness += other.objectness;
        self.values += other.values;
        self.divisor += other.divisor;
    }

    /// What the sums are divided by: of quality focal loss and GIoU, the sum of the matched points' IoUs, and of
    /// YOLOX's losses, their number; at least one.
    pub fn divisor(&self) -> f64 {
        self.divisor.max(1.0)
    }

    /// The loss.
    pub fn value(&self) -> f64 {
        (self.classes + self.boxes + self.objectness + self.values) / self.divisor()
    }

    /// The classes' part of the loss.
    pub fn classes(&self) -> f64 {
        self.classes / self.divisor()
    }

    /// The boxes' part of the loss.
    pub fn boxes(&self) -> f64 {
        self.boxes / self.divisor()
    }

    /// The part of whether there is an object.
    pub fn objectness(&self) -> f64 {
        self.objectness / self.divisor()
    }

    /// The part of the distances between the values of the predicted and the labelled boxes, which is there in a
    /// phase's closing epochs.
    pub fn values(&self) -> f64 {
        self.values / self.divisor()
    }
}

/// Gradients of the objective by a detector's outputs, in the order of [`Outputs`](crate::detect::Outputs).
pub struct Gradients {
    /// `[batch, points, classes]`
    pub logits: Vec<f32>,
    /// `[batch, points]`; empty where a detector has none.
    pub objectness: Vec<f32>,
    /// `[batch, points, 4]`
    pub boxes: Vec<f32>,
}

/// Gradients that one task multiplies: 64 KB.
const CHUNK: usize = 16 * 1024;

impl Gradients {
    /// Zeros for images of so many points and classes.
    pub(super) fn zeros(
        images: usize,
        [points, classes]: [usize; 2],
        has_objectness: bool,
    ) -> Self {
        let objectness = if has_objectness { images * points } else { 0 };
        Self {
            logits: vec![0.0; images * points * classes],
            objectness: vec![0.0; objectness],
            boxes: vec![0.0; images * points * 4],
        }
    }

    /// The part of each image, of so many points and classes.
    pub(super) fn images(
        &mut self,
        [points, classes]: [usize; 2],
    ) -> impl Iterator<Item = ImagePart<'_>> {
        let logits = self.logits.chunks_mut(points * classes);
        let mut objectness = self.objectness.chunks_mut(points);
        let images = logits.zip(self.boxes.chunks_mut(4 * points));
        images.map(move |(logits, boxes)| ImagePart {
            objective: Objective::default(),
            logits,
            objectness: objectness.next().unwrap_or_default(),
            boxes,
        })
    }

    /// Multiplies all by a factor.
    pub(super) fn scale(&mut self, factor: f32) {
        for values in [&mut self.logits, &mut self.objectness, &mut self.boxes] {
            let chunks = values.par_chunks_mut(CHUNK);
            chunks.for_each(|chunk| chunk.iter_mut().for_each(|value| *value *= factor));
        }
    }
}

/// An image's part of the objective, and the places of its gradients before the division, which are zero at first.
pub(super) struct ImagePart<'a> {
    pub objective: Objective,
    pub logits: &'a mut [f32],
    pub objectness: &'a mut [f32],
    pub boxes: &'a mut [f32],
}
