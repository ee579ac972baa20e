//! Tensors that a file holds in parts or with the position of a token, and a model in one.

mod common;

use common::{one_line, read_fixture};
use warmstart_files::plain;
use warmstart_weights::{
    Convention, Expected, FileTensor, LoadPlan, Part, Target, Unreadable, WeightError, WeightFile,
    compare, inspect,
};

const BLOCKS: usize = 2;

/// A network of two projections, each to queries, keys and values of two channels from three.
fn network() -> Vec<Expected> {
    let blocks = (0..BLOCKS).map(|block| Expected {
        parts: ["q", "k", "v"]
            .map(|part| format!("blocks.{block}.{part}.weight"))
            .into(),
        ..Expected::new(
            format!("blocks.{block}.qkv.weight"),
            &[6, 3],
            Part::Backbone,
        )
    });
    let norm = Expected::new("norm.weight", &[3], Part::Backbone);
    blocks.chain([norm]).collect()
}

/// The names of a library that keeps the parts apart, and calls a block a layer.
const APART: Convention = Convention {
    name: "apart",
    to_native: |name| {
        if name == "layernorm.weight" {
            return Some("norm.weight".to_owned());
        }
        let (layer, rest) = name.strip_prefix("layer.")?.split_once('.')?;
        let part = match rest {
            "attention.query.weight" => "q",
            "attention.key.weight" => "k",
            "attention.value.weight" => "v",
            "attention.all.weight" => "qkv",
            _ => return None,
        };
        Some(format!("blocks.{layer}.{part}.weight"))
    },
};

fn tensor(shape: &[usize], first: f32) -> FileTensor {
    let count: usize = shape.iter().product();
    FileTensor {
        shape: shape.to_vec(),
        dtype: "f32",
        data: (0..count).map(|value| first + value as f32).collect(),
    }
}

/// A file of these tensors.
fn file(tensors: impl IntoIterator<Item = (String, FileTensor)>) -> WeightFile {
    WeightFile {
        tensors: tensors.into_iter().collect(),
        path: "apart.safetensors".into(),
        ..read_fixture("zip.pth")
    }
}

fn key(block: usize, part: &str) -> String {
    format!("encoder.layer.{block}.attention.{part}.weight")
}

/// The network's file in that library.
fn apart() -> WeightFile {
    let blocks = (0..BLOCKS).flat_map(|block| {
        let parts = [("query", 0.0), ("key", 10.0), ("value", 20.0)];
        parts.map(|(part, first)| {
            let first = first + 100.0 * block as f32;
            (key(block, part), tensor(&[2, 3], first))
        })
    });
    let norm = ("encoder.layernorm.weight".to_owned(), tensor(&[3], 7.0));
    file(blocks.chain([norm]))
}

fn compared(file: &WeightFile) -> Result<LoadPlan, WeightError> {
    let target = Target {
        architecture: "tiny",
        expected: &network(),
        conventions: &[APART],
    };
    compare(file, &target, None)
}

fn plan(file: &WeightFile) -> LoadPlan {
    compared(file).unwrap_or_else(|e| panic!("{e}"))
}

/// Three runs of six numbers.
fn rows_from(first: [f32; 3]) -> Vec<f32> {
    let runs = first.into_iter();
    runs.flat_map(|first| (0..6).map(move |value| first + value as f32))
        .collect()
}

#[test]
fn parts_are_joined_in_the_order_of_the_rows() {
    let plan = plan(&apart());
    assert_eq!(plan.convention, "apart");
    assert_eq!(plan.stripped, ["encoder."]);
    assert_eq!(plan.backbone_coverage(), 1.0);
    assert_eq!(plan.backbone.loaded_tensors, 3);
    assert_eq!(plan.backbone.loaded_parameters, 39);
    for (block, first) in [(0, 0.0), (1, 100.0)] {
        let loaded = &plan.loaded[&format!("blocks.{block}.qkv.weight")];
        assert_eq!(loaded.shape, [6, 3]);
        let expected = rows_from([first, first + 10.0, first + 20.0]);
        assert_eq!(loaded.data, expected);
    }
    assert!(plan.unused.is_empty() && plan.missing.is_empty() && plan.wrong_shape.is_empty());
}

#[test]
fn the_report_says_what_was_joined_of_which_parts() {
    let report = plan(&apart()).report();
    let line = "joined of their parts, values unchanged: 2 tensors: blocks.0.qkv.weight [6, 3] of \
                encoder.layer.0.attention.query.weight + encoder.layer.0.attention.key.weight + \
                encoder.layer.0.attention.value.weight, blocks.1.qkv.weight [6, 3] of ";
    assert!(report.contains(line), "{report}");
    let json = serde_json::to_value(plan(&apart())).unwrap();
    assert_eq!(json["joined"][1]["file_names"][2], key(1, "value"));
}

#[test]
fn a_part_that_the_file_lacks_is_missing_under_its_own_name() {
    let mut file = apart();
    file.tensors.remove(&key(1, "key"));
    let plan = plan(&file);
    let [missing] = &plan.missing[..] else {
        panic!("{:?}", plan.missing);
    };
    assert_eq!(missing.name, key(1, "key"));
    assert_eq!(missing.shape, [2, 3]);
    assert_eq!(missing.part_of.as_deref(), Some("blocks.1.qkv.weight"));
    assert!(!plan.loaded.contains_key("blocks.1.qkv.weight"));
    assert!(plan.loaded.contains_key("blocks.0.qkv.weight"));
    assert_eq!(plan.backbone.loaded_tensors, 2);
    let report = plan.report();
    assert!(
        report.contains(
            "missing in the file: 1 tensor of the backbone: encoder.layer.1.attention.key.weight \
             [2, 3] (without this part, blocks.1.qkv.weight does not load): left as initialised"
        ),
        "{report}"
    );
    let line = one_line(&plan.require_backbone(0.95).unwrap_err());
    assert!(
        line.contains("encoder.layer.1.attention.key.weight is missing"),
        "{line}"
    );
}

#[test]
fn a_part_whose_word_is_nowhere_in_the_file_is_missing_under_its_native_name() {
    let mut file = apart();
    for block in 0..BLOCKS {
        file.tensors.remove(&key(block, "key"));
    }
    let names: Vec<String> = plan(&file).missing.into_iter().map(|m| m.name).collect();
    assert_eq!(names, ["blocks.0.k.weight", "blocks.1.k.weight"]);
}

#[test]
fn a_tensor_of_which_the_file_has_no_part_is_missing_whole() {
    let mut file = apart();
    file.tensors
        .retain(|name, _| !name.contains("layer.1.attention"));
    let plan = plan(&file);
    assert_eq!(plan.missing.len(), 1);
    assert_eq!(plan.missing[0].name, "blocks.1.qkv.weight");
    assert_eq!(plan.missing[0].part_of, None);
}

#[test]
fn a_part_of_another_shape_is_reported_with_both_shapes() {
    let mut file = apart();
    file.tensors.insert(key(0, "value"), tensor(&[3, 2], 0.0));
    let plan = plan(&file);
    let [wrong] = &plan.wrong_shape[..] else {
        panic!("{:?}", plan.wrong_shape);
    };
    assert_eq!(wrong.file_name, key(0, "value"));
    assert_eq!(
        (&wrong.found[..], &wrong.expected[..]),
        (&[3, 2][..], &[2, 3][..])
    );
    assert!(!plan.loaded.contains_key("blocks.0.qkv.weight"));
    assert_eq!(plan.joined.len(), 1);
}

#[test]
fn a_part_that_cannot_be_read_and_has_another_shape_is_reported_with_both_shapes() {
    let mut file = apart();
    file.tensors.remove(&key(0, "key"));
    let unreadable = Unreadable {
        shape: Some(vec![7, 5]),
        dtype: Some("complex64".to_owned()),
        what: "it is odd".to_owned(),
    };
    file.unreadable.insert(key(0, "key"), unreadable);
    let plan = plan(&file);
    let [wrong] = &plan.wrong_shape[..] else {
        panic!("{:?}", plan.wrong_shape);
    };
    assert_eq!(wrong.file_name, key(0, "key"));
    assert_eq!(
        (&wrong.found[..], &wrong.expected[..]),
        (&[7, 5][..], &[2, 3][..])
    );
    assert!(plan.missing.is_empty(), "{:?}", plan.missing);
    assert!(!plan.loaded.contains_key("blocks.0.qkv.weight"));
}

#[test]
fn a_file_with_a_tensor_whole_and_in_parts_is_refused() {
    let mut file = apart();
    file.tensors.insert(key(0, "all"), tensor(&[6, 3], 0.0));
    let line = one_line(&compared(&file).unwrap_err());
    assert!(
        line.contains("encoder.layer.0.attention.all.weight and encoder.layer.0.attention."),
        "{line}"
    );
    assert!(
        line.contains("both stand for blocks.0.qkv.weight"),
        "{line}"
    );
}

#[test]
fn a_part_that_cannot_be_read_is_needed() {
    let mut file = apart();
    file.tensors.remove(&key(0, "query"));
    let unreadable = Unreadable {
        shape: Some(vec![2, 3]),
        dtype: None,
        what: "it is odd".to_owned(),
    };
    file.unreadable.insert(key(0, "query"), unreadable);
    let line = one_line(&compared(&file).unwrap_err());
    assert!(
        line.contains("encoder.layer.0.attention.query.weight is needed, and it is odd"),
        "{line}"
    );
}

#[test]
fn an_inspection_knows_a_network_by_its_parts() {
    let network = network();
    let candidates = [Target {
        architecture: "tiny",
        expected: &network,
        conventions: &[APART],
    }];
    let whole = inspect(&apart(), &candidates, None).unwrap();
    assert_eq!(whole.architecture.as_deref(), Some("tiny"));
    assert_eq!(whole.guesses[0].likeness, 1.0);
    assert_eq!(whole.guesses[0].prefix, "encoder.");
    let mut file = apart();
    file.tensors.remove(&key(1, "key"));
    let lacking = inspect(&file, &candidates, None).unwrap();
    assert_eq!(lacking.architecture, None);
    assert_eq!(lacking.guesses[0].backbone.loaded_tensors, 2);
}

/// A class token, and positions that are not the token's.
fn tokens() -> Vec<Expected> {
    vec![
        Expected {
            position_of: Some("cls_token".to_owned()),
            ..Expected::new("pos_embed", &[1, 4, 2], Part::Backbone)
        },
        Expected::new("cls_token", &[1, 1, 2], Part::Backbone),
    ]
}

fn with_positions(shape: &[usize]) -> WeightFile {
    file([
        ("cls_token".to_owned(), tensor(&[1, 1, 2], 0.5)),
        ("pos_embed".to_owned(), tensor(shape, 10.0)),
    ])
}

fn of_tokens(file: &WeightFile) -> LoadPlan {
    compare(file, &common::target(&tokens()), None).unwrap()
}

#[test]
fn the_position_of_a_token_that_has_none_in_the_model_is_added_to_it() {
    let plan = of_tokens(&with_positions(&[1, 5, 2]));
    assert_eq!(plan.loaded["cls_token"].data, [10.5, 12.5]);
    let expected: Vec<f32> = (12..20).map(|value| value as f32).collect();
    assert_eq!(plan.loaded["pos_embed"].data, expected);
    assert_eq!(plan.loaded["pos_embed"].shape, [1, 4, 2]);
    assert_eq!(plan.backbone_coverage(), 1.0);
    let report = plain(&plan.report());
    assert!(
        report.contains(
            "pos_embed [1, 5, 2] → [1, 4, 2]: the first position is that of cls_token, and added \
             to it"
        ),
        "{report}"
    );
}

#[test]
fn positions_without_the_token_s_load_as_they_are() {
    let plan = of_tokens(&with_positions(&[1, 4, 2]));
    assert_eq!(plan.loaded["cls_token"].data, [0.5, 1.5]);
    assert_eq!(plan.loaded["pos_embed"].data[0], 10.0);
    assert!(plan.token_positions.is_empty());
}

#[test]
fn another_number_of_positions_does_not_load() {
    for positions in [3, 6, 17] {
        let plan = of_tokens(&with_positions(&[1, positions, 2]));
        assert_eq!(plan.wrong_shape.len(), 1, "{positions}");
        assert_eq!(plan.loaded["cls_token"].data, [0.5, 1.5]);
    }
    let plain = [Expected::new("pos_embed", &[1, 4, 2], Part::Backbone)];
    let file = with_positions(&[1, 5, 2]);
    let plan = compare(&file, &common::target(&plain), None).unwrap();
    assert_eq!(plan.wrong_shape.len(), 1);
}

#[test]
fn a_position_whose_token_is_missing_is_left_out_and_said() {
    let mut file = with_positions(&[1, 5, 2]);
    file.tensors.remove("cls_token");
    let report = of_tokens(&file).report();
    assert!(
        report.contains("the first position is that of cls_token, which does not load"),
        "{report}"
    );
}
