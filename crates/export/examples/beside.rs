//! What `bench/export` measures here: warmstart and tract on the same pictures, as one JSON object.
//!
//! ```text
//! cargo run --release -p warmstart-export --features check --example beside -- MODEL FILE.onnx PICTURE...
//! ```
//!
//! FILE.onnx has its preprocessing inside, or is `-` for warmstart alone. Times are milliseconds a picture, from decoded
//! pixels to probabilities, one picture after the other.
#![allow(clippy::print_stdout, reason = "an example reports on the terminal")]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use warmstart_data::{decode, evaluation_pixels_of};
use warmstart_export::check::Whole;
use warmstart_export::{Outputs, Reference};
use warmstart_metrics::softmax;
use warmstart_tasks::kinds::Trained;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [model, file, paths @ ..] = &arguments[..] else {
        return Err("expected MODEL, FILE.onnx and pictures".into());
    };
    let trained = Trained::load(model, &warmstart_nn::device())?;
    let pictures = paths.iter().map(|path| decode(path));
    let pictures = pictures.collect::<Result<Vec<_>, _>>()?;
    let Trained::Classifier(classifier) = &trained else {
        return Err("expected a classifier".into());
    };
    let mut probabilities = Vec::new();
    let started = Instant::now();
    for picture in &pictures {
        let pixels = evaluation_pixels_of(picture, &classifier.info.preprocessing)?;
        probabilities.push(softmax(&classifier.logits(&[&pixels])[0]));
    }
    let milliseconds =
        |started: Instant| started.elapsed().as_secs_f64() * 1e3 / pictures.len().max(1) as f64;
    let ours = milliseconds(started);
    let mut result = json!({
        "classes": classifier.info.classes,
        "probabilities": probabilities,
        "milliseconds": ours,
    });
    if file.as_os_str() != "-" {
        let computed = Whole::load(&std::fs::read(file)?, &pictures[0]).and_then(|whole| {
            let started = Instant::now();
            let results = whole.results(false, &pictures)?;
            Ok((results, milliseconds(started)))
        });
        result["tract"] = match computed {
            Ok((results, milliseconds)) => json!({
                "agreement": Reference::new(&trained, &pictures)?.compare(&results),
                "probabilities": results.iter().map(Outputs::scores).collect::<Vec<_>>(),
                "milliseconds": milliseconds,
            }),
            Err(reason) => json!({ "error": reason }),
        };
    }
    println!("{result}");
    Ok(())
}
