//! The top of the page: what came out, in a sentence, and what would help most.

use maud::{Markup, html};
use warmstart_files::{duration, shown};
use warmstart_metrics::wilson;
use warmstart_recipe::{NO_WEIGHTS, Recipe};
use warmstart_run::files::RunFiles;
use warmstart_run::record::{EpochFigure, ModelKind};
use warmstart_run::summary::{RunState, Summary};
use warmstart_run::verdict::Verdict;
use warmstart_workflows::report::{Judged, RunReport};

use super::advice::advice;

/// The answer, the facts of the run, and the advice.
pub fn answer(report: &RunReport) -> Markup {
    let files = &report.files;
    html! {
        h1 { (shown(&files.run)) }
        p.answer { (sentence(report)) }
        @if let Some(advice) = advice(report) {
            div.advice {
                p { strong { "What would help most: " } (advice.sentence) }
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
        return html! { "No epoch is finished yet." };
    };
    let (done, epochs) = (files.history.len(), files.recipe.epochs());
    let state = match files.summary.as_ref().map(|summary| summary.state) {
        Some(RunState::Finished) => String::new(),
        Some(RunState::Interrupted) => format!("Interrupted after {done} of {epochs} epochs: "),
        Some(RunState::Running) | None => format!("After {done} of {epochs} epochs: "),
    };
    let the = if state.is_empty() { "The" } else { "the" };
    let time = duration(seconds(report));
    html! {
        (state)
        @match &report.judged {
            Some(Judged::Classes(classes)) => {
                @let (total, right) = (classes.matrix.total(), right(classes));
                (the) " kept model classifies " strong { (right) " of " (total) } " validation images correctly: "
                strong { (percent(right as f64 / total.max(1) as f64)) } " (" (interval(right, total)) ")"
            }
            None if report.is_left_out => {
                (the) " kept model's head classifies " strong { (figure(&kept)) } " of the training images correctly"
                @if let Some(interval) = kept.interval {
                    " (95%: " (percent(interval.low)) " to " (percent(interval.high)) ")"
                }
                ", each solved for without it: no image was held out"
            }
            Some(Judged::Scenes(_)) | None => {
                (the) " kept model has " (kept.metric) " " strong { (figure(&kept)) }
            }
        }
        (files.summary.as_ref().map(beside).unwrap_or_default()) ", after " (time) " of training."
    }
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
        "; it is the frozen backbone with a new head".to_owned()
    } else {
        format!(
            "; the frozen backbone with a new head has {}",
            figure(frozen)
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

fn interval(right: usize, total: usize) -> String {
    let interval = wilson(right, total);
    format!(
        "95%: {} to {}",
        percent(interval.low),
        percent(interval.high)
    )
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
        ("network", model.clone()),
        (
            "weights",
            if weights == NO_WEIGHTS {
                "none, from scratch".to_owned()
            } else {
                weights.clone()
            },
        ),
        ("data", shown(data)),
        ("image size", format!("{image_size} pixels")),
        ("seed", seed.to_string()),
    ];
    if let Some(summary) = &files.summary {
        facts.push(("kept", kept(summary)));
        if let Some(test) = &summary.test {
            facts.push(("on the test images", percent(test.metric)));
        }
    }
    let peak = files.history.iter().map(|record| record.peak_memory_mb);
    let peak = peak.fold(0.0, f64::max);
    if peak > 0.0 {
        facts.push(("highest memory", format!("{peak:.0} MB")));
    }
    facts
}

/// Which model is kept.
fn kept(summary: &Summary) -> String {
    let EpochFigure { epoch, phase, .. } = &summary.kept;
    let what = match summary.kept.kind {
        Some(ModelKind::Probe) => "the frozen model, ",
        Some(ModelKind::Thaw) => "the thawed model, ",
        Some(ModelKind::Mean) => "the mean of the frozen and the thawed model, ",
        None => "",
    };
    format!("{what}epoch {epoch} ({phase})")
}
