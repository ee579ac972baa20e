//! The target of an image, for training and for evaluation.

use warmstart_data::{BoundingBox, Letterbox, Object, Scene};
use warmstart_metrics::{Detected, Truth as MetricTruth};

use super::assigner::Truth;
use super::boxes::{Corners, Point};
use super::nms::Found;

/// The target of an image.
pub struct Target {
    /// Boxes to detect.
    pub(super) truths: Vec<Truth>,
    /// Crowds: boxes in which nothing is learned.
    pub(super) crowds: Vec<Corners>,
    /// Whether the image belongs to the end of a phase, without mosaics.
    pub(super) closing: bool,
    /// The ground truth of an evaluation.
    pub(super) judged: Option<Judged>,
}

impl Target {
    /// The target of labelled boxes and of crowds in the network's input.
    pub fn of_boxes(truths: Vec<Truth>, crowds: Vec<Corners>, closing: bool) -> Self {
        Self {
            truths,
            crowds,
            closing,
            judged: None,
        }
    }

    /// Whether nothing is learned at a point without a box of its own.
    pub(super) fn is_in_crowd(&self, point: &Point) -> bool {
        self.crowds.iter().any(|crowd| point.is_in(*crowd))
    }
}

/// A scene, and its place in the network's input.
pub(super) struct Judged {
    pub letterbox: Letterbox,
    pub scene: Scene,
}

/// The target of objects in the network's input; `closing` tells that the image belongs to the end of a phase.
pub(super) fn target(objects: impl IntoIterator<Item = Object>, closing: bool) -> Target {
    let (mut truths, mut crowds) = (Vec::new(), Vec::new());
    for object in objects {
        let corners = object.bounds.corners().map(|value| value as f32);
        if object.crowd {
            crowds.push(corners);
        } else {
            truths.push(Truth {
                class: object.class,
                corners,
            });
        }
    }
    Target::of_boxes(truths, crowds, closing)
}

/// A labelled object as a metric takes it.
pub fn truth(object: &Object) -> MetricTruth {
    MetricTruth {
        class: object.class,
        bounds: object.bounds.corners(),
        area: object.area,
        crowd: object.crowd,
        difficult: object.difficult,
    }
}

/// A detected object as a metric takes it.
pub fn detected(class: usize, score: f32, bounds: BoundingBox) -> Detected {
    Detected {
        class,
        score: score.into(),
        bounds: bounds.corners(),
    }
}

impl Judged {
    /// The labelled objects as a metric takes them.
    pub fn truths(&self) -> Vec<MetricTruth> {
        self.scene.objects.iter().map(truth).collect()
    }

    /// The detected objects as a metric takes them, in the picture.
    pub fn detected(&self, found: &[Found]) -> Vec<Detected> {
        let placed = |found: &Found| {
            let bounds = in_picture(&self.letterbox, found);
            detected(found.class, found.score, bounds)
        };
        found.iter().map(placed).collect()
    }
}

/// The box of a detected object in its picture.
pub fn in_picture(letterbox: &Letterbox, found: &Found) -> BoundingBox {
    let [left, top, right, bottom] = found.corners.map(f64::from);
    letterbox.back(BoundingBox {
        left,
        top,
        right,
        bottom,
    })
}
