//! The display of a run's events: with a bar if the output is a terminal, as plain lines otherwise.

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use warmstart_files::{one_line, shown};
use warmstart_metrics::Interval;
use warmstart_run::event::{Event, Progress as Step};
use warmstart_run::record::EpochRecord;
use warmstart_run::record::ModelKind;
use warmstart_run::summary::Summary;
use warmstart_run::verdict::{KeptWeights, Verdict};
use warmstart_workflows::cross_validate::CrossValidation;

use crate::plan_table::{plan_lines, thousands};
use crate::{findings, printing};

/// Most unreadable images that are named.
const NAMED: usize = 10;
/// Most classes that are named.
const CLASSES: usize = 20;

/// What is shown of steps.
const STEPS: &str = "{prefix} {bar:30} {pos}/{len} {msg}, {eta} left";
/// What is shown of a download.
const BYTES: &str =
    "{bar:30} {decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";

/// The display of a run.
pub struct Progress {
    bar: Option<ProgressBar>,
    interactive: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            bar: None,
            interactive: stderr().is_terminal(),
        }
    }

    pub fn show(&mut self, event: Event) {
        match event {
            Event::Checking { images } => {
                if self.interactive {
                    self.spin(format!("reading {images} images"));
                } else {
                    self.line(format!("reading {images} images once"));
                }
            }
            Event::Data {
                classes,
                class_counts,
                counted,
                train,
                validation,
                in_folds,
                test,
                unreadable,
                ignored,
                notes,
                without_validation,
                findings,
            } => {
                self.line(counts_line(
                    classes.len(),
                    [train, validation, test],
                    in_folds,
                ));
                self.line(classes_line(classes, class_counts, counted));
                self.lines(notes.iter().map(|note| format!("note: {note}")));
                self.lines(unreadable_lines(unreadable));
                self.lines(ignored.lines());
                if !without_validation.is_empty() {
                    self.line(format!(
                        "classes without validation images: {}",
                        without_validation.join(", ")
                    ));
                }
                let columns = self
                    .interactive
                    .then(|| usize::from(Term::stderr().size().1));
                self.lines(findings::table(findings, columns));
            }
            Event::Measuring => {
                if self.interactive {
                    self.spin("measuring steps of each phase".to_owned());
                }
            }
            Event::Plan(plan) => self.lines(plan_lines(plan)),
            Event::Loaded(report) => self.lines(report.lines().map(str::to_owned)),
            Event::Phase {
                phase,
                number,
                phases,
                trained,
                frozen,
                steps,
            } => {
                let (trained, frozen) = (thousands(trained), thousands(frozen));
                let work = if phase.is_solved() {
                    format!(
                        "a {} head, solved once for the frozen backbone ({trained} values to find, {frozen} frozen)",
                        phase.head
                    )
                } else {
                    format!(
                        "{} × {steps} steps, batch {}, learning rate {:.1e}, training {} ({trained} trainable \
                         parameters, {frozen} frozen)",
                        counted(phase.epochs, "epoch"),
                        phase.batch,
                        phase.lr,
                        phase.train
                    )
                };
                self.line(format!(
                    "phase {number} of {phases}, {}: {work}",
                    phase.name
                ));
            }
            Event::Step(progress) => self.show_step(&progress),
            Event::Evaluated { images, of } => {
                let Some(bar) = self.bar_of(of) else { return };
                bar.set_message("images evaluated");
                bar.set_position(images as u64);
            }
            Event::Epoch {
                record,
                epochs,
                metric,
                is_highest,
            } => self.line(epoch_line(record, epochs, metric, is_highest)),
            Event::Downloading { done, of } => self.show_bytes(done, of),
            Event::Note(note) => self.line(format!("note: {note}")),
            Event::Finished { summary, run } => self.lines(finished_lines(summary, &shown(run))),
        }
    }

    fn show_step(&mut self, step: &Step) {
        let Some(bar) = self.bar_of(step.steps) else {
            return;
        };
        bar.set_prefix(format!("epoch {}/{}", step.epoch, step.epochs));
        bar.set_message(format!(
            "loss {:.3}, {:.1} images/s",
            step.loss, step.images_per_second
        ));
        bar.set_position(step.step as u64);
    }

    fn show_bytes(&mut self, done: u64, of: Option<u64>) {
        // A length of 0 is no download's: it stands for one that is unknown.
        let Some(bar) = self.bar_with(of.unwrap_or(0), BYTES) else {
            return;
        };
        bar.set_position(done);
    }

    /// Shows that something goes on whose length is unknown.
    fn spin(&mut self, message: String) {
        let bar = ProgressBar::new_spinner().with_message(message);
        bar.enable_steady_tick(Duration::from_millis(100));
        self.bar = Some(bar);
    }

    /// Prints the metrics of a cross-validation.
    pub fn folds(&mut self, result: &CrossValidation) {
        let values: Vec<_> = result
            .folds
            .iter()
            .map(|figure| format!("{:.4}", figure.value))
            .collect();
        self.line(format!(
            "{} folds: {} {:.4} ± {:.4} (mean ± standard deviation of {}; each also chose its run's epoch, so they are optimistic)",
            result.folds.len(),
            result.folds.first().map_or("", |figure| &figure.metric),
            result.mean,
            result.deviation,
            values.join(", ")
        ));
    }

    /// The bar of that length, replaced when the length changes.
    fn bar_of(&mut self, length: usize) -> Option<&ProgressBar> {
        self.bar_with(length as u64, STEPS)
    }

    /// The bar of that length and template.
    fn bar_with(&mut self, length: u64, template: &str) -> Option<&ProgressBar> {
        if !self.interactive {
            return None;
        }
        if self
            .bar
            .as_ref()
            .is_none_or(|bar| bar.length() != Some(length))
        {
            self.clear();
            let style = ProgressStyle::with_template(template).expect("the template is valid");
            self.bar = Some(ProgressBar::new(length).with_style(style));
        }
        self.bar.as_ref()
    }

    /// Removes the bar.
    pub fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn lines(&mut self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|line| self.line(line));
    }

    fn line(&mut self, line: String) {
        self.clear();
        // Training continues whether or not anyone reads.
        printing::print_to_stderr(line);
    }
}

/// The number of classes, and of images by split: training, validation and test.
fn counts_line(classes: usize, [train, validation, test]: [usize; 3], in_folds: bool) -> String {
    let test = match test {
        0 => String::new(),
        _ => format!(", {test} test"),
    };
    let images = match validation {
        _ if in_folds => format!("{train} images to split into folds"),
        0 => format!("{train} training images, none held out for validation"),
        _ => format!("{train} training images, {validation} validation"),
    };
    format!("data: {classes} classes, {images}{test}")
}

/// The images that cannot be read, each with the reason; none if there are none.
fn unreadable_lines(unreadable: &[(PathBuf, String)]) -> Vec<String> {
    if unreadable.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "skipped {} that cannot be read:",
        counted(unreadable.len(), "image")
    )];
    let named = unreadable.iter().take(NAMED);
    lines.extend(named.map(|(_, reason)| format!("  {reason}")));
    if unreadable.len() > NAMED {
        lines.push(format!("  … and {} more", unreadable.len() - NAMED));
    }
    lines
}

/// `1 image`, `2 images`.
fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// The first classes with their counts in training, validation and test; an empty split is left out.
fn classes_line(classes: &[String], counts: &[[usize; 3]], counted: &str) -> String {
    let used = [0, 1, 2].map(|split| counts.iter().any(|counts| counts[split] > 0));
    let splits = ["training", "validation", "test"];
    let splits: Vec<&str> = (0..3)
        .filter(|&split| used[split])
        .map(|split| splits[split])
        .collect();
    let what = match &splits[..] {
        // In folds, or without images that are held out.
        [_] => counted.to_owned(),
        _ => format!("{} {counted}", splits.join(" / ")),
    };
    let class = |(class, counts): (&String, &[usize; 3])| {
        let counts = (0..3)
            .filter(|&split| used[split])
            .map(|split| counts[split].to_string());
        format!(
            "{} {}",
            one_line(class),
            counts.collect::<Vec<_>>().join(" / ")
        )
    };
    let mut shown: Vec<String> = classes
        .iter()
        .zip(counts)
        .take(CLASSES)
        .map(class)
        .collect();
    if classes.len() > CLASSES {
        shown.push(format!("… and {} more", classes.len() - CLASSES));
    }
    format!("classes ({what}): {}", shown.join(", "))
}

fn epoch_line(record: &EpochRecord, epochs: usize, metric: &str, is_highest: bool) -> String {
    format!(
        "epoch {}/{epochs} ({}): train loss {:.3}, val loss {:.3}, {metric} {:.4}{}{} [{:.1} s, {:.1} images/s, {:.0} MB]",
        record.epoch,
        record.phase,
        record.train_loss,
        record.val_loss,
        record.metric,
        interval(record.interval),
        if is_highest { ", highest so far" } else { "" },
        record.seconds,
        record.images_per_second,
        record.peak_memory_mb,
    )
}

/// The 95% confidence interval of a metric.
pub fn interval(interval: Option<Interval>) -> String {
    interval.map_or(String::new(), |interval| format!(" ({interval})"))
}

fn finished_lines(summary: &Summary, run: &str) -> Vec<String> {
    let kept = &summary.kept;
    let weights = match summary.guard.as_ref().and_then(Verdict::kept_weights) {
        Some(KeptWeights::Average) => ", the moving average of its weights",
        Some(KeptWeights::Trained) => ", its own weights, not their moving average",
        None => match kept.kind {
            Some(ModelKind::Mean) => ", the mean of the frozen and the thawed model",
            Some(ModelKind::Probe | ModelKind::Thaw) | None => "",
        },
    };
    let mut lines = vec![format!(
        "finished: kept {} {kept} ({}){weights}, in {run}/best.safetensors",
        kept.metric, kept.phase
    )];
    lines.extend(summary.not_kept());
    lines.extend(summary.guard.as_ref().and_then(Verdict::sentence));
    if let Some(test) = &summary.test {
        lines.push(format!(
            "test: {} {:.4}{}, loss {:.3}",
            kept.metric,
            test.metric,
            interval(test.interval),
            test.loss
        ));
    }
    lines.push(format!("note: {}", summary.note));
    lines
}

#[cfg(test)]
mod tests {
    use warmstart_run::record::EpochFigure;
    use warmstart_run::summary::RunState;

    use super::*;

    fn figure(epoch: usize, phase: &str, value: f64) -> EpochFigure {
        EpochFigure {
            epoch,
            phase: phase.into(),
            metric: "top-1 accuracy".into(),
            value,
            interval: None,
            kind: None,
        }
    }

    #[test]
    fn at_the_end_the_kept_metric_leads() {
        let (kept, highest) = (figure(2, "freeze", 0.4), figure(12, "thaw", 0.6));
        let verdict = Verdict {
            frozen: Some(kept.clone()),
            thawed: Some(highest.clone()),
            weights: None,
            p_value: Some(0.073),
            level: 0.05,
            mean: None,
            kind: None,
        };
        let summary = Summary {
            state: RunState::Finished,
            epochs: 12,
            kept,
            highest,
            guard: Some(verdict),
            test: None,
            tested_before: false,
            phases: Vec::new(),
            note: "a note".into(),
        };
        let lines = finished_lines(&summary, "runs/pets");
        assert_eq!(
            lines[..2],
            [
                "finished: kept top-1 accuracy 0.4000 at epoch 2 (freeze), in runs/pets/best.safetensors",
                "highest 0.6000 at epoch 12 was not kept: p = 0.073, needs p < 0.05"
            ]
        );
        assert!(
            lines.iter().all(|line| !line.contains("best ")),
            "{lines:?}"
        );
    }

    #[test]
    fn images_are_counted_by_split() {
        assert_eq!(
            counts_line(2, [9, 4, 3], false),
            "data: 2 classes, 9 training images, 4 validation, 3 test"
        );
        assert_eq!(
            counts_line(2, [9, 0, 0], false),
            "data: 2 classes, 9 training images, none held out for validation"
        );
        assert_eq!(
            counts_line(2, [9, 0, 0], true),
            "data: 2 classes, 9 images to split into folds"
        );
    }

    #[test]
    fn classes_are_shown_with_their_images() {
        let names = ["cat", "dog"].map(String::from);
        assert_eq!(
            classes_line(&names, &[[6, 3, 2], [5, 3, 0]], "images"),
            "classes (training / validation / test images): cat 6 / 3 / 2, dog 5 / 3 / 0"
        );
        assert_eq!(
            classes_line(&names, &[[6, 3, 0], [5, 0, 0]], "objects"),
            "classes (training / validation objects): cat 6 / 3, dog 5 / 0"
        );
        assert_eq!(
            classes_line(&names, &[[6, 0, 0], [5, 0, 0]], "images"),
            "classes (images): cat 6, dog 5"
        );
    }

    #[test]
    fn of_many_classes_the_first_are_shown() {
        let names: Vec<String> = (0..1000).map(|class| format!("c\n{class}")).collect();
        let line = classes_line(&names, &vec![[2, 1, 0]; 1000], "images");
        assert!(line.ends_with("c\\n19 2 / 1, … and 980 more"), "{line}");
        assert!(!line.contains('\n'));
    }
}
