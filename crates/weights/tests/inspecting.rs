//! Inspection of files.

mod common;

use common::{expected, read_fixture, target};
use warmstart_weights::{Expected, FileTensor, Part, Target, inspect};

fn deeper(tensors: &[Expected]) -> Vec<Expected> {
    let mut deeper = tensors.to_vec();
    let second = Expected::new("features.1.0.weight", &[4, 4, 3, 3], Part::Backbone);
    deeper.push(second);
    deeper
}

#[test]
fn the_model_that_a_file_is_for_is_named() {
    let tensors = expected(1000);
    let inspection = inspect(&read_fixture("zip.pth"), &[target(&tensors)], None).unwrap();
    assert_eq!(inspection.architecture.as_deref(), Some("tiny"));
    assert_eq!(inspection.verdict(), "this is tiny");
    assert_eq!(inspection.guesses[0].likeness, 1.0);
    assert_eq!(inspection.parameters, 81);
}

#[test]
fn a_model_is_told_from_a_larger_one_that_contains_it() {
    let small = expected(5);
    let large = deeper(&small);
    let candidates = [
        Target {
            architecture: "small",
            expected: &small,
            conventions: &[],
        },
        Target {
            architecture: "large",
            expected: &large,
            conventions: &[],
        },
    ];
    let mut file = read_fixture("zip.pth");
    assert_eq!(
        inspect(&file, &candidates, None)
            .unwrap()
            .architecture
            .as_deref(),
        Some("small")
    );
    let extra = FileTensor {
        shape: vec![4, 4, 3, 3],
        dtype: "f32",
        data: vec![0.0; 144],
    };
    file.tensors.insert("features.1.0.weight".into(), extra);
    let inspection = inspect(&file, &candidates, None).unwrap();
    assert_eq!(inspection.architecture.as_deref(), Some("large"));
    assert_eq!(
        inspection.guesses[1].backbone.fraction(),
        1.0,
        "small is whole as well"
    );
}

#[test]
fn a_first_layer_that_does_not_load_is_a_warning() {
    let mut tensors = expected(5);
    // With so many layers that one missing layer hardly counts.
    for layer in 0..40 {
        let name = format!("features.0.1.{layer}");
        tensors.push(Expected {
            optional: true,
            ..Expected::new(name, &[4], Part::Backbone)
        });
    }
    let mut file = read_fixture("zip.pth");
    let scale = file.tensors["features.0.1.weight"].clone();
    for layer in 0..40 {
        file.tensors
            .insert(format!("features.0.1.{layer}"), scale.clone());
    }
    tensors[0].shape = vec![1, 3, 1, 1];
    let inspection = inspect(&file, &[target(&tensors)], None).unwrap();
    assert_eq!(inspection.architecture.as_deref(), Some("tiny"));
    assert!(!inspection.guesses[0].first_layer_loads);
    assert!(
        inspection
            .report()
            .contains("WARNING: the first layer does not load")
    );
}

#[test]
fn a_family_without_support_is_recognised_as_such() {
    let mut file = read_fixture("zip.pth");
    let tensor = file.tensors["features.0.1.bias"].clone();
    file.tensors = [
        "_conv_stem.weight",
        "_blocks.3._depthwise_conv.weight",
        "_fc.weight",
    ]
    .map(|name| (name.to_string(), tensor.clone()))
    .into();
    let tensors = expected(5);
    let inspection = inspect(&file, &[target(&tensors)], None).unwrap();
    assert!(inspection.guesses.is_empty());
    assert_eq!(
        inspection.verdict(),
        "recognised as EfficientNet-Lite (lukemelas names), in a size or form that is not supported \
         (warmstart models lists those that are)"
    );
}

#[test]
fn the_text_lists_every_tensor_with_its_type_and_shape() {
    let text = inspect(&read_fixture("f16.pth"), &[], None)
        .unwrap()
        .report();
    assert!(
        text.contains("classifier.1.weight               f16   [5, 4]"),
        "{text}"
    );
    assert!(
        text.contains("features.0.1.num_batches_tracked  i64   []"),
        "{text}"
    );
    assert!(text.contains("8 tensors, 81 parameters"), "{text}");
    assert!(text.ends_with("not recognised\n"), "{text}");
}

#[test]
fn an_inspection_is_json() {
    let json = serde_json::to_value(inspect(&read_fixture("zip.pth"), &[], None).unwrap()).unwrap();
    assert_eq!(json["tensors"][0]["name"], "classifier.1.bias");
    assert_eq!(json["architecture"], serde_json::Value::Null);
}
