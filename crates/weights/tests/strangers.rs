//! Files of networks that have all tensors of another one, and more in the same blocks.

mod common;

use common::{expected, one_line, read_fixture, target};
use warmstart_files::plain;
use warmstart_weights::{Expected, FileTensor, LoadPlan, WeightFile, compare, inspect};

/// The fixture with these tensors besides.
fn with(names: &[&str]) -> WeightFile {
    let mut file = read_fixture("zip.pth");
    for name in names {
        let tensor = FileTensor {
            shape: vec![4],
            dtype: "f32",
            data: vec![1.0; 4],
        };
        file.tensors.insert((*name).to_owned(), tensor);
    }
    file
}

fn plan(file: &WeightFile, network: &[Expected]) -> LoadPlan {
    compare(file, &target(network), None).unwrap()
}

#[test]
fn parameters_that_a_block_of_the_network_does_not_have_are_those_of_another_network() {
    for (names, sentence) in [
        (
            &["features.0.scale.gamma"][..],
            "features.0.scale.gamma belongs to a layer that tiny does not have: it is another network",
        ),
        (
            &["features.0.2.weight", "features.0.2.bias"][..],
            "features.0.2.bias and 1 more belong to layers that tiny does not have: it is another network",
        ),
        (
            &["features.0.gamma_1", "features.0.gamma_2", "other.weight"][..],
            "features.0.gamma_1 and 1 more belong to layers that tiny",
        ),
    ] {
        let (file, network) = (with(names), expected(5));
        let plan = plan(&file, &network);
        assert_eq!(plan.backbone_coverage(), 1.0);
        assert_eq!(plan.unused.len(), names.len(), "they are unused as well");
        let line = one_line(&plan.require_backbone(0.95).unwrap_err());
        for part in [sentence, "use a file of tiny", "allow_partial"] {
            assert!(line.contains(part), "{part:?} is not in: {line}");
        }
        let inspection = inspect(&file, &[target(&network)], None).unwrap();
        assert_eq!(inspection.architecture, None);
        assert_eq!(inspection.guesses[0].strangers, plan.strangers);
        let report = plain(&inspection.report());
        let warning = format!("WARNING: {sentence}");
        for part in [
            warning.as_str(),
            "closest to tiny, with 100% of its backbone",
        ] {
            assert!(report.contains(part), "{part:?} is not in: {report}");
        }
    }
}

#[test]
fn a_prefix_does_not_hide_them() {
    let mut file = with(&["features.0.scale.gamma"]);
    file.tensors = std::mem::take(&mut file.tensors)
        .into_iter()
        .map(|(name, tensor)| (format!("module.net.{name}"), tensor))
        .collect();
    let plan = plan(&file, &expected(5));
    assert_eq!(plan.strangers, ["module.net.features.0.scale.gamma"]);
}

#[test]
fn what_tools_leave_beside_weights_and_other_parts_of_a_file_say_nothing_of_the_network() {
    let others = [
        // Counters, masks, indices, filters and scales of quantization.
        "features.0.1.num_batches_tracked",
        "features.0.0.total_ops",
        "features.0.0.weight_scale",
        "features.0.0.activation_post_process.scale",
        "features.0.attn.relative_position_index",
        "features.0.attn.mask",
        "features.0.aa.filt",
        // Further blocks, heads, and what is outside of blocks.
        "features.1.0.weight",
        "features.10.weight",
        "classifier.1.extra.weight",
        "classifier.4.weight",
        "auxiliary.0.weight",
        "mask_token",
        "norm.weight",
        // A copy of a part of the network.
        "ema.features.0.1.weight",
        "frozen_top.features.0.1.weight",
    ];
    let (file, network) = (with(&others), expected(5));
    let plan = plan(&file, &network);
    assert!(plan.strangers.is_empty(), "{:?}", plan.strangers);
    plan.require_backbone(1.0).unwrap();
    let inspection = inspect(&file, &[target(&network)], None).unwrap();
    assert_eq!(inspection.architecture.as_deref(), Some("tiny"));
}

#[test]
fn a_block_that_does_not_load_has_no_strangers() {
    let mut file = with(&["features.0.scale.gamma"]);
    for (name, tensor) in &mut file.tensors {
        if name.starts_with("features") {
            tensor.shape = vec![3];
        }
    }
    assert!(plan(&file, &expected(5)).strangers.is_empty());
}
