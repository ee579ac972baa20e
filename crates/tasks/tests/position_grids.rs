//! Positions that a file of a vision transformer has for another grid than the network's: loaded as timm does.

use std::collections::BTreeMap;
use std::path::Path;

use warmstart_models::by_name;
use warmstart_tasks::expectations::{conventions, expectations};
use warmstart_tasks::published::network_in;
use warmstart_weights::{FileTensor, Format, LoadPlan, Target, WeightFile, compare, read};

/// Largest difference: timm resizes in 32 bits.
const TOLERANCE: f32 = 1e-5;

/// Channels of the goldens.
const CHANNELS: usize = 2;

/// What timm makes of the positions of another grid, `[positions, CHANNELS]`: `tests/fixtures/make_positions.py`.
fn golden(name: &str) -> Vec<f32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let goldens = read(&folder.join("positions.safetensors")).unwrap();
    goldens.tensors[name].data.clone()
}

/// The script's value; further channels repeat the first two.
fn value(place: usize, channel: usize) -> f32 {
    ((place * 37 + channel % CHANNELS * 11) % 101) as f32 / 64.0 - 0.75
}

/// A file of a network that has so many positions.
fn file(network: &str, positions: usize) -> WeightFile {
    let mut tensors = BTreeMap::new();
    for info in by_name(network).unwrap().backbone_parameters() {
        let mut tensor = FileTensor {
            shape: info.shape,
            dtype: "f32",
            data: Vec::new(),
        };
        let channels = tensor.shape.last().copied().unwrap_or(1);
        match info.name.as_str() {
            "pos_embed" => {
                tensor.shape[1] = positions;
                let places = 0..positions;
                tensor.data = places
                    .flat_map(|place| (0..channels).map(move |channel| value(place, channel)))
                    .collect();
            }
            "cls_token" => tensor.data = vec![0.5; channels],
            _ => {}
        }
        tensors.insert(info.name, tensor);
    }
    WeightFile {
        path: "network.safetensors".into(),
        format: Format::Safetensors,
        stripped: Vec::new(),
        set_aside: Vec::new(),
        ignored_objects: Vec::new(),
        classes: None,
        unreadable: BTreeMap::new(),
        not_finite: Vec::new(),
        tensors,
        metadata: None,
    }
}

fn loaded(network: &str, file: &WeightFile) -> LoadPlan {
    let network = by_name(network).unwrap();
    let target = Target {
        architecture: network.name,
        expected: &expectations(&network.backbone_parameters(), &[]),
        conventions: &conventions(&network),
    };
    compare(file, &target, None).unwrap()
}

/// Requires that the positions that load are those, which have [`CHANNELS`].
fn assert_positions(plan: &LoadPlan, expected: &[f32]) {
    let positions = &plan.loaded["pos_embed"];
    let channels = positions.shape[2];
    assert_eq!(positions.data.len() / channels, expected.len() / CHANNELS);
    let found = positions.data.chunks(channels);
    for (place, (found, expected)) in found.zip(expected.chunks(CHANNELS)).enumerate() {
        for (channel, value) in found.iter().enumerate() {
            let expected = expected[channel % CHANNELS];
            let apart = (value - expected).abs();
            assert!(
                apart < TOLERANCE,
                "position {place}, channel {channel}: {value} is not {expected}"
            );
        }
    }
}

#[test]
fn a_file_of_another_grid_loads_whole_with_timm_s_values() {
    for (network, [from, to], prefix) in [
        ("vit_tiny_patch16_224", [24, 14], 1),
        ("vit_small_patch16_224", [24, 14], 1),
        ("vit_tiny_patch16_224", [7, 14], 1),
        ("deit_tiny_distilled_patch16_224", [24, 14], 2),
        ("vit_small_patch14_dinov2", [16, 37], 1),
        ("vit_small_patch14_reg4_dinov2", [16, 37], 0),
    ] {
        let plan = loaded(network, &file(network, prefix + from * from));
        assert_eq!(plan.backbone_coverage(), 1.0, "{network}");
        assert!(plan.missing.is_empty() && plan.wrong_shape.is_empty());
        assert_positions(&plan, &golden(&format!("{from}_to_{to}_behind_{prefix}")));
        let line = format!(": resized from {from} × {from} to {to} × {to}\n");
        assert!(plan.report().contains(&line), "{}", plan.report());
    }
}

#[test]
fn the_report_of_a_vit_at_384_pixels_names_both_shapes() {
    let network = "vit_small_patch16_224";
    let report = loaded(network, &file(network, 577)).report();
    let line = "pos_embed [1, 577, 384] → [1, 197, 384]: resized from 24 × 24 to 14 × 14\n";
    assert!(report.contains(line), "{report}");
}

#[test]
fn the_class_token_s_position_beside_registers_is_taken_off_first() {
    let network = "vit_small_patch14_reg4_dinov2";
    let plan = loaded(network, &file(network, 1 + 16 * 16));
    let grid = &golden("16_to_37_behind_1")[CHANNELS..];
    assert_positions(&plan, grid);
    let token = &plan.loaded["cls_token"].data;
    let expected: Vec<f32> = (0..384).map(|channel| 0.5 + value(0, channel)).collect();
    assert_eq!(*token, expected);
    assert_eq!((plan.resized.len(), plan.token_positions.len()), (1, 1));
}

#[test]
fn positions_of_other_tokens_or_of_no_square_do_not_load() {
    for (network, positions) in [
        // Without the class token's, with a distillation token's, and of 24 × 12 patches.
        ("vit_tiny_patch16_224", 576),
        ("vit_tiny_patch16_224", 578),
        ("vit_tiny_patch16_224", 1 + 24 * 12),
        ("deit_tiny_distilled_patch16_224", 577),
        ("vit_small_patch14_reg4_dinov2", 2 + 16 * 16),
    ] {
        let plan = loaded(network, &file(network, positions));
        assert!(!plan.loaded.contains_key("pos_embed"), "{network}");
        assert_eq!(plan.wrong_shape.len(), 1, "{network} {positions}");
        assert_eq!(plan.wrong_shape[0].name, "pos_embed");
        assert_eq!(plan.positions_missing.as_deref(), Some("pos_embed"));
        let refusal = plan.require_backbone(0.95).unwrap_err().to_string();
        assert!(refusal.contains("the positions of"), "{refusal}");
    }
}

#[test]
fn a_file_of_another_grid_is_recognised() {
    for (name, positions) in [
        ("vit_small_patch16_224", 577),
        ("deit_tiny_distilled_patch16_224", 578),
        ("vit_small_patch14_reg4_dinov2", 256),
    ] {
        let found = network_in(&file(name, positions), None).unwrap().unwrap();
        assert_eq!(found.name, name);
    }
}
