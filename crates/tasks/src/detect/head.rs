//! The head of a detector: neck and predictors on the backbone's features at strides 8, 16 and 32.

use rayon::prelude::*;
use warmstart_models::Architecture;
use warmstart_models::detector::{Assignment, Detector, Predictions, STRIDES};
use warmstart_nn::burn::tensor::{FloatDType, Tensor};
use warmstart_nn::layers::Layer;
use warmstart_nn::{Folded, Forward, ParameterInfo, ops};

use super::boxes::{self, Point};
use super::nms::{self, Found, Selection};
use super::outputs::Outputs;

/// The head of a detector, for images of one size.
pub struct Head {
    detector: Detector,
    points: Vec<Point>,
    classes: usize,
}

impl Head {
    /// A head for a backbone's features.
    pub fn new(backbone: &Architecture, classes: usize, image_size: usize) -> Self {
        let detector = backbone.detector(classes);
        Self {
            points: boxes::points(image_size, detector.coding()),
            detector,
            classes,
        }
    }

    /// Its parameters.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        self.detector.parameters()
    }

    /// Its layers.
    pub fn layers(&self) -> Vec<&Layer> {
        self.detector.graph().layers().collect()
    }

    /// Names of its layers that depend on the classes.
    pub fn class_layers(&self) -> &[String] {
        self.detector.class_layers()
    }

    /// How its boxes are assigned to points in training.
    pub(super) fn assignment(&self) -> Assignment {
        self.detector.assignment()
    }

    /// The predictions, in f32 whatever the format of the features.
    pub(super) fn predictions(
        &self,
        features: Vec<Tensor<4>>,
        forward: &mut Forward,
    ) -> Predictions {
        let features: [Tensor<4>; STRIDES.len()] = features
            .try_into()
            .unwrap_or_else(|_| panic!("a detector's backbone gives a map for each stride"));
        let Predictions {
            classes,
            boxes,
            objectness,
        } = self.detector.forward(features, forward);
        let single = |values: Tensor<3>| values.cast(FloatDType::F32);
        Predictions {
            classes: single(classes),
            boxes: single(boxes),
            objectness: objectness.map(single),
        }
    }

    pub(super) fn outputs(&self, predictions: Predictions) -> Outputs<'_> {
        Outputs {
            points: &self.points,
            classes: self.classes,
            coding: self.detector.coding(),
            logits: ops::values(predictions.classes),
            objectness: predictions.objectness.map(ops::values),
            boxes: ops::values(predictions.boxes),
        }
    }

    /// Objects found in each image of a batch, the highest score first, from the backbone's features.
    pub fn find(
        &self,
        features: Vec<Tensor<4>>,
        folded: &Folded,
        selection: Selection,
    ) -> Vec<Vec<Found>> {
        let mut forward = Forward::Inference(folded);
        let outputs = self.outputs(self.predictions(features, &mut forward));
        self.select(&outputs, selection)
    }

    pub(super) fn select(&self, outputs: &Outputs, selection: Selection) -> Vec<Vec<Found>> {
        let images: Vec<_> = outputs.images().collect();
        let images = images.into_par_iter();
        images.map(|image| nms::select(image, selection)).collect()
    }
}
