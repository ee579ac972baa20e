use std::ops::Range;

use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::layers::{Layer, LayerKind as _, Linear, Shape, fold};
use warmstart_nn::ops::{self, ConvSpec, Padding};
use warmstart_nn::{Activation, Folded, Forward, Kind, ParameterInfo, Parameters, Unit};

use crate::detector::{Detector, light};
use crate::record::{Pretrained, Record};
use crate::stage::{Stage, StageError, is_within};

/// Another library's names of the same parameters.
#[derive(Clone, Copy, Debug)]
pub struct Convention {
    /// The library, e.g. `timm`.
    pub name: &'static str,
    /// The native name for one of the library's, or `None` if it has no counterpart. That of a part of a parameter is
    /// one of [`parts_of`](crate::parts_of).
    pub to_native: fn(&str) -> Option<String>,
    /// The record that a file of these names is taken for.
    pub record: Option<&'static str>,
}

/// The tokens of a vision transformer that stand before those of the patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Their number: class tokens and registers.
    pub tokens: usize,
    /// The first of them, which are class tokens.
    pub class: usize,
}

/// A network: a backbone of stages, and behind it an average over the image and a linear classifier, or a
/// [`Detector`].
///
/// The last stage of a network that is a detector from the start is its neck, which takes the maps of three strides and
/// gives three.
#[derive(Clone, Debug)]
pub struct Architecture {
    /// torchvision's name, or timm's where torchvision does not have the network; a detector's is its publisher's.
    pub name: &'static str,
    /// The published weights whose constants and preprocessing it has.
    pub record: &'static Record,
    /// The backbone, from the image on.
    pub stages: Vec<Stage>,
    /// Indices of the stages that end strides 8, 16 and 32, whose features a detector works on; `None` where all
    /// features have one stride.
    pub taps: Option<[usize; 3]>,
    /// The first tokens of those that its blocks work on; `None` where they work on maps of pixels.
    pub tokens: Option<Prefix>,
    /// Pixels along an edge of a patch, of which an image's edge has to be a multiple; `None` where a network has no
    /// patches, and for ConvNeXt, which computes with any size but does [not see all](Self::whole_step) of it.
    pub patch: Option<usize>,
    /// Stages before the last one whose features are outputs, too.
    pub outputs: Vec<usize>,
    /// Channels that the backbone ends in.
    pub features: usize,
    /// Name of the linear classifier; of a detector from the start, the first part of the names of its head.
    pub classifier: &'static str,
    /// Distribution of the initial values of linear layers, that classifier's included, in the library whose names it
    /// has. A light detector's layers behind it have their own.
    pub linear_default: LinearDefault,
    /// First value of its layer scales; 1 where it has none.
    pub layer_scale: f32,
    /// Probability with which a feature is dropped in training before the classifier.
    pub dropout: f64,
    /// Probability with which training leaves out the last residual branch.
    pub stochastic_depth: f64,
    /// Naming conventions that its files come in, besides the native one.
    pub conventions: &'static [Convention],
    /// Whether it is a detector from the start: its last stage is its neck, and it classifies no images.
    pub is_detector: bool,
    /// What builds the detector after the stages, for a number of classes.
    pub(crate) detector: fn(&Architecture, usize) -> Detector,
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
            .flat_map(|stage| stage.graph().layers())
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

    /// Channels that a stage ends in; those of the last map, if it gives several.
    pub fn channels_of(&self, stage: usize) -> usize {
        let [_, _, channels] = self.shapes(SMALL)[stage];
        channels
    }

    /// The shape of each stage's result for an image `[height, width, channels]`; that of the last one, if it has
    /// several.
    pub fn shapes(&self, image: Shape) -> Vec<Shape> {
        let stages = self.flow(image).into_iter();
        stages
            .map(|(_, results)| *results.last().expect("a stage has a result"))
            .collect()
    }

    /// Multiplications of the backbone for an image `[height, width, channels]`.
    pub fn multiply_adds(&self, image: Shape) -> usize {
        let stages = self.stages.iter().zip(self.flow(image));
        stages
            .map(|(stage, (inputs, _))| stage.graph().multiply_adds(&inputs))
            .sum()
    }

    /// Pixels of which an image's edge has to be a multiple, or convolutions leave out what is left over at the bottom
    /// and the right: the product of the strides of those whose kernels neither overlap nor reach beyond the map. It is
    /// the edge of a patch of a vision transformer, 32 of ConvNeXt, and 1 of all others.
    pub fn whole_step(&self) -> usize {
        let units = self.units(0..self.stages.len());
        let of_patches = units.filter(|unit| {
            let ConvSpec {
                stride, padding, ..
            } = unit.spec.conv;
            stride == unit.kernel && padding == Padding::Each([0; 2])
        });
        of_patches.map(|unit| unit.kernel[0]).product()
    }

    /// The shapes of each stage's inputs and results for an image `[height, width, channels]`.
    pub(crate) fn flow(&self, image: Shape) -> Vec<(Vec<Shape>, Vec<Shape>)> {
        let mut maps = vec![image];
        let stages = self.stages.iter().enumerate().map(|(index, stage)| {
            let inputs = self.take_inputs(index, &mut maps, |map| [map; 2]);
            let results = stage.graph().output_shapes(&inputs);
            maps.extend_from_slice(&results);
            (inputs, results)
        });
        stages.collect()
    }

    /// Takes what goes into a stage out of the maps before it. One that is an output of the network, too, stays there:
    /// `twice` gives it for both.
    fn take_inputs<M>(
        &self,
        index: usize,
        maps: &mut Vec<M>,
        twice: impl FnOnce(M) -> [M; 2],
    ) -> Vec<M> {
        if self.stages[index].graph().inputs() > 1 {
            return std::mem::take(maps);
        }
        let mut input = maps.pop().expect("there is an input");
        if index > 0 && self.outputs.contains(&(index - 1)) {
            let [kept, next] = twice(input);
            maps.push(kept);
            input = next;
        }
        vec![input]
    }

    /// Sends a batch `[batch, height, width, channels]` through some stages.
    pub fn forward(&self, stages: Range<usize>, x: Tensor<4>, forward: &mut Forward) -> Tensor<4> {
        let mut maps = self.forward_maps(stages, vec![x], forward);
        maps.pop().expect("a network has a result")
    }

    /// Sends a batch through some stages and keeps the features of [`outputs`](Self::outputs). `maps` are
    /// those kept of the stages before, in their order, followed by the input of the first of `stages`; the
    /// result is the same after the last of them. A neck takes all, and its results take their place. Each is
    /// `[batch, height, width, channels]`.
    pub fn forward_maps(
        &self,
        stages: Range<usize>,
        mut maps: Vec<Tensor<4>>,
        forward: &mut Forward,
    ) -> Vec<Tensor<4>> {
        for index in stages {
            let is_training = matches!(forward, Forward::Training { .. });
            // A stage may take its input in two ways. With the use of the kept map three gradients would meet, and their
            // order would show in the bits: behind a fork, those of the stage meet first.
            let twice = |map: Tensor<4>| {
                let ways = if is_training {
                    ops::fork(map, 2)
                } else {
                    vec![map.clone(), map]
                };
                <[_; 2]>::try_from(ways).expect("two ways")
            };
            let inputs = self.take_inputs(index, &mut maps, twice);
            maps.extend(self.stages[index].graph().forward(inputs, forward));
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
        StageError::new(self.name, name, &self.stages)
    }

    /// Index of the stage that a parameter belongs to, or `None` if it is the head's: the
    /// classifier's or a [`Detector`]'s.
    ///
    /// # Panics
    /// If neither a stage nor the head has a parameter of that name: as one of the head's it would
    /// be trained where its stage is frozen.
    pub fn stage_of(&self, parameter: &str) -> Option<usize> {
        let has_it = |stage: &Stage| {
            let mut parameters = stage.parameters().iter();
            parameters.any(|info| info.name == parameter)
        };
        let stage = self.stages.iter().position(has_it);
        let in_head = || {
            let of_light: &[&str] = if self.is_detector { &[] } else { &light::PARTS };
            let mut heads = of_light.iter().chain([&self.classifier]);
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

/// An image large enough for every network's strides, though not a multiple of every patch.
pub(crate) const SMALL: Shape = [64, 64, 3];

#[cfg(test)]
mod tests {
    use super::*;

    /// The backbones of classifiers and detectors.
    fn backbones() -> impl Iterator<Item = Architecture> {
        let whole = crate::names().map(|name| crate::by_name(name).unwrap());
        let light = whole.flat_map(|whole| {
            let tapped = whole.clone().with_taps();
            [Some(whole), tapped.ok()].into_iter().flatten()
        });
        let detectors = crate::detector_names().map(|name| crate::by_name(name).unwrap());
        light.chain(detectors)
    }

    #[test]
    fn no_stage_has_the_name_of_another_part() {
        // Records of health call the head so, and `train` takes these words.
        for backbone in backbones() {
            let neck = backbone.is_detector.then(|| backbone.stages.len() - 1);
            for (index, stage) in backbone.stages.iter().enumerate() {
                let is_taken = match stage.name.as_str() {
                    "head" | "all" => true,
                    "neck" => Some(index) != neck,
                    _ => false,
                };
                assert!(!is_taken, "{}: {}", backbone.name, stage.name);
            }
        }
    }

    #[test]
    fn patches_say_which_sizes_are_seen_whole() {
        for name in crate::names() {
            let network = crate::by_name(name).unwrap();
            let expected = match network.patch {
                Some(patch) => patch,
                None if name.starts_with("convnext") => 32,
                None => 1,
            };
            assert_eq!(network.whole_step(), expected, "{name}");
        }
    }

    #[test]
    fn a_parameter_belongs_to_the_stage_whose_layers_own_it() {
        for backbone in backbones() {
            let mut listed = backbone.backbone_parameters().into_iter();
            for (index, stage) in backbone.stages.iter().enumerate() {
                for info in stage.graph().parameters() {
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
            let mut heads = Vec::new();
            if backbone.taps.is_some() {
                heads.extend(backbone.detector(7).parameters());
            }
            if !backbone.is_detector {
                heads.extend(backbone.classifier_parameters(7));
            }
            for info in heads {
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

    #[test]
    #[should_panic(expected = "`neck.other.conv.weight` belongs neither to a stage of rtmdet_tiny")]
    fn a_parameter_that_a_neck_does_not_list_does_not_count_as_the_head_s() {
        let detector = crate::by_name("rtmdet_tiny").unwrap();
        detector.stage_of("neck.other.conv.weight");
    }
}
