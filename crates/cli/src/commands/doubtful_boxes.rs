//! `warmstart data labels` with the run of a detector.

use std::io::stdout;
use std::path::PathBuf;

use warmstart_files::shown;
use warmstart_language::message;
use warmstart_metrics::DoubtOfBox;
use warmstart_run::replace_file;
use warmstart_workflows::box_labels::{BoxLabels, DoubtfulBox, box_labels, table};

use super::labels::SHOWN;
use super::{Failure, use_threads};
use crate::arguments::DataLabels;
use crate::printing::{json, line, print_to_stderr};
use crate::progress::{Output, Progress, noted};
use crate::text_table::rows;

/// Lists the boxes that detectors and the labels of their validation images disagree on; `runs` are those of the
/// detectors.
pub fn doubtful_boxes(arguments: &DataLabels, runs: &[PathBuf]) -> Result<(), Failure> {
    let workers = use_threads(&arguments.threads)?;
    let mut progress = Progress::new(Output::BesideResults);
    let device = warmstart_nn::device();
    let found = box_labels(runs, workers, &device, &mut |event| progress.show(event));
    progress.clear();
    let found = found?;
    if found.lost > 0 {
        print_to_stderr(noted(message!(
            "{} images are missing, have another size or label, or cannot be read, and are left out",
            found.lost
        )));
    }
    if let Some(path) = &arguments.csv {
        replace_file(path, &table(&found.doubts))?;
        print_to_stderr(message!("wrote {}", shown(path)));
    }
    let doubtful = found.doubts.iter().filter(|it| it.doubtful).count();
    let usual = if arguments.json {
        found.doubts.len()
    } else {
        doubtful.min(SHOWN)
    };
    let most = arguments.top.unwrap_or(usual).min(found.doubts.len());
    let first = &found.doubts[..most];
    let mut out = stdout().lock();
    if arguments.json {
        for doubt in first {
            json(&mut out, doubt)?;
        }
        return Ok(());
    }
    line(&mut out, summary(&found))?;
    if first.is_empty() {
        return Ok(());
    }
    line(&mut out, "")?;
    let head = [
        message!("file"),
        message!("label"),
        message!("what speaks against it"),
        message!("score"),
        message!("box"),
    ];
    for text in rows(&head, first.iter().map(row)) {
        line(&mut out, text)?;
    }
    Ok(())
}

/// How many boxes of each kind are doubtful, in a line.
fn summary(found: &BoxLabels) -> String {
    let count = |kind: DoubtOfBox| {
        let doubts = found.doubts.iter();
        doubts.filter(|it| it.doubtful && it.doubt == kind).count()
    };
    message!(
        "{} images with {} labels, at confidence {:.3}: {} things found without a label, {} labels found as another \
         class, {} labels where nothing is found",
        found.images,
        found.labels,
        found.confidence,
        count(DoubtOfBox::NoLabel),
        count(DoubtOfBox::OtherClass),
        count(DoubtOfBox::NotFound)
    )
}

/// A row of the table for people.
fn row(doubt: &DoubtfulBox) -> [String; 5] {
    let [label, found] = [&doubt.label, &doubt.found].map(|name| name.clone().unwrap_or_default());
    let (label, what) = match doubt.doubt {
        DoubtOfBox::NoLabel => (message!("none"), message!("{found} found")),
        DoubtOfBox::OtherClass => (label, message!("{found} found")),
        DoubtOfBox::NotFound => (label, message!("nothing found")),
    };
    let DoubtfulBox { x1, y1, x2, y2, .. } = doubt;
    [
        doubt.file.clone(),
        label,
        what,
        format!("{:.4}", doubt.score),
        format!("[{x1:.0}, {y1:.0}, {x2:.0}, {y2:.0}]"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(kind: DoubtOfBox, label: Option<&str>, found: Option<&str>) -> DoubtfulBox {
        DoubtfulBox {
            file: "val/1.jpg".to_owned(),
            doubt: kind,
            label: label.map(str::to_owned),
            found: found.map(str::to_owned),
            score: 0.9,
            x1: 1.0,
            y1: 2.5,
            x2: 30.0,
            y2: 40.0,
            doubtful: true,
        }
    }

    #[test]
    fn each_kind_has_its_words() {
        let doubts = [
            doubt(DoubtOfBox::NoLabel, None, Some("cat")),
            doubt(DoubtOfBox::OtherClass, Some("dog"), Some("cat")),
            doubt(DoubtOfBox::NotFound, Some("dog"), None),
        ];
        let words: Vec<[String; 2]> = doubts
            .iter()
            .map(|doubt| {
                let [_, label, what, ..] = row(doubt);
                [label, what]
            })
            .collect();
        assert_eq!(
            words,
            [
                ["none", "cat found"],
                ["dog", "cat found"],
                ["dog", "nothing found"]
            ]
        );
    }
}
