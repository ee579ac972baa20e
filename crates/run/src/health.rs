//! The health of a network while it learns, stage by stage: whether gradients reach the lower layers, whether steps are
//! of a sensible size, and whether units are dead. Measured in a few steps, from what a step computes anyway.

use serde::{Deserialize, Serialize};
use warmstart_language::message;
use warmstart_recipe::Key;

/// Share of the head's gradient below which a stage hardly learns.
const VANISHING: f64 = 1e-5;
/// Multiple of the head's gradient above which a stage's gradient explodes.
const EXPLODING: f64 = 1e5;
/// Largest healthy change of a stage's weights in a step, as a share of their norm.
const LARGEST_UPDATE: f64 = 0.05;
/// Share of dead channels above which a stage is unhealthy.
const MANY_DEAD: f64 = 0.5;
/// Distance of batch statistics from the running ones, in running standard deviations, above which the network behaves
/// differently in evaluation.
const FAR: f64 = 1.0;

/// The health of the trained stages in a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// The step in its epoch, from 1.
    pub step: usize,
    /// The trained stages from the image on, then the head.
    pub stages: Vec<StageHealth>,
}

/// The health of a stage in a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageHealth {
    /// Its name, `head` for the last.
    pub stage: String,
    /// Euclidean norm of its gradient, before clipping.
    pub gradient_norm: f64,
    /// Norm of the step's change of its parameters ÷ their norm.
    pub update_ratio: f64,
    /// Standard deviation of its output; `None` for the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_std: Option<f64>,
    /// Share of its channels that have the same value at every pixel of the measured images; `None` for the head, and
    /// for fewer than 64 pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_units: Option<f64>,
    /// Mean distance of its batch means from the running means, in running standard deviations; `None` where batch norm
    /// is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm_drift: Option<f64>,
}

/// A problem with the health of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthProblem {
    /// Its kind, in English; each kind is reported once per phase.
    pub what: &'static str,
    /// A sentence that ends in what to try.
    pub sentence: String,
}

impl Health {
    /// The problems of a step, in sentences that name the stage where each is worst.
    pub fn problems(&self) -> Vec<HealthProblem> {
        let Some((head, stages)) = self.stages.split_last() else {
            return Vec::new();
        };
        let of_head = head.gradient_norm;
        let least = worst(stages, |stage| of_head / stage.gradient_norm);
        let most = worst(stages, |stage| stage.gradient_norm / of_head);
        let update = worst(stages, |stage| stage.update_ratio);
        let dead = worst(stages, |stage| stage.dead_units.unwrap_or(0.0));
        let drift = worst(stages, |stage| stage.batch_norm_drift.unwrap_or(0.0));
        let mut problems = Vec::new();
        let mut add = |what, sentence| problems.push(HealthProblem { what, sentence });
        if let Some((stage, times)) = least.filter(|(_, times)| *times > 1.0 / VANISHING) {
            let size = if times.is_finite() {
                message!("{:.0e} of the head's", 1.0 / times)
            } else {
                message!("nothing of the head's")
            };
            add(
                "vanishing",
                message!(
                    "gradients of {} are {size}: vanishing, so lower layers hardly learn; try a lower \
                     learning rate, pretrained weights, a model with batch norm or shortcuts, or another {} \
                     (`warmstart init-check` shows what each does)",
                    stage.stage,
                    Key::INIT
                ),
            );
        }
        if let Some((stage, times)) = most.filter(|(_, times)| *times > EXPLODING) {
            add(
                "exploding",
                message!(
                    "gradients of {} are {times:.0e} times the head's: exploding; try a lower learning rate, \
                     clip_norm = 1.0, or another {} (`warmstart init-check` shows what each does)",
                    stage.stage,
                    Key::INIT
                ),
            );
        }
        if let Some((stage, share)) = update.filter(|(_, share)| *share > LARGEST_UPDATE) {
            add(
                "updates",
                message!(
                    "a step changes the weights of {} by {:.0}% of their size, and around 0.1% is usual: what was \
                     learned before is lost; try a learning rate {} times lower, or `warmstart lr-find`",
                    stage.stage,
                    share * 100.0,
                    if share > 0.5 { 30 } else { 10 }
                ),
            );
        }
        if let Some((stage, share)) = dead.filter(|(_, share)| *share > MANY_DEAD) {
            add(
                "dead units",
                message!(
                    "{:.0}% of the channels of {} give the same output for every image: dead units; try a lower \
                     learning rate, a longer warm-up or another {}",
                    share * 100.0,
                    stage.stage,
                    Key::INIT
                ),
            );
        }
        if let Some((stage, distance)) = drift.filter(|(_, distance)| *distance > FAR) {
            add(
                "batch-norm drift",
                message!(
                    "the batches' statistics in {} are {distance:.1} standard deviations from the running ones, \
                     so the network that is evaluated is not the one that trains; try batch_norm = \"frozen\", a \
                     larger batch or more epochs",
                    stage.stage
                ),
            );
        }
        problems
    }
}

/// The stage with the highest finite value.
fn worst(
    stages: &[StageHealth],
    figure: impl Fn(&StageHealth) -> f64,
) -> Option<(&StageHealth, f64)> {
    let figures = stages.iter().map(|stage| (stage, figure(stage)));
    let known = figures.filter(|(_, figure)| !figure.is_nan());
    known.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, gradient_norm: f64) -> StageHealth {
        StageHealth {
            stage: name.into(),
            gradient_norm,
            update_ratio: 1e-3,
            activation_std: Some(1.0),
            dead_units: Some(0.0),
            batch_norm_drift: Some(0.1),
        }
    }

    fn sentences(stages: Vec<StageHealth>) -> Vec<String> {
        let health = Health { step: 1, stages };
        let problems = health.problems().into_iter();
        problems.map(|problem| problem.sentence).collect()
    }

    #[test]
    fn a_healthy_network_gives_no_warning() {
        let healthy = vec![
            stage("features.0", 0.3),
            stage("features.1", 0.5),
            stage("head", 1.0),
        ];
        assert_eq!(sentences(healthy), Vec::<String>::new());
        assert_eq!(sentences(vec![stage("head", 1.0)]), Vec::<String>::new());
    }

    #[test]
    fn vanishing_gradients_are_named_where_they_are_smallest() {
        let said = sentences(vec![
            stage("features.0", 1e-7),
            stage("features.1", 1e-6),
            stage("head", 1.0),
        ]);
        assert!(said[0].starts_with("gradients of features.0 are 1e-7 of the head's: vanishing"));
        // No gradient at all is the same.
        let none = sentences(vec![stage("features.0", 0.0), stage("head", 1.0)]);
        assert!(none[0].contains("vanishing"), "{none:?}");
    }

    #[test]
    fn every_problem_has_its_sentence() {
        let ill = StageHealth {
            update_ratio: 0.2,
            dead_units: Some(0.75),
            batch_norm_drift: Some(3.0),
            ..stage("layer4.1", 1e6)
        };
        let said = sentences(vec![ill, stage("head", 1.0)]).join("\n");
        for words in [
            "exploding",
            "by 20% of their size",
            "75% of the channels",
            "3.0 standard deviations",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
