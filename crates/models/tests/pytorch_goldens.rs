//! Whole models against PyTorch: logits, running statistics and gradients on the same parameters.
//!
//! `tests/fixtures/README.md` says how the goldens were made.

mod comparison;
mod formula;

use warmstart_models::{
    Architecture, LibraryParameter, Numerics, Record, Tapped, by_name, in_library, with_record,
};
use warmstart_nn::Forward;

use comparison::names::Names;
use comparison::training::{
    Statistics, WITH_BATCH_NORMS, compare_with_batch_norms, has_layer_norms, parameters,
};
use comparison::{difference, goldens, host, logits, picture};
use formula::symmetric;

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
    let device = warmstart_nn::device();
    let parameters = parameters(architecture, &device);
    let shape = [2, 3, height, width];
    let x = picture(&shape, symmetric("input", shape.iter().product(), 2.0));
    let all = 0..architecture.stages.len();
    let folded = architecture.fold(all.clone(), &parameters, &device);
    let features = architecture.forward(all, x, &mut Forward::Inference(&folded));
    host(logits(architecture, features, &parameters))
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
    let device = warmstart_nn::device();
    for model in WITH_BATCH_NORMS {
        let architecture = by_name(model).unwrap();
        let parameters = parameters(&architecture, &device);
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
        let folded = architecture.fold(all, &parameters, &device);
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

#[test]
fn training_with_batch_statistics_is_pytorchs() {
    for model in WITH_BATCH_NORMS {
        compare_with_batch_norms(model, Statistics::Batch, &warmstart_nn::device());
    }
}

#[test]
fn training_with_frozen_statistics_is_pytorchs() {
    for model in WITH_BATCH_NORMS {
        compare_with_batch_norms(model, Statistics::Frozen, &warmstart_nn::device());
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
    let device = warmstart_nn::device();
    let parameters = parameters(&architecture, &device);
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
