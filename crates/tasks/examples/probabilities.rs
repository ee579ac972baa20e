//! What `bench/guard` compares: the class of each image of a folder of class folders, and the probabilities that a
//! classifier gives it, a line of JSON for each.
//!
//! ```text
//! cargo run --release -p warmstart-tasks --example probabilities -- MODEL FOLDER
//! ```
#![allow(clippy::print_stdout, reason = "an example reports on the terminal")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::json;
use warmstart_tasks::kinds::Trained;

/// Threads that read images.
const WORKERS: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(model), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("expected MODEL and FOLDER".into());
    };
    let Trained::Classifier(classifier) = Trained::load(&model, &warmstart_nn::device())? else {
        return Err("expected a classifier".into());
    };
    let samples = classifier.images(&folder)?;
    let paths: Vec<PathBuf> = samples.iter().map(|sample| sample.path.clone()).collect();
    let mut labels = samples.iter().map(|sample| sample.label);
    classifier.predict(&paths, WORKERS, &mut |prediction| {
        let class = labels.next();
        if let Ok(probabilities) = prediction.probabilities {
            println!(
                "{}",
                json!({ "class": class, "probabilities": probabilities })
            );
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}
