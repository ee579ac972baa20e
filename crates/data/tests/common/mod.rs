//! Helpers of several tests: the fixtures of `make_preprocessing.py` and distances between pictures.

use std::path::PathBuf;
use warmstart_data::{RgbImage, decode};

/// A file of the fixture folder.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A golden picture: an 8-bit RGB PNG.
pub fn golden(name: &str) -> RgbImage {
    decode(&fixture(&format!("{name}.png"))).expect(name)
}

/// The largest and the mean difference of two pictures of one size, in levels of 255.
pub fn distance(a: &RgbImage, b: &RgbImage) -> (u8, f64) {
    assert_eq!((a.width, a.height), (b.width, b.height));
    assert_eq!(a.pixels.len(), a.width * a.height * 3);
    let differences = || a.pixels.iter().zip(&b.pixels).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences().map(u64::from).sum();
    (
        differences().max().unwrap_or(0),
        sum as f64 / a.pixels.len() as f64,
    )
}
