//! Detectors: the layers after a network's stages, from features at three strides to predictions for each point, and
//! what the predictions mean.
//!
//! A [`light`](Detector::light) one works on the features of any classification network; a network that is a detector
//! from the start has a head of its own ([`Architecture::detector`](crate::Architecture::detector)).

pub(crate) mod light;

use warmstart_nn::Activation::Identity;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::layers::{Layer, Linear};
use warmstart_nn::{Forward, Graph, Kind, ParameterInfo, Value, ops};

/// Pixels from one point of a map to the next, in the image.
pub const STRIDES: [usize; 3] = [8, 16, 32];
/// Values of a box.
pub(crate) const SIDES: usize = 4;

/// How the four values of a point are a box. The point is at (x, y), and s is the stride of its map, all in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Distances exp(v) · s to the left, top, right and bottom; the point is the centre of its cell.
    Logarithms,
    /// Distances v · s to the left, top, right and bottom; the point is the top left corner of its cell.
    Distances,
    /// A centre at (x + v₀ · s, y + v₁ · s), and a width of exp(v₂) · s and a height of exp(v₃) · s; the point is the
    /// top left corner of its cell.
    Centers,
}

/// How it is decided which points learn which object, and from which losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// Points near the centres of objects, those that predict best first.
    NearCenters,
    /// Soft labels by the overlap of what is predicted: Lyu and others, "RTMDet" (arXiv 2212.07784), section 3.3.
    SoftLabels,
    /// SimOTA: Ge, Liu, Wang, Li and Sun, "YOLOX" (arXiv 2107.08430), section 2.1.
    SimOta,
}

/// The part of a detector after the stages of its network.
#[derive(Clone, Debug)]
pub struct Detector {
    /// From the features at strides 8, 16 and 32 to the maps of class logits at these strides, those of boxes, and those
    /// of objectness where there are any.
    graph: Graph,
    coding: Coding,
    assignment: Assignment,
    has_objectness: bool,
    class_layers: Vec<String>,
}

/// A detector's results for each point of its maps: those of stride 8 first, each map row by row.
pub struct Predictions {
    /// Logits `[batch, points, classes]`.
    pub classes: Tensor<3>,
    /// `[batch, points, 4]`: the box that a point predicts, by the detector's [`Coding`].
    pub boxes: Tensor<3>,
    /// Logits `[batch, points, 1]` of there being an object, of whatever class.
    pub objectness: Option<Tensor<3>>,
}

/// The values of a graph that are predictions, at strides 8, 16 and 32.
pub(crate) struct Predictors {
    pub classes: [Value; 3],
    pub boxes: [Value; 3],
    pub objectness: Option<[Value; 3]>,
}

impl Detector {
    /// A detector whose layers are `graph`. `class_layers` are the names of those that give the class logits.
    pub(crate) fn new(
        graph: Graph,
        predictors: Predictors,
        class_layers: Vec<String>,
        coding: Coding,
        assignment: Assignment,
    ) -> Self {
        let Predictors {
            classes,
            boxes,
            objectness,
        } = predictors;
        let mut outputs = [classes, boxes].concat();
        outputs.extend(objectness.iter().flatten());
        Self {
            graph: graph.with_outputs(outputs),
            coding,
            assignment,
            has_objectness: objectness.is_some(),
            class_layers,
        }
    }

    /// Its layers; those of a head may share convolutions.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Its parameters, each once.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        self.graph.parameters()
    }

    /// What the four values of a box mean.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// How points and objects are brought together in training.
    pub fn assignment(&self) -> Assignment {
        self.assignment
    }

    /// Whether it predicts, besides the classes, that there is an object at all.
    pub fn has_objectness(&self) -> bool {
        self.has_objectness
    }

    /// The names of the layers that give the class logits: the only ones whose shapes depend on the classes.
    pub fn class_layers(&self) -> &[String] {
        &self.class_layers
    }

    /// Sends features at strides 8, 16 and 32 through its layers.
    pub fn forward(&self, features: [Tensor<4>; 3], forward: &mut Forward) -> Predictions {
        let mut maps = self.graph.forward(features.into(), forward).into_iter();
        let mut points = || -> Tensor<3> {
            let (mut count, mut size) = (0, [0; 2]);
            // As one pixel of many channels, because channels are joined on all threads.
            let maps = maps.by_ref().take(STRIDES.len()).map(|map| {
                let [batch, height, width, values] = map.dims();
                count += height * width;
                size = [batch, values];
                map.reshape([batch, 1, 1, height * width * values])
            });
            let all = ops::concatenate(maps.collect());
            let [batch, values] = size;
            all.reshape([batch, count, values])
        };
        Predictions {
            classes: points(),
            boxes: points(),
            objectness: self.has_objectness.then(points),
        }
    }
}

/// The layer that predicts some values of each point from the channels of a map. Its name is without `.weight`.
pub(crate) fn predictor(name: String, [inputs, outputs]: [usize; 2], bias: Kind) -> Layer {
    Layer::Linear(Linear {
        name,
        inputs,
        outputs,
        bias,
        activation: Identity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_many_as_the_publishers() {
        for (name, expected) in [
            ("rtmdet_tiny", 4_896_168),
            ("rtmdet_s", 8_886_924),
            ("yolox_nano", 912_159),
            ("yolox_tiny", 5_055_855),
        ] {
            let network = crate::by_name(name).unwrap();
            let mut parameters = network.backbone_parameters();
            parameters.extend(network.detector(80).parameters());
            let trained = parameters.iter().filter(|info| info.kind.is_trained());
            let values = trained.map(|info| info.shape.iter().product::<usize>());
            assert_eq!(values.sum::<usize>(), expected, "{name}");
        }
    }

    #[test]
    fn every_architecture_has_its_taps_where_the_strides_end() {
        const IMAGE: [usize; 3] = [256, 320, 3];
        for name in crate::names().chain(crate::detector_names()) {
            let whole = crate::by_name(name).unwrap();
            let Some(taps) = whole.taps else {
                continue;
            };
            let shapes = whole.shapes(IMAGE);
            for (tap, stride) in taps.into_iter().zip(STRIDES) {
                let [height, width, _] = shapes[tap];
                assert_eq!(
                    [height, width].map(|edge| edge * stride),
                    IMAGE[..2],
                    "{name}"
                );
                // The last of its stride, but for the layers that make a classifier's features.
                let next = shapes.get(tap + 1);
                assert!(
                    stride == 32 || next.is_some_and(|next| next[0] < height),
                    "{name}"
                );
            }
            let backbone = whole.with_taps().unwrap();
            let neck = usize::from(backbone.is_detector);
            assert_eq!(backbone.stages.len(), taps[2] + 1 + neck);
        }
    }

    #[test]
    fn predictions_have_the_sizes_of_the_strides() {
        for name in crate::detector_names().chain(["resnet18"]) {
            let backbone = crate::by_name(name).unwrap().with_taps().unwrap();
            let detector = backbone.detector(7);
            let channels = backbone.map_channels();
            let maps = [[8, 6], [4, 3], [2, 2]];
            let features: Vec<_> = maps
                .iter()
                .zip(channels)
                .map(|(&[height, width], channels)| [height, width, channels])
                .collect();
            let shapes = detector.graph().output_shapes(&features);
            let values = [7, 4, 1];
            let kinds = if detector.has_objectness() { 3 } else { 2 };
            let expected = values[..kinds].iter().flat_map(|&values| {
                let of_map = move |[height, width]: [usize; 2]| [height, width, values];
                maps.map(of_map)
            });
            assert_eq!(shapes, expected.collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn only_class_layers_depend_on_the_classes() {
        for name in crate::detector_names().chain(["mobilenet_v2"]) {
            let backbone = crate::by_name(name).unwrap().with_taps().unwrap();
            let [few, many] = [2, 5].map(|classes| backbone.detector(classes));
            let class_layers = few.class_layers();
            for (few, many) in few.parameters().into_iter().zip(many.parameters()) {
                assert_eq!(few.name, many.name);
                let (layer, _) = few.name.rsplit_once('.').unwrap();
                let is_listed = class_layers.iter().any(|listed| listed == layer);
                assert_eq!(few.shape != many.shape, is_listed, "{}", few.name);
            }
        }
    }

    #[test]
    fn class_and_objectness_layers_begin_with_a_prior() {
        for (name, layers) in [("rtmdet_tiny", 3), ("yolox_nano", 6)] {
            let detector = crate::by_name(name).unwrap().detector(3);
            let parameters = detector.parameters().into_iter();
            let priors = parameters.filter(|info| info.kind == Kind::PriorBias);
            let priors: Vec<_> = priors.map(|info| info.name).collect();
            assert_eq!(priors.len(), layers);
            for layer in detector.class_layers() {
                assert!(priors.contains(&format!("{layer}.bias")), "{layer}");
            }
        }
    }
}
