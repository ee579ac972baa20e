//! A detector's answers on the images that chose it, and the pictures of some.

use std::path::{Path, PathBuf};

use warmstart_data::{BoundingBox, DrawnBox, RgbImage, Sample, Scene, decode, draw_boxes};
use warmstart_metrics::{
    AtConfidence, BoxDoubt, Detected, DetectionEvaluation, MATCHING_IOU, Truth, box_doubts, matched,
};
use warmstart_recipe::Error;
use warmstart_tasks::detect::detector::Detector;
use warmstart_tasks::detect::{JudgedObjects, JudgedScenes, Selection};

use super::pictures::{Picture, PictureId, Pictures, name, within};
use super::samples::evenly;

/// Most images that are shown: those with the most errors, and others, evenly spread.
const WORST: usize = 8;
const OTHERS: usize = 4;
/// Most doubtful boxes that are shown.
const DOUBTS: usize = 12;
/// Longest side of their pictures, in pixels.
const SIDE: usize = 360;

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

/// The boxes that the detector and the labels disagree on.
#[derive(Clone, Debug, Default)]
pub struct DoubtfulBoxes {
    /// The most doubtful ones, each with a picture in which it is drawn.
    pub shown: Vec<(PictureId, BoxDoubt)>,
    /// Number of doubtful ones.
    pub doubtful: usize,
}

/// A detector's answers.
pub struct Scenes {
    /// Names of the classes.
    pub names: Vec<String>,
    /// The metrics.
    pub figures: DetectionEvaluation,
    /// What is found, missed and confused at the confidence of the best F1.
    pub at_confidence: AtConfidence,
    /// The images that could be read.
    pub paths: Vec<PathBuf>,
    /// Labelled and detected objects of each.
    pub objects: Vec<JudgedObjects>,
    /// Number of images that could not be read.
    pub unreadable: usize,
    /// The images that are shown, those with the most errors first.
    pub shown: Vec<JudgedScene>,
    /// The boxes that it and the labels disagree on.
    pub doubts: DoubtfulBoxes,
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
    let judged = detector.judge(&samples, workers, Selection::EVALUATION, &mut |_| ())?;
    let confidence = judged.confidence(detector.selection().confidence);
    let JudgedScenes {
        figures,
        paths,
        objects,
        unreadable,
    } = judged;
    let names = &detector.info.classes;
    let sure: Vec<Vec<Detected>> = objects
        .iter()
        .map(|(_, found)| {
            let sure = found.iter().filter(|found| found.score >= confidence);
            sure.copied().collect()
        })
        .collect();
    let errors: Vec<(usize, usize)> = objects
        .iter()
        .zip(&sure)
        .map(|((truths, _), found)| errors(truths, found))
        .collect();
    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by_key(|&image| std::cmp::Reverse(errors[image].0 + errors[image].1));
    let rest = order.split_off(order.len().min(WORST));
    order.extend(evenly(rest.len(), OTHERS).map(|place| rest[place]));
    let mut show = Showing {
        names,
        folder,
        pictures,
    };
    let shown = order.into_iter().filter_map(|image| {
        let judged = (&objects[image].0[..], &sure[image][..]);
        show.scene(&paths[image], judged, errors[image])
    });
    let shown = shown.collect();
    let doubts = box_doubts(&objects, names.len(), confidence);
    let doubtful = doubts.iter().filter(|doubt| doubt.is_doubtful);
    let first = doubtful.clone().take(DOUBTS);
    let first = first.filter_map(|doubt| Some((show.doubt(&paths[doubt.image], doubt)?, *doubt)));
    let doubts = DoubtfulBoxes {
        shown: first.collect(),
        doubtful: doubtful.count(),
    };
    Ok(Scenes {
        shown,
        doubts,
        names: names.clone(),
        at_confidence: AtConfidence::of_images(names.clone(), confidence, &objects),
        figures,
        paths,
        objects,
        unreadable: unreadable.len(),
    })
}

/// The numbers of objects that were not found, and of boxes that are around none.
fn errors(truths: &[Truth], found: &[Detected]) -> (usize, usize) {
    let matches = |truths: &[Truth]| {
        let matched = matched(truths, found, MATCHING_IOU);
        matched.iter().filter(|is_matched| **is_matched).count()
    };
    // A crowd need not be found, and a box in it is not wrong.
    let single: Vec<Truth> = truths.iter().filter(|it| !it.crowd).copied().collect();
    (
        single.len() - matches(&single),
        found.len() - matches(truths),
    )
}

/// What pictures of images need.
struct Showing<'a> {
    /// Names of the classes.
    names: &'a [String],
    /// Folder of the data set.
    folder: &'a Path,
    pictures: &'a mut Pictures,
}

impl Showing<'_> {
    /// An image twice: with the objects of its label, and with those that were found.
    fn scene(
        &mut self,
        path: &Path,
        (truths, found): (&[Truth], &[Detected]),
        (missed, wrong): (usize, usize),
    ) -> Option<JudgedScene> {
        let image = decode(path).ok()?;
        // Captions are drawn on the small picture, where they can be read.
        let small = within(&image, SIDE);
        let scale = small.width as f64 / image.width as f64;
        let truths = truths.iter().map(|truth| DrawnBox {
            bounds: scaled(truth.bounds, scale),
            class: truth.class,
            caption: self.names[truth.class].clone(),
        });
        let truths = truths.collect();
        let found = found.iter().map(|found| DrawnBox {
            bounds: scaled(found.bounds, scale),
            class: found.class,
            caption: format!("{} {:.2}", self.names[found.class], found.score),
        });
        let found = found.collect();
        Some(JudgedScene {
            truth: self.drawn(path, &small, truths),
            found: self.drawn(path, &small, found),
            missed,
            wrong,
        })
    }

    /// An image with the box of a doubt.
    fn doubt(&mut self, path: &Path, doubt: &BoxDoubt) -> Option<PictureId> {
        let image = decode(path).ok()?;
        let small = within(&image, SIDE);
        let drawn = DrawnBox {
            bounds: scaled(doubt.bounds, small.width as f64 / image.width as f64),
            class: doubt.label.or(doubt.found).unwrap_or_default(),
            caption: String::new(),
        };
        Some(self.drawn(path, &small, vec![drawn]))
    }

    fn drawn(&mut self, path: &Path, image: &RgbImage, boxes: Vec<DrawnBox>) -> PictureId {
        let mut image = image.clone();
        draw_boxes(&mut image, &boxes);
        let picture = Picture::of(name(path, self.folder), &image);
        self.pictures.add(picture)
    }
}

fn scaled([left, top, right, bottom]: [f64; 4], by: f64) -> BoundingBox {
    BoundingBox {
        left: left * by,
        top: top * by,
        right: right * by,
        bottom: bottom * by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_found_once() {
        let bounds = |left: f64| [left, 0.0, left + 10.0, 10.0];
        let truth = |left, crowd| Truth {
            class: 0,
            bounds: bounds(left),
            area: 100.0,
            crowd,
            difficult: false,
        };
        let found = |left, class| Detected {
            class,
            score: 0.9,
            bounds: bounds(left),
        };
        let truths = [truth(0.0, false), truth(50.0, false), truth(90.0, true)];
        // A second box on the first object, and one of another class on the second.
        let boxes = [found(1.0, 0), found(0.0, 0), found(50.0, 1)];
        assert_eq!(errors(&truths, &boxes), (1, 2));
        assert_eq!(errors(&truths, &[]), (2, 0));
        assert_eq!(errors(&[], &[]), (0, 0));
        // A box in the crowd.
        assert_eq!(errors(&truths, &[found(90.0, 0)]), (2, 0));
    }
}
