//! Damaged files: never a panic, never more memory than the file justifies.

mod common;

use common::{fixture, read_fixture};
use proptest::prelude::*;
use warmstart_weights::{WeightFile, read};

const CONTAINERS: [&str; 5] = [
    "strided.pth",
    "nested_legacy.pth",
    "strided_legacy.pth",
    "whole_module.pth",
    "f32.safetensors",
];

struct Scratch {
    _folder: tempfile::TempDir,
    path: std::path::PathBuf,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged");
        Scratch {
            _folder: folder,
            path,
        }
    }

    fn read(&self, bytes: &[u8]) -> Option<WeightFile> {
        std::fs::write(&self.path, bytes).unwrap();
        read(&self.path).ok()
    }
}

fn values(file: &WeightFile) -> usize {
    file.tensors.values().map(|t| t.data.len()).sum()
}

#[test]
fn a_file_cut_short_anywhere_is_an_error() {
    let scratch = Scratch::new();
    for name in CONTAINERS {
        let bytes = std::fs::read(fixture(name)).unwrap();
        for length in 0..bytes.len() {
            assert!(
                scratch.read(&bytes[..length]).is_none(),
                "{name} at {length}"
            );
        }
        assert!(scratch.read(&bytes).is_some(), "{name} whole");
    }
}

/// A zip archive has checksums: one flipped bit is noticed, or did no harm.
#[test]
fn a_flipped_bit_in_a_zip_file_never_changes_a_value() {
    let scratch = Scratch::new();
    let whole = read_fixture("zip.pth");
    let bytes = std::fs::read(fixture("zip.pth")).unwrap();
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        if let Some(file) = scratch.read(&damaged) {
            for (name, tensor) in &file.tensors {
                assert_eq!(
                    tensor.data, whole.tensors[name].data,
                    "{name}, byte {position}"
                );
            }
            assert_eq!(file.tensors.len(), whole.tensors.len(), "byte {position}");
        }
    }
}

/// The other containers have none: a value may change, the amount of memory may not.
#[test]
fn a_flipped_bit_anywhere_is_survived() {
    let scratch = Scratch::new();
    for name in CONTAINERS {
        let whole = values(&read_fixture(name));
        let bytes = std::fs::read(fixture(name)).unwrap();
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1 << (position * 5 % 8);
            if let Some(file) = scratch.read(&damaged) {
                assert!(values(&file) <= 2 * whole, "{name}, byte {position}");
            }
        }
    }
}

/// A pickle asks for memory one byte at a time; it is stopped long before its end.
#[test]
fn a_pickle_that_only_piles_up_values_is_an_error() {
    let start = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    let repeated: [(&[u8], &str); 4] = [
        (b"N", "has too many values"),
        (b"0N", "has too many values"),
        (b"(", "nests too deeply"),
        (b"\x94", "memoizes too many values"),
    ];
    for (opcodes, what) in repeated {
        let mut bytes = start.to_vec();
        bytes.push(b'N');
        bytes.extend(opcodes.repeat(6 << 20));
        let line = common::error_for("bomb.pth", &bytes);
        assert!(line.contains(what), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn overwritten_bytes_are_survived(
        container in 0..CONTAINERS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = std::fs::read(fixture(CONTAINERS[container])).unwrap();
        let limit = 4 * bytes.len() + (1 << 20);
        for (position, byte) in changes {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        if let Some(file) = Scratch::new().read(&bytes) {
            prop_assert!(values(&file) <= limit);
        }
    }

    #[test]
    fn any_bytes_after_a_familiar_start_are_survived(
        start in prop::sample::select(vec![
            &b"PK\x03\x04"[..],
            b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
            b"\x80\x04",
            b"\x20\0\0\0\0\0\0\0{",
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [start, &rest].concat();
        prop_assert!(Scratch::new().read(&bytes).is_none());
    }
}
