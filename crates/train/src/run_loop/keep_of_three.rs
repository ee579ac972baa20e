//! The choice of the kept model where the head of the frozen model was solved: the frozen model, the thawed one with a
//! head that is solved again on its features, or the mean of their probabilities.

use warmstart_nn::Parameters;
use warmstart_recipe::run_files::{BEST, MODEL};
use warmstart_recipe::{Error, Phase};
use warmstart_run::checkpoint::At;
use warmstart_run::event::Observer;
use warmstart_run::record::{EpochFigure, ModelKind};
use warmstart_run::verdict::{LEVEL, Verdict};
use warmstart_tasks::classify::{frozen_top, known, multi_head};
use warmstart_tasks::model_file::replace_model;
use warmstart_tasks::task::{Evaluation, Task};
use warmstart_tasks::task_data::EvaluationSplit;

use super::run::Run;
use crate::evaluation::{Network, OfTwo};
use crate::frozen::Frozen;
use crate::head_layers::layers_of;

/// The thawed model with a new head.
struct Refitted {
    parameters: Parameters,
    /// The layers that its head reads.
    layers: Frozen,
}

impl<T: Task> Run<T> {
    /// Whether the head of an epoch was solved.
    pub(super) fn is_solved(&self, figure: &EpochFigure) -> bool {
        let mut phases = self.trainer.recipe.phases.iter();
        phases.any(|phase| phase.name == figure.phase && phase.is_solved())
    }

    /// Compares the candidates and makes best.safetensors the kept one. `Ok(None)` where a checkpoint is lost.
    ///
    /// # Errors
    /// If a stop is requested, or the disk refuses.
    pub(super) fn choose_of_three(
        &mut self,
        frozen: EpochFigure,
        thawed: EpochFigure,
        observe: Observer,
    ) -> Result<Option<Verdict>, Error> {
        // Noticed before the head of the other is solved, which takes a pass over the training images.
        let there = self.run.checkpoints.open(At::Epoch(frozen.epoch)).map(Some);
        if self.unless_lost(there, observe)?.is_none() {
            return Ok(None);
        }
        let refitted = self.refitted(&frozen, &thawed, observe);
        let Some(refitted) = self.unless_lost(refitted, observe)? else {
            return Ok(None);
        };
        let compared = self.compared(&frozen, &refitted, observe);
        let Some(compared) = self.unless_lost(compared, observe)? else {
            return Ok(None);
        };
        let [of_frozen, of_thawed] = compared.each;
        // Its figures are those of its epoch, where that is remembered.
        let of_frozen = self.tallies.remove(&frozen.epoch).unwrap_or(of_frozen);
        let of_mean = compared.mean;
        let of_mean = of_mean.expect("a task whose head is solved has probabilities");
        let task = &self.trainer.task;
        let evaluations = [&of_frozen, &of_thawed, &of_mean].map(|tally| task.evaluation(tally));
        let kind = kept_kind(&evaluations, self.trainer.recipe.guard);
        let [evaluation, of_thaw, of_mean] = evaluations;
        let verdict = Verdict {
            frozen: Some(figure(&frozen, &evaluation, ModelKind::Probe)),
            thawed: Some(figure(&thawed, &of_thaw, ModelKind::Thaw)),
            weights: None,
            p_value: Some(task.gain_p_value(&of_frozen, &of_thawed)),
            level: LEVEL,
            mean: Some(figure(&thawed, &of_mean, ModelKind::Mean)),
            kind: Some(kind),
        };
        self.write_of_three(kind, &frozen, &refitted)?;
        Ok(Some(verdict))
    }

    /// Makes best.safetensors the model that a verdict on three candidates keeps, where it is not there any more.
    ///
    /// # Errors
    /// If a stop is requested, or the disk refuses.
    pub(super) fn keep_of_three(
        &self,
        kind: ModelKind,
        verdict: &Verdict,
        observe: Observer,
    ) -> Result<(), Error> {
        let (Some(frozen), Some(thawed)) = (&verdict.frozen, &verdict.thawed) else {
            return Ok(());
        };
        if self.model_in(&self.run.path().join(BEST)).is_ok() {
            return Ok(());
        }
        let refitted = self.refitted(frozen, thawed, observe);
        match self.unless_lost(refitted, observe)? {
            Some(refitted) => self.write_of_three(kind, frozen, &refitted),
            None => Ok(()),
        }
    }

    /// The thawed model of an epoch with a head on the layers that the frozen model's reads; `None` if a stop is
    /// requested.
    fn refitted(
        &self,
        frozen: &EpochFigure,
        thawed: &EpochFigure,
        observe: Observer,
    ) -> Result<Option<Refitted>, Error> {
        let mut parameters = self.parameters_of(thawed)?;
        let phase = self.phase_of(frozen);
        let frozen = self.layers_in(&parameters, phase)?;
        let Some(solved) = self.trainer.solve_head(&frozen, phase, observe)? else {
            return Ok(None);
        };
        parameters.replace(solved.parameters);
        Ok(Some(Refitted {
            parameters,
            layers: frozen,
        }))
    }

    /// The evaluations of the frozen and the thawed model, and of their mean, on the validation images; `None` if a stop
    /// is requested.
    fn compared(
        &self,
        frozen: &EpochFigure,
        thawed: &Refitted,
        observe: Observer,
    ) -> Result<Option<OfTwo<T::Tally>>, Error> {
        let parameters = self.parameters_of(frozen)?;
        let layers = self.frozen_as_solved(&parameters, self.phase_of(frozen))?;
        let networks = [
            Network {
                parameters: &parameters,
                frozen: &layers,
            },
            Network {
                parameters: &thawed.parameters,
                frozen: &thawed.layers,
            },
        ];
        let split = EvaluationSplit::Validation;
        self.trainer.evaluate_with_mean(networks, split, observe)
    }

    /// The layers that the head of the frozen model reads, with the features of validation images that were cached when
    /// it was solved. The head itself tells which: the recipe may have been changed since.
    fn frozen_as_solved(&self, parameters: &Parameters, phase: &Phase) -> Result<Frozen, Error> {
        let trainer = &self.trainer;
        let mut layers = multi_head::layers(parameters);
        if layers.is_empty() {
            layers.push(trainer.architecture.last_layer().to_owned());
        }
        // On a card, so many images at a time are a part of the features' key.
        let mut frozen = trainer.frozen_layers(&layers, parameters, phase.micro_batch())?;
        if let Some(cache) = &trainer.resources.cache {
            // Without the cache, the features are computed.
            let _ = frozen.open_validation_cache(&trainer.feature_key(phase, parameters), cache);
        }
        Ok(frozen)
    }

    fn phase_of(&self, frozen: &EpochFigure) -> &Phase {
        let mut phases = self.trainer.recipe.phases.iter();
        let phase = phases.find(|phase| phase.name == frozen.phase);
        phase.expect("the frozen epoch's phase is one of the run's")
    }

    /// The layers of a network that the head of a phase reads.
    fn layers_in(&self, parameters: &Parameters, phase: &Phase) -> Result<Frozen, Error> {
        let layers = layers_of(&self.trainer.architecture, &phase.head_layers);
        let images = self.images_at_a_time();
        self.trainer.frozen_layers(&layers, parameters, images)
    }

    /// The parameters of an epoch's model, out of its checkpoint.
    fn parameters_of(&self, figure: &EpochFigure) -> Result<Parameters, Error> {
        // The checkpoint is verified when it is opened.
        self.run.checkpoints.open(At::Epoch(figure.epoch))?;
        let model = self.model_in(&self.checkpoint_file(figure, MODEL))?;
        Ok(model.parameters)
    }

    fn write_of_three(
        &self,
        kind: ModelKind,
        frozen: &EpochFigure,
        refitted: &Refitted,
    ) -> Result<(), Error> {
        let mut parameters = refitted.parameters.clone();
        match kind {
            ModelKind::Probe => return self.run.write_kept(frozen),
            ModelKind::Thaw => {}
            ModelKind::Mean => {
                let probe = self
                    .model_in(&self.checkpoint_file(frozen, MODEL))?
                    .parameters;
                // Stages that no phase of the run trained are the same in both.
                let shared = self.trainer.boundaries.iter().copied().min();
                let architecture = &self.trainer.architecture;
                let shared = shared.unwrap_or(architecture.stages.len());
                // The frozen network's record alone: it has not learned from the pictures in it.
                parameters = parameters
                    .renamed(|name| (!name.starts_with(known::PREFIX)).then(|| name.to_owned()));
                parameters.replace(frozen_top::named(&probe, architecture, shared));
            }
        }
        replace_model(&self.run.path().join(BEST), &parameters, &self.trainer.info)
    }
}

/// The kind of model that is kept: the mean, unless another's loss is lower by more than the standard error of the
/// difference; without a guard, the highest metric, and the simpler one among equals.
fn kept_kind([frozen, thawed, mean]: &[Evaluation; 3], is_guarded: bool) -> ModelKind {
    let others = [(ModelKind::Probe, frozen), (ModelKind::Thaw, thawed)];
    if is_guarded {
        let leads =
            others.map(|(kind, other)| (kind, standard_errors(&mean.losses, &other.losses)));
        let furthest = leads.into_iter().filter(|(_, lead)| *lead > 1.0);
        let furthest = furthest.max_by(|(_, one), (_, other)| one.total_cmp(other));
        return furthest.map_or(ModelKind::Mean, |(kind, _)| kind);
    }
    let mut kept = (ModelKind::Probe, frozen.metric);
    for (kind, other) in [(ModelKind::Thaw, thawed), (ModelKind::Mean, mean)] {
        if other.metric > kept.1 {
            kept = (kind, other.metric);
        }
    }
    kept.0
}

/// Mean difference of the losses of two models on the same images, in standard errors; positive if the other's are
/// lower.
fn standard_errors(losses: &[f64], others: &[f64]) -> f64 {
    let differences: Vec<f64> = losses
        .iter()
        .zip(others)
        .map(|(own, other)| own - other)
        .collect();
    let images = differences.len().max(1) as f64;
    let mean = differences.iter().sum::<f64>() / images;
    let squares = differences
        .iter()
        .map(|difference| (difference - mean).powi(2));
    let variance = squares.sum::<f64>() / (images - 1.0).max(1.0);
    mean / (variance / images).sqrt().max(f64::MIN_POSITIVE)
}

fn figure(epoch: &EpochFigure, evaluation: &Evaluation, kind: ModelKind) -> EpochFigure {
    EpochFigure {
        value: evaluation.metric,
        interval: evaluation.interval,
        kind: Some(kind),
        ..epoch.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn evaluation(metric: f64, losses: &[f64]) -> Evaluation {
        Evaluation {
            loss: losses.iter().sum::<f64>() / losses.len() as f64,
            losses: losses.to_vec(),
            metric,
            interval: None,
            others: BTreeMap::new(),
        }
    }

    #[test]
    fn the_mean_is_kept_unless_another_is_better_by_more_than_noise() {
        let mean = evaluation(0.7, &[0.5, 0.6, 0.4, 0.5]);
        let worse = evaluation(0.6, &[0.9, 0.8, 1.0, 0.9]);
        let noisy = evaluation(0.8, &[0.1, 1.1, 0.2, 0.5]);
        let better = evaluation(0.8, &[0.4, 0.5, 0.3, 0.41]);
        let kind = |frozen: &Evaluation, thawed: &Evaluation, is_guarded| {
            kept_kind(&[frozen.clone(), thawed.clone(), mean.clone()], is_guarded)
        };
        assert_eq!(kind(&worse, &noisy, true), ModelKind::Mean);
        assert_eq!(kind(&worse, &better, true), ModelKind::Thaw);
        assert_eq!(kind(&better, &worse, true), ModelKind::Probe);
        assert_eq!(kind(&mean, &mean, true), ModelKind::Mean);
        assert_eq!(kind(&worse, &noisy, false), ModelKind::Thaw);
        assert_eq!(kind(&worse, &worse, false), ModelKind::Mean);
    }
}
