//! Seconds and memory of opening a data set of class folders: `bench/listing` runs it.
//! `cargo run --release -p warmstart-data --example listing -- FOLDER`
#![allow(
    clippy::print_stdout,
    reason = "printing is all that this program is for"
)]

use std::path::Path;
use std::time::Instant;

/// Share of the images that are drawn for validation where no folder holds them.
const VAL_SPLIT: f64 = 0.2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: listing FOLDER")?;
    let before = peak_bytes();
    let began = Instant::now();
    let data = warmstart_data::open(Path::new(&folder), VAL_SPLIT, 0)?;
    let seconds = began.elapsed().as_secs_f64();
    let samples = || data.train.iter().chain(&data.validation);
    let paths: usize = samples().map(|sample| sample.path.as_os_str().len()).sum();
    println!(
        "{{\"images\": {}, \"classes\": {}, \"seconds\": {seconds:.3}, \"path_bytes\": {paths}, \"peak_bytes\": {}}}",
        samples().count(),
        data.classes.len(),
        peak_bytes().saturating_sub(before)
    );
    Ok(())
}

/// The most memory that the process had at a time, as Linux tells it; 0 elsewhere.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    kilobytes.map_or(0, |number| number.parse().unwrap_or(0)) * 1024
}
