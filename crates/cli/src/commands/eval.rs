//! `warmstart eval`.

use std::io::{Write, stdout};

use serde_json::json;
use warmstart_train::classifier::{Classifier, TOP};

use super::{Failure, use_threads};
use crate::arguments::Eval;

pub fn eval(arguments: Eval) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    let classifier = Classifier::load(&arguments.model)?;
    let result = classifier.evaluate(&arguments.data, workers)?;
    let matrix = &result.confusion;
    let mut out = stdout().lock();
    if arguments.json {
        let result = json!({
            "images": matrix.total(),
            "unreadable": result.unreadable,
            "top_1": matrix.accuracy(),
            "top_5": result.top_5,
            "classes": matrix.per_class(),
            "confusion": matrix.counts(),
        });
        writeln!(out, "{result}")?;
        return Ok(());
    }
    for problem in &result.unreadable {
        writeln!(out, "left out: {problem}")?;
    }
    writeln!(
        out,
        "{} images: top-1 accuracy {:.4}, top-{TOP} {:.4}\n\n{}\n\n{}",
        matrix.total(),
        matrix.accuracy(),
        result.top_5,
        matrix.class_table(),
        matrix.table()
    )?;
    Ok(())
}
