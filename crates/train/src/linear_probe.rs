//! The linear probe: how well pretrained features suit data, before anything is trained on them. A ridge regression on
//! the frozen backbone's features of the training images; the features are cached, as those of a frozen phase are.

use std::sync::Arc;

use warmstart_data::{Fit, Sample, epoch_order, is_square};
use warmstart_language::message;
use warmstart_metrics::{McNemar, wilson};
use warmstart_nn::Parameters;
use warmstart_recipe::{Error, HeadLayers, NO_WEIGHTS, Recipe, Undecided};
use warmstart_ridge::{LeftOut, Solver};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use crate::frozen::FeatureKey;
use crate::head_layers::layers_of;
use crate::trainer::Trainer;

/// p-value from which on a lead over the usual fit counts as luck.
const LUCK: f64 = 0.1;
/// Most images that the choice of `fit` is based on.
const IMAGES_FOR_FIT: usize = 400;

/// Whether each of `samples`, which have one class each, is classified correctly by a regression on the features of the
/// others, with images that fill the network's square by `fit`.
///
/// # Errors
/// If an image cannot be read.
///
/// # Panics
/// If an image of the task has several classes.
pub fn judge<T: Task>(
    trainer: &Trainer<T>,
    fit: Fit,
    samples: Vec<Sample<T::Label>>,
    parameters: &Parameters,
    observe: Observer,
) -> Result<Vec<bool>, Error> {
    let images = samples.len();
    let left_out = left_out(trainer, fit, samples, parameters, observe)?;
    Ok(left_out.map_or_else(|| vec![false; images], |left_out| left_out.right()))
}

/// What a regression on the features of all other `samples`, which have one class each, says of each of them, with
/// images that fill the network's square by `fit`; `None` if a feature is not finite.
///
/// # Errors
/// If an image cannot be read.
///
/// # Panics
/// If an image of the task has several classes.
pub fn left_out<T: Task>(
    trainer: &Trainer<T>,
    fit: Fit,
    samples: Vec<Sample<T::Label>>,
    parameters: &Parameters,
    observe: Observer,
) -> Result<Option<LeftOut>, Error> {
    let class_of = T::CLASS_OF.expect("an image has one class");
    let labels: Vec<usize> = samples
        .iter()
        .map(|sample| class_of(&sample.label))
        .collect();
    let Trainer {
        architecture,
        device,
        resources,
        ..
    } = trainer;
    let recipe = Recipe {
        fit,
        ..trainer.recipe.clone()
    };
    let mut data = (*trainer.data).clone();
    data.validate_on(samples);
    let data = Arc::new(data);
    let preprocessing = T::preprocessing(architecture.pretrained(), &recipe);
    let task = Arc::new(T::new(&recipe, architecture, &data, preprocessing.clone()));
    let phase = &recipe.phases[0];
    let layers = layers_of(&trainer.architecture, &HeadLayers::Auto);
    // At most as many images at a time as the run is planned with.
    let images = phase.micro_batch();
    let mut frozen = trainer.frozen_layers(&layers, parameters, images)?;
    if let Some(cache) = &resources.cache {
        let key = FeatureKey {
            kind: T::KIND,
            architecture,
            parameters,
            phase,
            data: &data,
            preprocessing: &preprocessing,
            seed: recipe.seed,
            device,
            precision: recipe.precision,
        };
        // A missing cache only costs time.
        let _ = frozen.open_validation_cache(&key, cache);
    }
    let source = frozen.evaluation_source(&task, &data, EvaluationSplit::Validation);
    let order: Vec<usize> = (0..labels.len()).collect();
    let mut solver = Solver::new(&frozen.values_of_layers(), data.classes.len());
    trainer.each_row(&frozen, &source, &order, observe, &mut |place, row| {
        solver.add(row, &[labels[place]]);
        true
    })?;
    let every: Vec<usize> = (0..layers.len()).collect();
    Ok(solver.solve(&every).map(|solution| solution.left_out))
}

/// At most `most` of the samples, drawn by the seed, in their order.
pub fn some_of<L: Clone>(samples: &[Sample<L>], most: usize, seed: u64) -> Vec<Sample<L>> {
    let mut drawn = epoch_order(seed, 0, samples.len());
    drawn.truncate(most);
    drawn.sort_unstable();
    drawn.iter().map(|&index| samples[index].clone()).collect()
}

/// Chooses how images fill the network's square, where that was left open, an image has one class, and there are
/// pretrained features: whichever the linear probe classifies best on up to 400 training images, if its lead over the
/// crop, which the weights were made with, is more than luck.
///
/// # Errors
/// If an image cannot be read.
pub fn choose_fit<T: Task>(
    trainer: &mut Trainer<T>,
    undecided: &Undecided,
    parameters: &Parameters,
    observe: Observer,
) -> Result<(), Error> {
    let has_choice = T::CLASS_OF.is_some() && trainer.recipe.weights != NO_WEIGHTS;
    if !undecided.has_open_fit() || !has_choice {
        return Ok(());
    }
    let train = &trainer.data.train;
    let own = trainer.data.training().into_iter();
    let own: Vec<Sample<T::Label>> = own.map(|image| train[image].clone()).collect();
    let samples = some_of(&own, IMAGES_FOR_FIT, trainer.recipe.seed);
    let mut judgements: Vec<(Fit, Vec<bool>)> = Vec::new();
    let mut accuracies = Vec::new();
    let mut fits = vec![Fit::Crop, Fit::Squash];
    let all_square = samples.iter().all(|sample| is_square(&sample.path));
    if !all_square {
        fits.push(Fit::Letterbox);
    }
    for fit in fits {
        let judged = judge(trainer, fit, samples.clone(), parameters, observe)?;
        let right = judged.iter().filter(|right| **right).count();
        accuracies.push(format!(
            "{fit} {:.3} ({})",
            right as f64 / samples.len().max(1) as f64,
            wilson(right, samples.len())
        ));
        judgements.push((fit, judged));
    }
    let chosen = best_fit(&judgements);
    let (images, accuracies) = (samples.len(), accuracies.join(", "));
    observe(Event::Note(if all_square {
        message!(
            "fit = \"{chosen}\" chosen by a linear probe on {images} training images (leave-one-out accuracy: \
             {accuracies}); all images are square, so letterbox is the same as squash"
        )
    } else {
        message!(
            "fit = \"{chosen}\" chosen by a linear probe on {images} training images (leave-one-out accuracy: \
             {accuracies})"
        )
    }));
    trainer.set_fit(chosen);
    Ok(())
}

/// The fit that is best by more than luck, or the first.
fn best_fit(judgements: &[(Fit, Vec<bool>)]) -> Fit {
    let (usual, of_usual) = &judgements[0];
    let right = |judged: &[bool]| judged.iter().filter(|right| **right).count();
    let mut best = (*usual, right(of_usual));
    for (fit, judged) in &judgements[1..] {
        let is_luck = McNemar::of(of_usual, judged).p_value() >= LUCK;
        if !is_luck && right(judged) > best.1 {
            best = (*fit, right(judged));
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_fit_has_to_be_better_by_more_than_luck() {
        let judged = |right: usize| (0..100).map(|image| image < right).collect::<Vec<bool>>();
        let of = |squash, letterbox| {
            best_fit(&[
                (Fit::Crop, judged(60)),
                (Fit::Squash, judged(squash)),
                (Fit::Letterbox, judged(letterbox)),
            ])
        };
        assert_eq!(of(63, 50), Fit::Crop);
        assert_eq!(of(65, 50), Fit::Squash);
        assert_eq!(of(65, 66), Fit::Letterbox);
        assert_eq!(of(65, 65), Fit::Squash);
    }
}
