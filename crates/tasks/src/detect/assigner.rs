//! The assignment of boxes to points: the dynamic soft labels of Lyu and others, "RTMDet"
//! (arXiv 2212.07784), section 3.3, and the number of points a box of Ge and others, "OTA"
//! (arXiv 2103.14259), section 3.4.

use super::boxes::{Corners, Point, iou};
use super::loss::quality_focal;

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
    /// One box per point.
    pub boxes: &'a [Corners],
    /// Number of classes.
    pub classes: usize,
}

/// Strides from a box's centre within which points are candidates, besides the points inside the box.
const CENTER_RADIUS: f32 = 1.5;
/// Number of highest IoUs whose sum is the number of points that a box gets.
const BEST_FITS: usize = 13;
/// Weight of the IoU in the cost.
const IOU_WEIGHT: f32 = 3.0;
/// Distance from which the cost of the distance rises, in strides.
const SOFT_RADIUS: f32 = 3.0;

/// A point that may be assigned a box.
struct Candidate {
    point: usize,
    iou: f32,
    cost: f32,
}

/// Match of each point, if any.
pub fn assign(points: &[Point], predicted: Predicted, truths: &[Truth]) -> Vec<Option<Match>> {
    let mut matches: Vec<Option<(Match, f32)>> = vec![None; points.len()];
    for (index, truth) in truths.iter().enumerate() {
        for candidate in best_candidates(points, predicted, truth) {
            let held = &mut matches[candidate.point];
            // Of two truths the cheaper one gets the point, of two equal ones the first.
            if held.is_none_or(|(_, cost)| candidate.cost < cost) {
                let found = Match {
                    truth: index,
                    iou: candidate.iou,
                };
                *held = Some((found, candidate.cost));
            }
        }
    }
    let kept = matches.into_iter().map(|held| held.map(|(found, _)| found));
    kept.collect()
}

/// The cheapest candidates of a truth, as many as the sum of its highest IoUs.
fn best_candidates(points: &[Point], predicted: Predicted, truth: &Truth) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = (0..points.len())
        .filter(|&point| is_candidate(&points[point], truth.corners))
        .map(|point| candidate(point, &points[point], predicted, truth))
        .collect();
    if candidates.is_empty() {
        let distance = |&point: &usize| distance(&points[point], truth.corners);
        let nearest = (0..points.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
        candidates.extend(nearest.map(|point| candidate(point, &points[point], predicted, truth)));
    }
    let mut fits: Vec<f32> = candidates.iter().map(|candidate| candidate.iou).collect();
    fits.sort_by(|a, b| b.total_cmp(a));
    let count = fits.iter().take(BEST_FITS).sum::<f32>() as usize;
    candidates.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    candidates.truncate(count.max(1));
    candidates
}

fn is_candidate(point: &Point, corners: Corners) -> bool {
    point.is_in(corners) || distance(point, corners) < CENTER_RADIUS
}

/// Distance from a point to a box's centre, in strides.
fn distance(point: &Point, [x1, y1, x2, y2]: Corners) -> f32 {
    let (x, y) = (0.5 * (x1 + x2), 0.5 * (y1 + y2));
    ((point.x - x).powi(2) + (point.y - y).powi(2)).sqrt() / point.stride
}

/// The cost of equations 2 to 4: the soft classification, the IoU, and the soft distance to the centre.
fn candidate(index: usize, point: &Point, predicted: Predicted, truth: &Truth) -> Candidate {
    let iou = iou(predicted.boxes[index], truth.corners);
    let classes = predicted.classes;
    let logits = &predicted.logits[index * classes..(index + 1) * classes];
    let classification: f32 = logits
        .iter()
        .enumerate()
        .map(|(class, &logit)| {
            let quality = if class == truth.class { iou } else { 0.0 };
            quality_focal(logit, quality).loss
        })
        .sum();
    let fit = -(iou + 1e-7).ln();
    let center = 10f32.powf(distance(point, truth.corners) - SOFT_RADIUS);
    Candidate {
        point: index,
        iou,
        cost: classification + IOU_WEIGHT * fit + center,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::boxes::points;
    use super::*;

    const SIZE: usize = 64;
    const CLASSES: usize = 3;

    /// Every point predicts a box of half a stride to each side more than its cell, and no class.
    fn untrained(points: &[Point]) -> (Vec<f32>, Vec<Corners>) {
        let boxes = points.iter().map(|point| point.decode([0.0; 4]));
        (vec![-4.595; points.len() * CLASSES], boxes.collect())
    }

    fn assigned(truths: &[Truth]) -> (Vec<Point>, Vec<Option<Match>>) {
        let points = points(SIZE);
        let (logits, boxes) = untrained(&points);
        let predicted = Predicted {
            logits: &logits,
            boxes: &boxes,
            classes: CLASSES,
        };
        let matches = assign(&points, predicted, truths);
        (points, matches)
    }

    fn truth(class: usize, corners: Corners) -> Truth {
        Truth { class, corners }
    }

    fn of(matches: &[Option<Match>], truth: usize) -> Vec<usize> {
        let found = |point: &usize| matches[*point].is_some_and(|found| found.truth == truth);
        (0..matches.len()).filter(found).collect()
    }

    #[test]
    fn one_box_gets_the_points_that_fit_it_best() {
        let points = points(SIZE);
        let (logits, boxes) = untrained(&points);
        // Scores of one half: for an untrained detector, a good fit is no cheaper.
        let logits = vec![0.0; logits.len()];
        let predicted = Predicted {
            logits: &logits,
            boxes: &boxes,
            classes: CLASSES,
        };
        let matches = assign(&points, predicted, &[truth(1, [8.0, 8.0, 40.0, 40.0])]);
        let got = of(&matches, 0);
        let exact = got
            .iter()
            .find(|&&point| matches[point].unwrap().iou == 1.0);
        let Point { x, y, stride } = points[*exact.expect("one fits exactly")];
        assert_eq!((x, y, stride), (24.0, 24.0, 16.0));
        for &point in &got {
            assert_eq!(
                points[point].stride, 16.0,
                "boxes of 32 pixels fit stride 16"
            );
            assert!(distance(&points[point], [8.0, 8.0, 40.0, 40.0]) <= 1.0);
        }
    }

    #[test]
    fn no_box_leaves_every_point_alone() {
        assert!(assigned(&[]).1.iter().all(Option::is_none));
    }

    #[test]
    fn a_tiny_box_between_the_points_gets_one_that_is_near() {
        let corners = [30.0, 30.0, 34.0, 34.0];
        let (points, matches) = assigned(&[truth(0, corners)]);
        let got = of(&matches, 0);
        assert_eq!(got.len(), 1);
        assert!(points.iter().all(|point| !point.is_in(corners)));
        assert!(points[got[0]].stride == 8.0 && distance(&points[got[0]], corners) < 1.5);
    }

    #[test]
    fn a_box_without_candidates_gets_the_nearest_point() {
        // In the corner of an image of one cell a side, but at stride 32 two boxes apart.
        let points = vec![Point {
            x: 16.0,
            y: 16.0,
            stride: 8.0,
        }];
        let (logits, boxes) = untrained(&points);
        let predicted = Predicted {
            logits: &logits,
            boxes: &boxes,
            classes: CLASSES,
        };
        let matches = assign(&points, predicted, &[truth(0, [0.0, 0.0, 2.0, 2.0])]);
        assert_eq!(matches[0].map(|found| found.truth), Some(0));
    }

    #[test]
    fn a_box_on_the_border_gets_points_too() {
        let (_, matches) = assigned(&[truth(2, [0.0, 50.0, 9.0, 64.0])]);
        assert!(!of(&matches, 0).is_empty());
    }

    #[test]
    fn of_overlapping_boxes_each_keeps_points_of_its_own() {
        let truths = [
            truth(0, [4.0, 4.0, 36.0, 36.0]),
            truth(1, [20.0, 20.0, 52.0, 52.0]),
        ];
        let (_, matches) = assigned(&truths);
        assert!(!of(&matches, 0).is_empty() && !of(&matches, 1).is_empty());
    }

    #[test]
    fn a_box_that_nothing_fits_gets_a_single_point() {
        // A line that no predicted box resembles: the sum of the fits is below one.
        let (_, matches) = assigned(&[truth(0, [0.0, 31.0, 64.0, 33.0])]);
        assert_eq!(of(&matches, 0).len(), 1);
    }

    /// The cost matrix of every pair, infinite where a point is no candidate, then row by row.
    fn plainly(points: &[Point], predicted: Predicted, truths: &[Truth]) -> Vec<Option<Match>> {
        let mut costs = vec![vec![f64::INFINITY; points.len()]; truths.len()];
        let mut fits = vec![vec![0.0f64; points.len()]; truths.len()];
        for (row, truth) in truths.iter().enumerate() {
            let [x1, y1, x2, y2] = truth.corners.map(f64::from);
            let away = |point: &Point| {
                let (dx, dy) = (
                    f64::from(point.x) - (x1 + x2) / 2.0,
                    f64::from(point.y) - (y1 + y2) / 2.0,
                );
                dx.hypot(dy) / f64::from(point.stride)
            };
            let mut candidates: Vec<usize> = Vec::new();
            for (index, point) in points.iter().enumerate() {
                let (x, y) = (f64::from(point.x), f64::from(point.y));
                if (x1 < x && x < x2 && y1 < y && y < y2) || away(point) < 1.5 {
                    candidates.push(index);
                }
            }
            if candidates.is_empty() {
                let mut nearest = 0;
                for index in 0..points.len() {
                    if away(&points[index]) < away(&points[nearest]) {
                        nearest = index;
                    }
                }
                candidates.push(nearest);
            }
            for index in candidates {
                let [a1, b1, a2, b2] = predicted.boxes[index].map(f64::from);
                let shared =
                    (a2.min(x2) - a1.max(x1)).max(0.0) * (b2.min(y2) - b1.max(y1)).max(0.0);
                let union = (a2 - a1) * (b2 - b1) + (x2 - x1) * (y2 - y1) - shared;
                let fit = shared / union;
                let mut cost = 0.0;
                for class in 0..predicted.classes {
                    let logit = f64::from(predicted.logits[index * predicted.classes + class]);
                    let score = 1.0 / (1.0 + (-logit).exp());
                    let label = if class == truth.class { fit } else { 0.0 };
                    let cross_entropy = -label * score.ln() - (1.0 - label) * (1.0 - score).ln();
                    cost += cross_entropy * (label - score).abs().powi(2);
                }
                cost += 3.0 * -(fit + 1e-7).ln();
                cost += 10f64.powf(away(&points[index]) - 3.0);
                costs[row][index] = cost;
                fits[row][index] = fit;
            }
        }
        let mut taken = vec![vec![false; points.len()]; truths.len()];
        for row in 0..truths.len() {
            let mut best = fits[row].clone();
            best.sort_by(|a, b| b.total_cmp(a));
            let count = (best.iter().take(13).sum::<f64>().floor() as usize).max(1);
            let mut order: Vec<usize> = (0..points.len()).collect();
            order.sort_by(|&a, &b| costs[row][a].total_cmp(&costs[row][b]));
            for &index in order.iter().take(count) {
                taken[row][index] = costs[row][index].is_finite();
            }
        }
        (0..points.len())
            .map(|index| {
                let rows = (0..truths.len()).filter(|&row| taken[row][index]);
                let row = rows.min_by(|&a, &b| costs[a][index].total_cmp(&costs[b][index]))?;
                Some(Match {
                    truth: row,
                    iou: fits[row][index] as f32,
                })
            })
            .collect()
    }

    fn scenes() -> impl Strategy<Value = (Vec<Truth>, Vec<f32>, Vec<[f32; 4]>)> {
        let side = 0.0f32..60.0;
        let corners = (side.clone(), side, 0.5f32..40.0, 0.5f32..40.0)
            .prop_map(|(x, y, width, height)| [x, y, x + width, y + height]);
        let truth = (0..CLASSES, corners).prop_map(|(class, corners)| Truth { class, corners });
        let count = points(SIZE).len();
        (
            prop::collection::vec(truth, 0..6),
            prop::collection::vec(-6.0f32..3.0, count * CLASSES),
            prop::collection::vec(prop::array::uniform4(-1.0f32..1.5), count),
        )
    }

    proptest! {
        #[test]
        fn it_is_the_plain_assigner((truths, logits, raw) in scenes()) {
            let points = points(SIZE);
            let boxes: Vec<_> = points.iter().zip(raw).map(|(point, raw)| point.decode(raw)).collect();
            let predicted = Predicted { logits: &logits, boxes: &boxes, classes: CLASSES };
            let found = assign(&points, predicted, &truths);
            let plain = plainly(&points, predicted, &truths);
            let [found_truths, plain_truths] = [&found, &plain].map(|matches| {
                matches.iter().map(|found| found.map(|found| found.truth)).collect::<Vec<_>>()
            });
            // Single precision may order two costs that are nearly equal the other way round.
            let differ = found_truths.iter().zip(&plain_truths).filter(|(a, b)| a != b).count();
            prop_assert!(differ <= 2, "{differ} points differ");
            for (found, plain) in found.iter().zip(&plain) {
                if let (Some(found), Some(plain)) = (found, plain) && found.truth == plain.truth {
                    prop_assert!((found.iou - plain.iou).abs() < 1e-5);
                }
            }
        }

        #[test]
        fn the_order_of_the_boxes_does_not_matter((truths, logits, raw) in scenes()) {
            let points = points(SIZE);
            let boxes: Vec<_> = points.iter().zip(raw).map(|(point, raw)| point.decode(raw)).collect();
            let predicted = Predicted { logits: &logits, boxes: &boxes, classes: CLASSES };
            let forward = assign(&points, predicted, &truths);
            let reversed: Vec<_> = truths.iter().rev().copied().collect();
            let last = truths.len().wrapping_sub(1);
            let backward = assign(&points, predicted, &reversed).into_iter().map(|found| {
                found.map(|found| Match { truth: last - found.truth, ..found })
            });
            prop_assert_eq!(forward, backward.collect::<Vec<_>>());
        }
    }
}
