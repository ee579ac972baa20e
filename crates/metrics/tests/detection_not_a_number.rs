//! Scores and boxes with NaN or infinite values.

use warmstart_metrics::{Detected, DetectionEvaluation, Truth};

const BOX: [f64; 4] = [0.0, 0.0, 20.0, 20.0];
const HIT: Detected = Detected {
    class: 0,
    score: 0.5,
    bounds: BOX,
};
const TRUTH: Truth = Truth {
    class: 0,
    bounds: BOX,
    area: 400.0,
    crowd: false,
    difficult: false,
};

fn evaluate(truths: &[Truth], detected: &[Detected]) -> DetectionEvaluation {
    let mut evaluation = DetectionEvaluation::new(vec!["cat".into()]);
    evaluation.add_image(truths, detected);
    evaluation
}

#[test]
fn a_score_that_is_nan_ranks_below_all_others() {
    let unsure = Detected {
        score: f64::NAN,
        bounds: [300.0, 300.0, 320.0, 320.0],
        ..HIT
    };
    let lowest = Detected {
        score: f64::NEG_INFINITY,
        ..HIT
    };
    let evaluation = evaluate(&[TRUTH], &[unsure, lowest]);
    assert_eq!(evaluation.coco().ar_1, Some(1.0));
    assert!(evaluation.coco().ap.unwrap() > 0.999);
    assert_eq!(evaluation.voc().map_all_points, Some(1.0));
}

#[test]
fn a_detected_box_with_a_nan_is_a_miss_at_every_size() {
    for edge in 0..4 {
        let mut bounds = BOX;
        bounds[edge] = f64::NAN;
        let broken = Detected {
            score: 0.9,
            bounds,
            ..HIT
        };
        let crowd = Truth {
            crowd: true,
            ..TRUTH
        };
        let figures = evaluate(&[TRUTH, crowd], &[broken, HIT]).coco();
        for ap in [figures.ap, figures.ap_small] {
            assert!((ap.unwrap() - 0.5).abs() < 1e-9);
        }
        let voc = evaluate(&[TRUTH], &[broken, HIT]).voc();
        assert_eq!(voc.map_all_points, Some(0.5));
    }
}

#[test]
fn a_truth_with_a_nan_is_never_found_and_a_crowd_with_one_hides_nothing() {
    for edge in 0..4 {
        let mut bounds = BOX;
        bounds[edge] = f64::NAN;
        let broken = Truth { bounds, ..TRUTH };
        assert_eq!(evaluate(&[broken], &[HIT]).coco().ar_100, Some(0.0));
        let crowd = Truth {
            crowd: true,
            ..broken
        };
        let other = Truth {
            bounds: [300.0, 300.0, 320.0, 320.0],
            ..TRUTH
        };
        let found = Detected {
            score: 0.4,
            bounds: other.bounds,
            ..HIT
        };
        // Above it is a miss.
        let ap = evaluate(&[crowd, other], &[HIT, found]).coco().ap;
        assert!((ap.unwrap() - 0.5).abs() < 1e-9);
    }
}

#[test]
fn boxes_without_end_inside_out_or_without_area_do_not_panic() {
    let endless = [f64::NEG_INFINITY, 0.0, f64::INFINITY, 20.0];
    let inside_out = [20.0, 20.0, 0.0, 0.0];
    let flat = [5.0, 5.0, 5.0, 5.0];
    for bounds in [endless, inside_out, flat] {
        let truth = Truth { bounds, ..TRUTH };
        let detected = Detected { bounds, ..HIT };
        let evaluation = evaluate(&[TRUTH, truth], &[detected, HIT]);
        assert!(evaluation.coco().ap.unwrap() <= 1.0);
        assert!(evaluation.voc().map_11_points.unwrap() <= 1.0);
        assert!(evaluation.curves(0.5).is_some());
    }
}
