//! The epoch of a phase whose head is solved in closed form.

use std::time::Instant;

use warmstart_language::message;
use warmstart_metrics::wilson;
use warmstart_recipe::{Error, Position};
use warmstart_run::event::{Event, Observer};
use warmstart_run::record::EpochRecord;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use super::run::Run;
use crate::head_layers::layers_of;
use crate::memory;
use crate::solved_head::SolvedHead;
use crate::trainer::CurrentPhase;

/// Name of the accuracy of each training image by the regression on all others, in metrics.jsonl.
const LEFT_OUT: &str = "leave_one_out";
/// Name of the validation accuracy of the architecture's own head, which reads the last layer alone.
const LAST_LAYER: &str = "last_layer";

impl<T: Task> Run<T> {
    /// Solves for the head, and evaluates it. The learned state is that of before if it fails, or is stopped.
    pub(super) fn solved_epoch(
        &mut self,
        epoch: usize,
        position: Position,
        current: &CurrentPhase,
        observe: Observer,
    ) -> Result<(EpochRecord, T::Tally), Error> {
        let began = Instant::now();
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
        self.state.take_head(parameters);
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
        Ok((record, tally))
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
