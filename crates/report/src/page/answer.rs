//! The top of the page: what came out, in a sentence, and what would help most.

use maud::{Markup, PreEscaped, html};
use warmstart_files::{duration, shown};
use warmstart_language::{english, message, translated};
use warmstart_metrics::{Interval, wilson};
use warmstart_recipe::{NO_WEIGHTS, Recipe};
use warmstart_run::files::RunFiles;
use warmstart_run::record::{EpochFigure, ModelKind};
use warmstart_run::summary::{RunState, Summary};
use warmstart_run::verdict::Verdict;
use warmstart_workflows::report::{Judged, RunReport};

use super::advice::advice;
use super::curves::metric_name;

/// The answer, the facts of the run, and the advice.
pub fn answer(report: &RunReport) -> Markup {
    let files = &report.files;
    html! {
        h1 { (shown(&files.run)) }
        p.answer { (sentence(report)) }
        @if let Some(advice) = advice(report) {
            div.advice {
                p { strong { (message!("What would help most: ")) } (advice.sentence) }
                @if let Some(command) = advice.command {
                    pre { (command) }
                }
            }
        }
        dl.facts {
            @for (name, value) in facts(report) {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

fn sentence(report: &RunReport) -> Markup {
    let files = &report.files;
    let Some(kept) = kept_so_far(files) else {
        return html! { (message!("No epoch is finished yet.")) };
    };
    let (done, epochs) = (files.history.len(), files.recipe.epochs());
    let answer = kept_model(report, &kept);
    let answer = match files.summary.as_ref().map(|summary| summary.state) {
        Some(RunState::Finished) => answer,
        Some(RunState::Interrupted) => {
            let answer = continued(&answer);
            message!("Interrupted after {done} of {epochs} epochs: {answer}")
        }
        Some(RunState::Running) | None => {
            let answer = continued(&answer);
            message!("After {done} of {epochs} epochs: {answer}")
        }
    };
    let beside = files.summary.as_ref().map(beside).unwrap_or_default();
    let time = duration(seconds(report));
    // Of what it is made of, only names may hold what HTML reads, and they are escaped.
    PreEscaped(message!("{answer}{beside}, after {time} of training."))
}

/// What the kept model does, as the HTML of a sentence without its end.
fn kept_model(report: &RunReport, kept: &EpochFigure) -> String {
    let strong = |text: &str| html! { strong { (text) } }.into_string();
    match &report.judged {
        Some(Judged::Classes(classes)) => {
            let (total, right) = (classes.matrix.total(), right(classes));
            let share = percent(right as f64 / total.max(1) as f64);
            message!(
                "The kept model classifies {count} validation images correctly: {share} ({interval})",
                count = strong(&message!("{right} of {total}")),
                share = strong(&share),
                interval = interval(wilson(right, total))
            )
        }
        None if report.is_left_out => {
            let interval = kept.interval.map(interval);
            message!(
                "The kept model's head classifies {share} of the training images correctly{interval}, each solved for \
                 without it: no image was held out",
                share = strong(&figure(kept)),
                interval = interval.map_or(String::new(), |interval| message!(" ({interval})"))
            )
        }
        Some(Judged::Scenes(_)) | None => message!(
            "The kept model has {metric} {value}",
            metric = html! { (metric_name(&kept.metric)) }.into_string(),
            value = strong(&figure(kept))
        ),
    }
}

/// A sentence after a colon: in lower case, where the language has it.
fn continued(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_lowercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// The kept model's figure; of a run in progress, the highest so far. The epochs say it, because the summary may be
/// behind them.
fn kept_so_far(files: &RunFiles) -> Option<EpochFigure> {
    let finished = files.summary.as_ref();
    let finished = finished.filter(|summary| summary.state == RunState::Finished);
    let highest = || EpochFigure::highest(&files.history, files.recipe.task.metric());
    finished
        .map(|summary| summary.kept.clone())
        .or_else(highest)
}

/// The figure of the frozen model beside the kept one's, where another is kept.
fn beside(summary: &Summary) -> String {
    let guard = summary.guard.as_ref();
    let (Some(frozen), Some(kept)) = (
        guard.and_then(|guard| guard.frozen.as_ref()),
        guard.and_then(Verdict::kept),
    ) else {
        return String::new();
    };
    if kept == frozen {
        message!("; it is the frozen backbone with a new head")
    } else {
        message!(
            "; the frozen backbone with a new head has {value}",
            value = figure(frozen)
        )
    }
}

fn figure(figure: &EpochFigure) -> String {
    percent(figure.value)
}

/// The number of images that are classified correctly.
fn right(classes: &warmstart_workflows::report::Classes) -> usize {
    classes
        .images
        .iter()
        .filter(|image| image.is_right())
        .count()
}

fn interval(interval: Interval) -> String {
    message!("95%: {range}", range = range(interval))
}

/// `61.2% to 81.0%`
pub fn range(Interval { low, high }: Interval) -> String {
    message!("{low} to {high}", low = percent(low), high = percent(high))
}

/// `72.3%`
pub fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

/// Seconds of all epochs.
fn seconds(report: &RunReport) -> f64 {
    report
        .files
        .history
        .iter()
        .map(|record| record.seconds)
        .sum()
}

fn facts(report: &RunReport) -> Vec<(&'static str, String)> {
    let files = &report.files;
    let Recipe {
        model,
        weights,
        image_size,
        seed,
        data,
        ..
    } = &files.recipe;
    let mut facts = vec![
        (translated(english!("network")), model.clone()),
        (
            translated(english!("weights")),
            if weights == NO_WEIGHTS {
                message!("none, from scratch")
            } else {
                weights.clone()
            },
        ),
        (translated(english!("data")), shown(data)),
        (
            translated(english!("image size")),
            message!("{image_size} pixels"),
        ),
        (translated(english!("seed")), seed.to_string()),
    ];
    if let Some(summary) = &files.summary {
        facts.push((translated(english!("kept")), kept(summary)));
        if let Some(test) = &summary.test {
            facts.push((
                translated(english!("on the test images")),
                percent(test.metric),
            ));
        }
    }
    let peak = files.history.iter().map(|record| record.peak_memory_mb);
    let peak = peak.fold(0.0, f64::max);
    if peak > 0.0 {
        facts.push((
            translated(english!("highest memory")),
            format!("{peak:.0} MB"),
        ));
    }
    facts
}

/// Which model is kept.
fn kept(summary: &Summary) -> String {
    let EpochFigure { epoch, phase, .. } = &summary.kept;
    let at = message!("epoch {epoch} ({phase})");
    match summary.kept.kind {
        Some(ModelKind::Probe) => message!("the frozen model, {at}"),
        Some(ModelKind::Thaw) => message!("the thawed model, {at}"),
        Some(ModelKind::Mean) => message!("the mean of the frozen and the thawed model, {at}"),
        None => at,
    }
}
