//! The choice of the kept model, once all epochs are done.

use std::path::{Path, PathBuf};

use warmstart_language::message;
use warmstart_metrics::CONFIDENCE;
use warmstart_nn::Parameters;
use warmstart_recipe::run_files::{BEST, MODEL, TRAINING};
use warmstart_recipe::{Error, Phase};
use warmstart_run::checkpoint::At;
use warmstart_run::event::{Event, Observer};
use warmstart_run::record::EpochFigure;
use warmstart_run::verdict::{Candidates, KeptWeights, LEVEL, Verdict};
use warmstart_tasks::classify::{StoredModel, multi_head};
use warmstart_tasks::model_file::replace_model;
use warmstart_tasks::network::INFERENCE_BATCH;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use super::checkpointer::with_confidence;
use super::run::Run;
use crate::evaluation::Network;
use crate::frozen::Frozen;
use crate::trainer::Trainer;

impl<T: Task> Run<T> {
    pub(super) fn candidates(&self) -> Candidates {
        Candidates::of(&self.trainer.recipe, &self.history, T::KIND.metric())
    }

    /// Remembers the evaluation of the last epoch, as long as the epoch is a candidate.
    pub(super) fn remember(&mut self, tally: T::Tally) {
        self.tallies.insert(self.history.len(), tally);
        let candidates = self.candidates();
        let is_candidate = |epoch: usize| candidates.iter().any(|figure| figure.epoch == epoch);
        self.tallies.retain(|&epoch, _| is_candidate(epoch));
    }

    /// Compares the candidates and makes best.safetensors the kept one. `Ok(None)` where there is
    /// nothing to choose, or no guard.
    ///
    /// # Errors
    /// If a stop is requested, or the disk refuses.
    pub(super) fn choose(&mut self, observe: Observer) -> Result<Option<Verdict>, Error> {
        let Candidates { frozen, mut thawed } = self.candidates();
        if let (Some(frozen), Some(thawed)) = (&frozen, &thawed)
            && self.is_solved(frozen)
        {
            return self.choose_of_three(frozen.clone(), thawed.clone(), observe);
        }
        let is_guarded = self.trainer.recipe.guard;
        let has_average = |figure: &EpochFigure| self.checkpoint_file(figure, TRAINING).is_file();
        if !is_guarded && !thawed.as_ref().is_some_and(has_average) {
            return Ok(None);
        }
        let mut weights = None;
        let mut tally = None;
        if let Some(highest) = &mut thawed {
            let of_average = self.outcome(highest, MODEL, observe);
            let Some(of_average) = self.unless_lost(of_average, observe)? else {
                return Ok(None);
            };
            tally = Some(of_average);
            if self.checkpoint_file(highest, TRAINING).is_file() {
                let of_trained = self.outcome(highest, TRAINING, observe);
                let Some(of_trained) = self.unless_lost(of_trained, observe)? else {
                    return Ok(None);
                };
                let evaluation = self.trainer.task.evaluation(&of_trained);
                weights = Some(KeptWeights::Average);
                if evaluation.metric > highest.value {
                    weights = Some(KeptWeights::Trained);
                    highest.value = evaluation.metric;
                    highest.interval = evaluation.interval;
                    highest.confidence = evaluation.others.get(CONFIDENCE).copied();
                    tally = Some(of_trained);
                }
            }
        }
        let mut p_value = None;
        if !is_guarded {
            // The highest metric: that of an epoch, unless the thaw's own weights are better than their average.
            let highest = frozen
                .as_ref()
                .map_or(f64::NEG_INFINITY, |frozen| frozen.value);
            let is_highest = thawed.as_ref().is_some_and(|thawed| thawed.value > highest);
            weights = weights.filter(|&weights| weights == KeptWeights::Trained && is_highest);
        } else if let (Some(frozen), Some(tally)) = (&frozen, &tally) {
            let of_frozen = self.outcome(frozen, MODEL, observe);
            let Some(of_frozen) = self.unless_lost(of_frozen, observe)? else {
                return Ok(None);
            };
            p_value = Some(self.trainer.task.gain_p_value(&of_frozen, tally));
        }
        if p_value.is_none() && weights.is_none() {
            return Ok(None);
        }
        let verdict = Verdict {
            frozen,
            thawed,
            weights,
            p_value,
            level: LEVEL,
            mean: None,
            kind: None,
        };
        self.keep(&verdict)?;
        Ok(Some(verdict))
    }

    /// Makes best.safetensors the model that a verdict keeps.
    ///
    /// # Errors
    /// If the disk refuses, or the checkpoint is damaged.
    pub(super) fn keep(&self, verdict: &Verdict) -> Result<(), Error> {
        let Some(kept) = verdict.kept() else {
            return Ok(());
        };
        if verdict.kept_weights() != Some(KeptWeights::Trained) {
            return self.run.write_kept(kept);
        }
        let file = self.checkpoint_file(kept, TRAINING);
        let parameters = self.model_in(&file)?.parameters;
        let info = with_confidence(&self.trainer.info, kept.confidence);
        replace_model(&self.run.path().join(BEST), &parameters, &info)
    }

    /// The evaluation of an epoch's model on the validation images; `None` if a stop is requested.
    pub(super) fn outcome(
        &mut self,
        figure: &EpochFigure,
        file: &str,
        observe: Observer,
    ) -> Result<Option<T::Tally>, Error> {
        if file == MODEL
            && let Some(tally) = self.tallies.remove(&figure.epoch)
        {
            return Ok(Some(tally));
        }
        // The checkpoint was verified when it was opened.
        self.run.checkpoints.open(At::Epoch(figure.epoch))?;
        self.measured(
            &self.checkpoint_file(figure, file),
            EvaluationSplit::Validation,
            observe,
        )
    }

    /// The evaluation of a file's model on a split; `None` if a stop is requested.
    pub(super) fn measured(
        &self,
        file: &Path,
        split: EvaluationSplit,
        observe: Observer,
    ) -> Result<Option<T::Tally>, Error> {
        let StoredModel { parameters, twin } = self.model_in(file)?;
        let frozen = self.read_by_head(&parameters)?;
        let Some(twin) = twin else {
            return self.trainer.evaluate(&parameters, &frozen, split, observe);
        };
        let of_twin = self.read_by_head(&twin.parameters)?;
        let networks = [
            Network {
                parameters: &twin.parameters,
                frozen: &of_twin,
            },
            Network {
                parameters: &parameters,
                frozen: &frozen,
            },
        ];
        let of_both = self.trainer.evaluate_with_mean(networks, split, observe)?;
        Ok(of_both.and_then(|of_both| of_both.mean))
    }

    /// The part of a model that its head reads, without a cache.
    fn read_by_head(&self, parameters: &Parameters) -> Result<Frozen, Error> {
        let layers = multi_head::layers(parameters);
        let images = self.images_at_a_time();
        if layers.is_empty() {
            Ok(self.trainer.frozen(0, parameters, images))
        } else {
            self.trainer.frozen_layers(&layers, parameters, images)
        }
    }

    /// At most as many images as the steps had memory for.
    pub(super) fn images_at_a_time(&self) -> usize {
        let micro_batches = self.trainer.recipe.phases.iter().map(Phase::micro_batch);
        micro_batches.min().unwrap_or(INFERENCE_BATCH)
    }

    /// The model in a file of the run.
    pub(super) fn model_in(&self, path: &Path) -> Result<StoredModel, Error> {
        let Trainer {
            architecture,
            data,
            device,
            ..
        } = &self.trainer;
        let mut file = warmstart_weights::read(path)?;
        let ordinary = self.trainer.parameter_infos();
        StoredModel::take(
            &mut file,
            ordinary,
            architecture,
            data.classes.len(),
            device,
        )
    }

    pub(super) fn checkpoint_file(&self, figure: &EpochFigure, name: &str) -> PathBuf {
        let folder = self.run.checkpoints.path(At::Epoch(figure.epoch));
        folder.join(name)
    }

    /// Keeps the highest epoch where a candidate's checkpoint is lost.
    pub(super) fn unless_lost<R>(
        &self,
        outcome: Result<Option<R>, Error>,
        observe: Observer,
    ) -> Result<Option<R>, Error> {
        match outcome {
            Ok(Some(result)) => Ok(Some(result)),
            Ok(None) => Err(Error::Interrupted {
                words: message!("stopped while choosing the kept model; all epochs are done"),
                run: self.run.path().to_owned(),
            }),
            Err(damage @ Error::Checkpoint(_)) => {
                observe(Event::Note(message!(
                    "the frozen and the thawed model cannot be compared ({damage}): the highest epoch is kept"
                )));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes best.safetensors an epoch's model, if its checkpoint is there.
    pub(super) fn keep_epoch(&self, kept: &EpochFigure, observe: Observer) -> Result<(), Error> {
        self.keep_old_if_lost(self.run.write_kept(kept), observe)
    }

    /// Leaves best.safetensors as it is where a checkpoint is lost, and reports that.
    pub(super) fn keep_old_if_lost(
        &self,
        written: Result<(), Error>,
        observe: Observer,
    ) -> Result<(), Error> {
        match written {
            Err(damage @ Error::Checkpoint(_)) => {
                observe(Event::Note(message!(
                    "the kept epoch's checkpoint is lost ({damage}); best.safetensors is unchanged until an epoch has \
                     a higher metric"
                )));
                Ok(())
            }
            other => other,
        }
    }
}
