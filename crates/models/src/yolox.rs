//! YOLOX: Ge, Liu, Wang, Li and Sun, "YOLOX: Exceeding YOLO Series in 2021" (arXiv 2107.08430), as its authors have it:
//! [CSPDarknet](crate::csp_darknet), a path aggregation network of its layers, and a head that predicts classes apart
//! from boxes and objectness. It was trained on blue, green and red.

use warmstart_nn::initialization::LinearDefault;
use warmstart_nn::{Graph, Kind, Place, Unit, Value};

use crate::architecture::Architecture;
use crate::csp::{PathAggregation, Scale, Units, chain};
use crate::csp_darknet::{self, Design, Size};
use crate::detector::{Assignment, Coding, Detector, Predictors, SIDES, STRIDES, predictor};
use crate::record::Record;
use crate::stage::Stage;
use crate::strides;

const NANO: Size = Size {
    scale: Scale {
        width: 0.25,
        depth: 0.33,
    },
    is_depthwise: true,
};
const TINY: Size = Size {
    scale: Scale {
        width: 0.375,
        depth: 0.33,
    },
    is_depthwise: false,
};

/// Blocks of a neck's layer, at scale 1.
const NECK_BLOCKS: usize = 3;
/// Convolutions in front of a predictor.
const DEPTH: usize = 2;
const HEAD: &str = "head";

pub(crate) fn nano(record: &'static Record) -> Architecture {
    let detector = |network: &Architecture, classes| detector(network, NANO, classes);
    yolox("yolox_nano", record, NANO, detector)
}

pub(crate) fn tiny(record: &'static Record) -> Architecture {
    let detector = |network: &Architecture, classes| detector(network, TINY, classes);
    yolox("yolox_tiny", record, TINY, detector)
}

fn yolox(
    name: &'static str,
    record: &'static Record,
    size: Size,
    detector: fn(&Architecture, usize) -> Detector,
) -> Architecture {
    let mut stages = csp_darknet::stages(size, record.numerics);
    let taps = strides::ends(&stages);
    let channels = csp_darknet::tap_channels(size);
    let [_, _, features] = channels;
    let group = stages.last().map_or(0, |stage| stage.group + 1);
    let neck = neck(Units(record.numerics), size, channels);
    stages.push(Stage::new("neck".into(), group, neck));
    Architecture {
        name,
        record,
        taps: Some(taps),
        tokens: None,
        patch: None,
        outputs: taps[..2].to_vec(),
        stages,
        features,
        classifier: HEAD,
        linear_default: LinearDefault::Normal,
        layer_scale: 1.0,
        dropout: 0.0,
        stochastic_depth: 0.0,
        conventions: &[],
        is_detector: true,
        detector,
    }
}

fn neck(units: Units, size: Size, [fine, middle, coarse]: [usize; 3]) -> Graph {
    let mut graph = Graph::of_inputs(STRIDES.len());
    let reduce = |graph: &mut Graph, name: &str, channels| {
        let unit = units.conv(&format!("backbone.{name}"), channels, 1, 1);
        graph.place(unit.into())
    };
    let down = |graph: &mut Graph, name: &str, channels| {
        let name = format!("backbone.{name}");
        graph.place(chain(size.convolution(units, &name, [channels; 2], 2)))
    };
    let merge = |graph: &mut Graph, name: &str, channels| {
        let design = Design {
            channels,
            blocks: size.scale.blocks(NECK_BLOCKS),
            adds_input: false,
        };
        size.cross_stage(graph, units, &format!("backbone.{name}"), design)
    };
    // In the order of their parameters.
    let reduce_coarse = reduce(&mut graph, "lateral_conv0", [coarse, middle]);
    let merge_middle = merge(&mut graph, "C3_p4", [2 * middle, middle]);
    let reduce_middle = reduce(&mut graph, "reduce_conv1", [middle, fine]);
    let merge_fine = merge(&mut graph, "C3_p3", [2 * fine, fine]);
    let down_fine = down(&mut graph, "bu_conv2", fine);
    let remerge_middle = merge(&mut graph, "C3_n3", [2 * fine, middle]);
    let down_middle = down(&mut graph, "bu_conv1", middle);
    let remerge_coarse = merge(&mut graph, "C3_n4", [2 * middle, coarse]);
    let paths = PathAggregation {
        reduce: [reduce_coarse, reduce_middle],
        top_down: [merge_middle, merge_fine],
        down: [down_fine, down_middle],
        bottom_up: [remerge_middle, remerge_coarse],
    };
    let results = paths.connect(&mut graph);
    graph.with_outputs(results)
}

/// The head.
fn detector(network: &Architecture, size: Size, classes: usize) -> Detector {
    let units = Units(network.record.numerics);
    let channels = network.map_channels();
    let [width, ..] = channels;
    let mut graph = Graph::of_inputs(STRIDES.len());
    let mut convolutions = |part: &str| -> [Vec<Place>; 3] {
        std::array::from_fn(|level| {
            let layers: Vec<Unit> = (0..DEPTH)
                .flat_map(|index| {
                    let name = format!("{HEAD}.{part}.{level}.{index}");
                    size.convolution(units, &name, [width; 2], 1)
                })
                .collect();
            // Two at a time: a depthwise convolution and the 1×1 behind it, or two whole ones.
            let pairs = layers.chunks(2);
            let places = pairs.map(|pair| graph.place(chain(pair.to_vec())));
            places.collect()
        })
    };
    let before_classes = convolutions("cls_convs");
    let before_others = convolutions("reg_convs");
    let names = |part: &str| -> [String; 3] {
        std::array::from_fn(|level| format!("{HEAD}.{part}.{level}"))
    };
    let class_layers = names("cls_preds");
    let mut predictors = |names: [String; 3], outputs, bias| {
        names.map(|name| graph.place(predictor(name, [width, outputs], bias)))
    };
    let of_classes = predictors(class_layers.clone(), classes, Kind::PriorBias);
    let of_boxes = predictors(names("reg_preds"), SIDES, Kind::LinearBias);
    let of_objectness = predictors(names("obj_preds"), 1, Kind::PriorBias);
    let levels: [[Value; 3]; 3] = std::array::from_fn(|level| {
        let stem = format!("{HEAD}.stems.{level}");
        let stem = units.conv(&stem, [channels[level], width], 1, 1);
        let map = graph.add(stem.into(), [Value::Input(level)]);
        let mut follow = |layers: &[Place]| {
            let layers = layers.iter();
            layers.fold(map, |map, &layer| graph.connect(layer, [map]))
        };
        let class = follow(&before_classes[level]);
        let others = follow(&before_others[level]);
        [
            graph.connect(of_classes[level], [class]),
            graph.connect(of_boxes[level], [others]),
            graph.connect(of_objectness[level], [others]),
        ]
    });
    let predictors = Predictors {
        classes: levels.map(|[classes, ..]| classes),
        boxes: levels.map(|[_, boxes, _]| boxes),
        objectness: Some(levels.map(|[.., objectness]| objectness)),
    };
    Detector::new(
        graph,
        predictors,
        class_layers.into(),
        Coding::Centers,
        Assignment::SimOta,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_neck_s_parameters_have_the_publisher_s_names_and_order() {
        let network = crate::by_name("yolox_nano").unwrap();
        let neck = &network.stages[network.stage("neck").unwrap()];
        let names = neck.parameters().iter().map(|info| info.name.as_str());
        let mut parts: Vec<&str> = names.filter_map(|name| name.split('.').nth(1)).collect();
        parts.dedup();
        let expected = [
            "lateral_conv0",
            "C3_p4",
            "reduce_conv1",
            "C3_p3",
            "bu_conv2",
            "C3_n3",
            "bu_conv1",
            "C3_n4",
        ];
        assert_eq!(parts, expected);
        assert_eq!(
            neck.parameters()[0].name,
            "backbone.lateral_conv0.conv.weight"
        );
    }

    #[test]
    fn only_nano_s_larger_kernels_are_depthwise() {
        let groups = |name: &str| -> Vec<usize> {
            let network = crate::by_name(name).unwrap();
            let units: Vec<Unit> = network.units(0..network.stages.len()).cloned().collect();
            let large = units.iter().filter(|unit| unit.kernel == [3; 2]);
            large.map(|unit| unit.spec.conv.groups).collect()
        };
        assert!(groups("yolox_tiny").iter().all(|groups| *groups == 1));
        // The stem comes first.
        let of_nano = groups("yolox_nano");
        assert!(of_nano[0] == 1 && of_nano[1..].iter().all(|groups| *groups > 1));
    }

    #[test]
    fn objectness_is_predicted_beside_the_boxes() {
        let detector = crate::by_name("yolox_tiny").unwrap().detector(2);
        assert!(detector.has_objectness());
        assert_eq!(detector.coding(), Coding::Centers);
        assert_eq!(detector.assignment(), Assignment::SimOta);
        let names = detector.parameters().into_iter().map(|info| info.name);
        let names: Vec<String> = names.collect();
        assert_eq!(names[0], "head.cls_convs.0.0.conv.weight");
        assert_eq!(names[names.len() - 1], "head.stems.2.bn.running_var");
    }
}
