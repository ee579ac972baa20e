//! The objective of a detector's training on a batch: quality focal loss over all points, and GIoU loss over the points
//! with a box, both divided by the sum of the IoUs of the matched points.

use rayon::prelude::*;

use super::assigner::{Match, Predicted, assign};
use super::boxes::{Corners, Point};
use super::loss::{giou, quality_focal};
use super::target::Target;

/// Weight of the boxes' loss (RTMDet, arXiv 2212.07784, section 3.3).
const BOX_WEIGHT: f32 = 2.0;

/// The outputs of a detector for a batch.
pub struct Outputs<'a> {
    /// The points of the predictions.
    pub points: &'a [Point],
    /// Number of classes.
    pub classes: usize,
    /// `[batch, points, classes]`
    pub logits: Vec<f32>,
    /// `[batch, points]`
    pub boxes: Vec<[f32; 4]>,
}

impl Outputs<'_> {
    /// Logits and boxes of each image.
    pub fn images(&self) -> impl Iterator<Item = (&[f32], &[[f32; 4]])> {
        let count = self.points.len();
        let logits = self.logits.chunks(count * self.classes);
        logits.zip(self.boxes.chunks(count))
    }
}

/// Sums over images.
#[derive(Clone, Copy, Debug, Default)]
pub struct Objective {
    classes: f64,
    boxes: f64,
    /// Sum of the IoUs of all matched points.
    fit: f64,
}

impl Objective {
    /// Adds the sums over other images.
    pub fn add(&mut self, other: Self) {
        self.classes += other.classes;
        self.boxes += other.boxes;
        self.fit += other.fit;
    }

    fn norm(&self) -> f64 {
        self.fit.max(1.0)
    }

    /// The loss.
    pub fn value(&self) -> f64 {
        (self.classes + self.boxes) / self.norm()
    }
}

/// Gradients of the objective by a detector's outputs, in the order of [`Outputs`].
pub struct Gradients {
    /// `[batch, points, classes]`
    pub logits: Vec<f32>,
    /// `[batch, points, 4]`
    pub boxes: Vec<f32>,
}

/// An image's part of the objective and, if requested, its gradients before the division.
struct ImagePart {
    objective: Objective,
    logits: Vec<f32>,
    boxes: Vec<f32>,
}

/// The objective of a batch.
pub fn of(outputs: &Outputs, targets: &[Target]) -> Objective {
    sum(&parts(outputs, targets))
}

/// The objective of a batch and its gradients. The soft labels, the IoUs and their sum count as constants.
pub fn with_gradients(outputs: &Outputs, targets: &[Target]) -> (Objective, Gradients) {
    let parts = parts(outputs, targets);
    let whole = sum(&parts);
    let factor = (1.0 / whole.norm()) as f32;
    let joined = |values: fn(&ImagePart) -> &[f32]| {
        let all = parts.iter().flat_map(values);
        all.map(|gradient| gradient * factor).collect()
    };
    let gradients = Gradients {
        logits: joined(|part| &part.logits),
        boxes: joined(|part| &part.boxes),
    };
    (whole, gradients)
}

fn sum(parts: &[ImagePart]) -> Objective {
    let mut whole = Objective::default();
    for part in parts {
        whole.add(part.objective);
    }
    whole
}

/// The parts of the images, each computed by one thread: the result does not depend on the number of threads.
fn parts(outputs: &Outputs, targets: &[Target]) -> Vec<ImagePart> {
    let images: Vec<_> = outputs.images().zip(targets).collect();
    let part = |((logits, boxes), target): ((&[f32], &[[f32; 4]]), &Target)| {
        image_part(outputs.points, outputs.classes, logits, boxes, target)
    };
    images.into_par_iter().map(part).collect()
}

fn image_part(
    points: &[Point],
    classes: usize,
    logits: &[f32],
    boxes: &[[f32; 4]],
    target: &Target,
) -> ImagePart {
    let decoded: Vec<Corners> = points
        .iter()
        .zip(boxes)
        .map(|(p, b)| p.decode(*b))
        .collect();
    let predicted = Predicted {
        logits,
        boxes: &decoded,
        classes,
    };
    let matches = assign(points, predicted, &target.truths);
    let mut part = ImagePart {
        objective: Objective::default(),
        logits: vec![0.0; logits.len()],
        boxes: vec![0.0; 4 * boxes.len()],
    };
    for (index, found) in matches.iter().enumerate() {
        let row = index * classes..(index + 1) * classes;
        let in_crowd = || {
            target
                .crowds
                .iter()
                .any(|crowd| points[index].is_in(*crowd))
        };
        if found.is_none() && in_crowd() {
            continue;
        }
        let label = found.map(|Match { truth, iou }| (target.truths[truth].class, iou));
        for (class, (logit, gradient)) in logits[row.clone()]
            .iter()
            .zip(&mut part.logits[row])
            .enumerate()
        {
            let quality = label
                .filter(|label| label.0 == class)
                .map_or(0.0, |label| label.1);
            let slope = quality_focal(*logit, quality);
            part.objective.classes += f64::from(slope.loss);
            *gradient = slope.gradient;
        }
        let Some(Match { truth, iou }) = *found else {
            continue;
        };
        let weight = BOX_WEIGHT * iou;
        let slope = giou(decoded[index], target.truths[truth].corners);
        part.objective.boxes += f64::from(weight * slope.loss);
        part.objective.fit += f64::from(iou);
        let gradient = points[index].decode_gradient(boxes[index], slope.gradient);
        for (sum, gradient) in part.boxes[4 * index..].iter_mut().zip(gradient) {
            *sum = weight * gradient;
        }
    }
    part
}
