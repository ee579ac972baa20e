//! A detector's answers on the images that chose it, and the pictures of some.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use warmstart_data::{BoundingBox, DrawnBox, Object, Sample, Scene, decode, draw_boxes};
use warmstart_metrics::{Detected, DetectionEvaluation, Truth, matched};
use warmstart_recipe::Error;
use warmstart_tasks::detect::detector::{Detector, FoundObject, MATCHING_IOU};
use warmstart_tasks::detect::{JudgedObjects, Selection, detected, truth};

use super::pictures::{Picture, PictureId, Pictures, name, within};
use super::samples::evenly;

/// Most images that are shown: those with the most errors, and others, evenly spread.
const WORST: usize = 8;
const OTHERS: usize = 4;
/// Longest side of their pictures, in pixels.
const SIDE: usize = 360;
/// Lowest score of a box that counts, as in `predict`.
const SCORE: f32 = 0.25;

/// An image with its objects and those that were found.
#[derive(Clone, Debug)]
pub struct JudgedScene {
    /// The picture with the objects of its label.
    pub truth: PictureId,
    /// The picture with the objects that were found.
    pub found: PictureId,
    /// Number of objects that were not found.
    pub missed: usize,
    /// Number of boxes that are around no object of their class, or around one that a surer box has found.
    pub wrong: usize,
}

/// A detector's answers.
pub struct Scenes {
    /// Names of the classes.
    pub names: Vec<String>,
    /// The metrics.
    pub figures: DetectionEvaluation,
    /// The images that could be read.
    pub paths: Vec<PathBuf>,
    /// Labelled and detected objects of each.
    pub objects: Vec<JudgedObjects>,
    /// Number of images that could not be read.
    pub unreadable: usize,
    /// The images that are shown, those with the most errors first.
    pub shown: Vec<JudgedScene>,
}

/// The detector's answers on labelled images of the data set in `folder`.
///
/// # Errors
/// If a thread that reads images panics.
pub fn judge(
    detector: &Detector,
    samples: Vec<Sample<Scene>>,
    workers: usize,
    folder: &Path,
    pictures: &mut Pictures,
) -> Result<Scenes, Error> {
    let paths: Vec<PathBuf> = samples.iter().map(|sample| sample.path.clone()).collect();
    let mut scenes = samples.iter();
    let mut figures = DetectionEvaluation::new(detector.info.classes.clone());
    let (mut judged, mut unreadable) = (Vec::new(), 0);
    let (mut read, mut of_images) = (Vec::new(), Vec::new());
    let selection = Selection::EVALUATION;
    detector.predict(&paths, workers, selection, &mut |answer| {
        let sample = scenes.next().expect("a label for each file");
        match answer.objects {
            Ok(objects) => {
                let truths: Vec<_> = sample.label.objects.iter().map(truth).collect();
                let found: Vec<Detected> = objects.iter().map(boxed).collect();
                figures.add_image(&truths, &found);
                of_images.push((truths, found));
                read.push(answer.path);
                let sure = objects.into_iter().filter(|object| object.score >= SCORE);
                judged.push((sample, sure.collect::<Vec<_>>()));
            }
            Err(_) => unreadable += 1,
        }
        ControlFlow::Continue(())
    })?;
    let mut errors: Vec<(usize, usize)> = judged
        .iter()
        .map(|(sample, found)| errors(&sample.label.objects, found))
        .collect();
    let mut order: Vec<usize> = (0..judged.len()).collect();
    order.sort_by_key(|&image| std::cmp::Reverse(errors[image].0 + errors[image].1));
    let rest = order.split_off(order.len().min(WORST));
    order.extend(evenly(rest.len(), OTHERS).map(|place| rest[place]));
    let shown = order.into_iter().filter_map(|image| {
        let (sample, found) = &judged[image];
        let errors = std::mem::take(&mut errors[image]);
        show(detector, sample, found, errors, folder, pictures)
    });
    Ok(Scenes {
        shown: shown.collect(),
        names: detector.info.classes.clone(),
        figures,
        paths: read,
        objects: of_images,
        unreadable,
    })
}

/// The numbers of objects that were not found, and of boxes that are around none.
fn errors(objects: &[Object], found: &[FoundObject]) -> (usize, usize) {
    let found: Vec<Detected> = found.iter().map(boxed).collect();
    let matches = |truths: &[Truth]| {
        let matched = matched(truths, &found, MATCHING_IOU);
        matched.iter().filter(|is_matched| **is_matched).count()
    };
    let single = objects.iter().filter(|object| !object.crowd);
    let single: Vec<Truth> = single.map(truth).collect();
    // A crowd need not be found, and a box in it is not wrong.
    let all: Vec<Truth> = objects.iter().map(truth).collect();
    (single.len() - matches(&single), found.len() - matches(&all))
}

/// A found object as the metrics take it.
fn boxed(object: &FoundObject) -> Detected {
    detected(object.class, object.score, object.bounds)
}

fn show(
    detector: &Detector,
    sample: &Sample<Scene>,
    found: &[FoundObject],
    (missed, wrong): (usize, usize),
    folder: &Path,
    pictures: &mut Pictures,
) -> Option<JudgedScene> {
    let image = decode(&sample.path).ok()?;
    // Captions are drawn on the small picture, where they can be read.
    let small = within(&image, SIDE);
    let scale = small.width as f64 / image.width as f64;
    let classes = &detector.info.classes;
    let truths = sample.label.objects.iter().map(|object| DrawnBox {
        bounds: scaled(object.bounds, scale),
        class: object.class,
        caption: classes[object.class].clone(),
    });
    let found = found.iter().map(|object| DrawnBox {
        bounds: scaled(object.bounds, scale),
        class: object.class,
        caption: format!("{} {:.2}", classes[object.class], object.score),
    });
    let mut drawn = |boxes: Vec<DrawnBox>| {
        let mut image = small.clone();
        draw_boxes(&mut image, &boxes);
        pictures.add(Picture::of(name(&sample.path, folder), &image))
    };
    Some(JudgedScene {
        truth: drawn(truths.collect()),
        found: drawn(found.collect()),
        missed,
        wrong,
    })
}

fn scaled(bounds: BoundingBox, by: f64) -> BoundingBox {
    BoundingBox {
        left: bounds.left * by,
        top: bounds.top * by,
        right: bounds.right * by,
        bottom: bounds.bottom * by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(left: f64) -> BoundingBox {
        BoundingBox {
            left,
            top: 0.0,
            right: left + 10.0,
            bottom: 10.0,
        }
    }

    #[test]
    fn each_object_is_found_once() {
        let object = |left, crowd| Object {
            class: 0,
            bounds: bounds(left),
            area: 100.0,
            crowd,
            difficult: false,
        };
        let found = |left, class| FoundObject {
            class,
            score: 0.9,
            bounds: bounds(left),
        };
        let objects = [object(0.0, false), object(50.0, false), object(90.0, true)];
        // A second box on the first object, and one of another class on the second.
        let boxes = [found(1.0, 0), found(0.0, 0), found(50.0, 1)];
        assert_eq!(errors(&objects, &boxes), (1, 2));
        assert_eq!(errors(&objects, &[]), (2, 0));
        assert_eq!(errors(&[], &[]), (0, 0));
        // A box in the crowd.
        assert_eq!(errors(&objects, &[found(90.0, 0)]), (2, 0));
    }
}
