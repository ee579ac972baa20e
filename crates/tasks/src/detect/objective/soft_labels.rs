//! RTMDet's losses (arXiv 2212.07784, section 3.3): quality focal loss over all points, and GIoU loss over the points
//! with a box.

use super::super::assigner::Match;
use super::super::boxes::Corners;
use super::super::loss::{giou, quality_focal};
use super::super::outputs::ImageOutputs;
use super::super::target::Target;
use super::sums::ImagePart;

/// Weight of the boxes' loss.
const BOX_WEIGHT: f32 = 2.0;

/// Adds the losses of an image to its part; `decoded` and `matches` are those of its points.
pub(super) fn add(
    part: &mut ImagePart,
    outputs: &ImageOutputs,
    decoded: &[Corners],
    matches: &[Option<Match>],
    target: &Target,
) {
    let classes = outputs.classes;
    for (index, found) in matches.iter().enumerate() {
        let point = &outputs.points[index];
        if found.is_none() && target.is_in_crowd(point) {
            continue;
        }
        let label = found.map(|Match { truth, iou }| (target.truths[truth].class, iou));
        let gradients = &mut part.logits[index * classes..(index + 1) * classes];
        let logits = outputs.logits_of(index).iter().zip(gradients);
        for (class, (logit, gradient)) in logits.enumerate() {
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
        // A box without an IoU has no weight, and may have no area.
        if iou == 0.0 {
            continue;
        }
        let weight = BOX_WEIGHT * iou;
        let slope = giou(decoded[index], target.truths[truth].corners);
        part.objective.boxes += f64::from(weight * slope.loss);
        part.objective.divisor += f64::from(iou);
        let gradient = point.decode_gradient(outputs.coding, outputs.boxes[index], slope.gradient);
        for (sum, gradient) in part.boxes[4 * index..].iter_mut().zip(gradient) {
            *sum = weight * gradient;
        }
    }
}
