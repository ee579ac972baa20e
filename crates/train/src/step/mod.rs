//! One training step: trained part → loss → gradients → parameters.

mod across_ranks;
mod all_ranks;
mod buckets;
mod early_gradients;
mod gradients;
mod non_finite;
mod sums;
mod trained_part;

use warmstart_language::message;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::update_running_statistics;
use warmstart_run::loss_scale::LossScale;
use warmstart_tasks::task::Task;

pub(crate) use buckets::buckets;
pub use gradients::{Step, StepPoint};
pub use non_finite::NonFinite;

use crate::optimizer::clip_factor;
use crate::training_state::TrainingState;
use crate::watch::Watch;
use gradients::{OwnPart, loss_factor};
use sums::Sums;

impl<T: Task> Step<'_, T> {
    /// Takes a step on a batch of `images` images, of which this process computes the part that is its own
    /// ([`VirtualShards::part_of_rank`](crate::virtual_shards::VirtualShards::part_of_rank)): its `features`, which come
    /// from the frozen part, and its `targets`, both empty where the part is. Returns the mean loss of the whole batch;
    /// `watch` measures the network's health, and `reached` is called at each point of the step.
    ///
    /// Each virtual shard goes through in the phase's micro-batches. Their gradients are averaged over the batch,
    /// weighted by their images, and batch norm's running statistics move once, towards those of the whole batch. All
    /// processes take the same step, or none.
    ///
    /// Where the loss has a factor ([`LossScale`]) and gradients overflow, the factor falls, and nothing else changes.
    ///
    /// # Errors
    /// If the loss or a gradient is not finite. Nothing has been changed then.
    #[allow(
        clippy::too_many_arguments,
        reason = "a batch, its place among others, and two who listen"
    )]
    pub fn run(
        &self,
        state: &mut TrainingState,
        features: Vec<Tensor<4>>,
        targets: &[T::Target],
        images: usize,
        lr: f64,
        mut watch: Option<&mut Watch>,
        reached: &mut dyn FnMut(StepPoint),
    ) -> Result<f64, NonFinite> {
        let part = OwnPart {
            features,
            targets,
            start: self.shards.part_of_rank(images).start,
            images,
        };
        let whole = self.batch_sums(state, part, watch.as_deref_mut(), reached)?;
        let squares = whole.gradients.sum_of_squares();
        if !squares.is_finite() {
            let loss_scale = state.loss_scale.as_mut();
            if loss_scale.is_some_and(LossScale::after_overflow) {
                state.steps += 1;
                return Ok(whole.loss);
            }
            return Err(NonFinite {
                what: message!("the loss is finite, its gradient is not"),
                layer: self.first_layer_backward(&whole.gradients),
            });
        }
        reached(StepPoint::GradientsKnown);
        let norm = squares.sqrt() / loss_factor(state);
        Ok(self.apply(state, whole, norm, lr, watch))
    }

    /// Changes the state by the gradients of a batch, which are those of the loss times its factor, and returns its loss.
    /// `norm` is that of the loss's own gradients over all parameters.
    fn apply(
        &self,
        state: &mut TrainingState,
        whole: Sums,
        norm: f64,
        lr: f64,
        watch: Option<&mut Watch>,
    ) -> f64 {
        let factor = loss_factor(state);
        let TrainingState {
            parameters,
            average,
            optimizer,
            steps,
            loss_scale,
            ..
        } = state;
        let scale = clip_factor(norm, self.phase.clip_norm);
        let before = watch
            .is_some()
            .then(|| (parameters.clone(), whole.gradients.clone()));
        let scale = scale / factor;
        optimizer.step(parameters, whole.gradients, &self.setup.groups, lr, scale);
        if let (Some(watch), Some((before, gradients))) = (watch, before) {
            let statistics = &whole.statistics;
            watch.step(
                self.architecture,
                (&gradients, factor),
                &before,
                parameters,
                statistics,
            );
        }
        update_running_statistics(parameters, &whole.statistics);
        if let Some(average) = average {
            let decay = (T::KIND.defaults().average_decay)(self.phase.ema_decay, optimizer.steps);
            average.move_towards(parameters, &self.setup.changing, 1.0 - decay);
        }
        *steps += 1;
        if let Some(loss_scale) = loss_scale {
            loss_scale.after_step();
        }
        whole.loss
    }
}
