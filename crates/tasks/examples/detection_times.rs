//! What `bench/detectors` measures here: how long a detector takes for one picture after the other, as a JSON object.
//!
//! ```text
//! cargo run --release -p warmstart-tasks --example detection_times -- MODEL THREADS PICTURE...
//! ```
//!
//! `boxes` are milliseconds from a decoded picture to the boxes that are shown, `points` those from the network's input
//! to the scores and boxes of all its points; both are means over the pictures.
#![allow(clippy::print_stdout, reason = "an example reports on the terminal")]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use serde_json::json;
use warmstart_data::{DecodedPicture, decode};
use warmstart_tasks::kinds::Trained;
use warmstart_tasks::prepared::PreparedPicture;

/// Pictures that are computed before the time is taken, for caches and clocks to settle.
const WARM_UPS: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, threads, paths @ ..] = &arguments[..] else {
        return Err("expected MODEL, THREADS and pictures".into());
    };
    rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .num_threads(threads.parse()?)
        .build_global()?;
    let trained = Trained::load(Path::new(model), &warmstart_nn::device())?;
    let Trained::Detector(detector) = trained else {
        return Err("expected a detector".into());
    };
    let pictures = paths.iter().map(|path| {
        let decoded = decode(Path::new(path));
        decoded.map(DecodedPicture::from)
    });
    let pictures = pictures.collect::<Result<Vec<_>, _>>()?;
    let preprocessing = &detector.info.preprocessing;
    let prepare = |index: usize| PreparedPicture::for_detector(&pictures[index], preprocessing);
    let prepared: Vec<PreparedPicture> = (0..pictures.len()).map(prepare).collect();
    let boxes = milliseconds(pictures.len(), |index| {
        black_box(detector.find(&[&prepare(index)], detector.selection()));
    });
    let points = milliseconds(pictures.len(), |index| {
        black_box(detector.points(&[prepared[index].pixels()]));
    });
    println!("{}", json!({ "boxes": boxes, "points": points }));
    Ok(())
}

/// The mean time of `compute`, which is called with the index of each of so many pictures.
fn milliseconds(pictures: usize, compute: impl Fn(usize)) -> f64 {
    (0..pictures.min(WARM_UPS)).for_each(&compute);
    let started = Instant::now();
    (0..pictures).for_each(&compute);
    started.elapsed().as_secs_f64() * 1e3 / pictures.max(1) as f64
}
