//! Random images against pycocotools, and against a plain reference for VOC (`fixtures/make_detection.py`).

use serde::Deserialize;
use std::collections::BTreeMap;
use warmstart_metrics::{AtConfidence, CocoFigures, Detected, DetectionEvaluation, Truth};

const TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Set {
    classes: usize,
    images: Vec<Image>,
    coco: [Option<f64>; 12],
    per_class: Vec<[Option<f64>; 2]>,
    voc: [Option<f64>; 2],
    curve_iou: f64,
    /// Of the first classes, `[precision, score]`.
    curves: Vec<Option<[Vec<f64>; 2]>>,
}

#[derive(Deserialize)]
struct Image {
    /// Class, bounds, area, crowd, difficult.
    truths: Vec<[f64; 8]>,
    /// Class, score, bounds.
    detected: Vec<[f64; 6]>,
}

impl Image {
    fn truths(&self) -> Vec<Truth> {
        let truth = |&[class, x1, y1, x2, y2, area, crowd, difficult]: &[f64; 8]| Truth {
            class: class as usize,
            bounds: [x1, y1, x2, y2],
            area,
            crowd: crowd == 1.0,
            difficult: difficult == 1.0,
        };
        self.truths.iter().map(truth).collect()
    }

    fn detected(&self) -> Vec<Detected> {
        let detected = |&[class, score, x1, y1, x2, y2]: &[f64; 6]| Detected {
            class: class as usize,
            score,
            bounds: [x1, y1, x2, y2],
        };
        self.detected.iter().map(detected).collect()
    }
}

fn sets() -> BTreeMap<String, Set> {
    serde_json::from_str(include_str!("fixtures/detection.json")).unwrap()
}

fn empty(set: &Set) -> DetectionEvaluation {
    DetectionEvaluation::new((0..set.classes).map(|class| class.to_string()).collect())
}

fn evaluate(set: &Set) -> DetectionEvaluation {
    let mut evaluation = empty(set);
    for image in &set.images {
        evaluation.add_image(&image.truths(), &image.detected());
    }
    evaluation
}

fn in_cocos_order(figures: &CocoFigures) -> [Option<f64>; 12] {
    [
        figures.ap,
        figures.ap_50,
        figures.ap_75,
        figures.ap_small,
        figures.ap_medium,
        figures.ap_large,
        figures.ar_1,
        figures.ar_10,
        figures.ar_100,
        figures.ar_small,
        figures.ar_medium,
        figures.ar_large,
    ]
}

#[track_caller]
fn assert_close(found: Option<f64>, expected: Option<f64>, what: &str) {
    let close = match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < TOLERANCE,
        (found, expected) => found == expected,
    };
    assert!(close, "{what}: {found:?} is not {expected:?}");
}

#[test]
fn the_twelve_coco_figures_are_those_of_pycocotools() {
    for (name, set) in sets() {
        let figures = in_cocos_order(&evaluate(&set).coco());
        for (index, (found, expected)) in figures.into_iter().zip(set.coco).enumerate() {
            assert_close(found, expected, &format!("{name}, figure {index}"));
        }
    }
}

#[test]
fn the_average_precisions_by_class_are_those_of_pycocotools() {
    for (name, set) in sets() {
        let figures = evaluate(&set).per_class();
        assert_eq!(figures.len(), set.per_class.len());
        for (found, [ap, ap_50]) in figures.iter().zip(&set.per_class) {
            let what = format!("{name}, class {}", found.class);
            assert_close(found.ap, *ap, &what);
            assert_close(found.ap_50, *ap_50, &what);
        }
    }
}

#[test]
fn the_confusion_matrix_counts_what_f1_counts() {
    // COCO's figures take a hundred detections of a class in an image, the matrix all.
    let sets = sets().into_iter();
    for (name, set) in sets.filter(|(name, _)| name != "more_than_a_hundred") {
        let images: Vec<(Vec<Truth>, Vec<Detected>)> = set
            .images
            .iter()
            .map(|image| (image.truths(), image.detected()))
            .collect();
        let names: Vec<String> = (0..set.classes).map(|class| class.to_string()).collect();
        for (class, figures) in evaluate(&set).per_class().into_iter().enumerate() {
            let Some(best) = figures.f1 else {
                continue;
            };
            let all = AtConfidence::of_images(names.clone(), best.confidence, &images);
            let counts = all.counts();
            let labels: usize = counts[class].iter().sum();
            let found: usize = counts.iter().map(|row| row[class]).sum();
            let f1 = (2 * counts[class][class]) as f64 / (labels + found) as f64;
            assert_eq!(best.f1, f1, "{name}, class {class}");
            assert_eq!(labels, figures.truths, "{name}, class {class}");
        }
    }
}

#[test]
fn the_curves_are_those_of_pycocotools() {
    for (name, set) in sets() {
        let curves = evaluate(&set).curves(set.curve_iou).unwrap();
        for (class, expected) in set.curves.iter().enumerate() {
            let found = curves.iter().find(|curve| curve.class == class.to_string());
            assert_eq!(found.is_some(), expected.is_some(), "{name}, class {class}");
            let (Some(found), Some([precision, score])) = (found, expected) else {
                continue;
            };
            for (index, point) in found.points.iter().enumerate() {
                let what = format!("{name}, class {class}, level {index}");
                assert_close(Some(point.precision), Some(precision[index]), &what);
                // There, a score of 0 also stands for a recall that is not reached.
                assert_close(Some(point.score.unwrap_or(0.0)), Some(score[index]), &what);
            }
        }
    }
}

#[test]
fn vocs_figures_are_those_of_the_plain_reference() {
    for (name, set) in sets() {
        let figures = evaluate(&set).voc();
        assert_close(figures.map_11_points, set.voc[0], &name);
        assert_close(figures.map_all_points, set.voc[1], &name);
    }
}

#[test]
fn the_order_of_images_does_not_matter_if_scores_differ() {
    for (name, set) in sets() {
        let (mut forward, mut backward) = (empty(&set), empty(&set));
        let mut images: Vec<_> = set
            .images
            .iter()
            .enumerate()
            .map(|(image, content)| {
                // A shift smaller than the last digit of a score, so that no two images share a score.
                let apart = |detected: Detected| Detected {
                    score: detected.score + image as f64 * 1e-7,
                    ..detected
                };
                let detected: Vec<_> = content.detected().into_iter().map(apart).collect();
                (content.truths(), detected)
            })
            .collect();
        for (truths, detected) in &images {
            forward.add_image(truths, detected);
        }
        images.reverse();
        for (truths, detected) in &images {
            backward.add_image(truths, detected);
        }
        assert_eq!(forward.coco(), backward.coco(), "{name}");
        assert_eq!(forward.voc(), backward.voc(), "{name}");
        assert_eq!(forward.per_class(), backward.per_class(), "{name}");
        let iou = set.curve_iou;
        assert_eq!(forward.curves(iou), backward.curves(iou), "{name}");
    }
}

#[test]
fn the_figures_are_written_as_json_with_null_for_no_truth() {
    let evaluation = evaluate(&sets()["no_truths"]);
    let json = serde_json::to_value(evaluation.coco()).unwrap();
    assert_eq!(json.as_object().unwrap().len(), 12);
    assert!(json["ap"].is_null());
    let evaluation = evaluate(&sets()["crowds_and_sizes"]);
    let json = serde_json::to_value(evaluation.curves(0.5).unwrap()).unwrap();
    assert!(json[0]["points"][100]["precision"].is_number());
    assert!(serde_json::to_value(evaluation.per_class()).unwrap()[0]["ap_50"].is_number());
    assert!(serde_json::to_value(evaluation.voc()).unwrap()["map_11_points"].is_number());
}
