//! The epoch of a phase whose head is solved in closed form.

use std::time::Instant;

use warmstart_language::message;
use warmstart_metrics::wilson;
use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::Device;
use warmstart_ranks::Ranks;
use warmstart_recipe::{Error, Position};
use warmstart_run::event::{Event, Observer};
use warmstart_run::record::EpochRecord;
use warmstart_run::shard::Shard;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use super::run::Run;
use crate::head_layers::layers_of;
use crate::lockstep::{agree_unless_stopped, first};
use crate::memory;
use crate::solved_head::SolvedHead;
use crate::trainer::CurrentPhase;

/// Name of the accuracy of each training image by the regression on all others, in metrics.jsonl.
const LEFT_OUT: &str = "leave_one_out";
/// Name of the validation accuracy of the architecture's own head, which reads the last layer alone.
const LAST_LAYER: &str = "last_layer";

/// A head that was solved and evaluated.
struct Judged<T: Task> {
    record: EpochRecord,
    tally: T::Tally,
    head: Parameters,
}

impl<T: Task> Run<T> {
    /// Solves for the head, and evaluates it. The learned state is that of before if it fails, or is stopped.
    ///
    /// The ranks compute the features together, where these are cached; then rank 0 solves, and alone has the tally.
    pub(super) fn solved_epoch(
        &mut self,
        epoch: usize,
        position: Position,
        current: &CurrentPhase,
        observe: Observer,
    ) -> Result<(EpochRecord, Option<T::Tally>), Error> {
        let began = Instant::now();
        let ranks = self.trainer.resources.ranks.clone();
        self.fill_features_together(epoch, current, observe)?;
        let (mut tally, mut head) = (None, None);
        let record = first(&ranks, || {
            let judged = self.judged_head(began, (epoch, position), current, observe)?;
            tally = Some(judged.tally);
            head = Some(judged.head);
            Ok(judged.record)
        })?;
        self.state
            .take_head(of_first(&ranks, head, &self.trainer.device)?);
        Ok((record, tally))
    }

    /// Has each of several ranks compute and cache its part of the features.
    fn fill_features_together(
        &self,
        epoch: usize,
        current: &CurrentPhase,
        observe: Observer,
    ) -> Result<(), Error> {
        let resources = &self.trainer.resources;
        let ranks = &resources.ranks;
        if ranks.is_alone() {
            return Ok(());
        }
        let part = Shard {
            number: ranks.rank() + 1,
            of: ranks.count(),
        };
        let filled = match resources.cache {
            Some(_) => self.trainer.fill_features(current, part, observe),
            None => Ok(Some(Default::default())),
        };
        let filled = filled.map_err(|error| error.of_lost_image(|| self.stopped(epoch)));
        match agree_unless_stopped(ranks, filled)? {
            Some(_) => Ok(()),
            None => Err(self.stopped(epoch)),
        }
    }

    fn judged_head(
        &self,
        began: Instant,
        (epoch, position): (usize, Position),
        current: &CurrentPhase,
        observe: Observer,
    ) -> Result<Judged<T>, Error> {
        let phase = &self.trainer.recipe.phases[position.phase];
        let layers = layers_of(&self.trainer.architecture, &phase.head_layers);
        let solved = self.trainer.solve_head(&current.frozen, phase, observe);
        let solving = began.elapsed().as_secs_f64();
        let solved = solved.map_err(|error| error.of_lost_image(|| self.stopped(epoch)))?;
        let Some(solved) = solved else {
            return Err(self.stopped(epoch));
        };
        let mut parameters = self.state.parameters.clone();
        parameters.replace(solved.parameters.clone());
        let last = self.trainer.architecture.last_layer();
        let last = layers
            .iter()
            .position(|layer| layer == last)
            .unwrap_or_default();
        let evaluated = self
            .trainer
            .evaluate_both(&parameters, &current.frozen, last, observe);
        let evaluated = evaluated.map_err(|error| error.of_lost_image(|| self.stopped(epoch)))?;
        let Some([tally, of_last]) = evaluated else {
            return Err(self.stopped(epoch));
        };
        let task = &self.trainer.task;
        let (mut evaluation, of_last) = (task.evaluation(&tally), task.evaluation(&of_last));
        let is_held_out = !self
            .trainer
            .data
            .evaluated(EvaluationSplit::Validation)
            .is_empty();
        observe(Event::Note(note(
            &solved,
            &layers,
            is_held_out.then_some(of_last.metric),
        )));
        self.write_doubts(&solved.left_out, observe)?;
        let left_out = solved.left_out.accuracy();
        let mut others = std::mem::take(&mut evaluation.others);
        others.insert(LEFT_OUT.to_owned(), left_out);
        if is_held_out {
            others.insert(LAST_LAYER.to_owned(), of_last.metric);
        } else {
            evaluation.metric = left_out;
            evaluation.interval = Some(wilson(right(&solved), solved.left_out.images.len()));
            evaluation.loss = solved.left_out.log_loss();
        }
        let images = self.trainer.data.training_images();
        let record = EpochRecord {
            epoch,
            phase: phase.name.clone(),
            train_loss: solved.left_out.log_loss(),
            val_loss: evaluation.loss,
            metric: evaluation.metric,
            interval: evaluation.interval,
            others,
            health: Vec::new(),
            skipped_steps: 0,
            lr: 0.0,
            images_per_second: images as f64 / solving.max(f64::MIN_POSITIVE),
            waiting_for_images: None,
            seconds: began.elapsed().as_secs_f64(),
            peak_memory_mb: memory::peak_mb(),
            card_memory_mb: memory::card_mb(&self.trainer.device),
        };
        Ok(Judged {
            record,
            tally,
            head: solved.parameters,
        })
    }

    /// The error for a stop before the head was found: the epoch begins again.
    fn stopped(&self, epoch: usize) -> Error {
        Error::Interrupted {
            words: message!(
                "stopped in epoch {epoch}, before its head was found; the features so far are cached"
            ),
            run: self.run.path().to_owned(),
        }
    }
}

/// The parameters that rank 0 has, on every rank.
fn of_first(ranks: &Ranks, own: Option<Parameters>, device: &Device) -> Result<Parameters, Error> {
    if let Some(own) = own.as_ref().filter(|_| ranks.is_alone()) {
        return Ok(own.clone());
    }
    let tensors = first(ranks, || {
        let parameters = own.unwrap_or_default();
        let tensor = |name: &str| {
            let values = parameters.values(name);
            (name.to_owned(), parameters.shape(name), values)
        };
        Ok(parameters.names().map(tensor).collect::<Vec<_>>())
    })?;
    let mut parameters = Parameters::new();
    for (name, shape, values) in tensors {
        parameters.insert_values(&name, &shape, values, device);
    }
    Ok(parameters)
}

/// Training images that the head solved on all others classifies correctly.
fn right(solved: &SolvedHead) -> usize {
    let right = solved.left_out.right();
    right.iter().filter(|right| **right).count()
}

/// The solution in a sentence; `last_layer` is the validation accuracy on the last layer alone, where there are
/// validation images.
fn note(solved: &SolvedHead, layers: &[String], last_layer: Option<f64>) -> String {
    let judged = solved.left_out.images.len();
    let read = match layers {
        [_] => message!("the last layer"),
        layers => message!("{} layers ({})", layers.len(), layers.join(", ")),
    };
    let own = match last_layer {
        Some(accuracy) if layers.len() > 1 => {
            message!("; on the last layer alone its validation accuracy is {accuracy:.3}")
        }
        Some(_) => String::new(),
        None => message!("; no image is held out, so this is the run's metric"),
    };
    message!(
        "ridge head on {read}: leave-one-out accuracy {:.3} ({}) on {judged} training images{own}",
        solved.left_out.accuracy(),
        wilson(right(solved), judged)
    )
}
