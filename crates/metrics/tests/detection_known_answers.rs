//! Figures of detection that can be worked out by hand.

use warmstart_metrics::{CocoFigures, Detected, DetectionEvaluation, Truth, VocFigures};

const TOLERANCE: f64 = 1e-9;

fn truth(bounds: [f64; 4]) -> Truth {
    let [x1, y1, x2, y2] = bounds;
    Truth {
        class: 0,
        bounds,
        area: (x2 - x1) * (y2 - y1),
        crowd: false,
        difficult: false,
    }
}

fn detected(score: f64, bounds: [f64; 4]) -> Detected {
    Detected {
        class: 0,
        score,
        bounds,
    }
}

/// One image, two classes.
fn evaluate(truths: &[Truth], detected: &[Detected]) -> DetectionEvaluation {
    let mut evaluation = DetectionEvaluation::new(vec!["cat".into(), "dog".into()]);
    evaluation.add_image(truths, detected);
    evaluation
}

fn coco(truths: &[Truth], detected: &[Detected]) -> CocoFigures {
    evaluate(truths, detected).coco()
}

fn voc(truths: &[Truth], detected: &[Detected]) -> VocFigures {
    evaluate(truths, detected).voc()
}

#[track_caller]
fn assert_is(found: Option<f64>, expected: f64) {
    let found = found.expect("there is truth");
    assert!(
        (found - expected).abs() < TOLERANCE,
        "{found} is not {expected}"
    );
}

/// 100 × 100 pixels each, far from one another.
const HERE: [f64; 4] = [0.0, 0.0, 100.0, 100.0];
const THERE: [f64; 4] = [300.0, 300.0, 400.0, 400.0];
const NOWHERE: [f64; 4] = [600.0, 600.0, 700.0, 700.0];

#[test]
fn half_of_the_truths_found_reaches_half_of_the_levels_of_recall() {
    let truths = [truth(HERE), truth(THERE)];
    let detected = [detected(0.9, HERE)];
    let figures = coco(&truths, &detected);
    assert_is(figures.ap, 51.0 / 101.0);
    assert_is(figures.ap_50, 51.0 / 101.0);
    assert_is(figures.ar_100, 0.5);
    let figures = voc(&truths, &detected);
    assert_is(figures.map_11_points, 6.0 / 11.0);
    assert_is(figures.map_all_points, 0.5);
}

#[test]
fn a_false_detection_above_the_hit_halves_precision() {
    let figures = coco(
        &[truth(HERE)],
        &[detected(0.9, NOWHERE), detected(0.8, HERE)],
    );
    assert_is(figures.ap, 0.5);
    assert_is(figures.ar_1, 0.0);
    assert_is(figures.ar_10, 1.0);
}

#[test]
fn equal_scores_keep_the_order_they_came_in() {
    let (miss, hit) = (detected(0.9, NOWHERE), detected(0.9, HERE));
    for (order, expected) in [([miss, hit], 0.5), ([hit, miss], 1.0)] {
        assert_is(coco(&[truth(HERE)], &order).ap, expected);
        assert_is(voc(&[truth(HERE)], &order).map_all_points, expected);
    }
}

#[test]
fn equal_scores_in_two_images_keep_the_order_of_the_images() {
    let (miss, hit) = (detected(0.9, NOWHERE), detected(0.9, HERE));
    // One of the two truths is found, so half of the levels of recall are reached.
    for (order, precision) in [([miss, hit], 0.5), ([hit, miss], 1.0)] {
        let mut evaluation = DetectionEvaluation::new(vec!["cat".into()]);
        for detected in order {
            evaluation.add_image(&[truth(HERE)], &[detected]);
        }
        assert_is(evaluation.coco().ap, precision * 51.0 / 101.0);
    }
}

#[test]
fn coco_matches_at_an_iou_of_exactly_one_half() {
    let figures = coco(&[truth(HERE)], &[detected(0.9, [0.0, 0.0, 100.0, 50.0])]);
    assert_is(figures.ap_50, 1.0);
    assert_is(figures.ap_75, 0.0);
    assert_is(figures.ap, 0.1);
}

#[test]
fn voc_counts_the_last_pixel_and_does_not_match_at_exactly_one_half() {
    // As VOC writes boxes, with pixels counted from 1 and the last ones included.
    let pixels = |[x1, y1, x2, y2]: [f64; 4]| [x1 - 1.0, y1 - 1.0, x2, y2];
    let ten_by_ten = truth(pixels([1.0, 1.0, 10.0, 10.0]));
    let half = detected(0.9, pixels([1.0, 1.0, 10.0, 5.0]));
    let more = detected(0.9, pixels([1.0, 1.0, 10.0, 6.0]));
    assert_is(voc(&[ten_by_ten], &[half]).map_all_points, 0.0);
    assert_is(voc(&[ten_by_ten], &[more]).map_all_points, 1.0);
    assert_is(coco(&[ten_by_ten], &[half]).ap_50, 1.0);
}

#[test]
fn a_duplicate_after_the_hit_costs_nothing_at_full_recall() {
    let figures = coco(&[truth(HERE)], &[detected(0.9, HERE), detected(0.8, HERE)]);
    assert_is(figures.ap, 1.0);
}

#[test]
fn a_duplicate_above_another_hit_is_a_miss() {
    let truths = [truth(HERE), truth(THERE)];
    let detections = [
        detected(0.9, HERE),
        detected(0.8, HERE),
        detected(0.7, THERE),
    ];
    // Precision 1 at 51 levels, 2/3 at the other 50.
    let expected = (51.0 + 50.0 * 2.0 / 3.0) / 101.0;
    assert_is(coco(&truths, &detections).ap, expected);
    assert_is(
        voc(&truths, &detections).map_all_points,
        0.5 + 0.5 * 2.0 / 3.0,
    );
}

#[test]
fn of_truths_overlapped_equally_coco_takes_the_last_and_voc_the_first() {
    let (upper, lower) = ([0.0, 0.0, 100.0, 60.0], [0.0, 40.0, 100.0, 100.0]);
    let truths = [truth(upper), truth(lower)];
    // The first detection overlaps both by 0.6, the second is left with what that one did not take.
    let detections = [detected(0.9, HERE), detected(0.8, lower)];
    assert_is(coco(&truths, &detections).ap_50, 51.0 / 101.0);
    assert_is(voc(&truths, &detections).map_all_points, 1.0);
}

#[test]
fn a_detection_inside_a_crowd_is_ignored_and_the_crowd_never_used_up() {
    let crowd = Truth {
        crowd: true,
        ..truth([300.0, 300.0, 600.0, 600.0])
    };
    let inside = [310.0, 310.0, 330.0, 330.0];
    let detections = [
        detected(0.95, inside),
        detected(0.93, inside),
        detected(0.9, HERE),
    ];
    let evaluation = evaluate(&[truth(HERE), crowd], &detections);
    assert_is(evaluation.coco().ap, 1.0);
    assert_eq!(evaluation.per_class()[0].truths, 1);
    // Half inside: it overlaps by exactly a half of itself, and is ignored at that IoU alone.
    let half_inside = detected(0.95, [290.0, 310.0, 310.0, 330.0]);
    let figures = coco(&[truth(HERE), crowd], &[half_inside, detected(0.9, HERE)]);
    assert_is(figures.ap_50, 1.0);
    assert_is(figures.ap_75, 0.5);
}

#[test]
fn a_class_without_truth_is_left_out() {
    let dog = Detected {
        class: 1,
        ..detected(0.99, NOWHERE)
    };
    let evaluation = evaluate(&[truth(HERE)], &[detected(0.9, HERE), dog]);
    assert_is(evaluation.coco().ap, 1.0);
    assert_is(evaluation.voc().map_11_points, 1.0);
    let [cat, dog] = &evaluation.per_class()[..] else {
        panic!()
    };
    assert_is(cat.ap, 1.0);
    assert_eq!((dog.ap, dog.ap_50, dog.truths), (None, None, 0));
    assert_eq!(evaluation.curves(0.5).unwrap().len(), 1);
}

#[test]
fn coco_takes_a_hundred_detections_of_an_image_and_voc_all() {
    let ranked = |misses: usize| {
        let mut detections = vec![detected(0.9, NOWHERE); misses];
        detections.push(detected(0.8, HERE));
        detections
    };
    assert_is(coco(&[truth(HERE)], &ranked(100)).ap, 0.0);
    assert_is(coco(&[truth(HERE)], &ranked(99)).ap, 0.01);
    let figures = voc(&[truth(HERE)], &ranked(100));
    assert_is(figures.map_all_points, 1.0 / 101.0);
}

#[test]
fn a_false_detection_of_another_size_does_not_count_against_small_objects() {
    let small = [0.0, 0.0, 20.0, 20.0];
    let figures = coco(
        &[truth(small)],
        &[
            detected(0.9, [300.0, 300.0, 350.0, 350.0]),
            detected(0.8, small),
        ],
    );
    assert_is(figures.ap, 0.5);
    assert_is(figures.ap_small, 1.0);
    assert_is(figures.ar_small, 1.0);
    assert_eq!((figures.ap_medium, figures.ap_large), (None, None));
    assert_eq!((figures.ar_medium, figures.ar_large), (None, None));
}

#[test]
fn an_area_on_the_border_of_two_sizes_is_of_both() {
    let figures = coco(
        &[truth([0.0, 0.0, 32.0, 32.0])],
        &[detected(0.9, [0.0, 0.0, 32.0, 32.0])],
    );
    assert_is(figures.ap_small, 1.0);
    assert_is(figures.ap_medium, 1.0);
    assert_eq!(figures.ap_large, None);
}

#[test]
fn difficult_truths_are_ignored_in_voc_and_count_in_coco() {
    let difficult = Truth {
        difficult: true,
        ..truth(THERE)
    };
    let detections = [detected(0.9, THERE), detected(0.8, HERE)];
    let evaluation = evaluate(&[truth(HERE), difficult], &detections);
    assert_is(evaluation.voc().map_all_points, 1.0);
    assert_is(evaluation.coco().ap, 1.0);
    let missed = evaluate(&[truth(HERE), difficult], &detections[1..]);
    assert_is(missed.voc().map_all_points, 1.0);
    assert_is(missed.coco().ap, 51.0 / 101.0);
}

#[test]
fn without_images_or_truth_there_is_no_figure() {
    let nothing = DetectionEvaluation::new(vec!["cat".into()]);
    let only_detected = evaluate(&[], &[detected(0.9, HERE)]);
    for evaluation in [nothing, only_detected] {
        assert_eq!(evaluation.coco().ap, None);
        assert_eq!(evaluation.coco().ar_100, None);
        assert_eq!(evaluation.voc().map_11_points, None);
        assert!(evaluation.curves(0.5).unwrap().is_empty());
    }
}

#[test]
fn a_curve_has_precision_and_score_at_every_hundredth_of_recall() {
    let truths = [truth(HERE), truth(THERE)];
    let evaluation = evaluate(&truths, &[detected(0.9, NOWHERE), detected(0.8, HERE)]);
    let curves = evaluation.curves(0.75).unwrap();
    let points = &curves[0].points;
    assert_eq!((curves[0].class.as_str(), curves[0].iou), ("cat", 0.75));
    assert_eq!(points.len(), 101);
    assert!((points[37].recall - 0.37).abs() < TOLERANCE);
    // No detection at all is needed for a recall of 0, so the first one is taken.
    assert_eq!(points[0].score, Some(0.9));
    assert_eq!((points[1].precision, points[1].score), (0.5, Some(0.8)));
    assert_eq!((points[50].precision, points[50].score), (0.5, Some(0.8)));
    assert_eq!((points[51].precision, points[51].score), (0.0, None));
    assert!(evaluation.curves(0.9).is_some());
    assert!(evaluation.curves(0.51).is_none());
}
