//! What the tests share: the fixtures of `fixtures/make_weights.py` and the values in them.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub mod pickles;

use std::path::{Path, PathBuf};

use warmstart_weights::{Expected, Part, Target, WeightError, WeightFile, read};

/// The tensors of the fixtures, in the order of the script.
pub const SHAPES: [(&str, &[usize]); 7] = [
    ("features.0.0.weight", &[4, 3, 2, 2]),
    ("features.0.1.weight", &[4]),
    ("features.0.1.bias", &[4]),
    ("features.0.1.running_mean", &[4]),
    ("features.0.1.running_var", &[4]),
    ("classifier.1.weight", &[5, 4]),
    ("classifier.1.bias", &[5]),
];

pub const COUNTER: &str = "features.0.1.num_batches_tracked";

/// The script's rule: value i of tensor t is (t * 100 + i) / 8.
pub fn values(index: usize) -> Vec<f32> {
    let count: usize = SHAPES[index].1.iter().product();
    (0..count).map(|i| (index * 100 + i) as f32 / 8.0).collect()
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

pub fn read_fixture(name: &str) -> WeightFile {
    read(&fixture(name)).unwrap_or_else(|e| panic!("{e}"))
}

/// A file with these bytes, read.
pub fn read_bytes(name: &str, bytes: &[u8]) -> WeightFile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    read(&path).unwrap_or_else(|e| panic!("{e}"))
}

/// The error's line for a file with these bytes.
pub fn error_for(name: &str, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let error = read(&path).expect_err("this is no weights file");
    one_line(&error)
}

pub fn one_line(error: &WeightError) -> String {
    let line = warmstart_files::plain(&error.to_string());
    assert!(!line.contains('\n'), "{line}");
    line
}

/// Every tensor that the script wrote, with exactly its values.
pub fn assert_holds_the_values(file: &WeightFile) {
    for (index, (name, shape)) in SHAPES.iter().enumerate() {
        let tensor = &file.tensors[*name];
        assert_eq!(tensor.shape, *shape, "{name}");
        assert_eq!(tensor.data, values(index), "{name}");
    }
    assert_eq!(file.tensors[COUNTER].data, [1234.0]);
    assert_eq!(file.tensors.len(), SHAPES.len() + 1);
}

/// The model that the fixtures were saved from.
pub fn expected(classes: usize) -> Vec<Expected> {
    SHAPES
        .iter()
        .map(|(name, shape)| {
            let head = name.starts_with("classifier");
            let mut shape = shape.to_vec();
            if head {
                shape[0] = classes;
            }
            let part = if head { Part::Head } else { Part::Backbone };
            Expected::new(*name, &shape, part)
        })
        .collect()
}

pub fn target(expected: &[Expected]) -> Target<'_> {
    Target {
        architecture: "tiny",
        expected,
        conventions: &[],
    }
}
