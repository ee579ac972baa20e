//! Activations inside a backbone as heads read them, in inference: means over the image, and of tokens.

use std::ops::Range;

use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::layers::{Layer, Pool, Shape, TokenPool};
use warmstart_nn::ops::image_means;
use warmstart_nn::{Folded, Forward, Graph, Value};

use crate::architecture::{Architecture, Prefix};
use crate::stage::StageError;

/// A backbone of which some activations are read: the results of stages (`layer3.1`), and what goes into
/// convolutions (`features.17.conv.2`, the projection of an inverted residual). Branches are cut where they are
/// read, and nowhere else. Of tokens, what is read is `[batch, 1, 1, 2 · channels]`: the mean of the class tokens, then
/// that of the patches.
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
        let mut shape = IMAGE;
        for stage in &backbone.stages {
            let mut graph = stage.graph().cut(|convolution| taps.contains(&convolution));
            let mut outputs = graph.outputs().to_vec();
            // Shapes tell rows of tokens from maps of pixels.
            let shapes = match backbone.tokens {
                Some(_) => graph.shapes(&[shape]),
                None => Vec::new(),
            };
            let shape_of = |value: Value| match value {
                Value::Input(_) => shape,
                Value::Node(index) => shapes[index],
            };
            let result = backbone.tokens.map(|_| shape_of(outputs[0]));
            let mut of_stage = Vec::new();
            for (index, tap) in taps.iter().enumerate() {
                let value = if stage.name == *tap {
                    Some(graph.outputs()[0])
                } else {
                    input_of(&graph, tap)
                };
                if let Some(value) = value {
                    let tokens = backbone.tokens;
                    let read = tokens.filter(|prefix| are_tokens(shape_of(value), *prefix));
                    outputs.push(match read {
                        Some(prefix) => graph.add(pool_of(prefix), [value]),
                        None => value,
                    });
                    of_stage.push(index);
                    found[index] = true;
                }
            }
            stages.push(TappedStage {
                graph: graph.with_outputs(outputs),
                taps: of_stage,
            });
            shape = result.unwrap_or(shape);
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

    /// Channels of what is read of each of the activations.
    pub fn channels(&self) -> Vec<usize> {
        let mut channels = vec![0; self.taps];
        let mut shape = IMAGE;
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

    /// The [`means`](Self::means) as maps `[batch, 1, 1, values]`.
    pub fn mean_maps(&self, images: Tensor<4>, folded: &Folded) -> Vec<Tensor<4>> {
        self.means(images, folded).into_iter().map(as_map).collect()
    }

    /// What is read of each tap: its mean over the image, `[batch, channels]`, or, of tokens, the mean of the class
    /// tokens, then that of the patches, `[batch, 2 · channels]`; for images `[batch, height, width, 3]`. `folded` has
    /// the backbone's layers.
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

    /// The activations themselves, `[batch, height, width, channels]`, but of tokens the [`means`](Self::means), for
    /// images `[batch, height, width, 3]`. `folded` has the backbone's layers.
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

/// An image large enough for every network's strides.
const IMAGE: Shape = [64, 64, 3];

/// Whether an activation of [`IMAGE`] in a network of tokens is a row of them: of all, not of one that they were pooled
/// to, and not a map of pixels.
fn are_tokens([height, width, _]: Shape, prefix: Prefix) -> bool {
    height == 1 && width > prefix.tokens.max(1)
}

/// The layer that reads tokens.
fn pool_of(Prefix { tokens, class }: Prefix) -> Layer {
    Layer::TokenPool(TokenPool {
        prefix: tokens,
        class,
        pool: Pool::Both,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_tokens_the_class_tokens_and_the_mean_of_the_patches_are_read() {
        for (name, channels) in [
            ("vit_tiny_patch16_224", 192),
            ("deit_tiny_distilled_patch16_224", 192),
            ("vit_small_patch14_reg4_dinov2", 384),
        ] {
            let network = crate::by_name(name).unwrap();
            // Patches with their positions, a block, the input of a linear layer, and the features of the classifier.
            let taps = ["patch_embed", "blocks.3", "blocks.7.mlp.fc2", "norm"];
            let tapped = Tapped::new(&network, &taps).unwrap();
            let expected = [2, 2, 8].map(|times| times * channels);
            assert_eq!(tapped.channels()[..3], expected, "{name}");
            assert_eq!(tapped.channels()[3], network.features, "{name}");
            // The stages themselves go on with tokens.
            let (graph, of_stage) = tapped.stages().nth(4).unwrap();
            assert_eq!(of_stage, [1]);
            let [tokens, pooled] = graph.output_shapes(&[[1, 30, channels]])[..] else {
                panic!("a stage has its result and one for its tap");
            };
            assert_eq!(tokens, [1, 30, channels]);
            assert_eq!(pooled, [1, 1, 2 * channels]);
        }
    }

    #[test]
    fn maps_of_pixels_are_read_as_they_are() {
        let network = crate::by_name("convnext_atto").unwrap();
        let taps = [
            "stages.2.blocks.5",
            "stages.3.blocks.1.mlp.fc2",
            "head.norm",
        ];
        let tapped = Tapped::new(&network, &taps).unwrap();
        assert_eq!(tapped.channels(), [160, 4 * 320, 320]);
        let (graph, _) = tapped.stages().next().unwrap();
        assert_eq!(graph.output_shapes(&[[96, 64, 3]]), [[24, 16, 40]]);
        // The convolution of the patches of a vision transformer reads the image.
        let network = crate::by_name("vit_tiny_patch16_224").unwrap();
        let tapped = Tapped::new(&network, &["patch_embed.proj"]).unwrap();
        assert_eq!(tapped.channels(), [3]);
    }
}
