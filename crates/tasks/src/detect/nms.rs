//! Non-maximum suppression: from one box per point to the few worth showing.

use super::boxes::{Corners, Point, iou};
use super::loss::sigmoid;

/// A detected box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Index of its class.
    pub class: usize,
    /// Score, 0..1.
    pub score: f32,
    /// Its box, in pixels of the network's input.
    pub corners: Corners,
}

/// The boxes that are selected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selection {
    /// Lowest score.
    pub confidence: f32,
    /// IoU above which, of two boxes of one class, only the one with the higher score stays.
    pub overlap: f32,
    /// Most boxes of an image.
    pub boxes: usize,
}

impl Selection {
    /// Selection for a metric, which needs boxes of low scores, too.
    pub const EVALUATION: Self = Self {
        confidence: 0.001,
        overlap: 0.65,
        boxes: 300,
    };
    /// Selection for display.
    pub const PREDICTION: Self = Self {
        confidence: 0.25,
        ..Self::EVALUATION
    };
}

/// Most boxes that enter suppression, the highest scores first.
const CANDIDATES: usize = 3_000;

/// The boxes of an image from logits `[points, classes]` and one prediction per point, the highest score first; of equal
/// ones, the first point's and class's.
pub fn select(
    points: &[Point],
    logits: &[f32],
    predictions: &[[f32; 4]],
    selection: Selection,
) -> Vec<Found> {
    let classes = logits.len() / points.len().max(1);
    let mut candidates: Vec<(usize, usize, f32)> = Vec::new();
    for (point, logits) in logits.chunks(classes.max(1)).enumerate() {
        for (class, logit) in logits.iter().enumerate() {
            let score = sigmoid(*logit);
            if score >= selection.confidence {
                candidates.push((point, class, score));
            }
        }
    }
    candidates.sort_by(|a, b| b.2.total_cmp(&a.2));
    candidates.truncate(CANDIDATES);
    let found = candidates.into_iter().map(|(point, class, score)| Found {
        class,
        score,
        corners: points[point].decode(predictions[point]),
    });
    suppress(found.collect(), selection)
}

/// Greedy suppression within each class; `found` is in falling order of the scores.
fn suppress(found: Vec<Found>, selection: Selection) -> Vec<Found> {
    let mut kept: Vec<Found> = Vec::new();
    for candidate in found {
        if kept.len() == selection.boxes {
            break;
        }
        let overlaps = |other: &Found| {
            other.class == candidate.class
                && iou(other.corners, candidate.corners) > selection.overlap
        };
        if !kept.iter().any(overlaps) {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(class: usize, score: f32, corners: Corners) -> Found {
        Found {
            class,
            score,
            corners,
        }
    }

    const HALF: Selection = Selection {
        confidence: 0.0,
        overlap: 0.5,
        boxes: 300,
    };

    #[test]
    fn the_higher_score_of_two_boxes_of_a_class_stays_and_other_classes_do_not_matter() {
        let boxes = vec![
            found(0, 0.9, [0., 0., 10., 10.]),
            found(0, 0.8, [1., 0., 11., 10.]),
            found(1, 0.7, [1., 0., 11., 10.]),
            found(0, 0.6, [20., 0., 30., 10.]),
        ];
        let kept = suppress(boxes.clone(), HALF);
        assert_eq!(kept, [boxes[0], boxes[2], boxes[3]]);
    }

    #[test]
    fn no_more_boxes_are_kept_than_asked_for() {
        let boxes = (0..9).map(|i| found(0, 0.5, [20. * i as f32, 0., 20. * i as f32 + 9., 9.]));
        let few = Selection { boxes: 4, ..HALF };
        assert_eq!(suppress(boxes.collect(), few).len(), 4);
    }

    #[test]
    fn boxes_below_the_confidence_are_not_shown() {
        let points = super::super::boxes::points(32);
        let mut logits = vec![-5.0; points.len() * 2];
        logits[2 * 3 + 1] = 1.0;
        let predictions = vec![[0.0; 4]; points.len()];
        let shown = select(&points, &logits, &predictions, Selection::PREDICTION);
        assert_eq!(shown.len(), 1);
        assert_eq!(
            (shown[0].class, shown[0].corners),
            (1, points[3].decode([0.0; 4]))
        );
        assert!(select(&[], &[], &[], Selection::PREDICTION).is_empty());
    }

    proptest! {
        /// A box stays if and only if no box of its class with a higher score that stays overlaps it.
        #[test]
        fn suppression_is_its_definition(
            raw in prop::collection::vec((0usize..3, 0.0f32..1.0, 0.0f32..40.0, 0.0f32..40.0, 1.0f32..30.0), 0..40)
        ) {
            let mut boxes: Vec<Found> = raw
                .into_iter()
                .map(|(class, score, x, y, side)| found(class, score, [x, y, x + side, y + side]))
                .collect();
            boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
            let kept = suppress(boxes.clone(), HALF);
            let mut stays = vec![true; boxes.len()];
            for later in 0..boxes.len() {
                for sooner in 0..later {
                    if stays[sooner]
                        && boxes[sooner].class == boxes[later].class
                        && iou(boxes[sooner].corners, boxes[later].corners) > 0.5
                    {
                        stays[later] = false;
                    }
                }
            }
            let expected: Vec<Found> = boxes
                .iter()
                .zip(stays)
                .filter(|(_, stays)| *stays)
                .map(|(found, _)| *found)
                .collect();
            prop_assert_eq!(kept, expected);
        }
    }
}
