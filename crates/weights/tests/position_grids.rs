//! Positions that a file has for another grid than the model's.

mod common;

use common::{one_line, read_fixture, target};
use warmstart_files::plain;
use warmstart_weights::{Expected, FileTensor, Grid, LoadPlan, Part, WeightFile, compare, inspect};

/// The positions of a grid as those of another: each new one is that of the place that it is in.
fn nearest(values: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let channels = values.len() / (from[0] * from[1]);
    let mut nearest = Vec::new();
    for row in 0..to[0] {
        for column in 0..to[1] {
            let place = row * from[0] / to[0] * from[1] + column * from[1] / to[1];
            nearest.extend_from_slice(&values[place * channels..][..channels]);
        }
    }
    nearest
}

/// A class token, and positions of two channels for two by two patches behind `prefix` others.
fn network(prefix: usize) -> Vec<Expected> {
    vec![
        Expected {
            grid: Some(Grid {
                prefix,
                resize: nearest,
            }),
            position_of: (prefix == 0).then(|| "cls_token".to_owned()),
            ..Expected::new("pos_embed", &[1, prefix + 4, 2], Part::Backbone)
        },
        Expected::new("cls_token", &[1, 1, 2], Part::Backbone),
    ]
}

/// A file with positions of that shape: 10, 11, and so on.
fn with_positions(shape: &[usize]) -> WeightFile {
    let tensor = |shape: &[usize], first: f32| {
        let count: usize = shape.iter().product();
        FileTensor {
            shape: shape.to_vec(),
            dtype: "f32",
            data: (0..count).map(|value| first + value as f32).collect(),
        }
    };
    let tensors = [
        ("cls_token".to_owned(), tensor(&[1, 1, 2], 0.5)),
        ("pos_embed".to_owned(), tensor(shape, 10.0)),
    ];
    WeightFile {
        tensors: tensors.into(),
        path: "positions.safetensors".into(),
        ..read_fixture("zip.pth")
    }
}

fn plan(prefix: usize, shape: &[usize]) -> LoadPlan {
    compare(&with_positions(shape), &target(&network(prefix)), None).unwrap()
}

/// The first of the two values of each position.
fn positions(plan: &LoadPlan) -> Vec<f32> {
    let loaded = &plan.loaded["pos_embed"];
    loaded.data.iter().copied().step_by(2).collect()
}

#[test]
fn those_of_class_tokens_stay_and_those_of_the_grid_are_resized() {
    let plan = plan(1, &[1, 1 + 4 * 4, 2]);
    assert_eq!(plan.loaded["pos_embed"].shape, [1, 5, 2]);
    // The token's, and behind it the places 0, 2, 8 and 10 of sixteen.
    assert_eq!(positions(&plan), [10.0, 12.0, 16.0, 28.0, 32.0]);
    assert_eq!(plan.backbone_coverage(), 1.0);
    assert!(plan.wrong_shape.is_empty() && plan.token_positions.is_empty());
    assert_eq!(plan.loaded["cls_token"].data, [0.5, 1.5]);
}

#[test]
fn a_smaller_grid_is_resized_as_well() {
    let plan = plan(1, &[1, 2, 2]);
    assert_eq!(positions(&plan), [10.0, 12.0, 12.0, 12.0, 12.0]);
}

#[test]
fn the_report_has_both_shapes_and_both_grids() {
    let plan = plan(1, &[1, 17, 2]);
    let report = plain(&plan.report());
    assert!(
        report.contains("pos_embed [1, 17, 2] → [1, 5, 2]: resized from 4 × 4 to 2 × 2\n"),
        "{report}"
    );
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["resized"][0]["from"], 4);
    assert_eq!(json["resized"][0]["to"], 2);
}

#[test]
fn the_model_s_own_grid_loads_as_it_is() {
    for prefix in [0, 1] {
        let plan = plan(prefix, &[1, prefix + 4, 2]);
        assert_eq!(positions(&plan)[..2], [10.0, 12.0]);
        assert!(plan.resized.is_empty());
        assert!(!plan.report().contains("resized from"));
    }
}

#[test]
fn a_token_s_position_is_added_to_it_before_the_rest_is_resized() {
    let own = plan(0, &[1, 9, 2]);
    assert_eq!(positions(&own), [10.0, 12.0, 16.0, 18.0]);
    assert_eq!(own.loaded["cls_token"].data, [0.5, 1.5]);

    let plan = plan(0, &[1, 1 + 9, 2]);
    assert_eq!(positions(&plan), [12.0, 14.0, 18.0, 20.0]);
    assert_eq!(plan.loaded["cls_token"].data, [10.5, 12.5]);
    let report = plain(&plan.report());
    for line in [
        "pos_embed [1, 10, 2] → [1, 4, 2]: the first position is that of cls_token, and added to it",
        "pos_embed [1, 10, 2] → [1, 4, 2]: resized from 3 × 3 to 2 × 2",
    ] {
        assert!(report.contains(line), "{report}");
    }
}

#[test]
fn what_is_no_square_behind_these_tokens_has_a_wrong_shape() {
    let shapes: [(usize, &[usize]); 8] = [
        // Of three by three without the class token's, and with that of one token more.
        (1, &[1, 9, 2]),
        (1, &[1, 11, 2]),
        (0, &[1, 11, 2]),
        // Of three by four.
        (1, &[1, 13, 2]),
        (0, &[1, 13, 2]),
        // Of class tokens alone.
        (1, &[1, 1, 2]),
        // Other channels, and none.
        (1, &[1, 10, 3]),
        (1, &[10, 2]),
    ];
    for (prefix, shape) in shapes {
        let plan = plan(prefix, shape);
        assert_eq!(plan.wrong_shape.len(), 1, "{prefix} {shape:?}");
        assert_eq!(plan.wrong_shape[0].found, shape);
        assert!(!plan.loaded.contains_key("pos_embed"));
        assert!(plan.resized.is_empty());
        assert_eq!(plan.loaded["cls_token"].data, [0.5, 1.5]);
    }
}

/// The network with so many tensors more that positions hardly count, and a file of it that has positions of that shape,
/// or none.
fn among_many(positions: Option<&[usize]>) -> (Vec<Expected>, WeightFile) {
    let mut network = network(1);
    let mut file = with_positions(positions.unwrap_or(&[1, 5, 2]));
    if positions.is_none() {
        file.tensors.remove("pos_embed");
    }
    for block in 0..40 {
        let name = format!("blocks.{block}.weight");
        let tensor = FileTensor {
            shape: vec![20],
            dtype: "f32",
            data: vec![0.0; 20],
        };
        network.push(Expected::new(name.as_str(), &[20], Part::Backbone));
        file.tensors.insert(name, tensor);
    }
    (network, file)
}

#[test]
fn a_network_whose_positions_do_not_load_is_refused_and_an_inspection_warns() {
    for (positions, words) in [
        (
            Some(&[1, 4, 2][..]),
            "it is [1, 4, 2] in the file, [1, 5, 2] in the model",
        ),
        (None, "it is not in the file"),
    ] {
        let (network, file) = among_many(positions);
        let plan = compare(&file, &target(&network), None).unwrap();
        assert_eq!(plan.positions_missing.as_deref(), Some("pos_embed"));
        let line = one_line(&plan.require_backbone(0.95).unwrap_err());
        for part in [
            "the positions of tiny, pos_embed, do not load:",
            words,
            "allow_partial",
        ] {
            assert!(line.contains(part), "{part:?} is not in: {line}");
        }
        let inspection = inspect(&file, &[target(&network)], None).unwrap();
        assert_eq!(inspection.architecture.as_deref(), Some("tiny"));
        assert!(!inspection.guesses[0].positions_load);
        let report = inspection.report();
        assert!(
            report.contains("WARNING: the positions do not load"),
            "{report}"
        );
    }
    // Those of another grid do.
    let (network, file) = among_many(Some(&[1, 17, 2]));
    let plan = compare(&file, &target(&network), None).unwrap();
    plan.require_backbone(1.0).unwrap();
    let inspection = inspect(&file, &[target(&network)], None).unwrap();
    assert!(inspection.guesses[0].positions_load);
    assert!(!inspection.report().contains("WARNING"));
}

#[test]
fn an_inspection_counts_them_as_there_and_says_what_becomes_of_them() {
    let network = network(1);
    let candidates = [target(&network)];
    let line = "pos_embed [1, 17, 2] → [1, 5, 2]: resized from 4 × 4 to 2 × 2";
    let resized = inspect(&with_positions(&[1, 17, 2]), &candidates, None).unwrap();
    assert_eq!(resized.verdict(), "this is tiny");
    assert!(plain(&resized.report()).contains(line));
    let own = inspect(&with_positions(&[1, 5, 2]), &candidates, None).unwrap();
    assert!(!own.report().contains("resized from"));
    // Positions are most of this network.
    let odd = inspect(&with_positions(&[1, 16, 2]), &candidates, None).unwrap();
    assert_eq!(odd.architecture, None);
    assert!(!odd.report().contains("resized from"));
}
