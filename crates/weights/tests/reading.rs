//! Files that can be read, with the values that PyTorch wrote.

mod common;

use common::{COUNTER, SHAPES, assert_holds_the_values, expected, read_fixture, target, values};
use warmstart_weights::{Format, compare};

#[test]
fn a_zip_file_gives_back_every_value() {
    let file = read_fixture("zip.pth");
    assert_eq!(file.format, Format::PthZip);
    assert!(file.stripped.is_empty() && file.set_aside.is_empty());
    assert_holds_the_values(&file);
    assert_eq!(file.tensors["features.0.0.weight"].dtype, "f32");
    assert_eq!(file.tensors[COUNTER].dtype, "i64");
}

#[test]
fn a_legacy_file_gives_back_every_value() {
    let file = read_fixture("legacy.pth");
    assert_eq!(file.format, Format::PthLegacy);
    assert_holds_the_values(&file);
}

#[test]
fn pickle_protocol_4_is_read() {
    assert_holds_the_values(&read_fixture("zip_protocol4.pth"));
}

#[test]
fn a_safetensors_file_gives_back_every_value() {
    let file = read_fixture("f32.safetensors");
    assert_eq!(file.format, Format::Safetensors);
    assert_eq!(file.metadata, None);
    assert_holds_the_values(&file);
}

#[test]
fn the_name_of_a_file_does_not_decide() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pth");
    std::fs::copy(common::fixture("f32.safetensors"), &path).unwrap();
    let file = warmstart_weights::read(&path).unwrap();
    assert_eq!(file.format, Format::Safetensors);
}

#[test]
fn a_checkpoint_gives_its_weights_and_leaves_its_optimizer() {
    for name in ["nested.pth", "nested_legacy.pth"] {
        let file = read_fixture(name);
        assert_eq!(file.stripped, ["state_dict"]);
        assert_eq!(file.set_aside, ["optimizer (1 tensor)"]);
        assert_holds_the_values(&file);
    }
}

#[test]
fn weights_as_trained_come_before_averaged_ones() {
    let file = read_fixture("nested_model_ema.pth");
    let tensors = expected(5);
    let plan = compare(&file, &target(&tensors), None).unwrap();
    assert_eq!(plan.stripped, ["model.module."]);
    assert_eq!(plan.rivals, ["model_ema."]);
    assert_eq!(plan.backbone_coverage(), 1.0);
    assert!(plan.unused.is_empty(), "{:?}", plan.unused);
    let plan = compare(&file, &target(&tensors), Some("model_ema")).unwrap();
    assert_eq!(plan.stripped, ["model_ema."]);
    assert_eq!(plan.loaded["features.0.0.weight"].data, values(0));
}

#[test]
fn prefixes_of_parallel_and_compiled_models_are_stripped() {
    let file = read_fixture("module_prefix.pth");
    assert_eq!(file.stripped, ["module.", "_orig_mod."]);
    assert_holds_the_values(&file);
}

#[test]
fn half_precision_is_cast() {
    for (name, dtype, precision) in [
        ("f16.pth", "f16", 0.0),
        ("bf16.pth", "bf16", 1.0 / 256.0),
        ("bf16.safetensors", "bf16", 1.0 / 256.0),
    ] {
        let file = read_fixture(name);
        for (index, (tensor, shape)) in SHAPES.iter().enumerate() {
            let found = &file.tensors[*tensor];
            assert_eq!((found.dtype, &*found.shape), (dtype, *shape));
            for (found, wanted) in found.data.iter().zip(values(index)) {
                assert!(
                    (found - wanted).abs() <= wanted * precision,
                    "{name} {tensor}"
                );
            }
        }
    }
}

#[test]
fn double_precision_is_cast() {
    let file = read_fixture("f64_legacy.pth");
    assert_eq!(file.tensors["classifier.1.bias"].dtype, "f64");
    assert_holds_the_values(&file);
}

#[test]
fn a_whole_pickled_module_reads_as_its_state() {
    let file = read_fixture("whole_module.pth");
    assert_eq!(file.ignored_objects, ["__main__.Net"]);
    assert_holds_the_values(&file);
}

#[test]
fn views_are_gathered_into_row_major_order() {
    assert_holds_the_values(&read_fixture("strided.pth"));
    assert_holds_the_values(&read_fixture("strided_legacy.pth"));
}

#[test]
fn objects_of_a_training_script_are_named_and_ignored() {
    let file = read_fixture("nested.pth");
    assert!(file.ignored_objects.is_empty(), "a namespace is plain data");
    let file = read_fixture("foreign_object.pth");
    assert_eq!(file.ignored_objects, ["__main__.Settings"]);
    assert_holds_the_values(&file);
}

#[test]
fn values_that_are_not_finite_are_counted() {
    let file = read_fixture("not_finite.pth");
    let found: Vec<(&str, usize)> = file
        .not_finite
        .iter()
        .map(|n| (n.name.as_str(), n.count))
        .collect();
    assert_eq!(found, [("features.0.1.bias", 2)]);
    assert!(read_fixture("zip.pth").not_finite.is_empty());
}
