//! The gradients against differences of the losses in double precision, and what a loss may not depend on.

use rayon::ThreadPoolBuilder;
use warmstart_data::random::{Purpose, stream, unit};
use warmstart_models::detector::Coding;

use super::super::boxes::{Point, points};
use super::*;

const SIZE: usize = 64;
const CLASSES: usize = 3;
const ASSIGNMENTS: [Assignment; 3] = [
    Assignment::NearCenters,
    Assignment::SoftLabels,
    Assignment::SimOta,
];

/// The coding of the detectors with an assignment.
fn coding(assignment: Assignment) -> Coding {
    match assignment {
        Assignment::NearCenters => Coding::Logarithms,
        Assignment::SoftLabels => Coding::Distances,
        Assignment::SimOta => Coding::Centers,
    }
}

/// Outputs for two images.
fn outputs(points: &[Point], coding: Coding) -> Outputs<'_> {
    let mut random = stream(7, 0, 0, Purpose::Resampling);
    let mut values = |count: usize, [least, most]: [f64; 2]| -> Vec<f32> {
        let value = || (least + (most - least) * unit(&mut random)) as f32;
        std::iter::repeat_with(value).take(count).collect()
    };
    let count = 2 * points.len();
    let logits = values(count * CLASSES, [-4.0, 2.0]);
    let objectness = values(count, [-4.0, 2.0]);
    let (range, objectness) = match coding {
        Coding::Logarithms => ([-0.5, 1.0], None),
        Coding::Distances => ([-0.3, 2.5], None),
        Coding::Centers => ([-0.7, 1.2], Some(objectness)),
    };
    Outputs {
        points,
        classes: CLASSES,
        coding,
        logits,
        objectness,
        boxes: values(4 * count, range),
    }
}

/// Overlapping boxes, a tiny one and one on the border, beside a crowd; and an image with a crowd alone.
fn targets(closing: bool) -> [Target; 2] {
    let truth = |class, corners| Truth { class, corners };
    let truths = vec![
        truth(0, [4.3, 6.1, 37.2, 35.9]),
        truth(2, [18.2, 20.7, 50.1, 55.5]),
        truth(1, [41.3, 9.2, 43.1, 11.4]),
        truth(0, [52.4, 40.6, 64.0, 64.0]),
    ];
    let crowds = vec![[-1.0, 38.0, 21.0, 65.0]];
    [
        Target::of_boxes(truths, crowds.clone(), closing),
        Target::of_boxes(Vec::new(), crowds, closing),
    ]
}

/// The outputs in double precision, one after the other.
#[derive(Clone)]
struct Plain {
    logits: Vec<f64>,
    objectness: Vec<f64>,
    boxes: Vec<f64>,
}

/// A kind of output.
type Part = fn(&mut Plain) -> &mut Vec<f64>;

impl Plain {
    fn of(outputs: &Outputs) -> Self {
        let plain = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        Self {
            logits: plain(&outputs.logits),
            objectness: plain(outputs.objectness.as_deref().unwrap_or_default()),
            boxes: plain(&outputs.boxes),
        }
    }
}

fn decode(point: &Point, coding: Coding, values: &[f64]) -> [f64; 4] {
    let [x, y, s] = [point.x, point.y, point.stride].map(f64::from);
    let [a, b, c, d]: [f64; 4] = values.try_into().expect("four values");
    match coding {
        Coding::Logarithms => [
            x - a.exp() * s,
            y - b.exp() * s,
            x + c.exp() * s,
            y + d.exp() * s,
        ],
        Coding::Distances => [x - a * s, y - b * s, x + c * s, y + d * s],
        Coding::Centers => {
            let [x, y, w, h] = [x + a * s, y + b * s, c.exp() * s, d.exp() * s];
            [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0]
        }
    }
}

/// IoU and GIoU.
fn overlap(a: [f64; 4], b: [f64; 4]) -> [f64; 2] {
    let area = |[x1, y1, x2, y2]: [f64; 4]| (x2 - x1) * (y2 - y1);
    let extent = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
    let shared = extent(0) * extent(1);
    let hull = |i: usize| a[i + 2].max(b[i + 2]) - a[i].min(b[i]);
    let hull = hull(0) * hull(1);
    let union = area(a) + area(b) - shared;
    [shared / union, shared / union - (hull - union) / hull]
}

fn cross_entropy(logit: f64, target: f64) -> f64 {
    let score = 1.0 / (1.0 + (-logit).exp());
    -target * score.ln() - (1.0 - target) * (1.0 - score).ln()
}

/// The published formulas for given matches.
fn plainly(
    plain: &Plain,
    outputs: &Outputs,
    targets: &[Target],
    matches: &[Vec<Option<Match>>],
    assignment: Assignment,
) -> f64 {
    let (mut sum, mut divisor) = (0.0, 0.0);
    let count = outputs.points.len();
    for (image, (target, matches)) in targets.iter().zip(matches).enumerate() {
        for (index, (found, point)) in matches.iter().zip(outputs.points).enumerate() {
            let at = image * count + index;
            let in_crowd = target.crowds.iter().any(|crowd| point.is_in(*crowd));
            if found.is_none() && in_crowd {
                continue;
            }
            let label = found.map(|found| (target.truths[found.truth], f64::from(found.iou)));
            let quality = |class: usize| match label {
                Some((truth, iou)) if truth.class == class => iou,
                Some(_) | None => 0.0,
            };
            let logits = plain.logits[at * CLASSES..(at + 1) * CLASSES].iter();
            let logits = logits.enumerate();
            let values = &plain.boxes[4 * at..4 * at + 4];
            let corners = decode(point, outputs.coding, values);
            match (assignment, label) {
                (Assignment::NearCenters | Assignment::SoftLabels, label) => {
                    for (class, &logit) in logits {
                        let apart = 1.0 / (1.0 + (-logit).exp()) - quality(class);
                        sum += apart * apart * cross_entropy(logit, quality(class));
                    }
                    if let Some((truth, iou)) = label.filter(|label| label.1 > 0.0) {
                        let [_, giou] = overlap(corners, truth.corners.map(f64::from));
                        sum += 2.0 * iou * (1.0 - giou);
                        divisor += iou;
                    }
                }
                (Assignment::SimOta, None) => sum += cross_entropy(plain.objectness[at], 0.0),
                (Assignment::SimOta, Some((truth, _))) => {
                    sum += cross_entropy(plain.objectness[at], 1.0);
                    for (class, &logit) in logits {
                        sum += cross_entropy(logit, quality(class));
                    }
                    let [iou, _] = overlap(corners, truth.corners.map(f64::from));
                    sum += 5.0 * (1.0 - iou * iou);
                    divisor += 1.0;
                    if target.closing {
                        let [x1, y1, x2, y2] = truth.corners.map(f64::from);
                        let [x, y, s] = [point.x, point.y, point.stride].map(f64::from);
                        let expected = [
                            (x1 + x2) / 2.0 / s - x / s,
                            (y1 + y2) / 2.0 / s - y / s,
                            ((x2 - x1) / s + 1e-8).ln(),
                            ((y2 - y1) / s + 1e-8).ln(),
                        ];
                        let apart = values.iter().zip(expected).map(|(a, b)| (a - b).abs());
                        sum += apart.sum::<f64>();
                    }
                }
            }
        }
    }
    sum / f64::max(divisor, 1.0)
}

#[test]
fn the_objective_is_its_formulas_and_its_gradients_are_their_differences() {
    for (assignment, closing) in ASSIGNMENTS
        .into_iter()
        .flat_map(|a| [(a, false), (a, true)])
    {
        let points = points(SIZE, coding(assignment));
        let outputs = outputs(&points, coding(assignment));
        let targets = targets(closing);
        let matches = matches(&outputs, &targets, assignment);
        assert!(matches[0].iter().flatten().count() > 2);
        let (objective, gradients) = with_gradients(&outputs, &targets, assignment);
        let plain = Plain::of(&outputs);
        let loss = |plain: &Plain| plainly(plain, &outputs, &targets, &matches, assignment);
        assert!((objective.value() / loss(&plain) - 1.0).abs() < 1e-5);
        let parts: [(&[f32], Part); 3] = [
            (&gradients.logits, |plain| &mut plain.logits),
            (&gradients.objectness, |plain| &mut plain.objectness),
            (&gradients.boxes, |plain| &mut plain.boxes),
        ];
        for (part, (gradients, values)) in parts.into_iter().enumerate() {
            assert_eq!(gradients.len(), values(&mut plain.clone()).len());
            let mut moved = plain.clone();
            for (index, gradient) in gradients.iter().enumerate() {
                let value = values(&mut moved)[index];
                let mut at = |by: f64| {
                    values(&mut moved)[index] = value + by;
                    loss(&moved)
                };
                let step = 1e-6;
                let slope = (at(step) - at(-step)) / (2.0 * step);
                values(&mut moved)[index] = value;
                let apart = (f64::from(*gradient) - slope).abs();
                assert!(
                    apart < 1e-4 * (1.0 + slope.abs()),
                    "{assignment:?} {part} {index}: {gradient} {slope}"
                );
            }
        }
    }
}

#[test]
fn the_parts_of_the_loss_add_up_and_only_closing_epochs_compare_values() {
    for assignment in ASSIGNMENTS {
        let points = points(SIZE, coding(assignment));
        let outputs = outputs(&points, coding(assignment));
        let [open, closing] =
            [false, true].map(|closing| of(&outputs, &targets(closing), assignment));
        let whole = closing.classes() + closing.boxes() + closing.objectness() + closing.values();
        assert!((whole - closing.value()).abs() < 1e-9);
        assert_eq!(open.values(), 0.0);
        assert_eq!(closing.values() > 0.0, assignment == Assignment::SimOta);
        assert_eq!(closing.objectness() > 0.0, assignment == Assignment::SimOta);
        assert_eq!(open.boxes(), closing.boxes());
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    for assignment in ASSIGNMENTS {
        let points = points(SIZE, coding(assignment));
        let outputs = outputs(&points, coding(assignment));
        let [one, three] = [1, 3].map(|threads| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| {
                let (objective, gradients) = with_gradients(&outputs, &targets(true), assignment);
                let Gradients {
                    logits,
                    objectness,
                    boxes,
                } = gradients;
                (objective.value(), [logits, objectness, boxes])
            })
        });
        assert_eq!(one, three);
    }
}

#[test]
fn nothing_is_learned_in_a_crowd_and_without_boxes_the_divisor_is_one() {
    for assignment in ASSIGNMENTS {
        let points = points(SIZE, coding(assignment));
        let outputs = outputs(&points, coding(assignment));
        let [_, crowd] = targets(false);
        let targets = [Target::of_boxes(Vec::new(), Vec::new(), false), crowd];
        let (objective, gradients) = with_gradients(&outputs, &targets, assignment);
        assert_eq!(objective.divisor(), 1.0);
        assert_eq!(objective.boxes(), 0.0);
        assert!(gradients.boxes.iter().all(|gradient| *gradient == 0.0));
        // Of each point, what every point learns from.
        let background = match assignment {
            Assignment::NearCenters | Assignment::SoftLabels => gradients.logits.chunks(CLASSES),
            Assignment::SimOta => gradients.objectness.chunks(1),
        };
        let learns = background.map(|gradients| gradients.iter().all(|gradient| *gradient != 0.0));
        let learns: Vec<bool> = learns.collect();
        let (free, crowded) = learns.split_at(points.len());
        assert!(free.iter().all(|learns| *learns));
        for (point, learns) in points.iter().zip(crowded) {
            assert_eq!(*learns, !targets[1].is_in_crowd(point));
        }
        assert!(crowded.iter().any(|learns| !learns));
    }
}

#[test]
fn boxes_without_area_and_endless_ones_give_numbers() {
    for assignment in ASSIGNMENTS {
        let points = points(SIZE, coding(assignment));
        let mut outputs = outputs(&points, coding(assignment));
        for values in [[-1.0; 4], [1e30; 4], [-1e30; 4], [1e30, 1.0, -1e30, 1.0]] {
            outputs.boxes = values.repeat(2 * points.len());
            let (objective, gradients) = with_gradients(&outputs, &targets(true), assignment);
            assert!(objective.value().is_finite(), "{assignment:?} {values:?}");
            let Gradients {
                logits,
                objectness,
                boxes,
            } = gradients;
            let all = [logits, objectness, boxes].concat();
            assert!(
                all.iter().all(|gradient| gradient.is_finite()),
                "{values:?}"
            );
        }
    }
}
