//! The head of a detector: neck and predictors on the backbone's features at strides 8, 16 and 32.

use warmstart_models::Architecture;
use warmstart_models::detector::{Detector, Predictions, STRIDES};
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::layers::Layer;
use warmstart_nn::{Folded, Forward, ParameterInfo};

use super::boxes::{self, Point};
use super::nms::{self, Found, Selection};
use super::objective::Outputs;

/// The head of a detector, for images of one size.
pub struct Head {
    detector: Detector,
    points: Vec<Point>,
    classes: usize,
}

impl Head {
    /// A head for a backbone's features.
    pub fn new(backbone: &Architecture, classes: usize, image_size: usize) -> Self {
        let channels = backbone.taps.map(|tap| backbone.channels_of(tap));
        Self {
            detector: Detector::new(channels, classes),
            points: boxes::points(image_size),
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

    pub(super) fn predictions(
        &self,
        features: Vec<Tensor<4>>,
        forward: &mut Forward,
    ) -> Predictions {
        let features: [Tensor<4>; STRIDES.len()] = features
            .try_into()
            .unwrap_or_else(|_| panic!("a detector's backbone gives a map for each stride"));
        self.detector.forward(features, forward)
    }

    pub(super) fn outputs(&self, predictions: Predictions) -> Outputs<'_> {
        Outputs {
            points: &self.points,
            classes: self.classes,
            logits: values(predictions.classes),
            boxes: values(predictions.boxes).as_chunks().0.to_vec(),
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
        let image = |(logits, boxes)| nms::select(&self.points, logits, boxes, selection);
        outputs.images().map(image).collect()
    }
}

fn values(tensor: Tensor<3>) -> Vec<f32> {
    tensor
        .into_data()
        .try_into_vec()
        .expect("predictions are f32")
}
