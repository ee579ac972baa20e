//! What `bench/input` measures here: an epoch of training images through the loader, as a run prepares them for a
//! classifier. For each line on standard input an epoch is prepared, and its seconds are printed.
//!
//! ```text
//! cargo run --release -p warmstart-data --example input -- FOLDER CROP WORKERS full|scaled
//! ```
#![allow(
    clippy::print_stdout,
    reason = "printing is all that this program is for"
)]

mod common;

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use warmstart_data::random::Purpose;
use warmstart_data::{Augmentation, Batches, Decode, Loader};
use warmstart_data::{epoch_order, image_files, stream, training_pixels};

use common::preprocessing;

/// Images of a batch, and batches that are prepared ahead: those of PyTorch's side.
const BATCH: usize = 32;
const AHEAD: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, crop, workers, decode] = &arguments[..] else {
        return Err("usage: input FOLDER CROP WORKERS full|scaled".into());
    };
    let decode = match decode.as_str() {
        "full" => Decode::Full,
        "scaled" => Decode::Scaled,
        other => return Err(format!("{other} is neither full nor scaled").into()),
    };
    let (crop, workers): (usize, usize) = (crop.parse()?, workers.parse()?);
    let preprocessing = preprocessing(crop, decode);
    // Those of torchvision's RandomResizedCrop.
    let augmentation = Augmentation {
        scale: [0.08, 1.0],
        ratio: [3.0 / 4.0, 4.0 / 3.0],
        flip: 0.5,
        ..Augmentation::default()
    };
    let (files, _) = image_files(Path::new(folder))?;
    let images = files.len();
    let prepare = Arc::new(move |image: usize| {
        let mut random = stream(0, 0, image as u64, Purpose::Augmentation);
        training_pixels(&files[image], &preprocessing, &augmentation, &mut random)
    });
    for (epoch, line) in std::io::stdin().lines().enumerate() {
        line?;
        let began = Instant::now();
        let order = epoch_order(0, epoch as u64, images);
        let loader = Loader::new(Batches::of(order, BATCH), workers, AHEAD, prepare.clone());
        let mut count = 0;
        for batch in loader {
            count += black_box(batch?).len();
        }
        if count != images {
            return Err(format!("{count} of {images} images came").into());
        }
        println!("{}", began.elapsed().as_secs_f64());
    }
    Ok(())
}
