//! YOLOX's assignment: SimOTA of Ge and others, "YOLOX" (arXiv 2107.08430), section 2.2, as its published code computes
//! it in single precision.

use super::super::boxes::{Point, iou};
use super::super::loss::sigmoid;
use super::matching::{Pair, by_costs};
use super::terms::{Match, Predicted, Truth, center};

/// Strides from a box's centre to each side within which the centres of cells are candidates.
const CENTER_RADIUS: f32 = 1.5;
/// Number of highest IoUs whose sum is the number of points that a box gets.
const BEST_FITS: usize = 10;
/// Weight of the IoU in the cost.
const IOU_WEIGHT: f32 = 3.0;
/// Cost of a candidate that is one for another box alone.
const ELSEWHERE: f32 = 1e6;
/// The logarithm of a probability is no lower.
const LEAST_LOGARITHM: f32 = -100.0;

/// Match of each point, if any.
pub(super) fn assign(
    points: &[Point],
    predicted: Predicted,
    truths: &[Truth],
) -> Vec<Option<Match>> {
    by_costs(
        points.len(),
        truths,
        |point, truth| is_near(&points[point], truth),
        |point| background(predicted, point),
        |point, truth, background| {
            let iou = iou(predicted.boxes[point], truth.corners);
            let classification = classification(predicted, point, truth.class, background);
            let fit = -(iou + 1e-8).ln();
            let elsewhere = if is_near(&points[point], truth) {
                0.0
            } else {
                ELSEWHERE
            };
            Pair {
                iou,
                cost: classification + IOU_WEIGHT * fit + elsewhere,
            }
        },
        BEST_FITS,
    )
}

/// Whether the centre of a point's cell is near a box's centre. The point is its cell's top left corner.
fn is_near(point: &Point, truth: &Truth) -> bool {
    let radius = CENTER_RADIUS * point.stride;
    let half = 0.5 * point.stride;
    let places = [point.x + half, point.y + half];
    let mut both = places.into_iter().zip(center(truth.corners));
    both.all(|(place, center)| center - radius < place && place < center + radius)
}

/// The probability of a class at a point, as the cost takes it.
fn probability(predicted: Predicted, point: usize, logit: f32) -> f32 {
    let object = predicted
        .objectness
        .map_or(1.0, |logits| sigmoid(logits[point]));
    (sigmoid(logit) * object).sqrt()
}

/// Cross entropy of a class that is absent.
fn absent(probability: f32) -> f64 {
    f64::from(-(-probability).ln_1p().max(LEAST_LOGARITHM))
}

/// Cross entropy of a class that is present.
fn present(probability: f32) -> f64 {
    f64::from(-probability.ln().max(LEAST_LOGARITHM))
}

/// The classification's cost of a point that has no class. That of a class differs from it in one logit, so the sum
/// over all is taken once; in double precision, because a part of it is subtracted again.
fn background(predicted: Predicted, point: usize) -> f64 {
    let logits = predicted.logits_of(point).iter();
    logits
        .map(|&logit| absent(probability(predicted, point, logit)))
        .sum()
}

fn classification(predicted: Predicted, point: usize, class: usize, background: f64) -> f32 {
    let probability = probability(predicted, point, predicted.logits_of(point)[class]);
    (background - absent(probability) + present(probability)) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use warmstart_models::detector::Coding;

    use super::super::scenes::{
        CLASSES, Scene, iou_plainly, match_plainly, of, require_equal, scenes, truth,
    };
    use super::*;

    /// Every point predicts a box of two strides by two around its cell's corner, and no class.
    fn untrained() -> Scene {
        let twice = 2f32.ln();
        Scene::untrained(Coding::Centers, [0.0, 0.0, twice, twice])
    }

    fn assigned(truths: &[Truth]) -> (Scene, Vec<Option<Match>>) {
        let scene = untrained();
        let matches = assign(&scene.points, scene.predicted(), truths);
        (scene, matches)
    }

    #[test]
    fn one_box_gets_the_points_that_fit_it_best() {
        let (scene, matches) = assigned(&[truth(1, [16.0, 16.0, 48.0, 48.0])]);
        let got = of(&matches, 0);
        let best = |a: &&usize, b: &&usize| {
            let iou = |point: usize| matches[point].unwrap().iou;
            iou(**a).total_cmp(&iou(**b))
        };
        let best = got.iter().max_by(best).expect("it gets points");
        let Point { x, y, stride } = scene.points[*best];
        assert_eq!((x, y, stride), (32.0, 32.0, 16.0));
        assert!((matches[*best].unwrap().iou - 1.0).abs() < 1e-5);
    }

    #[test]
    fn no_box_leaves_every_point_alone() {
        assert!(assigned(&[]).1.iter().all(Option::is_none));
    }

    #[test]
    fn a_tiny_box_gets_one_point_whose_cell_is_near() {
        let corners = [30.0, 30.0, 33.0, 32.0];
        let (scene, matches) = assigned(&[truth(0, corners)]);
        let got = of(&matches, 0);
        assert_eq!(got.len(), 1);
        assert!(is_near(&scene.points[got[0]], &truth(0, corners)));
        assert_eq!(scene.points[got[0]].stride, 8.0);
    }

    #[test]
    fn nearness_ends_at_one_and_a_half_strides() {
        let point = Point {
            x: 16.0,
            y: 24.0,
            stride: 8.0,
        };
        // The cell's centre is (20, 28).
        let is_near = |x: f32, y: f32| {
            let corners = [x - 2.0, y - 1.0, x + 2.0, y + 1.0];
            is_near(&point, &truth(0, corners))
        };
        assert!(is_near(20.0, 28.0) && is_near(31.5, 16.5) && is_near(8.5, 39.5));
        assert!(!is_near(32.0, 28.0) && !is_near(20.0, 16.0) && !is_near(8.0, 28.0));
    }

    #[test]
    fn a_large_box_gets_points_near_its_centre_alone() {
        let corners = [0.0, 0.0, 64.0, 64.0];
        let (scene, matches) = assigned(&[truth(0, corners)]);
        for point in of(&matches, 0) {
            assert!(is_near(&scene.points[point], &truth(0, corners)));
        }
    }

    #[test]
    fn a_box_on_the_border_gets_points_too() {
        let (_, matches) = assigned(&[truth(2, [0.0, 60.0, 5.0, 64.0])]);
        assert!(!of(&matches, 0).is_empty());
    }

    #[test]
    fn of_overlapping_boxes_each_keeps_points_of_its_own() {
        let (_, matches) = assigned(&[
            truth(0, [4.0, 4.0, 36.0, 36.0]),
            truth(1, [20.0, 20.0, 52.0, 52.0]),
        ]);
        assert!(!of(&matches, 0).is_empty() && !of(&matches, 1).is_empty());
    }

    #[test]
    fn hopeless_logits_give_no_costs_that_are_no_numbers() {
        let mut scene = untrained();
        for logit in [-1e4, 1e4] {
            scene.logits.fill(logit);
            scene.objectness.as_mut().unwrap().fill(logit);
            let truths = [truth(0, [4.0, 4.0, 36.0, 36.0])];
            let predicted = scene.predicted();
            assert!(!of(&assign(&scene.points, predicted, &truths), 0).is_empty());
            let background = background(predicted, 0);
            assert!(classification(predicted, 0, 1, background).is_finite());
        }
    }

    /// The matrices of all pairs of a truth and a point near any truth.
    fn plainly(scene: &Scene, truths: &[Truth]) -> Vec<Option<Match>> {
        let near = |point: &Point, truth: &Truth| {
            let [x1, y1, x2, y2] = truth.corners.map(f64::from);
            let [x, y, stride] = [point.x, point.y, point.stride].map(f64::from);
            let across = (x / stride + 0.5) - (x1 + x2) / 2.0 / stride;
            let down = (y / stride + 0.5) - (y1 + y2) / 2.0 / stride;
            across.abs() < 1.5 && down.abs() < 1.5
        };
        let count = scene.points.len();
        let is_candidate = |&point: &usize| {
            let mut truths = truths.iter();
            truths.any(|truth| near(&scene.points[point], truth))
        };
        let candidates: Vec<usize> = (0..count).filter(is_candidate).collect();
        let (mut costs, mut fits) = (Vec::new(), Vec::new());
        let score = |logit: f32| 1.0 / (1.0 + (-f64::from(logit)).exp());
        for truth in truths {
            let (mut costs_of, mut fits_of) = (Vec::new(), Vec::new());
            for &point in &candidates {
                let fit = iou_plainly(scene.boxes[point], truth.corners);
                let object = score(scene.objectness.as_ref().unwrap()[point]);
                let mut cost = 0.0;
                for class in 0..CLASSES {
                    let p = (score(scene.logits[point * CLASSES + class]) * object).sqrt();
                    let probability = if class == truth.class { p } else { 1.0 - p };
                    cost -= probability.ln();
                }
                cost -= 3.0 * (fit + 1e-8).ln();
                if !near(&scene.points[point], truth) {
                    // Single precision rounds it to sixteenths, so that equal costs are not rare.
                    cost = f64::from((cost + 1e6) as f32);
                }
                costs_of.push(cost);
                fits_of.push(fit);
            }
            costs.push(costs_of);
            fits.push(fits_of);
        }
        match_plainly(count, &candidates, &costs, &fits, 10)
    }

    proptest! {
        #[test]
        fn it_is_the_plain_assigner((scene, truths) in scenes(Coding::Centers, -0.7..1.5)) {
            let found = assign(&scene.points, scene.predicted(), &truths);
            require_equal(&found, &plainly(&scene, &truths));
        }
    }
}
