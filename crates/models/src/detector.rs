//! A single-stage, anchor-free detector on the features of any backbone: the neck of Liu, Qi, Qin, Shi
//! and Jia, "Path Aggregation Network for Instance Segmentation" (arXiv 1803.01534), section 3.1, and
//! the head of Lyu and others, "RTMDet: An Empirical Study of Designing Real-Time Object Detectors"
//! (arXiv 2212.07784), section 3, in a width for processors: separable 5×5 kernels, 96 channels.

use warmstart_nn::Activation::{Identity, Silu};
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::layers::{Branch, Concatenate, Layer, Linear, Shortcut, Upsample};
use warmstart_nn::{Forward, Graph, Kind, ParameterInfo, Unit, Value};

/// Pixels from one point of a map to the next, in the image.
pub const STRIDES: [usize; 3] = [8, 16, 32];
/// Channels of the neck and the head.
const WIDTH: usize = 96;
/// Convolutions in front of a predictor.
const DEPTH: usize = 2;
/// Values of a box: left, top, right, bottom.
const SIDES: usize = 4;
/// Name of the only part that depends on the classes.
pub const CLASS_PREDICTOR: &str = "head.class_predictor";
const BOX_PREDICTOR: &str = "head.box_predictor";
/// First parts of the names of all its parameters.
pub(crate) const PARTS: [&str; 2] = ["neck", "head"];

/// The part of a detector after its backbone.
#[derive(Clone, Debug)]
pub struct Detector {
    /// From the backbone's features at strides 8, 16 and 32 to the maps of class logits at these strides, and those of
    /// boxes.
    graph: Graph,
}

/// A detector's results for each point of its maps: those of stride 8 first, each map row by row.
pub struct Predictions {
    /// Logits `[batch, points, classes]`.
    pub classes: Tensor<3>,
    /// `[batch, points, 4]`: logarithms of the distances from the point to the left, top, right and
    /// bottom of its box, in strides.
    pub boxes: Tensor<3>,
}

impl Detector {
    /// A detector of that many classes on maps of those channels at strides 8, 16 and 32.
    pub fn new(channels: [usize; 3], classes: usize) -> Self {
        let mut graph = Graph::of_inputs(STRIDES.len());
        let maps = neck(&mut graph, channels);
        let [mut logits, mut boxes] = [Vec::new(), Vec::new()];
        for (level, map) in maps.into_iter().enumerate() {
            let mut predict = |name: &str, layer: &str, outputs, bias| {
                let value = before_predictor(&mut graph, name, level, map);
                let layer = Layer::Linear(Linear {
                    name: layer.into(),
                    inputs: WIDTH,
                    outputs,
                    bias,
                    activation: Identity,
                });
                graph.add(layer, [value])
            };
            logits.push(predict(
                "head.classes",
                CLASS_PREDICTOR,
                classes,
                Kind::PriorBias,
            ));
            boxes.push(predict(
                "head.boxes",
                BOX_PREDICTOR,
                SIDES,
                Kind::LinearBias,
            ));
        }
        Self {
            graph: graph.with_outputs([logits, boxes].concat()),
        }
    }

    /// Its layers; those of the head share convolutions.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Its parameters, each once.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        self.graph.parameters()
    }

    /// Sends the backbone's features at strides 8, 16 and 32 through neck and head.
    pub fn forward(&self, features: [Tensor<4>; 3], forward: &mut Forward) -> Predictions {
        let mut maps = self.graph.forward(features.into(), forward);
        let boxes = maps.split_off(STRIDES.len());
        let points = |maps: Vec<Tensor<4>>| {
            let maps = maps.into_iter().map(|map| {
                let [batch, height, width, values] = map.dims();
                map.reshape([batch, height * width, values])
            });
            Tensor::cat(maps.collect(), 1)
        };
        Predictions {
            classes: points(maps),
            boxes: points(boxes),
        }
    }
}

/// The neck: features become coarser from the image on, so the finer ones get the coarser ones' knowledge on a way
/// down, and the coarser ones the finer ones' places on a way up.
fn neck(graph: &mut Graph, channels: [usize; 3]) -> [Value; 3] {
    let lateral = |graph: &mut Graph, level: usize| {
        let name = format!("neck.lateral.{level}");
        let lateral = unit(&name, "norm", [channels[level], WIDTH], 1, 1);
        graph.add(lateral.into(), [Value::Input(level)])
    };
    let finer = |graph: &mut Graph, level: usize, coarse: Value| {
        let fine = lateral(graph, level);
        let coarse = graph.add(Layer::Upsample(Upsample), [coarse]);
        merge(graph, &format!("neck.top_down.{level}"), [fine, coarse])
    };
    let p5 = lateral(graph, 2);
    let p4 = finer(graph, 1, p5);
    let p3 = finer(graph, 0, p4);
    let coarser = |graph: &mut Graph, level: usize, coarse: Value, fine: Value| {
        let down = unit(
            &format!("neck.down.{}", level - 1),
            "norm",
            [WIDTH; 2],
            3,
            2,
        );
        let down = graph.add(down.into(), [fine]);
        merge(graph, &format!("neck.bottom_up.{level}"), [coarse, down])
    };
    let n4 = coarser(graph, 1, p4, p3);
    let n5 = coarser(graph, 2, p5, n4);
    [p3, n4, n5]
}

/// Two maps merged into one: half of the channels take the path through convolutions, the other half
/// the short one. Wang and others, "CSPNet" (arXiv 1911.11929), section 3.2, with RTMDet's large
/// kernel.
fn merge(graph: &mut Graph, name: &str, maps: [Value; 2]) -> Value {
    let half = WIDTH / 2;
    let part =
        |part: &str, channels, kernel| unit(&format!("{name}.{part}"), "norm", channels, kernel, 1);
    let both = graph.add(Layer::Concatenate(Concatenate), maps);
    let reduce = vec![
        part("reduce", [2 * WIDTH, half], 1),
        part("spatial", [half, half], 3),
    ];
    let main = graph.add(chain(reduce), [both]);
    let main = graph.add(separable(name, "norm", half), [main]);
    let short = part("short", [2 * WIDTH, half], 1);
    let short = graph.add(short.into(), [both]);
    let parts = graph.add(Layer::Concatenate(Concatenate), [main, short]);
    graph.add(part("merge", [WIDTH, WIDTH], 1).into(), [parts])
}

/// The convolutions in front of a predictor at one level.
fn before_predictor(graph: &mut Graph, name: &str, level: usize, map: Value) -> Value {
    (0..DEPTH).fold(map, |map, layer| {
        let layer = separable(&format!("{name}.{layer}"), &format!("norm.{level}"), WIDTH);
        graph.add(layer, [map])
    })
}

/// Depthwise 5×5 → 1×1.
fn separable(name: &str, norm: &str, channels: usize) -> Layer {
    let both = [channels; 2];
    let (depthwise, pointwise) = (format!("{name}.depthwise"), format!("{name}.pointwise"));
    let mut depthwise = unit(&depthwise, norm, both, 5, 1);
    depthwise.spec.conv.groups = channels;
    chain(vec![depthwise, unit(&pointwise, norm, both, 1, 1)])
}

fn unit(name: &str, norm: &str, channels: [usize; 2], kernel: usize, stride: usize) -> Unit {
    let (conv, norm) = (format!("{name}.conv"), format!("{name}.{norm}"));
    Unit::new(&conv, &norm, channels, kernel, stride, 1, Silu)
}

fn chain(units: Vec<Unit>) -> Layer {
    Layer::Branch(Branch::new(units, Shortcut::None))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_parameter_that_levels_share_is_there_once() {
        let detector = Detector::new([32, 96, 320], 7);
        let parameters = detector.parameters();
        let named = |name: &str| parameters.iter().filter(|info| info.name == name).count();
        assert_eq!(named("head.classes.1.pointwise.conv.weight"), 1);
        assert_eq!(named("head.classes.1.pointwise.norm.2.running_var"), 1);
        let names: HashSet<_> = parameters.iter().map(|info| &info.name).collect();
        assert_eq!(names.len(), parameters.len());
    }

    #[test]
    fn every_architecture_has_its_taps_where_the_strides_end() {
        const IMAGE: [usize; 3] = [256, 320, 3];
        for name in crate::names() {
            let whole = crate::by_name(name).unwrap();
            let shapes = whole.shapes(IMAGE);
            for (tap, stride) in whole.taps.into_iter().zip(STRIDES) {
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
            let backbone = whole.with_taps();
            assert_eq!(backbone.stages.len(), backbone.taps[2] + 1);
        }
    }

    #[test]
    fn predictions_have_the_sizes_of_the_strides() {
        let detector = Detector::new([24, 40, 96], 7);
        let shapes = detector
            .graph()
            .output_shapes(&[[8, 6, 24], [4, 3, 40], [2, 2, 96]]);
        assert_eq!(shapes[..3], [[8, 6, 7], [4, 3, 7], [2, 2, 7]]);
        assert_eq!(shapes[3..], [[8, 6, 4], [4, 3, 4], [2, 2, 4]]);
    }
}
