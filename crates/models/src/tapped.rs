//! Means of activations inside a backbone, read in inference.

use std::ops::Range;

use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::layers::Layer;
use warmstart_nn::ops::image_means;
use warmstart_nn::{Folded, Forward, Graph, Value};

use crate::architecture::Architecture;
use crate::stage::StageError;

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

    /// Channels of each of the activations.
    pub fn channels(&self) -> Vec<usize> {
        // Large enough for every network's strides.
        const SIZE: usize = 64;
        let mut channels = vec![0; self.taps];
        let mut shape = [SIZE, SIZE, 3];
        for stage in &self.stages {
            let shapes = stage.graph.output_shapes(&[shape]);
            for (&tap, [_, _, of_tap]) in stage.taps.iter().zip(&shapes[1..]) {
                channels[tap] = *of_tap;
            }
            shape = shapes[0];
        }
        channels
    }

    /// Number of stages that an activation depends on.
    pub fn stages_before(&self, tap: usize) -> usize {
        let has_it = |stage: &TappedStage| stage.taps.contains(&tap);
        self.stages
            .iter()
            .position(has_it)
            .map_or(0, |stage| stage + 1)
    }

    /// Its stages in order. The first result of a stage's graph is the stage's own; one follows for each of the
    /// activations whose indices are given.
    pub fn stages(&self) -> impl Iterator<Item = (&Graph, &[usize])> {
        let stages = self.stages.iter();
        stages.map(|stage| (&stage.graph, stage.taps.as_slice()))
    }

    /// The layers that it runs.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.stages.iter().flat_map(|stage| stage.graph.layers())
    }

    /// The [`means`](Self::means) as maps `[batch, 1, 1, channels]`.
    pub fn mean_maps(&self, images: Tensor<4>, folded: &Folded) -> Vec<Tensor<4>> {
        self.means(images, folded).into_iter().map(as_map).collect()
    }

    /// The mean over the image of each tap, `[batch, channels]`, for images `[batch, height, width, 3]`.
    /// `folded` has the backbone's layers.
    pub fn means(&self, images: Tensor<4>, folded: &Folded) -> Vec<Tensor<2>> {
        let mut means = vec![None; self.taps];
        self.run(
            0..self.stages.len(),
            images,
            folded,
            image_means,
            &mut means,
        );
        complete(means)
    }

    /// The activations themselves, `[batch, height, width, channels]`, for images `[batch, height, width, 3]`.
    /// `folded` has the backbone's layers.
    pub fn maps(&self, images: Tensor<4>, folded: &Folded) -> Vec<Tensor<4>> {
        let mut maps = vec![None; self.taps];
        self.run(0..self.stages.len(), images, folded, |map| map, &mut maps);
        complete(maps)
    }

    /// The means as maps, as [`mean_maps`](Self::mean_maps) has them, of two networks that share their first `shared`
    /// stages, which run once.
    pub fn mean_maps_of_both(
        &self,
        images: Tensor<4>,
        [one, other]: [&Folded; 2],
        shared: usize,
    ) -> [Vec<Tensor<4>>; 2] {
        let shared = shared.min(self.stages.len());
        let mut means = vec![None; self.taps];
        let x = self.run(0..shared, images, one, image_means, &mut means);
        [one, other].map(|folded| {
            let mut means = means.clone();
            let rest = shared..self.stages.len();
            self.run(rest, x.clone(), folded, image_means, &mut means);
            complete(means).into_iter().map(as_map).collect()
        })
    }

    /// Runs some stages, keeps what `read` makes of their taps, and returns the last stage's result.
    fn run<R>(
        &self,
        stages: Range<usize>,
        mut x: Tensor<4>,
        folded: &Folded,
        read: impl Fn(Tensor<4>) -> R,
        found: &mut [Option<R>],
    ) -> Tensor<4> {
        for stage in &self.stages[stages] {
            let mut forward = Forward::Inference(folded);
            let mut results = stage.graph.forward(vec![x], &mut forward);
            for (&tap, value) in stage.taps.iter().zip(results.drain(1..)) {
                found[tap] = Some(read(value));
            }
            x = results.remove(0);
        }
        x
    }
}

fn complete<R>(found: Vec<Option<R>>) -> Vec<R> {
    let found = found.into_iter();
    found
        .map(|value| value.expect("each tap is in a stage"))
        .collect()
}

/// Means `[batch, channels]` as a map `[batch, 1, 1, channels]`.
fn as_map(means: Tensor<2>) -> Tensor<4> {
    let [batch, channels] = means.dims();
    means.reshape([batch, 1, 1, channels])
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
