//! Results as text for a terminal.

use crate::classification::{ConfusionMatrix, Evaluation};
use std::fmt::Write;

/// Class names are cut to this many characters.
const NAME: usize = 24;

/// The largest matrix that is written out, and the number of mistakes listed instead.
const ROWS: usize = 20;

pub(crate) fn evaluation(evaluation: &Evaluation) -> String {
    let scores = evaluation.confusion.class_scores();
    let names: Vec<String> = scores.iter().map(|score| short(&score.class)).collect();
    let width = widest(&names).max("class".len());
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:width$}  precision  recall      F1  support",
        "class"
    );
    for (name, score) in names.iter().zip(&scores) {
        let [precision, recall, f1] = [score.precision, score.recall, score.f1].map(percent);
        let support = score.support;
        let _ = writeln!(
            text,
            "{name:width$}  {precision:>9}  {recall:>6}  {f1:>6}  {support:>7}"
        );
    }
    let samples = evaluation.confusion.samples();
    let _ = write!(text, "\ntop-1 {}", percent(evaluation.top1()));
    if let Some(top5) = evaluation.top5() {
        let _ = write!(text, ", top-5 {}", percent(Some(top5)));
    }
    let _ = writeln!(text, " of {samples} images");
    text
}

pub(crate) fn confusion(matrix: &ConfusionMatrix) -> String {
    match matrix.classes.len() > ROWS {
        true => mistakes(matrix),
        false => square(matrix),
    }
}

fn square(matrix: &ConfusionMatrix) -> String {
    let rows = matrix.classes.iter().enumerate();
    let names: Vec<String> = rows
        .map(|(index, name)| format!("{index:>2} {}", short(name)))
        .collect();
    let corner = "true \\ predicted";
    let width = widest(&names).max(corner.len());
    let largest = matrix.counts.iter().flatten().max().copied().unwrap_or(0);
    let cell = largest.to_string().len().max(2);
    let mut text = format!("{corner:width$}");
    for index in 0..names.len() {
        let _ = write!(text, " {index:>cell$}");
    }
    text.push('\n');
    for (name, row) in names.iter().zip(&matrix.counts) {
        let _ = write!(text, "{name:width$}");
        for count in row {
            // Zeros would hide the mistakes.
            match count {
                0 => write!(text, " {:>cell$}", "."),
                _ => write!(text, " {count:>cell$}"),
            }
            .ok();
        }
        text.push('\n');
    }
    text
}

fn mistakes(matrix: &ConfusionMatrix) -> String {
    let mut found: Vec<(u64, usize, usize)> = Vec::new();
    for (truth, row) in matrix.counts.iter().enumerate() {
        for (predicted, count) in row.iter().enumerate() {
            if truth != predicted && *count > 0 {
                found.push((*count, truth, predicted));
            }
        }
    }
    found.sort_by_key(|(count, truth, predicted)| (u64::MAX - count, *truth, *predicted));
    let wrong: u64 = found.iter().map(|(count, ..)| count).sum();
    let mut text = format!(
        "{wrong} of {} images taken for another class",
        matrix.samples()
    );
    if found.len() > ROWS {
        let _ = write!(text, "; the {ROWS} most frequent of {} kinds", found.len());
    }
    text.push('\n');
    found.truncate(ROWS);
    let name = |class: usize| short(&matrix.classes[class]);
    let names: Vec<String> = found.iter().map(|(_, truth, _)| name(*truth)).collect();
    let width = widest(&names);
    for ((count, truth, predicted), name_of_truth) in found.iter().zip(&names) {
        let support: u64 = matrix.counts[*truth].iter().sum();
        let taken = name(*predicted);
        let _ = writeln!(
            text,
            "{name_of_truth:width$}  taken for {taken}: {count} of {support}"
        );
    }
    text
}

/// A percentage with one decimal place, a dash for none.
fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{:.1}%", value * 100.0))
}

/// The name in one line of at most [`NAME`] characters.
fn short(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match clean.chars().count() > NAME {
        true => clean.chars().take(NAME - 1).chain(['…']).collect(),
        false => clean,
    }
}

fn widest(names: &[String]) -> usize {
    names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0)
}
