//! RTMDet: Lyu and others, "RTMDet: An Empirical Study of Designing Real-Time Object Detectors" (arXiv 2212.07784), as
//! MMDetection has it: [CSPNeXt](crate::cspnext), a path aggregation network of its layers, and a head whose
//! convolutions all strides share, each with norms of its own. It was trained on blue, green and red.

use warmstart_nn::Activation::Silu;
use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::layers::{Layer, ReverseChannels};
use warmstart_nn::{Graph, Kind, Place, Value};

use crate::architecture::{Architecture, Convention};
use crate::csp::{PathAggregation, Scale, Units, chain};
use crate::cspnext::{self, Design};
use crate::detector::{Assignment, Coding, Detector, Predictors, SIDES, STRIDES, predictor};
use crate::record::Record;
use crate::stage::Stage;
use crate::strides;

/// Blocks of a neck's layer.
const NECK_BLOCKS: usize = 1;
/// Convolutions in front of a predictor.
const DEPTH: usize = 2;
const HEAD: &str = "bbox_head";

pub(crate) fn tiny(record: &'static Record) -> Architecture {
    rtmdet("rtmdet_tiny", record, cspnext::TINY)
}

pub(crate) fn small(record: &'static Record) -> Architecture {
    rtmdet("rtmdet_s", record, cspnext::SMALL)
}

fn rtmdet(name: &'static str, record: &'static Record, scale: Scale) -> Architecture {
    let first = vec![Layer::ReverseChannels(ReverseChannels)];
    let mut stages = cspnext::stages(scale, record.numerics, first);
    let taps = strides::ends(&stages);
    let channels = cspnext::tap_channels(scale);
    // All maps of the head are as wide as the finest of the backbone.
    let [width, ..] = channels;
    let group = stages.last().map_or(0, |stage| stage.group + 1);
    let neck = neck(Units(record.numerics), channels, width);
    stages.push(Stage::new("neck".into(), group, neck));
    Architecture {
        name,
        record,
        taps: Some(taps),
        tokens: None,
        patch: None,
        outputs: taps[..2].to_vec(),
        stages,
        features: width,
        classifier: HEAD,
        linear_default: LinearDefault::Normal,
        layer_scale: 1.0,
        dropout: 0.0,
        stochastic_depth: 0.0,
        conventions: &[Convention {
            name: "libreyolo",
            to_native: from_libreyolo,
            record: None,
        }],
        is_detector: true,
        detector,
    }
}

fn neck(units: Units, channels: [usize; 3], width: usize) -> Graph {
    let [fine, middle, coarse] = channels;
    let mut graph = Graph::of_inputs(STRIDES.len());
    let conv = |graph: &mut Graph, name: &str, channels, kernel, stride| {
        let name = format!("neck.{name}");
        graph.place(units.conv(&name, channels, kernel, stride).into())
    };
    let merge = |graph: &mut Graph, name: &str, channels| {
        let design = Design {
            channels,
            blocks: NECK_BLOCKS,
            adds_input: false,
            attends: false,
        };
        cspnext::cross_stage(graph, units, &format!("neck.{name}"), design)
    };
    let paths = PathAggregation {
        reduce: [
            conv(&mut graph, "reduce_layers.0", [coarse, middle], 1, 1),
            conv(&mut graph, "reduce_layers.1", [middle, fine], 1, 1),
        ],
        top_down: [
            merge(&mut graph, "top_down_blocks.0", [2 * middle, middle]),
            merge(&mut graph, "top_down_blocks.1", [2 * fine, fine]),
        ],
        down: [
            conv(&mut graph, "downsamples.0", [fine; 2], 3, 2),
            conv(&mut graph, "downsamples.1", [middle; 2], 3, 2),
        ],
        bottom_up: [
            merge(&mut graph, "bottom_up_blocks.0", [2 * fine, middle]),
            merge(&mut graph, "bottom_up_blocks.1", [2 * middle, coarse]),
        ],
    };
    let maps = paths.connect(&mut graph);
    let results: [Value; 3] = std::array::from_fn(|level| {
        let name = format!("out_convs.{level}");
        let place = conv(&mut graph, &name, [channels[level], width], 3, 1);
        graph.connect(place, [maps[level]])
    });
    graph.with_outputs(results)
}

/// The head.
fn detector(network: &Architecture, classes: usize) -> Detector {
    let (numerics, width) = (network.record.numerics, network.features);
    let mut graph = Graph::of_inputs(STRIDES.len());
    let mut convolutions = |part: &str| -> [Place; 3] {
        std::array::from_fn(|level| {
            let unit = |index: usize| {
                let conv = format!("{HEAD}.{part}.0.{index}.conv");
                let norm = format!("{HEAD}.{part}.{level}.{index}.bn");
                numerics.unit([&conv, &norm], [width; 2], 3, 1, 1, Silu)
            };
            graph.place(chain((0..DEPTH).map(unit).collect()))
        })
    };
    let before_classes = convolutions("cls_convs");
    let before_boxes = convolutions("reg_convs");
    let names = |part: &str| -> [String; 3] {
        std::array::from_fn(|level| format!("{HEAD}.{part}.{level}"))
    };
    let class_layers = names("rtm_cls");
    let mut predictors = |names: [String; 3], outputs, bias| {
        names.map(|name| graph.place(predictor(name, [width, outputs], bias)))
    };
    let of_classes = predictors(class_layers.clone(), classes, Kind::PriorBias);
    let of_boxes = predictors(names("rtm_reg"), SIDES, Kind::LinearBias);
    let levels: [[Value; 2]; 3] = std::array::from_fn(|level| {
        let map = Value::Input(level);
        let mut predict = |before: [Place; 3], of: [Place; 3]| {
            let value = graph.connect(before[level], [map]);
            graph.connect(of[level], [value])
        };
        [
            predict(before_classes, of_classes),
            predict(before_boxes, of_boxes),
        ]
    });
    let predictors = Predictors {
        classes: levels.map(|[classes, _]| classes),
        boxes: levels.map(|[_, boxes]| boxes),
        objectness: None,
    };
    Detector::new(
        graph,
        predictors,
        class_layers.into(),
        Coding::Distances,
        Assignment::SoftLabels,
    )
}

/// libreyolo's copies of MMDetection's files: `head` in place of `bbox_head`.
fn from_libreyolo(name: &str) -> Option<String> {
    let (part, rest) = name.split_once('.')?;
    match part {
        "backbone" | "neck" => Some(name.to_owned()),
        "head" => Some(format!("{HEAD}.{rest}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_share_convolutions_and_not_their_norms() {
        let detector = crate::by_name("rtmdet_tiny").unwrap().detector(80);
        let names = detector.parameters().into_iter().map(|info| info.name);
        let names: Vec<String> = names.collect();
        let has = |name: &str| names.iter().any(|listed| listed == name);
        assert!(has("bbox_head.cls_convs.0.1.conv.weight"));
        assert!(!has("bbox_head.cls_convs.2.1.conv.weight"));
        assert!(has("bbox_head.cls_convs.2.1.bn.running_var"));
        let class_layers = [0, 1, 2].map(|level| format!("bbox_head.rtm_cls.{level}"));
        assert_eq!(detector.class_layers(), class_layers);
    }

    #[test]
    fn libreyolo_s_head_is_the_native_one() {
        assert_eq!(
            from_libreyolo("head.rtm_cls.0.weight").as_deref(),
            Some("bbox_head.rtm_cls.0.weight")
        );
        let neck = "neck.out_convs.0.bn.weight";
        assert_eq!(from_libreyolo(neck).as_deref(), Some(neck));
        assert_eq!(from_libreyolo("bbox_head.rtm_cls.0.weight"), None);
    }
}
