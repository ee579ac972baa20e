//! A single-stage, anchor-free detector on the features of any backbone: the neck of Liu, Qi, Qin, Shi
//! and Jia, "Path Aggregation Network for Instance Segmentation" (arXiv 1803.01534), section 3.1, and
//! the head of Lyu and others, "RTMDet: An Empirical Study of Designing Real-Time Object Detectors"
//! (arXiv 2212.07784), section 3, in a width for processors: separable 5×5 kernels, 96 channels.

use warmstart_nn::Activation::Silu;
use warmstart_nn::layers::{Concatenate, Layer, Upsample};
use warmstart_nn::{Graph, Kind, Unit, Value};

use super::{Assignment, Coding, Detector, Predictors, SIDES, STRIDES, predictor};
use crate::architecture::Architecture;
use crate::csp::chain;

/// Channels of the neck and the head.
const WIDTH: usize = 96;
/// Convolutions in front of a predictor.
const DEPTH: usize = 2;
/// Name of the only part that depends on the classes.
const CLASS_PREDICTOR: &str = "head.class_predictor";
const BOX_PREDICTOR: &str = "head.box_predictor";
/// First parts of the names of all its parameters.
pub(crate) const PARTS: [&str; 2] = ["neck", "head"];

/// The light detector on the features of a classification network.
pub(crate) fn detector(backbone: &Architecture, classes: usize) -> Detector {
    Detector::light(backbone.map_channels(), classes)
}

impl Detector {
    /// A light detector of that many classes on maps of those channels at strides 8, 16 and 32.
    pub fn light(channels: [usize; 3], classes: usize) -> Self {
        let mut graph = Graph::of_inputs(STRIDES.len());
        let maps = neck(&mut graph, channels);
        let levels: [[Value; 2]; 3] = std::array::from_fn(|level| {
            let mut predict = |name: &str, layer: &str, outputs, bias| {
                let value = before_predictor(&mut graph, name, level, maps[level]);
                graph.add(predictor(layer.into(), [WIDTH, outputs], bias), [value])
            };
            [
                predict("head.classes", CLASS_PREDICTOR, classes, Kind::PriorBias),
                predict("head.boxes", BOX_PREDICTOR, SIDES, Kind::LinearBias),
            ]
        });
        let predictors = Predictors {
            classes: levels.map(|[classes, _]| classes),
            boxes: levels.map(|[_, boxes]| boxes),
            objectness: None,
        };
        Self::new(
            graph,
            predictors,
            vec![CLASS_PREDICTOR.to_owned()],
            Coding::Logarithms,
            Assignment::NearCenters,
        )
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_parameter_that_levels_share_is_there_once() {
        let detector = Detector::light([32, 96, 320], 7);
        let parameters = detector.parameters();
        let named = |name: &str| parameters.iter().filter(|info| info.name == name).count();
        assert_eq!(named("head.classes.1.pointwise.conv.weight"), 1);
        assert_eq!(named("head.classes.1.pointwise.norm.2.running_var"), 1);
        let names: HashSet<_> = parameters.iter().map(|info| &info.name).collect();
        assert_eq!(names.len(), parameters.len());
    }

    #[test]
    fn every_parameter_is_of_the_neck_or_the_head() {
        for info in Detector::light([24, 40, 96], 7).parameters() {
            let part = info.name.split('.').next().unwrap();
            assert!(PARTS.contains(&part), "{}", info.name);
        }
    }
}
