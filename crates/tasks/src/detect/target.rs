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
            let bounds = in_picture(&self.letterbox, found)?;
            Some(detected(found.class, found.score, bounds))
        };
        found.iter().filter_map(placed).collect()
    }
}

/// The box of a detected object in its picture; `None` if nothing of it is there, or its sides are in the wrong order,
/// as distances below 0 have them.
pub fn in_picture(letterbox: &Letterbox, found: &Found) -> Option<BoundingBox> {
    let [left, top, right, bottom] = found.corners.map(f64::from);
    let bounds = letterbox.back(BoundingBox {
        left,
        top,
        right,
        bottom,
    });
    let has_area = bounds.left < bounds.right && bounds.top < bounds.bottom;
    has_area.then_some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The corners in a picture of 100 × 50 pixels on a canvas of 100 × 100.
    fn placed(corners: Corners) -> Option<[f64; 4]> {
        let found = Found {
            class: 0,
            score: 0.5,
            corners,
        };
        let bounds = in_picture(&Letterbox::new(100, 50, 100), &found);
        bounds.map(|bounds| bounds.corners())
    }

    #[test]
    fn a_box_is_clipped_to_the_picture() {
        let clipped = placed([-5.0, 20.0, 40.0, 60.0]);
        assert_eq!(clipped, Some([0.0, 0.0, 40.0, 35.0]));
    }

    #[test]
    fn a_box_without_area_in_the_picture_is_none() {
        for corners in [
            // On the grey above the picture, and beside the canvas.
            [10.0, 0.0, 40.0, 25.0],
            [110.0, 30.0, 140.0, 50.0],
            // With sides in the wrong order.
            [40.0, 30.0, 10.0, 50.0],
            [10.0, 50.0, 40.0, 30.0],
            [40.0, 50.0, 10.0, 30.0],
            [f32::NAN, 30.0, 40.0, 50.0],
        ] {
            assert_eq!(placed(corners), None, "{corners:?}");
        }
    }
}
