//! RTMDet's assignment: the dynamic soft labels of Lyu and others, "RTMDet" (arXiv 2212.07784), section 3.3, on all
//! points within any box, as its published configurations compute them.

use super::super::boxes::{Point, iou};
use super::super::loss::quality_focal;
use super::matching::{Pair, by_costs};
use super::terms::{Match, Predicted, Truth, distance};

/// Number of highest IoUs whose sum is the number of points that a box gets.
pub(super) const BEST_FITS: usize = 13;
/// Weight of the IoU in the cost.
const IOU_WEIGHT: f32 = 3.0;
/// Distance from which the cost of the distance rises, in strides.
const SOFT_RADIUS: f32 = 3.0;

/// The cost of equations 2 to 4: the soft classification, the IoU, and the soft distance to the centre in strides.
pub(super) fn cost(classification: f32, iou: f32, distance: f32) -> f32 {
    let fit = -(iou + 1e-7).ln();
    let center = 10f32.powf(distance - SOFT_RADIUS);
    classification + IOU_WEIGHT * fit + center
}

/// Match of each point, if any. A box gets no point where no box has one inside, or where all that it would get are
/// cheaper to others.
pub(super) fn assign(
    points: &[Point],
    predicted: Predicted,
    truths: &[Truth],
) -> Vec<Option<Match>> {
    by_costs(
        points.len(),
        truths,
        |point, truth| points[point].is_in(truth.corners),
        |point| background(predicted, point),
        |point, truth, background| {
            let iou = iou(predicted.boxes[point], truth.corners);
            let logit = predicted.logits_of(point)[truth.class];
            let classification = classification(logit, iou, background);
            let distance = distance(&points[point], truth.corners);
            Pair {
                iou,
                cost: cost(classification, iou, distance),
            }
        },
        BEST_FITS,
    )
}

/// The classification's cost of a point that has no class. That of a class differs from it in one logit, so the sum
/// over all is taken once; in double precision, because a part of it is subtracted again.
fn background(predicted: Predicted, point: usize) -> f64 {
    let logits = predicted.logits_of(point).iter();
    logits
        .map(|&logit| f64::from(quality_focal(logit, 0.0).loss))
        .sum()
}

/// The classification's cost of a class whose soft label is `iou`.
fn classification(logit: f32, iou: f32, background: f64) -> f32 {
    let of_class = |quality| f64::from(quality_focal(logit, quality).loss);
    let whole = if iou > 0.0 {
        background - of_class(0.0) + of_class(iou)
    } else {
        background
    };
    whole as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use warmstart_models::detector::Coding;

    use super::super::scenes::{
        Scene, iou_plainly, match_plainly, of, of_reversed, require_equal, scenes,
        soft_cost_plainly, truth,
    };
    use super::*;

    /// Every point predicts a box of two strides a side around it, and no class.
    fn untrained() -> Scene {
        Scene::untrained(Coding::Distances, [1.0; 4])
    }

    #[test]
    fn one_box_gets_the_points_that_fit_it_best() {
        let mut scene = untrained();
        // Scores of one half: for an untrained detector, a good fit is no cheaper.
        scene.logits.fill(0.0);
        let truths = [truth(1, [16.0, 16.0, 48.0, 48.0])];
        let matches = assign(&scene.points, scene.predicted(), &truths);
        let got = of(&matches, 0);
        let exact = got
            .iter()
            .find(|&&point| matches[point].unwrap().iou == 1.0);
        let Point { x, y, stride } = scene.points[*exact.expect("one fits exactly")];
        assert_eq!((x, y, stride), (32.0, 32.0, 16.0));
    }

    #[test]
    fn no_box_leaves_every_point_alone() {
        let scene = untrained();
        let matches = assign(&scene.points, scene.predicted(), &[]);
        assert!(matches.iter().all(Option::is_none));
    }

    #[test]
    fn a_tiny_box_between_the_points_gets_none() {
        let scene = untrained();
        let truths = [
            truth(0, [17.0, 17.0, 23.0, 23.0]),
            // A point on its border is not inside.
            truth(0, [24.0, 24.0, 31.0, 31.0]),
        ];
        let matches = assign(&scene.points, scene.predicted(), &truths);
        assert!(matches.iter().all(Option::is_none));
    }

    #[test]
    fn a_tiny_box_without_points_of_its_own_takes_one_inside_another_box() {
        let scene = untrained();
        let truths = [
            truth(0, [17.0, 17.0, 23.0, 23.0]),
            truth(1, [12.0, 12.0, 44.0, 44.0]),
        ];
        let matches = assign(&scene.points, scene.predicted(), &truths);
        assert_eq!(of(&matches, 0).len(), 1);
        assert!(!of(&matches, 1).is_empty());
    }

    #[test]
    fn a_box_on_the_border_gets_points_too() {
        let scene = untrained();
        let truths = [truth(2, [-3.0, 50.0, 9.0, 64.0])];
        let matches = assign(&scene.points, scene.predicted(), &truths);
        assert!(!of(&matches, 0).is_empty());
    }

    #[test]
    fn of_overlapping_boxes_each_keeps_points_of_its_own() {
        let scene = untrained();
        let truths = [
            truth(0, [4.0, 4.0, 36.0, 36.0]),
            truth(1, [20.0, 20.0, 52.0, 52.0]),
        ];
        let matches = assign(&scene.points, scene.predicted(), &truths);
        assert!(!of(&matches, 0).is_empty() && !of(&matches, 1).is_empty());
    }

    #[test]
    fn boxes_without_area_fit_nothing_and_are_no_obstacle() {
        let scene = Scene::untrained(Coding::Distances, [-1.0, 2.0, -1.0, 2.0]);
        let truths = [truth(0, [4.0, 4.0, 36.0, 36.0])];
        let matches = assign(&scene.points, scene.predicted(), &truths);
        let got = of(&matches, 0);
        assert_eq!(got.len(), 1);
        assert_eq!(matches[got[0]].unwrap().iou, 0.0);
    }

    /// The matrices of all pairs of a truth and a point within any truth.
    fn plainly(scene: &Scene, truths: &[Truth]) -> Vec<Option<Match>> {
        let is_in = |point: &Point| {
            truths.iter().any(|truth| {
                let [x1, y1, x2, y2] = truth.corners;
                let sides = [point.x - x1, point.y - y1, x2 - point.x, y2 - point.y];
                sides.iter().all(|side| *side > 0.0)
            })
        };
        let count = scene.points.len();
        let candidates: Vec<usize> = (0..count).filter(|&i| is_in(&scene.points[i])).collect();
        let (mut costs, mut fits) = (Vec::new(), Vec::new());
        for truth in truths {
            let fits_of = candidates
                .iter()
                .map(|&point| iou_plainly(scene.boxes[point], truth.corners));
            let fits_of: Vec<f64> = fits_of.collect();
            let costs_of = candidates
                .iter()
                .zip(&fits_of)
                .map(|(&point, &fit)| soft_cost_plainly(scene, point, truth, fit));
            costs.push(costs_of.collect::<Vec<f64>>());
            fits.push(fits_of);
        }
        match_plainly(count, &candidates, &costs, &fits, 13)
    }

    proptest! {
        #[test]
        fn it_is_the_plain_assigner((scene, truths) in scenes(Coding::Distances, -0.5..3.0)) {
            let found = assign(&scene.points, scene.predicted(), &truths);
            require_equal(&found, &plainly(&scene, &truths));
        }

        #[test]
        fn the_order_of_the_boxes_does_not_matter(
            (scene, truths) in scenes(Coding::Distances, -0.5..3.0)
        ) {
            let reversed: Vec<_> = truths.iter().rev().copied().collect();
            let backward = assign(&scene.points, scene.predicted(), &reversed);
            let forward = assign(&scene.points, scene.predicted(), &truths);
            prop_assert_eq!(forward, of_reversed(backward, truths.len()));
        }
    }
}
