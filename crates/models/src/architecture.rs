use std::fmt;
use std::ops::Range;

use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::initialization::{LinearDefault, ModelDefaults};
use warmstart_nn::layers::{Layer, LayerKind as _, Linear, Shape, Shortcut, fold};
use warmstart_nn::{Activation, Folded, Forward, Graph, Kind, ParameterInfo, Parameters, Unit};

use crate::detector;
use crate::record::{Pretrained, Record};

/// A step of a backbone that can be named: everything before it can be frozen (`from:layer4`).
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name, e.g. `features.14` or `layer4.0`.
    pub name: String,
    /// Depth for layer decay, from 0 at the image: stages of one group learn at the same rate.
    pub group: usize,
    graph: Graph,
    /// Those of the graph.
    parameters: Vec<ParameterInfo>,
}

impl Stage {
    /// A stage of one input and one result.
    pub(crate) fn new(name: String, group: usize, graph: Graph) -> Self {
        Self {
            name,
            group,
            parameters: graph.parameters(),
            graph,
        }
    }

    /// Its layers, and the paths between them.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// All its parameters, in the order of PyTorch's `state_dict`.
    pub fn parameters(&self) -> &[ParameterInfo] {
        &self.parameters
    }
}

/// Another library's names of the same parameters.
#[derive(Clone, Copy, Debug)]
pub struct Convention {
    /// The library, e.g. `timm`.
    pub name: &'static str,
    /// The native name for one of the library's, or `None` if it has no counterpart.
    pub to_native: fn(&str) -> Option<String>,
    /// The record that a file of these names is taken for.
    pub record: Option<&'static str>,
}

/// A network for classification: a backbone of stages, an average over the image, and a linear
/// classifier.
#[derive(Clone, Debug)]
pub struct Architecture {
    /// torchvision's name, or timm's where torchvision does not have the network.
    pub name: &'static str,
    /// The published weights whose constants and preprocessing it has.
    pub record: &'static Record,
    /// The backbone, from the image on.
    pub stages: Vec<Stage>,
    /// Indices of the stages that end strides 8, 16 and 32, whose features a detector works on.
    pub taps: [usize; 3],
    /// Stages before the last one whose features are outputs, too.
    pub outputs: Vec<usize>,
    /// Channels that the backbone ends in.
    pub features: usize,
    /// Name of the linear classifier.
    pub classifier: &'static str,
    /// Distribution of that classifier's initial values in torchvision.
    pub linear_default: LinearDefault,
    /// Probability with which a feature is dropped in training before the classifier.
    pub dropout: f64,
    /// Probability with which training leaves out the last residual branch.
    pub stochastic_depth: f64,
    /// Naming conventions that its files come in, besides the native one.
    pub conventions: &'static [Convention],
}

impl Architecture {
    /// The preprocessing of its record.
    pub fn pretrained(&self) -> &Pretrained {
        &self.record.pretrained
    }

    /// Name of the stage whose result the classifier reads.
    pub fn last_layer(&self) -> &str {
        &self.stages.last().expect("a network has stages").name
    }

    /// The layers of some stages.
    pub fn layers(&self, stages: Range<usize>) -> impl Iterator<Item = &Layer> {
        self.stages[stages]
            .iter()
            .flat_map(|stage| stage.graph.layers())
    }

    /// The units of some stages.
    pub fn units(&self, stages: Range<usize>) -> impl Iterator<Item = &Unit> {
        self.layers(stages).flat_map(Layer::units)
    }

    /// The parameters of the backbone, in the order of PyTorch's `state_dict`.
    pub fn backbone_parameters(&self) -> Vec<ParameterInfo> {
        let stages = self.stages.iter();
        stages.flat_map(Stage::parameters).cloned().collect()
    }

    /// The parameters of the classifier for that many classes: weight and bias.
    pub fn classifier_parameters(&self, classes: usize) -> [ParameterInfo; 2] {
        let classifier = Linear {
            name: self.classifier.to_owned(),
            inputs: self.features,
            outputs: classes,
            bias: Kind::LinearBias,
            activation: Activation::Identity,
        };
        let parameters = classifier.parameters();
        parameters.try_into().expect("a weight and a bias")
    }

    /// Its properties that the initial values of its parameters depend on.
    pub fn initialization(&self) -> ModelDefaults {
        let last_norm = |layer: &Layer| match layer {
            Layer::Branch(branch) => match branch.shortcut {
                Shortcut::Identity | Shortcut::Second => {
                    let norm = branch.units.last()?.norm.as_ref()?;
                    Some(norm.name.clone())
                }
                Shortcut::None => None,
            },
            Layer::MaxPool(_)
            | Layer::AveragePool(_)
            | Layer::GlobalAverage(_)
            | Layer::SqueezeExcite(_)
            | Layer::Linear(_)
            | Layer::Upsample(_)
            | Layer::Concatenate(_) => None,
        };
        let layers = self.layers(0..self.stages.len());
        ModelDefaults {
            linear: self.linear_default,
            last_norms: layers.filter_map(last_norm).collect(),
        }
    }

    /// The backbone of a detector: it ends with the last tap, and outputs the features of all three.
    pub fn with_taps(mut self) -> Self {
        let [first, second, last] = self.taps;
        self.stages.truncate(last + 1);
        self.features = self.channels_of(last);
        self.outputs = vec![first, second];
        // The detector after it is not torchvision's, and begins small.
        self.linear_default = LinearDefault::Normal;
        self
    }

    /// Channels that a stage ends in.
    pub fn channels_of(&self, stage: usize) -> usize {
        // Large enough for every network's strides.
        const SIZE: usize = 64;
        let [_, _, channels] = self.shapes([SIZE, SIZE, 3])[stage];
        channels
    }

    /// The shape of each stage's result for an image `[height, width, channels]`.
    pub fn shapes(&self, image: Shape) -> Vec<Shape> {
        let mut shape = image;
        let stages = self.stages.iter().map(|stage| {
            shape = stage.graph.output_shapes(&[shape])[0];
            shape
        });
        stages.collect()
    }

    /// Multiplications of the backbone for an image `[height, width, channels]`.
    pub fn multiply_adds(&self, image: Shape) -> usize {
        let inputs = std::iter::once(image).chain(self.shapes(image));
        let stages = self.stages.iter().zip(inputs);
        stages
            .map(|(stage, input)| stage.graph.multiply_adds(&[input]))
            .sum()
    }

    /// Sends a batch `[batch, height, width, channels]` through some stages.
    pub fn forward(&self, stages: Range<usize>, x: Tensor<4>, forward: &mut Forward) -> Tensor<4> {
        let mut maps = self.forward_maps(stages, vec![x], forward);
        maps.pop().expect("a network has a result")
    }

    /// Sends a batch through some stages and keeps the features of [`outputs`](Self::outputs). `maps` are
    /// those kept of the stages before, in their order, followed by the input of the first of `stages`; the
    /// result is the same after the last of them. Each is `[batch, height, width, channels]`.
    pub fn forward_maps(
        &self,
        stages: Range<usize>,
        mut maps: Vec<Tensor<4>>,
        forward: &mut Forward,
    ) -> Vec<Tensor<4>> {
        for index in stages {
            let x = maps.pop().expect("there is an input");
            if index > 0 && self.outputs.contains(&(index - 1)) {
                maps.push(x.clone());
            }
            maps.extend(self.stages[index].graph.forward(vec![x], forward));
        }
        maps
    }

    /// Prepares some stages for inference.
    pub fn fold(&self, stages: Range<usize>, parameters: &Parameters, device: &Device) -> Folded {
        fold(parameters, self.layers(stages), device)
    }

    /// Index of the first stage of that name: a stage (`layer4.1`) or a group of them (`layer4`).
    ///
    /// # Errors
    /// If no stage has the name; the error lists the stages.
    pub fn stage(&self, name: &str) -> Result<usize, StageError> {
        self.stages
            .iter()
            .position(|stage| is_within(&stage.name, name))
            .ok_or_else(|| self.no_stage(name))
    }

    /// The error for a name that no stage has.
    pub(crate) fn no_stage(&self, name: &str) -> StageError {
        StageError {
            model: self.name,
            asked: name.to_owned(),
            known: self.stages.iter().map(|stage| stage.name.clone()).collect(),
        }
    }

    /// Index of the stage that a parameter belongs to, or `None` if it is the head's: the
    /// classifier's or a [`Detector`](crate::detector::Detector)'s.
    ///
    /// # Panics
    /// If neither a stage nor the head has a parameter of that name: as one of the head's it would
    /// be trained where its stage is frozen.
    pub fn stage_of(&self, parameter: &str) -> Option<usize> {
        let has_it = |stage: &Stage| stage.parameters.iter().any(|info| info.name == parameter);
        let stage = self.stages.iter().position(has_it);
        let in_head = || {
            let mut heads = detector::PARTS.into_iter().chain([self.classifier]);
            heads.any(|head| is_within(parameter, head))
        };
        assert!(
            stage.is_some() || in_head(),
            "`{parameter}` belongs neither to a stage of {} nor to its head",
            self.name
        );
        stage
    }

    /// Number of layer-decay groups in the backbone.
    pub fn groups(&self) -> usize {
        self.stages.last().map_or(0, |stage| stage.group + 1)
    }
}

/// Whether a name is another one, or begins with it and a dot.
fn is_within(name: &str, outer: &str) -> bool {
    name.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// There is no stage of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageError {
    model: &'static str,
    asked: String,
    known: Vec<String>,
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            model,
            asked,
            known,
        } = self;
        write!(
            f,
            "{model} has no stage `{asked}`; its stages are {}",
            known.join(", ")
        )
    }
}

impl std::error::Error for StageError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Detector;

    /// The backbones of classifiers and detectors.
    fn backbones() -> impl Iterator<Item = Architecture> {
        let whole = crate::names().map(|name| crate::by_name(name).unwrap());
        whole.flat_map(|whole| [whole.clone(), whole.with_taps()])
    }

    #[test]
    fn a_parameter_belongs_to_the_stage_whose_layers_own_it() {
        for backbone in backbones() {
            let mut listed = backbone.backbone_parameters().into_iter();
            for (index, stage) in backbone.stages.iter().enumerate() {
                for info in stage.graph.parameters() {
                    let found = backbone.stage_of(&info.name);
                    assert_eq!(found, Some(index), "{}: {}", backbone.name, info.name);
                    assert_eq!(listed.next(), Some(info));
                }
            }
            assert_eq!(listed.next(), None);
        }
    }

    #[test]
    fn the_parameters_of_heads_belong_to_no_stage() {
        for backbone in backbones() {
            let channels = backbone.taps.map(|tap| backbone.channels_of(tap));
            let detector = Detector::new(channels, 7).parameters();
            for info in backbone.classifier_parameters(7).iter().chain(&detector) {
                let found = backbone.stage_of(&info.name);
                assert_eq!(found, None, "{}: {}", backbone.name, info.name);
            }
        }
    }

    #[test]
    #[should_panic(expected = "`layer1.0.se.fc1.weight` belongs neither to a stage of resnet18")]
    fn a_parameter_that_no_block_lists_does_not_count_as_the_head_s() {
        let resnet = crate::by_name("resnet18").unwrap();
        resnet.stage_of("layer1.0.se.fc1.weight");
    }
}
