//! The head of a classifier: an average over the features, dropout and a linear layer.

use warmstart_data::random::{Purpose, stream, unit};
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::ops::{global_average_pool, linear};
use warmstart_nn::{ParameterInfo, Parameters, StepKey};

/// The head of a classifier.
#[derive(Clone, Debug)]
pub struct Head {
    layer: &'static str,
    parameters: [ParameterInfo; 2],
    dropout: f64,
}

impl Head {
    /// The head of an architecture for that many classes.
    pub fn new(architecture: &Architecture, classes: usize) -> Self {
        Self {
            layer: architecture.classifier,
            parameters: architecture.classifier_parameters(classes),
            dropout: architecture.dropout,
        }
    }

    /// Name of the linear layer.
    pub fn layer(&self) -> &'static str {
        self.layer
    }

    /// Weight and bias.
    pub fn parameters(&self) -> &[ParameterInfo; 2] {
        &self.parameters
    }

    /// Channels of the layer that it reads.
    pub(super) fn channels(&self) -> usize {
        self.parameters[0].shape[1]
    }

    /// Logits `[batch, classes]` of features `[batch, height, width, channels]`; `dropout` has the step that the mask
    /// is drawn for, and the probability if it is not the architecture's own; it is `None` in inference.
    pub fn logits(
        &self,
        features: Tensor<4>,
        parameters: &Parameters,
        dropout: Option<(StepKey, Option<f64>)>,
    ) -> Tensor<2> {
        let mut average = global_average_pool(features);
        let dropout = dropout.map(|(key, p)| (key, p.unwrap_or(self.dropout)));
        if let Some((key, p)) = dropout.filter(|(_, p)| *p > 0.0) {
            let [batch, channels] = average.dims();
            let mask = dropout_mask(key, batch, channels, p);
            let mask = TensorData::new(mask, [batch, channels]);
            average = average.clone() * Tensor::from_data(mask, &average.device());
        }
        let [weight, bias] = &self.parameters;
        linear(
            average,
            parameters.get(&weight.name),
            parameters.get(&bias.name),
        )
    }
}

/// A dropout mask: 0 with probability `p`, else 1 / (1 − p). Srivastava and others, "Dropout" (JMLR 15, 2014),
/// section 10, scaled in training.
///
/// Rows `[images, channels]` of the mask of the step's whole batch.
fn dropout_mask(key: StepKey, images: usize, channels: usize, p: f64) -> Vec<f32> {
    let mut random = stream(key.seed, key.step, 0, Purpose::Dropout);
    let kept = (1.0 / (1.0 - p)) as f32;
    let whole = std::iter::repeat_with(|| if unit(&mut random) < p { 0.0 } else { kept });
    whole
        .skip(key.images_before * channels)
        .take(images * channels)
        .collect()
}
