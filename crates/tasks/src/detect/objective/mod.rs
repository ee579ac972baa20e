//! The objective of a detector's training on a batch, and its gradients by the detector's outputs. Which boxes the
//! points learn, and by which losses, is the affair of the detector's [`Assignment`].

mod sim_ota;
mod soft_labels;
mod sums;

#[cfg(test)]
mod tests;

use rayon::prelude::*;
use warmstart_models::detector::Assignment;

use super::assigner::{Predicted, assign};
use super::boxes::Corners;
use super::outputs::{ImageOutputs, Outputs};
use super::target::Target;

pub use super::assigner::{Match, Truth};
pub use sums::{Gradients, Objective};

use sums::ImagePart;

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
