//! RTMDet and YOLOX against MMDetection and YOLOX's own package: maps, predictions, boxes, assignment, losses and
//! gradients on the same parameters.
//!
//! `tests/fixtures/README.md` says how the goldens were made.

mod goldens;

use std::fs;
use std::ops::ControlFlow;

use warmstart_data::{Letterbox, save_picture};
use warmstart_models::detector::Coding;
use warmstart_nn::update_running_statistics;
use warmstart_tasks::detect::found_object::FoundObjects;
use warmstart_tasks::detect::objective::Match;
use warmstart_tasks::detect::{Found, Head, Selection, in_picture, points};
use warmstart_tasks::kinds::Trained;

use goldens::{CLASSES, Case, SIZE, TOLERANCE, Training, cases, sorted_names};

#[test]
fn maps_of_inference_are_the_publishers() {
    for case in cases() {
        case.require_maps("eval", &case.infer().0);
    }
}

#[test]
fn predictions_of_inference_are_the_publishers() {
    for case in cases() {
        case.require_predictions("eval", &case.infer().0.predictions);
    }
}

#[test]
fn predictions_are_the_publishers_boxes_and_scores() {
    for case in cases() {
        let points = points(SIZE, case.detector.coding());
        let outputs = case.outputs(&points, &case.infer().0.predictions);
        let images = || outputs.images();
        let boxes: Vec<f32> = images()
            .flat_map(|image| image.decoded())
            .flatten()
            .collect();
        let scores: Vec<f32> = images().flat_map(|image| image.scores()).collect();
        case.require("eval.decoded", &boxes);
        case.require("eval.scores", &scores);
    }
}

/// The boxes that are left in a square picture of that size, which fills the network's input.
fn in_its_picture(found: &[Found], size: usize) -> Vec<Found> {
    let letterbox = Letterbox::new(size, size, size);
    let placed = |found: &Found| {
        let bounds = in_picture(&letterbox, found)?;
        Some(Found {
            corners: bounds.corners().map(|value| value as f32),
            ..*found
        })
    };
    found.iter().filter_map(placed).collect()
}

/// The boxes of a golden that are in the picture of that index.
fn golden_boxes(rows: &[f32], image: usize) -> Vec<Found> {
    let rows = rows.chunks(7).filter(|row| row[0] as usize == image);
    let found = rows.map(|row| Found {
        class: row[6] as usize,
        score: row[5],
        corners: [row[1], row[2], row[3], row[4]],
    });
    found.collect()
}

/// Fails unless two lists have the same boxes, in whatever order.
fn require_same(what: &str, found: &[Found], golden: &[Found], size: usize) {
    assert_eq!(found.len(), golden.len(), "{what}");
    for golden in golden {
        let corners = golden.corners.iter();
        let largest = corners.fold(size as f32, |a, v| a.max(v.abs()));
        let is_it = |found: &Found| {
            let near = |(a, b): (f32, f32)| (a - b).abs() < TOLERANCE * largest;
            found.class == golden.class
                && (found.score - golden.score).abs() < TOLERANCE
                && found.corners.into_iter().zip(golden.corners).all(near)
        };
        assert!(found.iter().any(is_it), "{what}: {golden:?}");
    }
}

#[test]
fn the_boxes_that_are_shown_are_the_publishers() {
    for case in cases() {
        let (pass, folded) = case.infer();
        let head = Head::new(&case.network, CLASSES, SIZE);
        let selection = Selection {
            confidence: case.golden("eval.confidence")[0],
            ..Selection::EVALUATION
        };
        let images = head.find(pass.neck, &folded, selection);
        for (image, mut found) in images.into_iter().enumerate() {
            // MMDetection clips its boxes, and drops those without area.
            if case.detector.coding() == Coding::Distances {
                found = in_its_picture(&found, SIZE);
            }
            let golden = golden_boxes(case.golden("eval.found"), image);
            require_same(&format!("{} {image}", case.name), &found, &golden, SIZE);
        }
    }
}

#[test]
fn a_file_from_its_home_shows_the_publishers_boxes_of_a_picture() {
    let has_picture = |case: &Case| case.goldens.tensors.contains_key("picture.found");
    let mut compared = 0;
    for case in cases().filter(has_picture) {
        let folder = tempfile::tempdir().unwrap();
        let [file, picture] =
            ["detector.safetensors", "picture.png"].map(|name| folder.path().join(name));
        fs::write(&file, case.published()).unwrap();
        let trained = Trained::load(&file, &warmstart_nn::device());
        let trained = trained.unwrap_or_else(|error| panic!("{error}"));
        let Trained::Detector(detector) = trained else {
            panic!("{} is a detector", case.name);
        };
        let size = detector.info.preprocessing.crop;
        save_picture(&picture, &goldens::picture(size)).unwrap();
        let selection = Selection {
            confidence: case.golden("picture.confidence")[0],
            ..Selection::EVALUATION
        };
        let mut objects = Vec::new();
        let mut keep = |found: FoundObjects| {
            objects = found.objects.unwrap();
            ControlFlow::Continue(())
        };
        let predicted = detector.predict(&[picture], 1, selection, &mut keep);
        predicted.unwrap_or_else(|error| panic!("{error}"));
        let found = objects.iter().map(|object| Found {
            class: object.class,
            score: object.score,
            corners: object.bounds.corners().map(|value| value as f32),
        });
        let found: Vec<Found> = found.collect();
        let mut golden = golden_boxes(case.golden("picture.found"), 0);
        // YOLOX leaves its boxes as they are.
        if case.detector.coding() == Coding::Centers {
            golden = in_its_picture(&golden, size);
        }
        require_same(case.name, &found, &golden, size);
        compared += 1;
    }
    assert_eq!(compared, 2);
}

#[test]
fn maps_of_training_are_the_publishers() {
    for case in cases() {
        case.require_maps("train", &case.train(false).pass);
    }
}

#[test]
fn predictions_of_training_are_the_publishers() {
    for case in cases() {
        case.require_predictions("train", &case.train(false).pass.predictions);
    }
}

#[test]
fn points_learn_the_boxes_that_the_publishers_assign() {
    for case in cases() {
        let matches = case.train(false).matches.concat();
        let truth = |found: &Option<Match>| found.map_or(-1.0, |found| found.truth as f32);
        let assigned: Vec<f32> = matches.iter().map(truth).collect();
        assert_eq!(assigned, case.golden("train.assigned"), "{}", case.name);
        let label = |found: &Option<Match>| found.map_or(0.0, |found| found.iou);
        let labels: Vec<f32> = matches.iter().map(label).collect();
        case.require("train.soft_labels", &labels);
    }
}

#[test]
fn losses_are_the_publishers() {
    for case in cases() {
        let objective = case.train(false).objective;
        let require = |key: &str, ours: f64| case.require(key, &[ours as f32]);
        require("train.divisor", objective.divisor());
        require("train.loss.classes", objective.classes());
        require("train.loss.boxes", objective.boxes());
        let mut parts = objective.classes() + objective.boxes();
        if case.detector.has_objectness() {
            require("train.loss.objectness", objective.objectness());
            parts += objective.objectness();
        }
        assert!((objective.value() - parts).abs() < 1e-9 * parts);
    }
}

#[test]
fn gradients_by_predictions_are_the_publishers() {
    for case in cases() {
        let gradients = case.train(false).by_predictions;
        case.require("train.gradient_of.classes", &gradients.logits);
        case.require("train.gradient_of.boxes", &gradients.boxes);
        if case.detector.has_objectness() {
            case.require("train.gradient_of.objectness", &gradients.objectness);
        }
    }
}

#[test]
fn yolox_learns_the_values_of_boxes_in_closing_epochs() {
    for case in cases().filter(|case| case.detector.coding() == Coding::Centers) {
        let Training {
            objective,
            by_predictions,
            ..
        } = case.train(true);
        let require = |key: &str, ours: f64| case.require(key, &[ours as f32]);
        require("train_closing.loss.classes", objective.classes());
        require("train_closing.loss.boxes", objective.boxes());
        require("train_closing.loss.objectness", objective.objectness());
        require("train_closing.loss.values", objective.values());
        case.require("train_closing.gradient_of.boxes", &by_predictions.boxes);
        case.require("train_closing.gradient_of.classes", &by_predictions.logits);
        case.require(
            "train_closing.gradient_of.objectness",
            &by_predictions.objectness,
        );
    }
}

#[test]
fn gradients_by_every_parameter_are_the_publishers() {
    for case in cases() {
        case.require_gradients(&case.train(false).by_parameters);
    }
}

#[test]
fn running_statistics_follow_a_batch_as_the_publishers() {
    for case in cases() {
        let training = case.train(false);
        let mut parameters = case.parameters.clone();
        update_running_statistics(&mut parameters, &training.statistics);
        let names = sorted_names(&parameters).into_iter();
        let mean = |name: &str| {
            let values = parameters.values(name);
            values.iter().sum::<f32>() / values.len() as f32
        };
        let means: Vec<f32> = names
            .filter(|name| name.contains(".running_"))
            .map(mean)
            .collect();
        case.require("train.after", &means);
    }
}
