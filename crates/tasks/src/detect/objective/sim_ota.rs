//! YOLOX's losses, as its published code has them: cross entropy of being an object over all points; over those with a
//! box, cross entropy of the classes with the IoU as the target, and `1 − IoU²`; and in closing epochs the distances
//! between the boxes' values.

use super::super::assigner::Match;
use super::super::boxes::Corners;
use super::super::loss::{Slope, cross_entropy, squared_iou};
use super::super::outputs::ImageOutputs;
use super::super::target::Target;
use super::sums::ImagePart;

/// Weight of the boxes' loss.
const BOX_WEIGHT: f32 = 5.0;

/// Adds the losses of an image to its part; `decoded` and `matches` are those of its points.
pub(super) fn add(
    part: &mut ImagePart,
    outputs: &ImageOutputs,
    decoded: &[Corners],
    matches: &[Option<Match>],
    target: &Target,
) {
    add_objectness(part, outputs, matches, target);
    for (index, found) in matches.iter().enumerate() {
        if let Some(found) = *found {
            add_match(part, outputs, (index, decoded[index]), found, target);
        }
    }
}

fn add_objectness(
    part: &mut ImagePart,
    outputs: &ImageOutputs,
    matches: &[Option<Match>],
    target: &Target,
) {
    let logits = outputs.objectness.unwrap_or_default();
    let gradients = part.objectness.iter_mut();
    for (index, (logit, gradient)) in logits.iter().zip(gradients).enumerate() {
        let is_matched = matches[index].is_some();
        if !is_matched && target.is_in_crowd(&outputs.points[index]) {
            continue;
        }
        let slope = cross_entropy(*logit, if is_matched { 1.0 } else { 0.0 });
        part.objective.objectness += f64::from(slope.loss);
        *gradient = slope.gradient;
    }
}

/// Adds the losses of a point's classes and box.
fn add_match(
    part: &mut ImagePart,
    outputs: &ImageOutputs,
    (index, corners): (usize, Corners),
    found: Match,
    target: &Target,
) {
    let truth = &target.truths[found.truth];
    part.objective.divisor += 1.0;
    let gradients = &mut part.logits[index * outputs.classes..];
    let logits = outputs.logits_of(index).iter().zip(gradients);
    for (class, (logit, gradient)) in logits.enumerate() {
        let quality = if class == truth.class { found.iou } else { 0.0 };
        let slope = cross_entropy(*logit, quality);
        part.objective.classes += f64::from(slope.loss);
        *gradient = slope.gradient;
    }
    let (point, values) = (&outputs.points[index], outputs.boxes[index]);
    let slope = squared_iou(corners, truth.corners);
    part.objective.boxes += f64::from(BOX_WEIGHT * slope.loss);
    let by_box = point.decode_gradient(outputs.coding, values, slope.gradient);
    let by_values = if target.closing {
        let Slope { loss, gradient } = distance(values, point.centers_of(truth.corners));
        part.objective.values += f64::from(loss);
        gradient
    } else {
        [0.0; 4]
    };
    for side in 0..4 {
        part.boxes[4 * index + side] = BOX_WEIGHT * by_box[side] + by_values[side];
    }
}

/// The sum of the distances between the values of two boxes, with the gradient by the first.
fn distance(values: [f32; 4], expected: [f32; 4]) -> Slope<[f32; 4]> {
    let apart: [f32; 4] = std::array::from_fn(|side| values[side] - expected[side]);
    Slope {
        loss: apart.iter().map(|apart| apart.abs()).sum(),
        gradient: apart.map(|apart| if apart == 0.0 { 0.0 } else { apart.signum() }),
    }
}
