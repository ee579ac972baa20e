//! Events as lines of JSON for programs. docs/screen.md describes each; a change that could break a reader raises
//! [`VERSION`].

use std::borrow::Cow;

use serde::Serialize;
use warmstart_files::text;
use warmstart_recipe::Phase;
use warmstart_run::event::Event;
use warmstart_run::plan::Plan;
use warmstart_run::record::{EpochFigure, EpochRecord};
use warmstart_run::summary::Summary;
use warmstart_workflows::cross_validate::CrossValidation;

/// Version of the lines.
pub const VERSION: u32 = 1;

/// A line of JSON.
#[derive(Serialize)]
pub struct JsonLine<'a> {
    version: u32,
    #[serde(flatten)]
    event: JsonEvent<'a>,
}

/// An event with its fields.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum JsonEvent<'a> {
    Checking {
        images: usize,
    },
    Checked {
        images: usize,
        of: usize,
    },
    Data {
        classes: &'a [String],
        class_counts: &'a [[usize; 3]],
        counted: &'a str,
        train: usize,
        validation: usize,
        in_folds: bool,
        test: usize,
        unreadable: Vec<UnreadableFile<'a>>,
        ignored: Vec<String>,
        notes: &'a [String],
        without_validation: &'a [String],
        findings: Vec<JsonFinding<'a>>,
    },
    Measuring,
    Plan {
        plan: &'a Plan,
    },
    Loaded {
        lines: Vec<&'a str>,
    },
    Run {
        run: Cow<'a, str>,
    },
    Phase {
        name: &'a str,
        number: usize,
        phases: usize,
        epochs: usize,
        steps: usize,
        batch: usize,
        lr: f64,
        head: String,
        train: String,
        trained: usize,
        frozen: usize,
    },
    Step {
        epoch: usize,
        epochs: usize,
        epoch_in_phase: usize,
        epochs_in_phase: usize,
        step: usize,
        steps: usize,
        loss: f64,
        images_per_second: f64,
    },
    Evaluated {
        images: usize,
        of: usize,
    },
    Epoch {
        record: &'a EpochRecord,
        epochs: usize,
        metric: &'a str,
        is_highest: bool,
    },
    Downloading {
        done: u64,
        of: Option<u64>,
    },
    Note {
        text: &'a str,
    },
    Finished {
        run: Cow<'a, str>,
        summary: &'a Summary,
    },
    CrossValidation {
        folds: &'a [EpochFigure],
        mean: f64,
        deviation: f64,
    },
}

/// An image that is left out.
#[derive(Serialize)]
struct UnreadableFile<'a> {
    file: Cow<'a, str>,
    reason: &'a str,
}

/// A property of the data that makes learning harder or metrics too optimistic.
#[derive(Serialize)]
struct JsonFinding<'a> {
    what: &'a str,
    count: &'a str,
    sentence: &'a str,
}

/// An event as a line.
pub fn line<'a>(event: &'a Event<'a>) -> JsonLine<'a> {
    let event = match event {
        Event::Checking { images } => JsonEvent::Checking { images: *images },
        Event::Checked { images, of } => JsonEvent::Checked {
            images: *images,
            of: *of,
        },
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
        } => JsonEvent::Data {
            classes,
            class_counts,
            counted,
            train: *train,
            validation: *validation,
            in_folds: *in_folds,
            test: *test,
            unreadable: unreadable
                .iter()
                .map(|(file, reason)| UnreadableFile {
                    file: text(file),
                    reason,
                })
                .collect(),
            ignored: ignored.lines(),
            notes,
            without_validation,
            findings: findings
                .iter()
                .map(|finding| JsonFinding {
                    what: finding.what,
                    count: &finding.count,
                    sentence: &finding.sentence,
                })
                .collect(),
        },
        Event::Measuring => JsonEvent::Measuring,
        Event::Plan(plan) => JsonEvent::Plan { plan },
        Event::Loaded(report) => JsonEvent::Loaded {
            lines: report.lines().collect(),
        },
        Event::Run { path } => JsonEvent::Run { run: text(path) },
        Event::Phase {
            phase,
            number,
            phases,
            trained,
            frozen,
            steps,
        } => {
            let Phase {
                name,
                epochs,
                batch,
                lr,
                head,
                train,
                ..
            } = phase;
            JsonEvent::Phase {
                name,
                number: *number,
                phases: *phases,
                epochs: *epochs,
                steps: *steps,
                batch: *batch,
                lr: *lr,
                head: head.to_string(),
                train: train.to_string(),
                trained: *trained,
                frozen: *frozen,
            }
        }
        Event::Step(step) => JsonEvent::Step {
            epoch: step.epoch,
            epochs: step.epochs,
            epoch_in_phase: step.epoch_in_phase,
            epochs_in_phase: step.epochs_in_phase,
            step: step.step,
            steps: step.steps,
            loss: step.loss,
            images_per_second: step.images_per_second,
        },
        Event::Evaluated { images, of } => JsonEvent::Evaluated {
            images: *images,
            of: *of,
        },
        Event::Epoch {
            record,
            epochs,
            metric,
            is_highest,
        } => JsonEvent::Epoch {
            record,
            epochs: *epochs,
            metric,
            is_highest: *is_highest,
        },
        Event::Downloading { done, of } => JsonEvent::Downloading {
            done: *done,
            of: *of,
        },
        Event::Note(note) => JsonEvent::Note { text: note },
        Event::Finished { summary, run, .. } => JsonEvent::Finished {
            run: text(run),
            summary,
        },
    };
    JsonLine {
        version: VERSION,
        event,
    }
}

/// The result of a cross-validation as a line.
pub fn folds_line(result: &CrossValidation) -> JsonLine<'_> {
    JsonLine {
        version: VERSION,
        event: JsonEvent::CrossValidation {
            folds: &result.folds,
            mean: result.mean,
            deviation: result.deviation,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_version_and_its_event() {
        for (event, expected) in [
            (
                Event::Checking { images: 3 },
                r#"{"version":1,"event":"checking","images":3}"#,
            ),
            (Event::Measuring, r#"{"version":1,"event":"measuring"}"#),
            (
                Event::Note("words".into()),
                r#"{"version":1,"event":"note","text":"words"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&line(&event)).unwrap(), expected);
        }
    }
}
