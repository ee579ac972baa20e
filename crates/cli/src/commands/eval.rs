//! `warmstart eval`.

use std::io::{Write, stdout};

use serde_json::json;
use warmstart_metrics::{ConfusionMatrix, top_k};
use warmstart_train::classifier::Classifier;

use super::{Failure, use_threads};
use crate::arguments::Eval;

/// Predictions among which the right class is looked for, besides the first.
const TOP: usize = 5;

pub fn eval(arguments: Eval) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    let classifier = Classifier::load(&arguments.model)?;
    let samples = classifier.samples(&arguments.data)?;
    let classes = &classifier.info.classes;
    let top = TOP.min(classes.len());
    let paths: Vec<_> = samples.iter().map(|sample| sample.path.clone()).collect();
    let mut matrix = ConfusionMatrix::new(classes.clone());
    let mut among_top = 0;
    let mut unreadable = Vec::new();
    let mut labels = samples.iter().map(|sample| sample.label);
    classifier.predict(&paths, workers, &mut |prediction| {
        let label = labels.next().expect("a label for each file");
        match prediction.probabilities {
            Ok(probabilities) => {
                let best = top_k(&probabilities, top);
                matrix.add(label, best[0].0);
                among_top += usize::from(best.iter().any(|(class, _)| *class == label));
            }
            Err(error) => unreadable.push(error.to_string()),
        }
    })?;
    let images = matrix.total();
    if images == 0 {
        return Err(Failure::failed(format!(
            "{}: none of its {} images can be read; the first: {}",
            arguments.data.display(),
            unreadable.len(),
            unreadable[0]
        )));
    }
    let top_share = among_top as f64 / images as f64;
    let mut out = stdout().lock();
    if arguments.json {
        let result = json!({
            "images": images,
            "unreadable": unreadable,
            "top_1": matrix.accuracy(),
            format!("top_{top}"): top_share,
            "classes": matrix.per_class(),
            "confusion": matrix.counts(),
        });
        writeln!(out, "{result}")?;
        return Ok(());
    }
    for error in &unreadable {
        writeln!(out, "left out: {error}")?;
    }
    writeln!(
        out,
        "{images} images: top-1 accuracy {:.4}, top-{top} {top_share:.4}\n\n{}\n\n{}",
        matrix.accuracy(),
        matrix.class_table(),
        matrix.table()
    )?;
    Ok(())
}
