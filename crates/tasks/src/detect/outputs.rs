//! The outputs of a detector as plain numbers.

use warmstart_models::detector::Coding;

use super::boxes::{Corners, Point};
use super::loss::sigmoid;

/// The outputs of a detector for a batch.
pub struct Outputs<'a> {
    /// The points of the predictions.
    pub points: &'a [Point],
    /// Number of classes.
    pub classes: usize,
    /// How the values of a box are meant.
    pub coding: Coding,
    /// `[batch, points, classes]`
    pub logits: Vec<f32>,
    /// Logits `[batch, points]` of whether there is an object, where a detector has them.
    pub objectness: Option<Vec<f32>>,
    /// `[batch, points, 4]`
    pub boxes: Vec<f32>,
}

/// The outputs of a detector for an image.
#[derive(Clone, Copy)]
pub struct ImageOutputs<'a> {
    /// The points of the predictions.
    pub points: &'a [Point],
    /// Number of classes.
    pub classes: usize,
    /// How the values of a box are meant.
    pub coding: Coding,
    /// `[points, classes]`
    pub logits: &'a [f32],
    /// Logits by point of whether there is an object, where a detector has them.
    pub objectness: Option<&'a [f32]>,
    /// Values of the box by point.
    pub boxes: &'a [[f32; 4]],
}

impl Outputs<'_> {
    /// The outputs for each image.
    pub fn images(&self) -> impl Iterator<Item = ImageOutputs<'_>> {
        let count = self.points.len();
        let logits = self.logits.chunks(count * self.classes);
        let boxes = self.boxes.as_chunks::<4>().0.chunks(count);
        let images = logits.zip(boxes).enumerate();
        images.map(move |(image, (logits, boxes))| ImageOutputs {
            points: self.points,
            classes: self.classes,
            coding: self.coding,
            logits,
            objectness: self
                .objectness
                .as_ref()
                .map(|values| &values[image * count..(image + 1) * count]),
            boxes,
        })
    }
}

impl<'a> ImageOutputs<'a> {
    /// The box of a point, in pixels of the network's input.
    pub fn corners(&self, point: usize) -> Corners {
        self.points[point].decode(self.coding, self.boxes[point])
    }

    /// The boxes of all points, in pixels of the network's input.
    pub fn decoded(&self) -> Vec<Corners> {
        (0..self.points.len())
            .map(|point| self.corners(point))
            .collect()
    }

    /// Logits of a point's classes.
    pub fn logits_of(&self, point: usize) -> &'a [f32] {
        &self.logits[point * self.classes..(point + 1) * self.classes]
    }

    /// What the classes' scores of a point are multiplied by, 0..1; `None` where that is nothing.
    pub(super) fn object_score(&self, point: usize) -> Option<f32> {
        self.objectness.map(|logits| sigmoid(logits[point]))
    }

    /// `[points, classes]`, 0..1: the class's score, times that of being an object where a detector has it.
    pub fn scores(&self) -> Vec<f32> {
        let of_point = |point| {
            let object = self.object_score(point);
            let logits = self.logits_of(point).iter();
            logits.map(move |logit| score(*logit, object))
        };
        (0..self.points.len()).flat_map(of_point).collect()
    }
}

/// The score of a class's logit at a point whose score of being an object is `object`.
pub(super) fn score(logit: f32, object: Option<f32>) -> f32 {
    let class = sigmoid(logit);
    object.map_or(class, |object| class * object)
}

#[cfg(test)]
mod tests {
    use super::super::boxes::points;
    use super::*;

    #[test]
    fn each_image_has_its_own_outputs() {
        let points = points(32, Coding::Centers);
        let count = points.len();
        let outputs = Outputs {
            points: &points,
            classes: 2,
            coding: Coding::Centers,
            logits: (0..4 * count).map(|value| value as f32).collect(),
            objectness: Some((0..2 * count).map(|value| -(value as f32)).collect()),
            boxes: vec![0.0; 4 * 2 * count],
        };
        let images: Vec<_> = outputs.images().collect();
        assert_eq!(images.len(), 2);
        assert_eq!(
            images[1].logits_of(0),
            [2 * count, 2 * count + 1].map(|v| v as f32)
        );
        assert_eq!(images[1].objectness.unwrap()[0], -(count as f32));
        assert_eq!(images[0].decoded()[0], [-4.0, -4.0, 4.0, 4.0]);
    }

    #[test]
    fn a_score_is_that_of_the_class_times_that_of_being_an_object() {
        let points = points(32, Coding::Centers);
        let count = points.len();
        let mut outputs = Outputs {
            points: &points,
            classes: 1,
            coding: Coding::Centers,
            logits: vec![0.0; count],
            objectness: Some(vec![0.0; count]),
            boxes: vec![0.0; 4 * count],
        };
        let scores = |outputs: &Outputs| outputs.images().next().unwrap().scores();
        assert_eq!(scores(&outputs), vec![0.25; count]);
        outputs.objectness = None;
        assert_eq!(scores(&outputs), vec![0.5; count]);
    }
}
