//! Means of activations inside a backbone, read in inference.

use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::layers::Layer;
use warmstart_nn::ops::image_means;
use warmstart_nn::{Folded, Forward, Graph, Value};

use crate::architecture::{Architecture, StageError};

/// A backbone of which some activations are read: the results of stages (`layer3.1`), and what goes into
/// convolutions (`features.17.conv.2`, the projection of an inverted residual). Branches are cut where they are
/// read, and nowhere else.
pub struct Tapped {
    stages: Vec<TappedStage>,
    taps: usize,
}

struct TappedStage {
    /// Its first result is the stage's own; one follows for each tap.
    graph: Graph,
    /// Index of each tap among all.
    taps: Vec<usize>,
}

impl Tapped {
    /// The backbone up to the last of these activations.
    ///
    /// # Errors
    /// If no stage and no convolution has a name; the error lists the stages.
    pub fn new(backbone: &Architecture, taps: &[&str]) -> Result<Self, StageError> {
        let mut stages: Vec<TappedStage> = Vec::new();
        let mut found = vec![false; taps.len()];
        for stage in &backbone.stages {
            let graph = stage.graph().cut(|convolution| taps.contains(&convolution));
            let mut outputs = graph.outputs().to_vec();
            let mut of_stage = Vec::new();
            for (index, tap) in taps.iter().enumerate() {
                let value = if stage.name == *tap {
                    Some(graph.outputs()[0])
                } else {
                    input_of(&graph, tap)
                };
                if let Some(value) = value {
                    outputs.push(value);
                    of_stage.push(index);
                    found[index] = true;
                }
            }
            stages.push(TappedStage {
                graph: graph.with_outputs(outputs),
                taps: of_stage,
            });
        }
        if let Some(unknown) = found.iter().position(|found| !found) {
            return Err(backbone.no_stage(taps[unknown]));
        }
        let last = stages.iter().rposition(|stage| !stage.taps.is_empty());
        stages.truncate(last.map_or(0, |last| last + 1));
        Ok(Self {
            stages,
            taps: taps.len(),
        })
    }

    /// The layers that it runs.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.stages.iter().flat_map(|stage| stage.graph.layers())
    }

    /// The mean over the image of each tap, `[batch, channels]`, for images `[batch, height, width, 3]`.
    /// `folded` has the backbone's layers.
    pub fn means(&self, images: Tensor<4>, folded: &Folded) -> Vec<Tensor<2>> {
        let mut means: Vec<Option<Tensor<2>>> = vec![None; self.taps];
        let mut x = images;
        for stage in &self.stages {
            let mut forward = Forward::Inference(folded);
            let mut results = stage.graph.forward(vec![x], &mut forward);
            for (&tap, value) in stage.taps.iter().zip(results.drain(1..)) {
                means[tap] = Some(image_means(value));
            }
            x = results.remove(0);
        }
        let means = means.into_iter();
        means
            .map(|mean| mean.expect("each tap is in a stage"))
            .collect()
    }
}

/// The value that goes into a convolution.
fn input_of(graph: &Graph, convolution: &str) -> Option<Value> {
    let reads = |layer: &Layer| {
        let first = layer.units().first();
        first.is_some_and(|unit| unit.conv == convolution)
    };
    let node = graph.nodes().iter().find(|node| reads(&node.layer))?;
    node.inputs.first().copied()
}
