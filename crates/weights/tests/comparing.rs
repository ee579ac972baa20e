//! Which tensors load into a model, which do not, and how the report says so.

mod common;

use common::{COUNTER, expected, one_line, read_fixture, target, values};
use warmstart_weights::{
    Convention, Coverage, Expected, FileTensor, LoadPlan, Missing, Part, WeightError, WeightFile,
    compare,
};

fn plan(file: &WeightFile, expected: &[Expected]) -> LoadPlan {
    compare(file, &target(expected), None).unwrap()
}

fn rename(file: &mut WeightFile, name: impl Fn(&str) -> String) {
    file.tensors = std::mem::take(&mut file.tensors)
        .into_iter()
        .map(|(key, tensor)| (name(&key), tensor))
        .collect();
}

fn zeros(shape: &[usize]) -> FileTensor {
    FileTensor {
        shape: shape.to_vec(),
        dtype: "f32",
        data: vec![0.0; shape.iter().product()],
    }
}

#[test]
fn a_file_of_the_same_model_loads_whole() {
    let plan = plan(&read_fixture("zip.pth"), &expected(5));
    assert_eq!(plan.convention, "native");
    assert_eq!(plan.backbone_coverage(), 1.0);
    assert_eq!(
        plan.backbone,
        Coverage {
            expected_tensors: 5,
            loaded_tensors: 5,
            expected_parameters: 56,
            loaded_parameters: 56,
        }
    );
    assert_eq!(plan.loaded.len(), 7);
    assert_eq!(plan.loaded["features.0.0.weight"].data, values(0));
    assert_eq!(plan.loaded["features.0.0.weight"].shape, [4, 3, 2, 2]);
    assert!(plan.missing.is_empty() && plan.unused.is_empty() && plan.wrong_shape.is_empty());
    plan.require_backbone(1.0).unwrap();
}

#[test]
fn batch_counters_are_counted_apart() {
    let file = read_fixture("zip.pth");
    assert!(file.tensors.contains_key(COUNTER));
    let plan = plan(&file, &expected(5));
    assert_eq!((plan.batch_counters, plan.unused.len()), (1, 0));
    assert!(
        plan.report()
            .contains("num_batches_tracked: 1 counter, not needed")
    );
}

#[test]
fn a_head_for_other_classes_is_left_to_be_initialised_and_said() {
    let plan = plan(&read_fixture("zip.pth"), &expected(3));
    assert_eq!(plan.backbone_coverage(), 1.0);
    assert_eq!(plan.head.loaded_tensors, 0);
    assert!(!plan.loaded.contains_key("classifier.1.weight"));
    let report = plan.report();
    assert!(report.contains(
        "head: classifier.1.weight is [5, 4] in the file, [3, 4] in the model: \
         re-initialised (5 → 3 classes)"
    ));
    assert!(report.contains("backbone: 5 of 5 tensors (100%), 56 parameters"));
    plan.require_backbone(0.95).unwrap();
}

#[test]
fn the_report_reads_as_it_should() {
    let mut file = read_fixture("nested.pth");
    file.path = "runs/old.pth".into();
    assert_eq!(
        plan(&file, &expected(3)).report(),
        "\
file: runs/old.pth (PyTorch, zip)
stripped: state_dict
set aside: optimizer (1 tensor)
model: tiny (native names)
backbone: 5 of 5 tensors (100%), 56 parameters
head: 0 of 2 tensors (0%), 0 of 15 parameters
head: classifier.1.weight is [5, 4] in the file, [3, 4] in the model: re-initialised (5 → 3 classes)
head: classifier.1.bias is [5] in the file, [3] in the model: re-initialised (5 → 3 classes)
missing: none
unused: none
num_batches_tracked: 1 counter, not needed
"
    );
}

#[test]
fn what_the_file_lacks_is_missing_with_its_shape() {
    let mut file = read_fixture("zip.pth");
    file.tensors.remove("features.0.1.bias");
    file.tensors.remove("classifier.1.bias");
    let plan = plan(&file, &expected(5));
    assert_eq!(
        plan.missing[0],
        Missing {
            name: "features.0.1.bias".into(),
            shape: vec![4],
            part: Part::Backbone,
            part_of: None,
        }
    );
    let report = plan.report();
    assert!(report.contains(
        "missing in the file: 1 tensor of the backbone: features.0.1.bias [4]: \
         left as initialised, not pretrained"
    ));
    assert!(report.contains("1 tensor of the head: classifier.1.bias [5]: initialised"));
    assert!((plan.backbone_coverage() - 4.0 / 5.0).abs() < 1e-12);
}

#[test]
fn an_optional_tensor_is_neither_missed_nor_counted() {
    let mut file = read_fixture("zip.pth");
    let mut tensors = expected(5);
    tensors[2].optional = true;
    assert_eq!(plan(&file, &tensors).backbone.expected_tensors, 5);
    file.tensors.remove("features.0.1.bias");
    let plan = plan(&file, &tensors);
    assert_eq!(plan.backbone.expected_tensors, 4);
    assert!(plan.missing.is_empty());
}

#[test]
fn coverage_is_the_smaller_one_of_tensors_and_parameters() {
    let mut file = read_fixture("zip.pth");
    file.tensors.remove("features.0.0.weight");
    let by_parameters = 8.0 / 56.0;
    assert_eq!(plan(&file, &expected(5)).backbone_coverage(), by_parameters);
}

#[test]
fn a_backbone_that_is_not_there_is_an_error_with_the_closest_names() {
    let mut file = read_fixture("zip.pth");
    rename(&mut file, |key| key.replace("features.0", "feature.stem"));
    let error = plan(&file, &expected(5))
        .require_backbone(0.95)
        .unwrap_err();
    assert!(matches!(error, WeightError::BackboneNotLoaded { .. }));
    let line = one_line(&error);
    for part in [
        "only 0 of 5 backbone tensors of tiny load",
        "at least 95% needed",
        "features.0.0.weight is missing; closest in the file: feature.stem.0.weight,",
        "allow_partial",
    ] {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
}

#[test]
fn a_backbone_of_another_size_is_an_error_with_both_shapes() {
    let mut file = read_fixture("zip.pth");
    for (key, tensor) in &mut file.tensors {
        if key.starts_with("features") {
            *tensor = zeros(&[8]);
        }
    }
    let line = one_line(
        &plan(&file, &expected(5))
            .require_backbone(0.95)
            .unwrap_err(),
    );
    assert!(
        line.contains("features.0.0.weight is [8] in the file, [4, 3, 2, 2] in the model"),
        "{line}"
    );
}

#[test]
fn a_prefix_that_most_keys_share_is_stripped() {
    for prefix in ["backbone.", "model.", "model.encoder.net."] {
        let mut file = read_fixture("zip.pth");
        rename(&mut file, |key| {
            if key.starts_with("features") {
                format!("{prefix}{key}")
            } else {
                key.to_string()
            }
        });
        let plan = plan(&file, &expected(5));
        assert_eq!(plan.stripped, [prefix]);
        assert_eq!(plan.backbone_coverage(), 1.0);
        assert_eq!(plan.head.loaded_tensors, 2);
    }
}

fn from_dashes(name: &str) -> Option<String> {
    name.contains('-').then(|| name.replace('-', "."))
}

const DASHES: Convention = Convention {
    name: "dashes",
    to_native: from_dashes,
};

#[test]
fn the_convention_that_covers_most_is_taken() {
    let tensors = expected(5);
    let conventions = [DASHES];
    let mut target = target(&tensors);
    target.conventions = &conventions;
    let mut file = read_fixture("zip.pth");
    assert_eq!(compare(&file, &target, None).unwrap().convention, "native");
    rename(&mut file, |key| key.replace('.', "-"));
    let plan = compare(&file, &target, None).unwrap();
    assert_eq!(plan.convention, "dashes");
    assert_eq!(plan.loaded["features.0.1.bias"].data, values(2));
}

#[test]
fn two_keys_for_one_tensor_are_an_error() {
    let tensors = expected(5);
    let either = [Convention {
        name: "either",
        to_native: |name| Some(name.replace('-', ".")),
    }];
    let mut target = target(&tensors);
    target.conventions = &either;
    let mut file = read_fixture("zip.pth");
    rename(&mut file, |key| key.replace('.', "-"));
    file.tensors.insert("features.0-1.bias".into(), zeros(&[4]));
    let line = one_line(&compare(&file, &target, None).unwrap_err());
    assert!(
        line.contains("features-0-1-bias and features.0-1.bias both stand for features.0.1.bias"),
        "{line}"
    );
}

#[test]
fn a_linear_layer_and_a_1x1_convolution_are_the_same_values() {
    let mut file = read_fixture("zip.pth");
    let head = file.tensors.get_mut("classifier.1.weight").unwrap();
    head.shape = vec![5, 4, 1, 1];
    let plan = plan(&file, &expected(5));
    assert_eq!(plan.head.loaded_tensors, 2);
    assert_eq!(plan.loaded["classifier.1.weight"].shape, [5, 4]);
    assert_eq!(plan.loaded["classifier.1.weight"].data, values(5));
    assert!(plan.wrong_shape.is_empty());
    assert!(
        plan.report()
            .contains("reshaped, values unchanged: classifier.1.weight [5, 4, 1, 1] → [5, 4]")
    );
}

#[test]
fn a_vector_with_extents_of_one_before_it_is_the_same_values() {
    for shape in [&[1, 1, 1, 4][..], &[4, 1, 1], &[1, 4]] {
        let mut file = read_fixture("zip.pth");
        let scale = file.tensors.get_mut("features.0.1.weight").unwrap();
        scale.shape = shape.to_vec();
        let plan = plan(&file, &expected(5));
        assert_eq!(plan.loaded["features.0.1.weight"].shape, [4]);
        assert_eq!(plan.loaded["features.0.1.weight"].data, values(1));
        assert_eq!(plan.reshaped[0].found, shape);
        assert!(plan.wrong_shape.is_empty());
    }
}

#[test]
fn an_extent_of_one_between_others_is_no_other_shape_s() {
    let mut file = read_fixture("zip.pth");
    let filters = file.tensors.get_mut("features.0.0.weight").unwrap();
    filters.shape = vec![4, 1, 3, 2, 2];
    assert_eq!(plan(&file, &expected(5)).wrong_shape.len(), 1);
}

#[test]
fn a_transposed_shape_does_not_load() {
    let mut file = read_fixture("zip.pth");
    file.tensors.get_mut("classifier.1.weight").unwrap().shape = vec![4, 5];
    assert_eq!(plan(&file, &expected(5)).wrong_shape.len(), 1);
}

#[test]
fn many_unused_tensors_are_cut_and_doubted() {
    let mut file = read_fixture("zip.pth");
    for block in 0..40 {
        file.tensors
            .insert(format!("extra.{block:02}.weight"), zeros(&[10]));
    }
    let plan = plan(&file, &expected(5));
    assert_eq!((plan.unused.len(), plan.unused_parameters), (40, 400));
    let report = plan.report();
    assert!(report.contains("unused: 40 tensors, 400 parameters: extra.00.weight, "));
    assert!(report.contains("extra.09.weight and 30 more"));
    assert!(report.contains("is it for another model?"));
}

#[test]
fn values_that_are_not_finite_head_the_report() {
    let report = plan(&read_fixture("not_finite.pth"), &expected(5)).report();
    assert!(
        report.starts_with(
            "WARNING: NaN or infinite values in 1 tensor of the file: features.0.1.bias (2)"
        ),
        "{report}"
    );
}

#[test]
fn a_plan_is_json_without_its_values() {
    let json = serde_json::to_value(plan(&read_fixture("zip.pth"), &expected(3))).unwrap();
    assert_eq!(json["backbone"]["loaded_tensors"], 5);
    assert_eq!(json["wrong_shape"][1]["found"], serde_json::json!([5]));
    assert_eq!(json["format"], "pth-zip");
    assert_eq!(json.get("loaded"), None);
}
