//! The curves of a run over its epochs.

use maud::{Markup, html};
use warmstart_files::one_line;
use warmstart_language::{english, message, translated};
use warmstart_run::health::StageHealth;
use warmstart_run::record::EpochRecord;
use warmstart_workflows::report::RunReport;

use super::chart::{Band, Chart, EPOCH, Series};

/// Most stages whose health has a curve: the first, the head, and some between.
const STAGES: usize = 5;

/// Loss, metric, learning rate and health; nothing before the first epoch.
pub fn curves(report: &RunReport) -> Markup {
    let history = &report.files.history;
    if history.is_empty() {
        return html! {};
    }
    let metric = report.files.recipe.task.metric();
    let mut metrics = vec![series(metric_name(metric), history, |record| record.metric)];
    let others = history.iter().flat_map(|record| record.others.keys());
    let mut names: Vec<&String> = others.collect();
    names.sort();
    names.dedup();
    for name in names {
        let value = |record: &EpochRecord| record.others.get(name).copied().unwrap_or(f64::NAN);
        metrics.push(series(metric_name(name), history, value));
    }
    let losses = vec![
        series(&message!("training, as trained"), history, |record| {
            record.train_loss
        }),
        series(&message!("validation"), history, |record| record.val_loss),
    ];
    let rates = vec![series(&message!("learning rate"), history, |record| {
        record.lr
    })];
    let chart = |title: &str, axis, series, is_logarithmic| Chart {
        title: title.to_owned(),
        axes: [EPOCH, axis],
        series,
        bands: bands(history),
        mark: report
            .files
            .summary
            .as_ref()
            .map(|summary| (summary.kept.epoch as f64, english!("the kept epoch"))),
        is_logarithmic,
        at_least: None,
    };
    let gradient = health(history, |stage| stage.gradient_norm);
    let update = health(history, |stage| stage.update_ratio);
    html! {
        section #curves {
            h2 { (message!("Curves")) }
            p.note {
                (message!(
                    "By epoch; phases are shaded, and the dashed line is the kept epoch. The training loss is that of \
                     augmented images, so it may lie above the validation loss. "
                ))
                @if has_thaw_after_solved(report) {
                    (message!(
                        "While a thaw trains, its metric is that of the network's own last layer; the head on several \
                         layers is solved again on the thawed features at the end, so the kept model may be better than \
                         any epoch."
                    ))
                }
            }
            div.grid {
                (chart(&message!("Loss"), english!("loss"), losses, false).figure())
                (chart(&capitalized(metric_name(metric)), english!("share"), metrics, false).figure())
                (chart(
                    &message!("Learning rate at the end of the epoch"), english!("learning rate"), rates, true
                ).figure())
                (chart(&message!("Gradient by stage"), english!("norm"), gradient, true).figure())
                (chart(&message!("Change of a step by stage"), english!("change ÷ weights"), update, true).figure())
            }
        }
    }
}

/// Whether a thaw follows a head that was solved.
fn has_thaw_after_solved(report: &RunReport) -> bool {
    let phases = &report.files.recipe.phases;
    phases.iter().any(|phase| phase.is_solved()) && phases.iter().any(|phase| !phase.is_solved())
}

/// The name of a metric for people: that of a task, or a further one of metrics.jsonl.
pub fn metric_name(metric: &str) -> &str {
    match metric {
        "last_layer" => translated(english!("the last layer's head alone")),
        "leave_one_out" => translated(english!("training images, each left out")),
        "map50" => "mAP@.5",
        "confidence" => translated(english!("confidence of the best F1")),
        other => translated(other),
    }
}

/// A text with a capital at its start, except for a name that has capitals of its own (mAP).
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next();
    if letters.as_str().contains(char::is_uppercase) {
        return text.to_owned();
    }
    let first = first.map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

fn series(name: &str, history: &[EpochRecord], value: impl Fn(&EpochRecord) -> f64) -> Series {
    let points = history
        .iter()
        .map(|record| [record.epoch as f64, value(record)]);
    Series {
        name: one_line(name).into_owned(),
        points: points.collect(),
    }
}

/// The phases as parts of the axis of epochs.
fn bands(history: &[EpochRecord]) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    for record in history {
        let epoch = record.epoch as f64;
        match bands.last_mut() {
            Some(band) if band.name == record.phase => band.ends[1] = epoch + 0.5,
            _ => bands.push(Band {
                name: record.phase.clone(),
                ends: [epoch - 0.5, epoch + 0.5],
            }),
        }
    }
    bands
}

/// A figure of some stages at the last measured step of each epoch.
fn health(history: &[EpochRecord], value: impl Fn(&StageHealth) -> f64) -> Vec<Series> {
    let measured = history.iter().filter_map(|record| record.health.last());
    let Some(widest) = measured.max_by_key(|health| health.stages.len()) else {
        return Vec::new();
    };
    let stages = widest.stages.len();
    let shown = stages.min(STAGES);
    let chosen = (0..shown).map(|place| place * (stages - 1) / (shown - 1).max(1));
    let of_stage = |name: &str| {
        series(name, history, |record| {
            let stages = record.health.last().map(|health| &health.stages);
            let stage = stages.and_then(|stages| stages.iter().find(|stage| stage.stage == name));
            stage.map_or(f64::NAN, &value)
        })
    };
    chosen
        .map(|place| of_stage(&widest.stages[place].stage))
        .collect()
}
