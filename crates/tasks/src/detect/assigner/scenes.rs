//! Scenes for the tests of the assigners.

use std::ops::Range;

use proptest::prelude::*;
use warmstart_models::detector::Coding;

use super::super::boxes::{Corners, Point, points};
use super::terms::{Match, Predicted, Truth};

/// Edge of the image.
const SIZE: usize = 64;
pub(super) const CLASSES: usize = 3;

/// The points of an image, and what they predict.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub points: Vec<Point>,
    pub logits: Vec<f32>,
    pub objectness: Option<Vec<f32>>,
    pub boxes: Vec<Corners>,
}

impl Scene {
    /// Every point predicts the box of the same values, and no class.
    pub fn untrained(coding: Coding, values: [f32; 4]) -> Self {
        let points = points(SIZE, coding);
        let boxes = points.iter().map(|point| point.decode(coding, values));
        Self {
            logits: vec![-4.595; points.len() * CLASSES],
            objectness: match coding {
                Coding::Logarithms | Coding::Distances => None,
                Coding::Centers => Some(vec![-4.595; points.len()]),
            },
            boxes: boxes.collect(),
            points,
        }
    }

    pub fn predicted(&self) -> Predicted<'_> {
        Predicted {
            logits: &self.logits,
            objectness: self.objectness.as_deref(),
            boxes: &self.boxes,
            classes: CLASSES,
        }
    }
}

/// Any scene whose values of boxes are in a range, with some truths.
pub(super) fn scenes(
    coding: Coding,
    values: Range<f32>,
) -> impl Strategy<Value = (Scene, Vec<Truth>)> {
    let side = 0.0f32..60.0;
    let corners = (side.clone(), side, 0.5f32..40.0, 0.5f32..40.0)
        .prop_map(|(x, y, width, height)| [x, y, x + width, y + height]);
    let truth = (0..CLASSES, corners).prop_map(|(class, corners)| Truth { class, corners });
    let count = points(SIZE, coding).len();
    let predictions = (
        prop::collection::vec(-6.0f32..3.0, count * CLASSES),
        prop::collection::vec(-6.0f32..3.0, count),
        prop::collection::vec(prop::array::uniform4(values), count),
    );
    let truths = prop::collection::vec(truth, 0..6);
    (predictions, truths).prop_map(move |((logits, objectness, values), truths)| {
        let points = points(SIZE, coding);
        let boxes = points
            .iter()
            .zip(values)
            .map(|(point, values)| point.decode(coding, values))
            .collect();
        let untrained = Scene::untrained(coding, [0.0; 4]);
        let scene = Scene {
            objectness: untrained.objectness.map(|_| objectness),
            points,
            logits,
            boxes,
        };
        (scene, truths)
    })
}

pub(super) fn truth(class: usize, corners: Corners) -> Truth {
    Truth { class, corners }
}

/// The points that a truth got.
pub(super) fn of(matches: &[Option<Match>], truth: usize) -> Vec<usize> {
    let found = |point: &usize| matches[*point].is_some_and(|found| found.truth == truth);
    (0..matches.len()).filter(found).collect()
}

/// IoU in double precision; 0 for a box without area.
pub(super) fn iou_plainly(a: Corners, b: Corners) -> f64 {
    let [a, b] = [a, b].map(|corners| corners.map(f64::from));
    let extent = |side: usize| (a[side + 2].min(b[side + 2]) - a[side].max(b[side])).max(0.0);
    let shared = extent(0) * extent(1);
    let area = |corners: [f64; 4]| (corners[2] - corners[0]) * (corners[3] - corners[1]);
    if shared > 0.0 {
        shared / (area(a) + area(b) - shared)
    } else {
        0.0
    }
}

/// Distance in double precision from a point to a box's centre, in strides.
pub(super) fn distance_plainly(point: &Point, truth: &Truth) -> f64 {
    let [x1, y1, x2, y2] = truth.corners.map(f64::from);
    let (across, down) = (
        f64::from(point.x) - (x1 + x2) / 2.0,
        f64::from(point.y) - (y1 + y2) / 2.0,
    );
    across.hypot(down) / f64::from(point.stride)
}

/// RTMDet's cost in double precision.
pub(super) fn soft_cost_plainly(scene: &Scene, index: usize, truth: &Truth, fit: f64) -> f64 {
    let mut cost = 0.0;
    for class in 0..CLASSES {
        let logit = f64::from(scene.logits[index * CLASSES + class]);
        let score = 1.0 / (1.0 + (-logit).exp());
        let label = if class == truth.class { fit } else { 0.0 };
        let cross_entropy = -label * score.ln() - (1.0 - label) * (1.0 - score).ln();
        cost += cross_entropy * (label - score).abs().powi(2);
    }
    cost += 3.0 * -(fit + 1e-7).ln();
    cost + 10f64.powf(distance_plainly(&scene.points[index], truth) - 3.0)
}

/// The number of points of a truth whose IoUs with all candidates are these.
pub(super) fn number_plainly(mut fits: Vec<f64>, best_fits: usize) -> usize {
    fits.sort_by(|a, b| b.total_cmp(a));
    (fits.iter().take(best_fits).sum::<f64>().floor() as usize).max(1)
}

/// The matches of cost matrices of all truths and candidates as the published assigners choose them: each truth takes
/// its cheapest columns, then a column that was taken twice goes to its cheapest row.
pub(super) fn match_plainly(
    count: usize,
    candidates: &[usize],
    costs: &[Vec<f64>],
    fits: &[Vec<f64>],
    best_fits: usize,
) -> Vec<Option<Match>> {
    let mut taken = vec![vec![false; candidates.len()]; costs.len()];
    for (row, costs) in costs.iter().enumerate() {
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by(|&a, &b| costs[a].total_cmp(&costs[b]));
        let number = number_plainly(fits[row].clone(), best_fits);
        for &column in order.iter().take(number) {
            taken[row][column] = true;
        }
    }
    let mut matches = vec![None; count];
    for (column, &point) in candidates.iter().enumerate() {
        let takers: Vec<usize> = (0..costs.len()).filter(|&row| taken[row][column]).collect();
        let row = match takers[..] {
            [] => continue,
            [row] => row,
            _ => (0..costs.len())
                .min_by(|&a, &b| costs[a][column].total_cmp(&costs[b][column]))
                .expect("there are takers"),
        };
        matches[point] = Some(Match {
            truth: row,
            iou: fits[row][column] as f32,
        });
    }
    matches
}

/// Fails unless two assignments are the same but for costs that single precision orders the other way round.
pub(super) fn require_equal(found: &[Option<Match>], plain: &[Option<Match>]) {
    let truths = |matches: &[Option<Match>]| -> Vec<Option<usize>> {
        let truth = |found: &Option<Match>| found.map(|found| found.truth);
        matches.iter().map(truth).collect()
    };
    let (found_truths, plain_truths) = (truths(found), truths(plain));
    let pairs = found_truths.iter().zip(&plain_truths);
    let differ = pairs.filter(|(a, b)| a != b).count();
    assert!(differ <= 2, "{differ} points differ");
    for (found, plain) in found.iter().zip(plain) {
        if let (Some(found), Some(plain)) = (found, plain)
            && found.truth == plain.truth
        {
            assert!((found.iou - plain.iou).abs() < 1e-5);
        }
    }
}

/// Matches of truths that were listed the other way round, with the indices of the first list.
pub(super) fn of_reversed(matches: Vec<Option<Match>>, truths: usize) -> Vec<Option<Match>> {
    let last = truths.wrapping_sub(1);
    let turned = |found: Match| Match {
        truth: last - found.truth,
        ..found
    };
    matches.into_iter().map(|found| found.map(turned)).collect()
}
