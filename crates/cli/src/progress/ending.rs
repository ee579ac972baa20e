//! The end of a run as lines for people: what was kept, and the commands that go on from it.

use std::path::Path;

use warmstart_data::data_folder;
use warmstart_files::shown;
use warmstart_language::{message, translated};
use warmstart_metrics::Interval;
use warmstart_recipe::run_files::{BEST, REPORT};
use warmstart_recipe::{Key, Recipe, command};
use warmstart_run::list::MORE_EPOCHS;
use warmstart_run::record::ModelKind;
use warmstart_run::summary::Summary;
use warmstart_run::verdict::{KeptWeights, Verdict};
use warmstart_workflows::cross_validate::CrossValidation;

use super::line::noted;

/// The 95% confidence interval of a metric.
pub fn interval(interval: Option<Interval>) -> String {
    interval.map_or(String::new(), |interval| message!(" ({interval})"))
}

/// The kept model, why it was kept, and its metric on the test images.
pub fn finished_lines(summary: &Summary, run: &str) -> Vec<String> {
    let kept = &summary.kept;
    let (metric, phase) = (translated(&kept.metric), &kept.phase);
    let what_is_kept = match summary.guard.as_ref().and_then(Verdict::kept_weights) {
        Some(KeptWeights::Average) => message!(
            "finished: kept {metric} {kept} ({phase}), the moving average of its weights, in {run}/{BEST}"
        ),
        Some(KeptWeights::Trained) => message!(
            "finished: kept {metric} {kept} ({phase}), its own weights, not their moving average, in {run}/{BEST}"
        ),
        None => match kept.kind {
            Some(ModelKind::Mean) => message!(
                "finished: kept {metric} {kept} ({phase}), the mean of the frozen and the thawed model, in {run}/{BEST}"
            ),
            Some(ModelKind::Probe | ModelKind::Thaw) | None => {
                message!("finished: kept {metric} {kept} ({phase}), in {run}/{BEST}")
            }
        },
    };
    let mut lines = vec![what_is_kept];
    lines.extend(summary.not_kept());
    lines.extend(summary.guard.as_ref().and_then(Verdict::sentence));
    if let Some(test) = &summary.test {
        lines.push(message!(
            "test: {metric} {:.4}{}, loss {:.3}",
            test.metric,
            interval(test.interval),
            test.loss
        ));
    }
    // The file has it in English.
    lines.push(noted(translated(&summary.note)));
    lines
}

/// The page of a finished run, and the commands that go on from it; each works when it is pasted.
pub fn next_commands(
    run: &Path,
    recipe: &Recipe,
    is_validated: bool,
    epochs: usize,
) -> Vec<String> {
    let word = command::word(run);
    let mut commands = vec![format!("warmstart report {word}")];
    // Without images of its own to evaluate, there would be nothing to do.
    if is_validated {
        commands.push(format!("warmstart eval {word}"));
    }
    let folder = data_folder(&recipe.data);
    let held_out = folder.join("val");
    let pictures = if held_out.is_dir() {
        held_out.as_path()
    } else {
        folder
    };
    commands.push(format!(
        "warmstart predict {word} {}",
        command::word(pictures)
    ));
    commands.push(format!(
        "warmstart export {word} --onnx {}",
        command::word(&run.join("model.onnx"))
    ));
    // More epochs do not change a head that is solved.
    if recipe.phases.last().is_some_and(|last| !last.is_solved()) {
        commands.push(format!(
            "{} {} {}",
            command::resume(run),
            Key::EPOCHS,
            epochs + MORE_EPOCHS
        ));
    }
    let commands = commands.into_iter().map(|command| format!("  {command}"));
    // The page is written when the memory of training is free again.
    let page = message!("report: {}", shown(&run.join(REPORT)));
    [page, message!("what next:")]
        .into_iter()
        .chain(commands)
        .collect()
}

/// The metrics of a cross-validation, in a line.
pub fn folds_line(result: &CrossValidation) -> String {
    let values: Vec<_> = result
        .folds
        .iter()
        .map(|figure| format!("{:.4}", figure.value))
        .collect();
    message!(
        "{} folds: {} {:.4} ± {:.4} (mean ± standard deviation of {}; each also chose its run's epoch, so they are \
         optimistic)",
        result.folds.len(),
        result
            .folds
            .first()
            .map_or("", |figure| translated(&figure.metric)),
        result.mean,
        result.deviation,
        values.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use warmstart_recipe::Draft;
    use warmstart_run::record::EpochFigure;
    use warmstart_run::summary::RunState;

    use super::*;
    use crate::printing::printed;

    fn figure(epoch: usize, phase: &str, value: f64) -> EpochFigure {
        EpochFigure {
            epoch,
            phase: phase.into(),
            metric: "top-1 accuracy".into(),
            value,
            interval: None,
            confidence: None,
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
    fn the_next_commands_are_those_that_work() {
        let text = "data = '/no/such/data'\nmodel = 'resnet18'\nweights = 'w'";
        let draft: Draft = toml::from_str(text).unwrap();
        let mut recipe = draft.resolve(224, None).unwrap();
        let run = Path::new("runs/pets");
        let lines = next_commands(run, &recipe, true, 14);
        let lines: Vec<String> = lines.iter().map(|line| printed(line)).collect();
        assert_eq!(
            lines,
            [
                "report: runs/pets/report.html",
                "what next:",
                "  warmstart report runs/pets",
                "  warmstart eval runs/pets",
                "  warmstart predict runs/pets /no/such/data",
                "  warmstart export runs/pets --onnx runs/pets/model.onnx",
                "  warmstart resume runs/pets --epochs 19",
            ]
        );
        recipe.phases.pop();
        let of_head = next_commands(run, &recipe, false, 1);
        assert_eq!(
            of_head.len(),
            5,
            "nothing to evaluate or to train: {of_head:?}"
        );
    }
}
