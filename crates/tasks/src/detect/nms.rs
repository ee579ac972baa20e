//! Non-maximum suppression: from one box per point to the few worth showing.

use super::boxes::{Corners, iou};
use super::outputs::{ImageOutputs, score};

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
    /// Whether that holds for two boxes of different classes, too.
    pub across_classes: bool,
}

impl Selection {
    /// Selection for a metric, which needs boxes of low scores, too.
    pub const EVALUATION: Self = Self {
        confidence: 0.001,
        overlap: 0.65,
        boxes: 300,
        across_classes: false,
    };
    /// Selection for display.
    pub const PREDICTION: Self = Self {
        confidence: 0.25,
        ..Self::EVALUATION
    };
}

/// Most boxes that enter suppression, the highest scores first.
const CANDIDATES: usize = 3_000;

/// Highest confidence below which a logit alone tells that a score is too low: above it, scores of different logits are
/// nearly equal.
const MOST_BOUNDED: f32 = 0.99;

/// A logit below which no score reaches a confidence; it may be lower than the highest of these.
fn hopeless_logit(confidence: f32) -> f32 {
    if confidence > MOST_BOUNDED {
        return f32::NEG_INFINITY;
    }
    (confidence / (1.0 - confidence)).ln() - 1e-3
}

/// The boxes of an image, the highest score first; of equal ones, the first point's and class's.
pub(super) fn select(image: ImageOutputs, selection: Selection) -> Vec<Found> {
    // Most logits are far below, and a comparison is cheaper than an exponential.
    let hopeless = hopeless_logit(selection.confidence);
    let mut candidates: Vec<(usize, usize, f32)> = Vec::new();
    for point in 0..image.points.len() {
        let object = image.object_score(point);
        // The score of a class is no higher.
        if object.is_some_and(|object| object < selection.confidence) {
            continue;
        }
        for (class, logit) in image.logits_of(point).iter().enumerate() {
            if *logit < hopeless {
                continue;
            }
            let score = score(*logit, object);
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
        corners: image.corners(point),
    });
    suppress(found.collect(), selection)
}

/// Greedy suppression within each class, or across them; `found` is in falling order of the scores.
pub(super) fn suppress(found: Vec<Found>, selection: Selection) -> Vec<Found> {
    let mut kept: Vec<Found> = Vec::new();
    for candidate in found {
        if kept.len() == selection.boxes {
            break;
        }
        let overlaps = |other: &Found| {
            (selection.across_classes || other.class == candidate.class)
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
    use warmstart_models::detector::Coding;

    use super::super::boxes::{Point, points};
    use super::super::loss::sigmoid;
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
        across_classes: false,
    };

    /// Outputs of a detector of one class with objectness or without.
    fn of_one_class<'a>(
        points: &'a [Point],
        logits: &'a [f32],
        objectness: Option<&'a [f32]>,
        boxes: &'a [[f32; 4]],
    ) -> ImageOutputs<'a> {
        ImageOutputs {
            points,
            classes: 1,
            coding: Coding::Centers,
            logits,
            objectness,
            boxes,
        }
    }

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
    fn across_classes_the_higher_score_stays() {
        let boxes = vec![
            found(0, 0.9, [0., 0., 10., 10.]),
            found(1, 0.8, [1., 0., 11., 10.]),
            found(2, 0.7, [20., 0., 30., 10.]),
        ];
        let across = Selection {
            across_classes: true,
            ..HALF
        };
        assert_eq!(suppress(boxes.clone(), across), [boxes[0], boxes[2]]);
    }

    #[test]
    fn boxes_below_the_confidence_are_not_shown() {
        let points = points(32, Coding::Logarithms);
        let mut logits = vec![-5.0; points.len() * 2];
        logits[2 * 3 + 1] = 1.0;
        let boxes = vec![[0.0; 4]; points.len()];
        let image = ImageOutputs {
            points: &points,
            classes: 2,
            coding: Coding::Logarithms,
            logits: &logits,
            objectness: None,
            boxes: &boxes,
        };
        let shown = select(image, Selection::PREDICTION);
        assert_eq!(shown.len(), 1);
        assert_eq!(
            (shown[0].class, shown[0].corners),
            (1, points[3].decode(Coding::Logarithms, [0.0; 4]))
        );
        let nothing = of_one_class(&[], &[], None, &[]);
        assert!(select(nothing, Selection::PREDICTION).is_empty());
    }

    #[test]
    fn the_score_of_being_an_object_counts() {
        let points = points(32, Coding::Centers);
        let (logits, boxes) = (vec![5.0; points.len()], vec![[0.0; 4]; points.len()]);
        let mut objectness = vec![-5.0; points.len()];
        objectness[7] = 0.0;
        let image = of_one_class(&points, &logits, Some(&objectness), &boxes);
        let shown = select(image, Selection::PREDICTION);
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0].score, 0.5 * sigmoid(5.0));
        assert_eq!(
            shown[0].corners,
            points[7].decode(Coding::Centers, [0.0; 4])
        );
    }

    #[test]
    fn boxes_without_area_do_not_suppress_and_nothing_panics_on_them() {
        let points = points(32, Coding::Distances);
        let logits = vec![2.0; points.len()];
        let mut boxes = vec![[-1.0; 4]; points.len()];
        boxes[0] = [f32::NAN; 4];
        let image = ImageOutputs {
            coding: Coding::Distances,
            ..of_one_class(&points, &logits, None, &boxes)
        };
        assert_eq!(select(image, Selection::PREDICTION).len(), points.len());
    }

    proptest! {
        #[test]
        fn a_hopeless_logit_reaches_no_confidence(
            logit in -20.0f32..20.0, confidence in 0.0f32..1.0
        ) {
            if sigmoid(logit) >= confidence {
                prop_assert!(logit >= hopeless_logit(confidence));
            }
        }

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
