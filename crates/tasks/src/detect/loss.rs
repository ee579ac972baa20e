//! The losses of detection and their gradients, in plain arithmetic instead of tensors, because the target of a point
//! depends on the predictions of all points.

use super::boxes::{Corners, iou};

/// The score of a logit, 0..1.
pub fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// `ln(1 + eˣ)`
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Binary cross entropy of a logit, whose target is 0..1.
pub fn cross_entropy(logit: f32, target: f32) -> Slope<f32> {
    Slope {
        loss: softplus(logit) - logit * target,
        gradient: sigmoid(logit) - target,
    }
}

/// A loss and its derivative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope<T> {
    /// The loss.
    pub loss: f32,
    /// Gradient with respect to the loss's argument.
    pub gradient: T,
}

/// Quality focal loss of a logit, whose target is a quality, 0..1: Li and others, "Generalized
/// Focal Loss" (arXiv 2006.04388), equation 2, with β = 2.
pub fn quality_focal(logit: f32, quality: f32) -> Slope<f32> {
    let score = sigmoid(logit);
    let apart = score - quality;
    let cross_entropy = softplus(logit) - logit * quality;
    Slope {
        loss: apart * apart * cross_entropy,
        gradient: 2.0 * apart * score * (1.0 - score) * cross_entropy + apart * apart * apart,
    }
}

/// `1 − GIoU` of a predicted and a true box, where GIoU is −1..1, with the gradient by the predicted box: Rezatofighi
/// and others, "Generalized Intersection over Union" (arXiv 1902.09630), algorithm 1. The predicted box has an area.
pub fn giou(predicted: Corners, truth: Corners) -> Slope<Corners> {
    let [x1, y1, x2, y2] = predicted;
    let [width, height] = [x2 - x1, y2 - y1];
    let (own, other) = (
        width * height,
        (truth[2] - truth[0]) * (truth[3] - truth[1]),
    );
    let shared_width = (x2.min(truth[2]) - x1.max(truth[0])).max(0.0);
    let shared_height = (y2.min(truth[3]) - y1.max(truth[1])).max(0.0);
    let shared = shared_width * shared_height;
    let union = own + other - shared;
    let hull_width = x2.max(truth[2]) - x1.min(truth[0]);
    let hull_height = y2.max(truth[3]) - y1.min(truth[1]);
    let hull = hull_width * hull_height;
    // GIoU = shared / union − 1 + union / hull
    let by_shared = 1.0 / union;
    let by_union = 1.0 / hull - shared / (union * union);
    let by_hull = -union / (hull * hull);
    let gradient = std::array::from_fn(|side| {
        let [by_own, by_inner, by_outer] = growth(predicted, truth, side);
        let (own_across, shared_across, hull_across) = match side % 2 {
            0 => (height, shared_height, hull_height),
            _ => (width, shared_width, hull_width),
        };
        let meets = shared_width > 0.0 && shared_height > 0.0;
        let d_shared = if meets { by_inner * shared_across } else { 0.0 };
        let d_union = by_own * own_across - d_shared;
        let d_hull = by_outer * hull_across;
        -(by_shared * d_shared + by_union * d_union + by_hull * d_hull)
    });
    Slope {
        loss: 1.0 - (iou(predicted, truth) - 1.0 + union / hull),
        gradient,
    }
}

/// The derivatives of the own, the shared and the hull's extent of two boxes by a side of the predicted one.
fn growth(predicted: Corners, truth: Corners, side: usize) -> [f32; 3] {
    let sign = if side < 2 { -1.0 } else { 1.0 };
    let inner = if side < 2 {
        predicted[side] > truth[side]
    } else {
        predicted[side] < truth[side]
    };
    [
        sign,
        if inner { sign } else { 0.0 },
        if inner { 0.0 } else { sign },
    ]
}

/// `1 − IoU²` of a predicted and a true box, with the gradient by the predicted box: the published loss of Ge and
/// others, "YOLOX" (arXiv 2107.08430). Boxes without area cost 1, and have no gradient.
pub fn squared_iou(predicted: Corners, truth: Corners) -> Slope<Corners> {
    let [x1, y1, x2, y2] = predicted;
    let [width, height] = [x2 - x1, y2 - y1];
    let shared_width = x2.min(truth[2]) - x1.max(truth[0]);
    let shared_height = y2.min(truth[3]) - y1.max(truth[1]);
    let iou = iou(predicted, truth);
    if iou == 0.0 {
        return Slope {
            loss: 1.0,
            gradient: [0.0; 4],
        };
    }
    let shared = shared_width * shared_height;
    let union = width * height + (truth[2] - truth[0]) * (truth[3] - truth[1]) - shared;
    let gradient = std::array::from_fn(|side| {
        let [by_own, by_inner, _] = growth(predicted, truth, side);
        let (own_across, shared_across) = match side % 2 {
            0 => (height, shared_height),
            _ => (width, shared_width),
        };
        let d_shared = by_inner * shared_across;
        let d_union = by_own * own_across - d_shared;
        -2.0 * iou * (d_shared - iou * d_union) / union
    });
    Slope {
        loss: 1.0 - iou * iou,
        gradient,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quality_focal_plainly(logit: f64, quality: f64) -> f64 {
        let score = 1.0 / (1.0 + (-logit).exp());
        let cross_entropy = (1.0 - quality) * (1.0 - score).ln() + quality * score.ln();
        -(quality - score).abs().powi(2) * cross_entropy
    }

    fn giou_plainly(a: [f64; 4], b: [f64; 4]) -> f64 {
        let area = |b: [f64; 4]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
        let shared = area([
            a[0].max(b[0]),
            a[1].max(b[1]),
            a[2].min(b[2]),
            a[3].min(b[3]),
        ]);
        let hull = area([
            a[0].min(b[0]),
            a[1].min(b[1]),
            a[2].max(b[2]),
            a[3].max(b[3]),
        ]);
        let union = area(a) + area(b) - shared;
        1.0 - (shared / union - (hull - union) / hull)
    }

    fn boxes() -> impl Strategy<Value = Corners> {
        (-20.0f32..20.0, -20.0f32..20.0, 1.0f32..30.0, 1.0f32..30.0)
            .prop_map(|(x, y, width, height)| [x, y, x + width, y + height])
    }

    proptest! {
        #[test]
        fn quality_focal_is_its_formula_and_its_gradient_its_differences(
            logit in -8.0f32..8.0, quality in 0.0f32..1.0
        ) {
            let found = quality_focal(logit, quality);
            let (x, q, step) = (f64::from(logit), f64::from(quality), 1e-5);
            prop_assert!((f64::from(found.loss) - quality_focal_plainly(x, q)).abs() < 1e-5);
            let slope = (quality_focal_plainly(x + step, q) - quality_focal_plainly(x - step, q))
                / (2.0 * step);
            prop_assert!((f64::from(found.gradient) - slope).abs() < 1e-4);
        }

        #[test]
        fn cross_entropy_is_its_formula_and_its_gradient_its_differences(
            logit in -8.0f32..8.0, target in 0.0f32..1.0
        ) {
            let plainly = |x: f64| {
                let (score, target) = (1.0 / (1.0 + (-x).exp()), f64::from(target));
                -target * score.ln() - (1.0 - target) * (1.0 - score).ln()
            };
            let found = cross_entropy(logit, target);
            let (x, step) = (f64::from(logit), 1e-5);
            prop_assert!((f64::from(found.loss) - plainly(x)).abs() < 1e-5);
            let slope = (plainly(x + step) - plainly(x - step)) / (2.0 * step);
            prop_assert!((f64::from(found.gradient) - slope).abs() < 1e-4);
        }

        #[test]
        fn squared_iou_is_its_formula_and_its_gradient_its_differences(a in boxes(), b in boxes()) {
            // Where two sides meet there is a kink.
            prop_assume!((0..4).all(|i| (0..2).all(|j| (a[i] - b[i % 2 + 2 * j]).abs() > 1e-2)));
            let plainly = |a: [f64; 4]| {
                let b = b.map(f64::from);
                let extent = |i: usize| (a[i + 2].min(b[i + 2]) - a[i].max(b[i])).max(0.0);
                let area = |b: [f64; 4]| (b[2] - b[0]) * (b[3] - b[1]);
                let shared = extent(0) * extent(1);
                1.0 - (shared / (area(a) + area(b) - shared)).powi(2)
            };
            let found = squared_iou(a, b);
            let a = a.map(f64::from);
            prop_assert!((f64::from(found.loss) - plainly(a)).abs() < 1e-5);
            for side in 0..4 {
                let step = 1e-4;
                let moved = |by: f64| {
                    let mut moved = a;
                    moved[side] += by;
                    plainly(moved)
                };
                let slope = (moved(step) - moved(-step)) / (2.0 * step);
                let gradient = f64::from(found.gradient[side]);
                prop_assert!((gradient - slope).abs() < 1e-4, "{side}: {gradient} {slope}");
            }
        }

        #[test]
        fn giou_is_its_formula_and_its_gradient_its_differences(a in boxes(), b in boxes()) {
            // Where two sides meet there is a kink.
            prop_assume!((0..4).all(|i| (0..2).all(|j| (a[i] - b[i % 2 + 2 * j]).abs() > 1e-2)));
            let found = giou(a, b);
            let [a, b] = [a, b].map(|corners| corners.map(f64::from));
            prop_assert!((f64::from(found.loss) - giou_plainly(a, b)).abs() < 1e-5);
            for side in 0..4 {
                let step = 1e-4;
                let moved = |by: f64| {
                    let mut moved = a;
                    moved[side] += by;
                    giou_plainly(moved, b)
                };
                let slope = (moved(step) - moved(-step)) / (2.0 * step);
                let gradient = f64::from(found.gradient[side]);
                prop_assert!((gradient - slope).abs() < 1e-4, "{side}: {gradient} {slope}");
            }
        }
    }

    #[test]
    fn a_perfect_prediction_costs_nothing() {
        let corners = [1.0, 2.0, 5.0, 9.0];
        assert_eq!(giou(corners, corners).loss, 0.0);
        assert_eq!(squared_iou(corners, corners).loss, 0.0);
        assert!(cross_entropy(40.0, 1.0).loss < 1e-6);
        assert!(quality_focal(40.0, 1.0).loss < 1e-6);
        assert!(quality_focal(-40.0, 0.0).loss < 1e-6);
    }

    #[test]
    fn hopeless_logits_stay_finite() {
        for logit in [-1e4, 1e4] {
            for quality in [0.0, 1.0] {
                for slope in [quality_focal(logit, quality), cross_entropy(logit, quality)] {
                    assert!(slope.loss.is_finite() && slope.gradient.is_finite());
                }
            }
        }
    }

    #[test]
    fn boxes_that_share_nothing_have_no_squared_iou_to_learn_from() {
        let truth = [0.0, 0.0, 10.0, 10.0];
        let far = [20.0, 0.0, 30.0, 10.0];
        let endless = [f32::INFINITY, 2.0, f32::INFINITY, 4.0];
        for (predicted, truth) in [(far, truth), (endless, truth), (far, [1.0; 4])] {
            let Slope { loss, gradient } = squared_iou(predicted, truth);
            assert_eq!((loss, gradient), (1.0, [0.0; 4]));
        }
    }
}
