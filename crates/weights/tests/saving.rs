//! Files that are written whole, read back the same, and depend on their contents alone.

mod common;

use common::{one_line, read_fixture};
use proptest::prelude::*;
use serde_json::json;
use warmstart_weights::{Format, SavedData, SavedTensor, read, save, to_bytes};

const WEIGHT: [f32; 6] = [1.0, -2.5, 0.0, f32::MIN_POSITIVE, 3e38, -0.0];

fn tensors() -> [SavedTensor<'static>; 2] {
    [
        SavedTensor {
            name: "fc.weight",
            shape: &[2, 3],
            data: SavedData::F32(&WEIGHT),
        },
        SavedTensor {
            name: "bn.num_batches_tracked",
            shape: &[],
            data: SavedData::I64(&[7]),
        },
    ]
}

#[test]
fn what_is_saved_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let metadata = json!({"task": "classify", "classes": ["cat", "dog"], "input": {"size": 224}});
    save(&path, tensors(), &metadata).unwrap();
    let file = read(&path).unwrap();
    assert_eq!(file.format, Format::Safetensors);
    assert_eq!(file.metadata, Some(metadata));
    assert_eq!(file.tensors["fc.weight"].shape, [2, 3]);
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&file.tensors["fc.weight"].data), bits(&WEIGHT));
    assert_eq!(file.tensors["bn.num_batches_tracked"].dtype, "i64");
    assert_eq!(file.tensors["bn.num_batches_tracked"].data, [7.0]);
}

#[test]
fn the_bytes_do_not_depend_on_the_order_of_tensors_or_keys() {
    let forward = to_bytes(tensors(), &json!({"a": 1, "b": {"c": 2, "d": 3}})).unwrap();
    let mut reversed = tensors();
    reversed.reverse();
    let backward = to_bytes(reversed, &json!({"b": {"d": 3, "c": 2}, "a": 1})).unwrap();
    assert_eq!(forward, backward);
    let header = String::from_utf8_lossy(&forward);
    assert!(header.contains(r#""__metadata__":{"warmstart":"{\"a\":1,\"b\":{\"c\":2,\"d\":3}}"}"#));
}

#[test]
fn the_layout_is_pinned() {
    let bias = SavedTensor {
        name: "b",
        shape: &[1],
        data: SavedData::F32(&[1.0]),
    };
    let bytes = to_bytes([bias], &json!({})).unwrap();
    let header = r#"{"__metadata__":{"warmstart":"{}"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let padded = header.len().next_multiple_of(8);
    let mut wanted = (padded as u64).to_le_bytes().to_vec();
    wanted.extend(format!("{header:padded$}").bytes());
    wanted.extend([0, 0, 128, 63]);
    assert_eq!(bytes, wanted);
}

#[test]
fn a_saved_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.safetensors");
    std::fs::write(&path, "old").unwrap();
    save(&path, tensors(), &json!({})).unwrap();
    assert_eq!(
        std::fs::read(&path).unwrap(),
        to_bytes(tensors(), &json!({})).unwrap()
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_failed_save_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.safetensors");
    // A folder of that name cannot be replaced by a file.
    std::fs::create_dir(&path).unwrap();
    let line = one_line(&save(&path, tensors(), &json!({})).unwrap_err());
    assert!(
        line.contains("best.safetensors: cannot be written"),
        "{line}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("no/such/folder/a.safetensors");
    assert!(save(&nowhere, tensors(), &json!({})).is_err());
}

#[test]
fn tensors_that_contradict_themselves_are_refused() {
    let [weight, _] = tensors();
    let short = SavedTensor {
        shape: &[2, 2],
        ..weight
    };
    let reserved = SavedTensor {
        name: "__metadata__",
        ..weight
    };
    for (tensors, reason) in [
        (
            vec![short],
            "fc.weight: its shape [2, 2] does not hold its 6 values",
        ),
        (vec![weight, weight], "fc.weight: its name occurs twice"),
        (vec![reserved], "reserves this name"),
    ] {
        let line = one_line(&to_bytes(tensors, &json!({})).unwrap_err());
        assert!(line.contains(reason), "{line}");
    }
}

#[test]
fn what_pytorch_saved_survives_the_way_through() {
    let original = read_fixture("zip.pth");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.safetensors");
    let saved = original.tensors.iter().map(|(name, tensor)| SavedTensor {
        name,
        shape: &tensor.shape,
        data: SavedData::F32(&tensor.data),
    });
    save(&path, saved, &json!(null)).unwrap();
    let copy = read(&path).unwrap();
    for (name, tensor) in &original.tensors {
        assert_eq!(copy.tensors[name].data, tensor.data, "{name}");
        assert_eq!(copy.tensors[name].shape, tensor.shape, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tensors_are_read_back_bit_for_bit(
        tensors in prop::collection::btree_map("[a-z]{1,4}\\.[a-zé\"]{1,4}", prop::collection::vec(any::<u32>(), 0..9), 1..6),
    ) {
        let tensors: Vec<(String, Vec<f32>)> = tensors
            .into_iter()
            .map(|(name, bits)| (name, bits.into_iter().map(f32::from_bits).collect()))
            .collect();
        let shapes: Vec<[usize; 1]> = tensors.iter().map(|(_, data)| [data.len()]).collect();
        let saved = tensors.iter().zip(&shapes).map(|((name, data), shape)| SavedTensor {
            name,
            shape,
            data: SavedData::F32(data),
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.safetensors");
        save(&path, saved, &json!({})).unwrap();
        let file = read(&path).unwrap();
        for (name, data) in &tensors {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&file.tensors[name].data), bits(data));
        }
    }
}
