//! Element types that few models have, and weights in several files.

mod common;

use std::path::Path;

use common::pickles::safetensors;
use common::{SHAPES, expected, one_line, target, values};
use warmstart_weights::{Format, compare, read};

fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// The model of the fixtures and one more tensor.
fn model_and(name: &str, dtype: &str, shape: &[usize], bytes: Vec<u8>) -> Vec<u8> {
    let mut tensors: Vec<(&str, &str, &[usize], Vec<u8>)> = SHAPES
        .iter()
        .enumerate()
        .filter(|(_, (own, _))| *own != name)
        .map(|(index, (own, shape))| (*own, "F32", *shape, floats(&values(index))))
        .collect();
    tensors.push((name, dtype, shape, bytes));
    safetensors(&tensors)
}

#[test]
fn numbers_of_eight_bits_are_read() {
    let bytes = model_and(
        "features.0.1.bias",
        "F8_E4M3",
        &[4],
        vec![0x38, 0xb8, 0x7e, 0x01],
    );
    let file = common::read_bytes("a.safetensors", &bytes);
    let plan = compare(&file, &target(&expected(5)), None).unwrap();
    assert_eq!(
        plan.loaded["features.0.1.bias"].data,
        [1.0, -1.0, 448.0, 2f32.powi(-9)]
    );
}

#[test]
fn a_tensor_that_cannot_be_read_does_harm_only_where_it_is_needed() {
    let file = common::read_bytes(
        "a.safetensors",
        &model_and("scale", "F8_E8M0", &[4], vec![0; 4]),
    );
    let plan = compare(&file, &target(&expected(5)), None).unwrap();
    assert_eq!(plan.backbone_coverage(), 1.0);
    let report = plan.report();
    assert!(
        report.contains("cannot be read, and not needed: 1 tensor: scale"),
        "{report}"
    );

    let needed = model_and("features.0.1.bias", "F8_E8M0", &[4], vec![0; 4]);
    let file = common::read_bytes("a.safetensors", &needed);
    let line = one_line(&compare(&file, &target(&expected(5)), None).unwrap_err());
    assert!(
        line.contains(
            "features.0.1.bias is needed, and it has the unsupported element type F8_E8M0"
        ),
        "{line}"
    );
}

#[test]
fn an_element_type_of_later_years_does_harm_only_where_it_is_needed() {
    for (dtype, bytes) in [("I128", 64), ("F8_E3M4", 4), ("nvfp4", 2), ("U2", 1)] {
        let unneeded = model_and("scale", dtype, &[4], vec![7; bytes]);
        let file = common::read_bytes("a.safetensors", &unneeded);
        let plan = compare(&file, &target(&expected(5)), None).unwrap();
        assert_eq!(plan.loaded["classifier.1.bias"].data, values(6), "{dtype}");
        let report = plan.report();
        assert!(
            report.contains(&format!("not needed: 1 tensor: scale ({dtype})")),
            "{report}"
        );

        let needed = model_and("features.0.1.bias", dtype, &[4], vec![7; bytes]);
        let file = common::read_bytes("a.safetensors", &needed);
        let line = one_line(&compare(&file, &target(&expected(5)), None).unwrap_err());
        let words = format!(
            "features.0.1.bias is needed, and it has the unsupported element type {dtype}:"
        );
        assert!(line.contains(&words), "{line}");
    }
}

#[test]
fn a_header_that_is_wrong_beside_an_element_type_of_later_years_is_still_damaged() {
    for (from, to) in [
        ("\"F32\"", "32"),
        ("\"data_offsets\":[0,", "\"data_offsets\":[8,"),
        ("\"data_offsets\"", "\"data_offset\""),
    ] {
        let text = model_and("scale", "I128", &[4], vec![7; 64]);
        let length = u64::from_le_bytes(text[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&text[8..8 + length]).unwrap();
        let changed = header
            .replace(": ", ":")
            .replace(", ", ",")
            .replace(from, to);
        assert!(changed.contains(to), "{changed}");
        let length = (changed.len() as u64).to_le_bytes();
        let bytes = [&length[..], changed.as_bytes(), &text[8 + header.len()..]].concat();
        let line = common::error_for("a.safetensors", &bytes);
        assert!(line.contains("damaged or cut short (header: "), "{line}");
    }
}

#[test]
fn weights_of_eight_bits_with_a_scale_beside_them_are_refused_by_name() {
    let with = |scale: &str, dtype: &str, bytes: usize| {
        let mut tensors: Vec<(&str, &str, &[usize], Vec<u8>)> = SHAPES
            .iter()
            .enumerate()
            .skip(1)
            .map(|(index, (own, shape))| (*own, "F32", *shape, floats(&values(index))))
            .collect();
        let weight = "features.0.0.weight";
        tensors.push((weight, dtype, SHAPES[0].1, vec![0x38; 48 * bytes]));
        tensors.push((scale, "F32", &[], floats(&[0.5])));
        let file = common::read_bytes("a.safetensors", &safetensors(&tensors));
        compare(&file, &target(&expected(5)), None)
    };
    for end in [
        "weight_scale",
        "weight_scale_inv",
        "scale_weight",
        "weight.scale",
        "weight.SCB",
        "SCB",
        "scale",
    ] {
        let scale = format!("features.0.0.{end}");
        for (dtype, bytes) in [("F8_E4M3", 1), ("F8_E5M2", 1), ("I8", 1)] {
            let line = one_line(&with(&scale, dtype, bytes).unwrap_err());
            assert!(
                line.contains(&format!(
                    "features.0.0.weight is {dtype} with a scale in {scale},"
                )) && line.contains("not applied: save it as bf16"),
                "{line}"
            );
        }
        assert!(with(&scale, "F32", 4).is_ok(), "{scale}");
    }
    // Scales of other tensors and layers.
    for scale in [
        "features.0.1.weight_scale",
        "features.0.0.input_scale",
        "features.0.0.bias_scale",
        "features.0.0.weights",
        "weight_scale",
    ] {
        assert!(with(scale, "F8_E4M3", 1).is_ok(), "{scale}");
    }
}

/// The fixtures' model in two shards and an index, whose text `change` may change.
fn sharded(folder: &Path, change: impl FnOnce(String) -> String) -> std::path::PathBuf {
    let tensors = |range: std::ops::Range<usize>| -> Vec<u8> {
        let part = range.map(|index| {
            let (name, shape) = SHAPES[index];
            (name, "F32", shape, floats(&values(index)))
        });
        safetensors(&part.collect::<Vec<_>>())
    };
    std::fs::write(folder.join("model-1.safetensors"), tensors(0..3)).unwrap();
    std::fs::write(folder.join("model-2.safetensors"), tensors(3..7)).unwrap();
    let map = SHAPES.iter().enumerate().map(|(index, (name, _))| {
        let file = if index < 3 {
            "model-1.safetensors"
        } else {
            "model-2.safetensors"
        };
        ((*name).to_owned(), file.into())
    });
    let map: serde_json::Map<String, serde_json::Value> = map.collect();
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    let path = folder.join("model.safetensors.index.json");
    std::fs::write(&path, change(index.to_string())).unwrap();
    path
}

#[test]
fn an_index_is_followed_to_its_shards() {
    let folder = tempfile::tempdir().unwrap();
    let file = read(&sharded(folder.path(), |index| index)).unwrap();
    assert_eq!(file.format, Format::Sharded);
    let plan = compare(&file, &target(&expected(5)), None).unwrap();
    assert_eq!(
        (plan.backbone_coverage(), plan.head.loaded_tensors),
        (1.0, 2)
    );
    assert_eq!(plan.loaded["classifier.1.bias"].data, values(6));
}

#[test]
fn an_index_that_does_not_hold_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&dyn Fn(String) -> String, &str); 5] = [
        (
            &|index| index.replace("model-2", "model-3"),
            "model-3.safetensors: cannot be read",
        ),
        (
            &|index| index.replace("model-2", "../model-2"),
            "../model-2.safetensors, which is not in its folder",
        ),
        (
            &|index| index.replace("model-2", "/model-2"),
            "/model-2.safetensors, which is not in its folder",
        ),
        (
            &|index| index.replace("classifier.1.bias", "classifier.2.bias"),
            "has no tensor classifier.2.bias",
        ),
        (
            &|index| index[..index.len() / 2].to_owned(),
            "index of shards",
        ),
    ];
    for (change, words) in cases {
        let line = one_line(&read(&sharded(folder.path(), change)).unwrap_err());
        assert!(line.contains(words), "{words:?} is not in: {line}");
    }
    let itself = sharded(folder.path(), |index| {
        index.replace("model-2.safetensors", "model.safetensors.index.json")
    });
    assert!(one_line(&read(&itself).unwrap_err()).contains("an index listed as a shard"));
}
