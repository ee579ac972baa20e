//! The assignment of the light detector: the soft labels of [`soft_labels`](super::soft_labels) on candidates within a
//! box or near its centre, so that no box goes without a point.

use super::super::boxes::{Corners, Point, iou};
use super::super::loss::quality_focal;
use super::soft_labels::{BEST_FITS, cost};
use super::terms::{Match, Predicted, Truth, distance};

/// Strides from a box's centre within which points are candidates, besides the points inside the box.
const CENTER_RADIUS: f32 = 1.5;

/// A point that may be assigned a box.
struct Candidate {
    point: usize,
    iou: f32,
    cost: f32,
}

/// Match of each point, if any.
pub(super) fn assign(
    points: &[Point],
    predicted: Predicted,
    truths: &[Truth],
) -> Vec<Option<Match>> {
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

fn candidate(index: usize, point: &Point, predicted: Predicted, truth: &Truth) -> Candidate {
    let iou = iou(predicted.boxes[index], truth.corners);
    let logits = predicted.logits_of(index).iter().enumerate();
    let classification: f32 = logits
        .map(|(class, &logit)| {
            let quality = if class == truth.class { iou } else { 0.0 };
            quality_focal(logit, quality).loss
        })
        .sum();
    Candidate {
        point: index,
        iou,
        cost: cost(classification, iou, distance(point, truth.corners)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use warmstart_models::detector::Coding;

    use super::super::scenes::{
        CLASSES, Scene, distance_plainly, iou_plainly, number_plainly, of, of_reversed,
        require_equal, scenes, soft_cost_plainly, truth,
    };
    use super::*;

    /// Every point predicts a box of half a stride to each side more than its cell, and no class.
    fn untrained() -> Scene {
        Scene::untrained(Coding::Logarithms, [0.0; 4])
    }

    fn assigned(truths: &[Truth]) -> (Vec<Point>, Vec<Option<Match>>) {
        let scene = untrained();
        let matches = assign(&scene.points, scene.predicted(), truths);
        (scene.points, matches)
    }

    #[test]
    fn one_box_gets_the_points_that_fit_it_best() {
        let mut scene = untrained();
        // Scores of one half: for an untrained detector, a good fit is no cheaper.
        scene.logits.fill(0.0);
        let truths = [truth(1, [8.0, 8.0, 40.0, 40.0])];
        let matches = assign(&scene.points, scene.predicted(), &truths);
        let got = of(&matches, 0);
        let exact = got
            .iter()
            .find(|&&point| matches[point].unwrap().iou == 1.0);
        let Point { x, y, stride } = scene.points[*exact.expect("one fits exactly")];
        assert_eq!((x, y, stride), (24.0, 24.0, 16.0));
        for &point in &got {
            let point = &scene.points[point];
            assert_eq!(point.stride, 16.0, "boxes of 32 pixels fit stride 16");
            assert!(distance(point, [8.0, 8.0, 40.0, 40.0]) <= 1.0);
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
        let point = Point {
            x: 16.0,
            y: 16.0,
            stride: 8.0,
        };
        let scene = Scene {
            points: vec![point],
            logits: vec![-4.595; CLASSES],
            objectness: None,
            boxes: vec![point.decode(Coding::Logarithms, [0.0; 4])],
        };
        let truths = [truth(0, [0.0, 0.0, 2.0, 2.0])];
        let matches = assign(&scene.points, scene.predicted(), &truths);
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
    fn plainly(scene: &Scene, truths: &[Truth]) -> Vec<Option<Match>> {
        let points = &scene.points;
        let mut costs = vec![vec![f64::INFINITY; points.len()]; truths.len()];
        let mut fits = vec![vec![0.0f64; points.len()]; truths.len()];
        for (row, truth) in truths.iter().enumerate() {
            let [x1, y1, x2, y2] = truth.corners.map(f64::from);
            let away = |index: usize| distance_plainly(&points[index], truth);
            let mut candidates: Vec<usize> = Vec::new();
            for (index, point) in points.iter().enumerate() {
                let (x, y) = (f64::from(point.x), f64::from(point.y));
                if (x1 < x && x < x2 && y1 < y && y < y2) || away(index) < 1.5 {
                    candidates.push(index);
                }
            }
            if candidates.is_empty() {
                let mut nearest = 0;
                for index in 0..points.len() {
                    if away(index) < away(nearest) {
                        nearest = index;
                    }
                }
                candidates.push(nearest);
            }
            for index in candidates {
                let fit = iou_plainly(scene.boxes[index], truth.corners);
                costs[row][index] = soft_cost_plainly(scene, index, truth, fit);
                fits[row][index] = fit;
            }
        }
        let mut taken = vec![vec![false; points.len()]; truths.len()];
        for row in 0..truths.len() {
            let count = number_plainly(fits[row].clone(), 13);
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

    proptest! {
        #[test]
        fn it_is_the_plain_assigner((scene, truths) in scenes(Coding::Logarithms, -1.0..1.5)) {
            let found = assign(&scene.points, scene.predicted(), &truths);
            require_equal(&found, &plainly(&scene, &truths));
        }

        #[test]
        fn the_order_of_the_boxes_does_not_matter(
            (scene, truths) in scenes(Coding::Logarithms, -1.0..1.5)
        ) {
            let reversed: Vec<_> = truths.iter().rev().copied().collect();
            let backward = assign(&scene.points, scene.predicted(), &reversed);
            let forward = assign(&scene.points, scene.predicted(), &truths);
            prop_assert_eq!(forward, of_reversed(backward, truths.len()));
        }
    }
}
