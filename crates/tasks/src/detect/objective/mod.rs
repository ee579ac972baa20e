//! The objective of a detector's training on a batch, and its gradients by the detector's outputs. Which boxes the
//! points learn, and by which losses, is the affair of the detector's [`Assignment`].

mod sim_ota;
mod soft_labels;

#[cfg(test)]
mod tests;

use rayon::prelude::*;
use warmstart_models::detector::Assignment;

use super::assigner::{Predicted, assign};
use super::boxes::Corners;
use super::outputs::{ImageOutputs, Outputs};
use super::target::Target;

pub use super::assigner::{Match, Truth};

/// Sums over images.
#[derive(Clone, Copy, Debug, Default)]
pub struct Objective {
    /// The classes' loss.
    classes: f64,
    /// The boxes' loss, with its weight.
    boxes: f64,
    /// The loss of whether there is an object.
    objectness: f64,
    /// The loss of the boxes' values.
    values: f64,
    /// What all are divided by where it is above one: the sum of the IoUs of all matched points, or their number.
    divisor: f64,
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

/// Gradients of the objective by a detector's outputs, in the order of [`Outputs`].
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
    fn zeros(images: usize, [points, classes]: [usize; 2], has_objectness: bool) -> Self {
        let objectness = if has_objectness { images * points } else { 0 };
        Self {
            logits: vec![0.0; images * points * classes],
            objectness: vec![0.0; objectness],
            boxes: vec![0.0; images * points * 4],
        }
    }

    /// The part of each image, of so many points and classes.
    fn images(&mut self, [points, classes]: [usize; 2]) -> impl Iterator<Item = ImagePart<'_>> {
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
    fn scale(&mut self, factor: f32) {
        for values in [&mut self.logits, &mut self.objectness, &mut self.boxes] {
            let chunks = values.par_chunks_mut(CHUNK);
            chunks.for_each(|chunk| chunk.iter_mut().for_each(|value| *value *= factor));
        }
    }
}

/// An image's part of the objective, and the places of its gradients before the division, which are zero at first.
struct ImagePart<'a> {
    objective: Objective,
    logits: &'a mut [f32],
    objectness: &'a mut [f32],
    boxes: &'a mut [f32],
}

/// The objective of a batch.
pub fn of(outputs: &Outputs, targets: &[Target], assignment: Assignment) -> Objective {
    let images: Vec<_> = outputs.images().zip(targets).collect();
    let parts = images.into_par_iter().map(|(outputs, target)| {
        let sizes = [outputs.points.len(), outputs.classes];
        let mut gradients = Gradients::zeros(1, sizes, outputs.objectness.is_some());
        let part = gradients.images(sizes).next();
        image_part(&outputs, target, assignment, part.expect("an image"))
    });
    sum(&parts.collect::<Vec<_>>())
}

/// The objective of a batch and its gradients. The matches, their IoUs and the divisor count as constants.
pub fn with_gradients(
    outputs: &Outputs,
    targets: &[Target],
    assignment: Assignment,
) -> (Objective, Gradients) {
    let sizes = [outputs.points.len(), outputs.classes];
    let mut gradients = Gradients::zeros(targets.len(), sizes, outputs.objectness.is_some());
    let images = outputs.images().zip(targets).zip(gradients.images(sizes));
    let images: Vec<_> = images.collect();
    // Each image is one task: the result does not depend on the number of threads.
    let parts = images
        .into_par_iter()
        .map(|((outputs, target), part)| image_part(&outputs, target, assignment, part));
    let whole = sum(&parts.collect::<Vec<_>>());
    gradients.scale((1.0 / whole.divisor()) as f32);
    (whole, gradients)
}

/// The box of each point of each image, if any.
pub fn matches(
    outputs: &Outputs,
    targets: &[Target],
    assignment: Assignment,
) -> Vec<Vec<Option<Match>>> {
    let images = outputs.images().zip(targets);
    images
        .map(|(outputs, target)| {
            matches_of(&outputs, &outputs.decoded(), &target.truths, assignment)
        })
        .collect()
}

fn sum(parts: &[Objective]) -> Objective {
    let mut whole = Objective::default();
    for part in parts {
        whole.add(*part);
    }
    whole
}

/// An image's part of the objective, whose gradients go to the places of `part`.
fn image_part(
    outputs: &ImageOutputs,
    target: &Target,
    assignment: Assignment,
    mut part: ImagePart,
) -> Objective {
    let decoded = outputs.decoded();
    let matches = matches_of(outputs, &decoded, &target.truths, assignment);
    match assignment {
        Assignment::NearCenters | Assignment::SoftLabels => {
            soft_labels::add(&mut part, outputs, &decoded, &matches, target);
        }
        Assignment::SimOta => sim_ota::add(&mut part, outputs, &decoded, &matches, target),
    }
    part.objective
}

fn matches_of(
    outputs: &ImageOutputs,
    decoded: &[Corners],
    truths: &[Truth],
    assignment: Assignment,
) -> Vec<Option<Match>> {
    let predicted = Predicted {
        logits: outputs.logits,
        objectness: outputs.objectness,
        boxes: decoded,
        classes: outputs.classes,
    };
    assign(assignment, outputs.points, predicted, truths)
}
