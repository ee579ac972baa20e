//! Whole models against PyTorch: logits, running statistics and gradients on the same parameters.
//!
//! `tests/fixtures/README.md` says how the goldens were made.

mod comparison;
mod formula;

use std::collections::HashSet;

use warmstart_models::{
    Architecture, LibraryParameter, Numerics, Record, Tapped, by_name, in_library, with_record,
};
use warmstart_nn::layers::Layer;
use warmstart_nn::{Forward, Parameters, update_running_statistics};

use comparison::{
    CLASSES, compare_gradients, difference, fixtures, goldens, host, logits, loss, picture,
};
use formula::{formula, symmetric};

/// One member of each structure, whose training is compared as well.
const TRAINED: [&str; 10] = [
    "mobilenet_v2",
    "resnet18",
    "resnet34",
    "resnet50",
    "mobilenet_v3_small",
    "mobilenetv4_conv_small",
    "efficientnet_b0",
    "efficientnet_lite0",
    "resnet18d",
    "cspnext_tiny",
];

fn parameters(architecture: &Architecture) -> Parameters {
    let names = Names::of(architecture.name);
    let ends = names.layers.iter().filter(|layer| layer.kind == "norm_end");
    let ends: HashSet<_> = ends
        .map(|layer| format!("{}.weight", layer.names[0]))
        .collect();
    let device = warmstart_nn::device();
    let mut parameters = Parameters::new();
    for info in architecture
        .backbone_parameters()
        .iter()
        .chain(&architecture.classifier_parameters(CLASSES))
    {
        let values = formula(info, ends.contains(&info.name));
        parameters.insert_values(&info.name, &info.shape, values, &device);
    }
    parameters
}

/// The layers of a network in every library that has it: `tests/fixtures/names/<network>.tsv`.
struct Names {
    /// The libraries, the native one first.
    conventions: Vec<String>,
    layers: Vec<LayerNames>,
}

struct LayerNames {
    kind: String,
    shape: Vec<usize>,
    /// The layer's name in each library.
    names: Vec<String>,
    /// The shape of its weight in each library.
    shapes: Vec<Vec<usize>>,
}

impl Names {
    fn of(network: &str) -> Self {
        let path = fixtures().join(format!("names/{network}.tsv"));
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines().map(|line| line.split('\t'));
        let conventions = lines.next().unwrap().skip(2).map(str::to_owned).collect();
        let layers = lines.map(|mut columns| {
            let kind = columns.next().unwrap().to_owned();
            let shape = sizes(columns.next().unwrap());
            // A layer of another shape has it beside its name.
            let (names, shapes) = columns
                .map(|column| match column.split_once(' ') {
                    Some((name, other)) => (name.to_owned(), sizes(other)),
                    None => (column.to_owned(), shape.clone()),
                })
                .unzip();
            LayerNames {
                kind,
                shape,
                names,
                shapes,
            }
        });
        Self {
            conventions,
            layers: layers.collect(),
        }
    }
}

impl LayerNames {
    /// The names and shapes of its parameters.
    fn parameters(&self) -> Vec<(&'static str, Vec<usize>)> {
        let (weight, channels) = (self.shape.clone(), vec![self.shape[0]]);
        match &*self.kind {
            "conv" => vec![("weight", weight)],
            "conv_bias" | "linear" => vec![("weight", weight), ("bias", channels)],
            "norm" | "norm_end" => ["weight", "bias", "running_mean", "running_var"]
                .map(|field| (field, channels.clone()))
                .into(),
            kind => panic!("{kind}"),
        }
    }
}

fn sizes(shape: &str) -> Vec<usize> {
    shape.split('x').map(|size| size.parse().unwrap()).collect()
}

#[test]
fn parameters_have_the_names_and_shapes_of_another_library() {
    let mut compared = 0;
    for network in warmstart_models::names() {
        let architecture = by_name(network).unwrap();
        if has_layer_norms(&architecture) {
            continue;
        }
        let mut infos = architecture.backbone_parameters();
        infos.extend(architecture.classifier_parameters(1000));
        let names = Names::of(network);
        for library in ["torchvision", "timm"] {
            let column = names.conventions.iter().position(|name| name == library);
            let found = in_library(&architecture, library, &infos);
            assert_eq!(found.is_some(), column.is_some(), "{network} in {library}");
            let (Some(column), Some(found)) = (column, found) else {
                continue;
            };
            let expected = names.layers.iter().flat_map(|layer| {
                let of_field = move |(field, shape): (&str, Vec<usize>)| {
                    let shape = match field {
                        "weight" => layer.shapes[column].clone(),
                        _ => shape,
                    };
                    let [native, name] =
                        [0, column].map(|at| format!("{}.{field}", layer.names[at]));
                    LibraryParameter {
                        native,
                        name,
                        shape,
                    }
                };
                layer.parameters().into_iter().map(of_field)
            });
            assert_eq!(
                found.parameters,
                expected.collect::<Vec<_>>(),
                "{network} in {library}"
            );
            compared += 1;
        }
    }
    assert!(compared > 25, "{compared}");
}

#[test]
fn names_and_shapes_are_the_library_s_in_order() {
    for network in warmstart_models::names() {
        let architecture = by_name(network).unwrap();
        if has_layer_norms(&architecture) {
            continue;
        }
        let mut infos = architecture.backbone_parameters();
        infos.extend(architecture.classifier_parameters(1000));
        let ours = infos.into_iter().map(|info| (info.name, info.shape));
        let names = Names::of(network);
        let expected = names.layers.iter().flat_map(|layer| {
            let parameters = layer.parameters().into_iter();
            parameters.map(|(field, shape)| (format!("{}.{field}", layer.names[0]), shape))
        });
        for (ours, expected) in ours.clone().zip(expected.clone()) {
            assert_eq!(ours, expected, "{network}");
        }
        assert_eq!(ours.count(), expected.count(), "{network}");
    }
}

#[test]
fn names_of_other_libraries_map_to_native_ones() {
    for network in warmstart_models::names() {
        let architecture = by_name(network).unwrap();
        if has_layer_norms(&architecture) {
            continue;
        }
        let names = Names::of(network);
        for (column, library) in names.conventions.iter().enumerate().skip(1) {
            let mut known = architecture.conventions.iter();
            let convention = known.find(|convention| convention.name == library);
            for layer in &names.layers {
                let (native, theirs) = (&layer.names[0], &layer.names[column]);
                for (field, _) in layer.parameters() {
                    let [native, theirs] = [native, theirs].map(|name| format!("{name}.{field}"));
                    // Where there is no convention, the library's names are the native ones.
                    let mapped = match convention {
                        Some(convention) => (convention.to_native)(&theirs),
                        None => Some(theirs.clone()),
                    };
                    assert_eq!(mapped, Some(native), "{network} in {library}: {theirs}");
                }
            }
        }
        for convention in architecture.conventions {
            assert!(names.conventions.iter().any(|name| name == convention.name));
            for stranger in [
                "blocks.0.0.conv_pwl2.weight",
                "blocks.9.0.conv_pw.weight",
                "blocks.0.17.conv_pw.weight",
                "_blocks.99._bn1.weight",
                "resnet.encoder.stages.0.layers.0.layer.0.other.weight",
                "mobilenet_v2.layer.99.conv_3x3.convolution.weight",
                "conv_stem",
                "",
            ] {
                assert_eq!(
                    (convention.to_native)(stranger),
                    None,
                    "{network}: {stranger}"
                );
            }
        }
    }
}

/// A network with the constants of the goldens: PyTorch's, also where only ports from TensorFlow are published.
fn native(model: &str) -> Architecture {
    let architecture = by_name(model).unwrap();
    if !architecture.record.numerics.same_padding {
        return architecture;
    }
    let numerics = Numerics {
        epsilon: 1e-5,
        momentum: 0.1,
        same_padding: false,
    };
    let record = Record {
        numerics,
        ..architecture.record.clone()
    };
    with_record(model, Box::leak(Box::new(record))).unwrap()
}

/// Logits of the formula "input" in inference.
fn inference_logits(architecture: &Architecture, [height, width]: [usize; 2]) -> Vec<f32> {
    let parameters = parameters(architecture);
    let shape = [2, 3, height, width];
    let x = picture(&shape, symmetric("input", shape.iter().product(), 2.0));
    let all = 0..architecture.stages.len();
    let folded = architecture.fold(all.clone(), &parameters, &warmstart_nn::device());
    let features = architecture.forward(all, x, &mut Forward::Inference(&folded));
    host(logits(architecture, features, &parameters))
}

/// Whether a network has layer norms: those are compared in `transformer_goldens.rs`, at sizes of their patches, and
/// their names in `transformer_names.rs`.
fn has_layer_norms(architecture: &Architecture) -> bool {
    let mut layers = architecture.layers(0..architecture.stages.len());
    layers.any(|layer| matches!(layer, Layer::LayerNorm(_)))
}

#[test]
fn inference_logits_are_pytorchs() {
    for model in warmstart_models::names() {
        let architecture = native(model);
        if has_layer_norms(&architecture) {
            continue;
        }
        let (_, golden) = &goldens(model)["eval_logits"];
        let difference = difference(&inference_logits(&architecture, [97, 65]), golden);
        assert!(difference < 1e-4, "{model}: {difference:e}");
    }
}

#[test]
fn networks_from_tensorflow_pad_as_it_does() {
    for (record, golden) in [
        ("mobilenet_v2_1.0_224.google", "tf_mobilenet_v2"),
        ("tf_mobilenetv3_small_100.in1k", "tf_mobilenet_v3_small"),
        ("tf_mobilenetv3_large_100.in1k", "tf_mobilenet_v3_large"),
        ("tf_efficientnet_b0.in1k", "tf_efficientnet_b0"),
        ("tf_efficientnet_lite0.in1k", "tf_efficientnet_lite0"),
    ] {
        let architecture = by_name(record).unwrap();
        let goldens = goldens(golden);
        for (key, size) in [
            ("eval_logits", [97, 65]),
            ("eval_logits_even", [96, 64]),
            ("eval_logits_mixed", [90, 70]),
        ] {
            let off = difference(&inference_logits(&architecture, size), &goldens[key].1);
            assert!(off < 1e-4, "{record} at {size:?}: {off:e}");
        }
    }
}

/// Means of activations are read out of branches that stay whole elsewhere.
#[test]
fn any_activation_can_be_read_in_inference() {
    let mut compared = 0;
    for model in TRAINED {
        let architecture = by_name(model).unwrap();
        let parameters = parameters(&architecture);
        let goldens = goldens(model);
        let taps: Vec<(&str, &str, &Vec<f32>)> = goldens
            .iter()
            .filter_map(|(key, (_, golden))| {
                let (kind, name) = key.split_once('.')?;
                matches!(kind, "input_mean" | "output_mean").then_some((kind, name, golden))
            })
            .collect();
        // A library's group of blocks ends with the last stage of the group.
        let last = |group: &str| {
            let stages = architecture.stages.iter().rev();
            let mut names = stages.map(|stage| &*stage.name);
            names
                .find(|name| *name == group || name.starts_with(&format!("{group}.")))
                .unwrap()
        };
        let names: Vec<&str> = taps
            .iter()
            .map(|&(kind, name, _)| {
                if kind == "input_mean" {
                    name
                } else {
                    last(name)
                }
            })
            .collect();
        let tapped = Tapped::new(&architecture, &names).unwrap();
        let all = 0..architecture.stages.len();
        let folded = architecture.fold(all, &parameters, &warmstart_nn::device());
        let shape = [2, 3, 97, 65];
        let x = picture(&shape, symmetric("input", shape.iter().product(), 2.0));
        for (mean, (kind, name, golden)) in tapped.means(x, &folded).into_iter().zip(taps) {
            let off = difference(&host(mean), golden);
            assert!(off < 1e-4, "{model} {kind} {name}: {off:e}");
            compared += 1;
        }
    }
    assert_eq!(compared, 6 * 6);
}

#[test]
fn an_activation_that_is_not_there_is_named_with_the_stages() {
    let resnet = by_name("resnet18").unwrap();
    let error = Tapped::new(&resnet, &["layer1.0", "layer9"])
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("no stage `layer9`") && error.contains("layer4.1"),
        "{error}"
    );
}

/// A training pass in one batch-norm mode against the goldens of that name.
fn training_pass(model: &str, mode: &str, tolerance: f32) {
    let architecture = by_name(model).unwrap();
    let goldens = goldens(model);
    let mut parameters = parameters(&architecture);
    let trained = |name: &str| !name.contains("running_");
    let tracked = parameters.tracked(trained);
    let prefix = if mode == "train" { "" } else { "frozen_norm_" };
    let (shape, values) = goldens[&format!("{mode}_input")].clone();
    let mut statistics = Vec::new();
    let mut forward = Forward::Training {
        parameters: &tracked,
        frozen_statistics: mode != "train",
        statistics: &mut statistics,
        stochastic_depth: None,
    };
    let features = architecture.forward(
        0..architecture.stages.len(),
        picture(&shape, values).autodiff(),
        &mut forward,
    );
    let logits = logits(&architecture, features, &tracked);
    let worst = difference(&host(logits.clone()), &goldens[&format!("{mode}_logits")].1);
    assert!(worst < 1e-4, "{model} {mode} logits: {worst:e}");

    let gradients = tracked.take_gradients(&mut loss(logits).backward());
    compare_gradients(model, &gradients, &goldens, prefix, tolerance);

    assert_eq!(statistics.is_empty(), mode != "train");
    update_running_statistics(&mut parameters, &statistics);
    if mode == "train" {
        for (name, (_, golden)) in &goldens {
            if let Some(statistic) = name.strip_prefix("after.") {
                let off = difference(&parameters.values(statistic), golden);
                assert!(off < 1e-4, "{model} {name}: {off:e}");
            }
        }
    }
}

#[test]
fn training_with_batch_statistics_is_pytorchs() {
    for model in TRAINED {
        training_pass(model, "train", 1e-3);
    }
}

#[test]
fn training_with_frozen_statistics_is_pytorchs() {
    for model in TRAINED {
        training_pass(model, "frozen_norm", 1e-4);
    }
}

#[test]
fn any_prefix_can_be_addressed() {
    let mobilenet = by_name("mobilenet_v2").unwrap();
    assert_eq!(mobilenet.stage("features.14"), Ok(14));
    assert_eq!(mobilenet.stage_of("features.14.conv.1.0.weight"), Some(14));
    assert_eq!(mobilenet.stage_of("features.1.conv.0.0.weight"), Some(1));
    assert_eq!(mobilenet.stage_of("classifier.1.weight"), None);
    let resnet = by_name("resnet18").unwrap();
    assert_eq!(resnet.stage("layer4"), Ok(7));
    assert_eq!(resnet.stage("layer4.1"), Ok(8));
    assert_eq!(resnet.stage_of("bn1.running_mean"), Some(0));
    let error = resnet.stage("layer5").unwrap_err().to_string();
    assert!(
        error.contains("no stage `layer5`") && error.contains("layer4.1"),
        "{error}"
    );
}

/// A folded prefix followed by a trained rest is the same network as the whole.
#[test]
fn a_network_can_be_cut_at_any_stage() {
    let architecture = by_name("mobilenet_v2").unwrap();
    let parameters = parameters(&architecture);
    let device = warmstart_nn::device();
    let end = architecture.stages.len();
    let shape = [1, 3, 33, 65];
    let x = picture(&shape, symmetric("input", shape.iter().product(), 2.0));
    let folded = architecture.fold(0..end, &parameters, &device);
    let whole = host(architecture.forward(0..end, x.clone(), &mut Forward::Inference(&folded)));
    let tracked = parameters.tracked(|_| true);
    for cut in 0..=end {
        let trunk = architecture.fold(0..cut, &parameters, &device);
        let features = architecture.forward(0..cut, x.clone(), &mut Forward::Inference(&trunk));
        let mut forward = Forward::Training {
            parameters: &tracked,
            frozen_statistics: true,
            statistics: &mut Vec::new(),
            stochastic_depth: None,
        };
        let features = host(architecture.forward(cut..end, features.autodiff(), &mut forward));
        let off = difference(&features, &whole);
        assert!(off < 1e-4, "cut at {cut}: {off:e}");
    }
}
