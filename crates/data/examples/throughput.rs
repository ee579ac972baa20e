//! Images per second on one thread, for the images below a folder:
//! `cargo run --release -p warmstart-data --example throughput -- FOLDER [CROP [scaled]]`
#![allow(
    clippy::print_stdout,
    reason = "printing is all that this program is for"
)]

mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use warmstart_data::random::Purpose;
use warmstart_data::{Augmentation, DataError, Decode};
use warmstart_data::{evaluation_pixels, stream, training_pixels};

use common::preprocessing;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .ok_or("usage: throughput FOLDER [CROP [scaled]]")?;
    let crop = arguments.next().map_or(Ok(224), |crop| crop.parse())?;
    let decode = match arguments.next().as_deref() {
        None => Decode::Full,
        Some("scaled") => Decode::Scaled,
        Some(other) => return Err(format!("{other} is not \"scaled\"").into()),
    };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    let preprocessing = preprocessing(crop, decode);
    let augmentation = Augmentation::default();
    let jitter = Augmentation {
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.4,
        hue: 0.1,
        ..augmentation.clone()
    };
    let augmented = |index: usize, augmentation: &Augmentation| {
        let mut random = stream(0, 0, index as u64, Purpose::Augmentation);
        training_pixels(&paths[index], &preprocessing, augmentation, &mut random).map(drop)
    };
    measure("decode", &paths, |index| {
        preprocessing.decoded(&paths[index]).map(drop)
    })?;
    measure("evaluation", &paths, |index| {
        evaluation_pixels(&paths[index], &preprocessing).map(drop)
    })?;
    measure("training", &paths, |index| augmented(index, &augmentation))?;
    measure("training with colour jitter", &paths, |index| {
        augmented(index, &jitter)
    })?;
    Ok(())
}

/// Prints the best of several passes over the images: other programs only ever make one slower.
fn measure(
    name: &str,
    paths: &[PathBuf],
    work: impl Fn(usize) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut best = Duration::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        for index in 0..paths.len() {
            work(index)?;
        }
        best = best.min(start.elapsed());
    }
    println!(
        "{name}: {:.0} images/s",
        paths.len() as f64 / best.as_secs_f64()
    );
    Ok(())
}
