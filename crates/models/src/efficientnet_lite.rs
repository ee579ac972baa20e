//! EfficientNet-Lite: [`EfficientNet`](crate::efficientnet) without squeeze and excitation, with ReLU6, and with a
//! stem and a head that are not scaled; TensorFlow's `efficientnet/lite` (2020), as timm has it.

use warmstart_nn::Activation::{Identity, Relu6};
use warmstart_nn::Graph;
use warmstart_nn::initialization::LinearDefault;

use crate::architecture::{Architecture, Convention};
use crate::blocks::InvertedResidual;
use crate::detector::light;
use crate::efficientnet::{ROWS, Row, STEM, Scale, lukemelas_to_timm};
use crate::record::{Numerics, Record};
use crate::stage::Stage;
use crate::strides;

const LITE0: Scale = Scale {
    width: 1.0,
    depth: 1.0,
};
const LITE1: Scale = Scale {
    width: 1.0,
    depth: 1.1,
};
const LITE2: Scale = Scale {
    width: 1.1,
    depth: 1.2,
};

const FEATURES: usize = 1280;

/// The one other convention of a member of the family of that scale.
macro_rules! conventions {
    ($scale:ident, $record:literal) => {
        &[Convention {
            name: "lukemelas",
            to_native: |name| lukemelas_to_timm(name, &repeats($scale)),
            record: Some($record),
        }]
    };
}

pub(crate) fn lite0(record: &'static Record) -> Architecture {
    efficientnet_lite(
        "efficientnet_lite0",
        record,
        LITE0,
        conventions!(LITE0, "efficientnet_lite0.lite_pytorch"),
    )
}

pub(crate) fn lite1(record: &'static Record) -> Architecture {
    efficientnet_lite(
        "efficientnet_lite1",
        record,
        LITE1,
        conventions!(LITE1, "tf_efficientnet_lite1.in1k"),
    )
}

pub(crate) fn lite2(record: &'static Record) -> Architecture {
    efficientnet_lite(
        "efficientnet_lite2",
        record,
        LITE2,
        conventions!(LITE2, "tf_efficientnet_lite2.in1k"),
    )
}

/// Blocks of each row: the first and the last row are not scaled.
fn repeats(scale: Scale) -> [usize; 7] {
    let last = ROWS.len() - 1;
    std::array::from_fn(|index| match index {
        0 => ROWS[0].repeats,
        index if index == last => ROWS[last].repeats,
        index => scale.repeats(ROWS[index].repeats),
    })
}

fn efficientnet_lite(
    name: &'static str,
    record: &'static Record,
    scale: Scale,
    conventions: &'static [Convention],
) -> Architecture {
    let numerics = &record.numerics;
    let stem = numerics.unit(["conv_stem", "bn1"], [3, STEM], 3, 2, 1, Relu6);
    let mut stages = vec![Stage::new(
        "conv_stem".into(),
        0,
        Graph::chain([stem.into()]),
    )];
    let blocks: usize = repeats(scale).into_iter().sum();
    let mut channels = STEM;
    for ((index, row), repeats) in ROWS.iter().enumerate().zip(repeats(scale)) {
        let out = scale.channels(row.channels);
        for repeat in 0..repeats {
            let name = format!("blocks.{index}.{repeat}");
            let stride = if repeat == 0 { row.stride } else { 1 };
            let left_out = (stages.len() - 1) as f64 / blocks as f64;
            let graph = block(&name, row, [channels, out], stride, numerics);
            let graph = graph.with_left_out(left_out);
            stages.push(Stage::new(name, index + 1, graph));
            channels = out;
        }
    }
    let taps = strides::ends(&stages);
    let last = numerics.unit(["conv_head", "bn2"], [channels, FEATURES], 1, 1, 1, Relu6);
    let last = Graph::chain([last.into()]);
    stages.push(Stage::new("conv_head".into(), ROWS.len() + 1, last));
    Architecture {
        name,
        record,
        stages,
        taps: Some(taps),
        tokens: None,
        patch: None,
        outputs: Vec::new(),
        features: FEATURES,
        classifier: "classifier",
        linear_default: LinearDefault::UniformByOutputs,
        layer_scale: 1.0,
        dropout: 0.2,
        stochastic_depth: 0.0,
        conventions,
        is_detector: false,
        detector: light::detector,
    }
}

fn block(
    name: &str,
    row: &Row,
    [channels, out]: [usize; 2],
    stride: usize,
    numerics: &Numerics,
) -> Graph {
    let hidden = channels * row.expansion;
    let unit = |conv: &str, norm: &str, channels, kernel, stride, groups, activation| {
        let names = [&*format!("{name}.{conv}"), &format!("{name}.{norm}")];
        numerics.unit(names, channels, kernel, stride, groups, activation)
    };
    let kernel = row.kernel;
    let (units, project) = if row.expansion == 1 {
        let depthwise = unit("conv_dw", "bn1", [hidden; 2], kernel, stride, hidden, Relu6);
        let project = unit("conv_pw", "bn2", [hidden, out], 1, 1, 1, Identity);
        (vec![depthwise], project)
    } else {
        let expand = unit("conv_pw", "bn1", [channels, hidden], 1, 1, 1, Relu6);
        let depthwise = unit("conv_dw", "bn2", [hidden; 2], kernel, stride, hidden, Relu6);
        let project = unit("conv_pwl", "bn3", [hidden, out], 1, 1, 1, Identity);
        (vec![expand, depthwise], project)
    };
    InvertedResidual {
        units,
        gate: None,
        project,
        adds_input: stride == 1 && channels == out,
    }
    .graph()
}
