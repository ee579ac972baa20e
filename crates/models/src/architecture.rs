use std::fmt;
use std::ops::Range;

use warmstart_language::message;
use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::initialization::{LinearDefault, ModelDefaults};
use warmstart_nn::layers::{Layer, LayerKind as _, Linear, Shape, Shortcut, fold};
use warmstart_nn::{
    Activation, Folded, Forward, Graph, Kind, Node, ParameterInfo, Parameters, Unit, Value,
};

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
    /// Pixels along an edge of a patch, of which an image's edge has to be a multiple; `None` where any size will do.
    pub patch: Option<usize>,
    /// Stages before the last one whose features are outputs, too.
    pub outputs: Vec<usize>,
    /// Channels that the backbone ends in.
    pub features: usize,
    /// Name of the linear classifier; of a detector from the start, the first part of the names of its head.
    pub classifier: &'static str,
    /// Distribution of the initial values of linear layers, that classifier's included, in the library whose names it
    /// has.
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

    /// The layers of a detector of that many classes after the stages: its own, or a light one on the features of
    /// [`taps`](Self::taps).
    ///
    /// # Panics
    /// If it has no taps: see [`with_taps`](Self::with_taps).
    pub fn detector(&self, classes: usize) -> Detector {
        (self.detector)(self, classes)
    }

    /// Its properties that the initial values of its parameters depend on.
    pub fn initialization(&self) -> ModelDefaults {
        let graphs = self.stages.iter().map(Stage::graph);
        let last_norms = graphs.flat_map(|graph| {
            let nodes = graph.nodes().iter();
            nodes.filter_map(move |node| last_norm(graph, node))
        });
        ModelDefaults {
            linear: self.linear_default,
            last_norms: last_norms.collect(),
            layer_scale: self.layer_scale,
        }
    }

    /// The backbone of a detector: it outputs the features of all three taps, and ends with the last. A detector from
    /// the start stays as it is.
    ///
    /// # Errors
    /// If all its features have one stride.
    pub fn with_taps(mut self) -> Result<Self, NoTaps> {
        if self.is_detector {
            return Ok(self);
        }
        let Some([first, second, last]) = self.taps else {
            return Err(NoTaps { model: self.name });
        };
        self.stages.truncate(last + 1);
        self.features = self.channels_of(last);
        self.outputs = vec![first, second];
        // The detector after it is not torchvision's, and begins small.
        self.linear_default = LinearDefault::Normal;
        Ok(self)
    }

    /// Channels that a stage ends in; those of the last map, if it gives several.
    pub fn channels_of(&self, stage: usize) -> usize {
        let [_, _, channels] = self.shapes(SMALL)[stage];
        channels
    }

    /// Channels of the maps that a detector works on, at strides 8, 16 and 32.
    ///
    /// # Panics
    /// If it has no taps: see [`with_taps`](Self::with_taps).
    pub fn map_channels(&self) -> [usize; 3] {
        if !self.is_detector {
            let taps = self.taps.expect("a backbone of a detector has taps");
            return taps.map(|tap| self.channels_of(tap));
        }
        let (_, results) = self.flow(SMALL).pop().expect("a detector has a neck");
        let channels = results.into_iter().map(|[_, _, channels]| channels);
        let channels: Vec<usize> = channels.collect();
        channels
            .try_into()
            .expect("a neck gives a map for each stride")
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

    /// The shapes of each stage's inputs and results for an image `[height, width, channels]`.
    fn flow(&self, image: Shape) -> Vec<(Vec<Shape>, Vec<Shape>)> {
        let mut maps = vec![image];
        let stages = self.stages.iter().enumerate().map(|(index, stage)| {
            let inputs = self.take_inputs(index, &mut maps);
            let results = stage.graph().output_shapes(&inputs);
            maps.extend_from_slice(&results);
            (inputs, results)
        });
        stages.collect()
    }

    /// Takes what goes into a stage out of the maps before it. One that is an output of the network, too, stays there.
    fn take_inputs<M: Clone>(&self, index: usize, maps: &mut Vec<M>) -> Vec<M> {
        if self.stages[index].graph().inputs() > 1 {
            return std::mem::take(maps);
        }
        let input = maps.pop().expect("there is an input");
        if index > 0 && self.outputs.contains(&(index - 1)) {
            maps.push(input.clone());
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
            let inputs = self.take_inputs(index, &mut maps);
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

/// A network has no features of strides 8, 16 and 32, which a detector works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTaps {
    model: &'static str,
}

impl fmt::Display for NoTaps {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { model } = self;
        f.write_str(&message!(
            "{model} has features of one stride only, so no detector can be built on it; take a ConvNeXt, a ResNet or \
             a MobileNet"
        ))
    }
}

impl std::error::Error for NoTaps {}

/// An image large enough for every network's strides, though not a multiple of every patch.
const SMALL: Shape = [64, 64, 3];

/// The name of the batch norm that ends a branch, if the node is the branch and adds a shortcut, or adds one to its
/// result.
fn last_norm(graph: &Graph, node: &Node) -> Option<String> {
    let units = match &node.layer {
        Layer::Branch(branch) => match branch.shortcut {
            Shortcut::Identity | Shortcut::Second => branch.units.as_slice(),
            Shortcut::None => return None,
        },
        Layer::Add(_) => match node.inputs.first()? {
            Value::Node(index) => graph.nodes()[*index].layer.units(),
            Value::Input(_) => return None,
        },
        Layer::MaxPool(_)
        | Layer::AveragePool(_)
        | Layer::GlobalAverage(_)
        | Layer::SqueezeExcite(_)
        | Layer::ChannelAttention(_)
        | Layer::Linear(_)
        | Layer::Upsample(_)
        | Layer::Concatenate(_)
        | Layer::ReverseChannels(_)
        | Layer::SpaceToDepth(_)
        | Layer::LayerNorm(_)
        | Layer::Attention(_)
        | Layer::ResponseNorm(_)
        | Layer::Tokens(_)
        | Layer::TokenPool(_) => return None,
    };
    let norm = units.last()?.norm.as_ref()?;
    Some(norm.name.clone())
}

#[cfg(test)]
mod tests {
    use warmstart_nn::burn::tensor::TensorData;
    use warmstart_nn::initialization::Initialization;

    use super::*;

    /// The backbones of classifiers and detectors.
    fn backbones() -> impl Iterator<Item = Architecture> {
        let whole = crate::names().map(|name| crate::by_name(name).unwrap());
        let light = whole.flat_map(|whole| {
            let tapped = whole.clone().with_taps();
            [Some(whole), tapped.ok()].into_iter().flatten()
        });
        light.chain(detectors())
    }

    fn detectors() -> impl Iterator<Item = Architecture> {
        crate::detector_names().map(|name| crate::by_name(name).unwrap())
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

    #[test]
    fn a_neck_is_the_last_stage_and_the_last_group() {
        for detector in detectors() {
            let neck = detector.stages.len() - 1;
            assert_eq!(detector.stage("neck"), Ok(neck));
            assert_eq!(detector.stages[neck].group + 1, detector.groups());
            assert_eq!(detector.groups(), 6);
            assert_eq!(detector.stages[neck].graph().inputs(), 3);
        }
        let stage = |model, name| crate::by_name(model).unwrap().stage(name).unwrap();
        assert_eq!(stage("rtmdet_tiny", "backbone.stem"), 0);
        assert_eq!(stage("rtmdet_tiny", "backbone.stage4"), 7);
        assert_eq!(stage("cspnext_s", "backbone.stage4.2"), 9);
        assert_eq!(stage("yolox_nano", "backbone.backbone.dark5"), 7);
    }

    #[test]
    fn a_network_of_one_stride_is_the_backbone_of_no_detector_and_says_what_is() {
        let vision_transformer = crate::by_name("vit_tiny_patch16_224").unwrap();
        let words = vision_transformer.with_taps().unwrap_err().to_string();
        assert_eq!(
            words,
            "vit_tiny_patch16_224 has features of one stride only, so no detector can be built on it; take a ConvNeXt, \
             a ResNet or a MobileNet"
        );
        for name in crate::names() {
            let network = crate::by_name(name).unwrap();
            assert_eq!(network.taps.is_none(), network.tokens.is_some(), "{name}");
            assert_eq!(network.patch.is_some(), network.tokens.is_some(), "{name}");
        }
    }

    #[test]
    fn a_shortcut_behind_the_activation_ends_a_branch_as_well() {
        let cspnext = crate::by_name("cspnext_tiny").unwrap();
        let norms = cspnext.initialization().last_norms;
        let of_stage = |stage| format!("backbone.stage{stage}.1.blocks.0.conv2.pointwise_conv.bn");
        assert_eq!(norms, [1, 2, 3].map(of_stage));
    }

    /// Frozen stages may end anywhere: before the neck, or behind it.
    #[test]
    fn a_detector_can_be_cut_at_any_stage() {
        let architecture = crate::by_name("yolox_nano").unwrap();
        let device = warmstart_nn::device();
        let infos = architecture.backbone_parameters();
        let defaults = architecture.initialization();
        let parameters = Initialization::default().parameters(&infos, &defaults, 1, &device);
        let end = architecture.stages.len();
        let folded = architecture.fold(0..end, &parameters, &device);
        let run = |stages: Range<usize>, maps| {
            architecture.forward_maps(stages, maps, &mut Forward::Inference(&folded))
        };
        let host = |maps: Vec<Tensor<4>>| -> Vec<Vec<f32>> {
            let maps = maps.into_iter();
            maps.map(|map| map.into_data().try_into_vec().unwrap())
                .collect()
        };
        let pixel = |index: usize| ((index * 7919) % 255) as f32;
        let pixels = (0..2 * 64 * 32 * 3).map(pixel).collect::<Vec<f32>>();
        let images = TensorData::new(pixels, [2, 64, 32, 3]);
        let images = Tensor::<4>::from_data(images, &device);
        let whole = run(0..end, vec![images.clone()]);
        let shapes: Vec<_> = whole.iter().map(|map| map.dims()).collect();
        assert_eq!(shapes, [[2, 8, 4, 64], [2, 4, 2, 128], [2, 2, 1, 256]]);
        let whole = host(whole);
        for cut in 0..=end {
            let below = run(0..cut, vec![images.clone()]);
            assert_eq!(host(run(cut..end, below)), whole, "cut at {cut}");
        }
    }
}
