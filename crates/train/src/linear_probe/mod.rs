//! The linear probe: how well pretrained features suit data, before anything is trained on them. A ridge regression on
//! the frozen backbone's features of the training images; the features are cached, as those of a frozen phase are.

mod ridge;

use std::sync::Arc;

use warmstart_data::{Fit, Loader, Sample, batches, epoch_order, is_square};
use warmstart_metrics::wilson;
use warmstart_nn::Parameters;
use warmstart_recipe::{Error, NO_WEIGHTS, Recipe, Undecided};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use crate::frozen::{FeatureKey, Frozen};
use crate::trainer::{Trainer, batches_ahead};
use ridge::leave_one_out;

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
    let mut frozen = Frozen::new::<T>(
        architecture,
        architecture.stages.len(),
        parameters,
        preprocessing.crop,
        // At most as many images at a time as the run is planned with.
        phase.micro_batch(),
        device,
    );
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
        };
        // A missing cache only costs time.
        let _ = frozen.open_validation_cache(&key, cache);
    }
    let source = frozen.evaluation_source(&task, &data, EvaluationSplit::Validation);
    let order: Vec<usize> = (0..labels.len()).collect();
    let loader = Loader::new(
        batches(&order, frozen.images()),
        resources.workers,
        batches_ahead(frozen.images()),
        source.prepare(),
    );
    let mut features: Vec<Vec<f32>> = Vec::new();
    for batch in loader {
        let batch = batch?;
        // A failure to cache them costs time, and nothing else.
        let (maps, _) = frozen.features(&batch, &source, architecture, device);
        // Averages `[batch, 1, 1, channels]`: a row per image.
        let averages = maps.into_iter().next().expect("a backbone has a result");
        let [_, _, _, channels] = averages.dims();
        let values: Vec<f32> = averages
            .into_data()
            .try_into_vec()
            .expect("features are f32");
        features.extend(values.chunks(channels).map(<[f32]>::to_vec));
        observe(Event::Evaluated {
            images: features.len(),
            of: labels.len(),
        });
    }
    Ok(leave_one_out(&features, &labels, data.classes.len()))
}

/// At most `most` of the samples, drawn by the seed, in their order.
pub fn some_of<L: Clone>(samples: &[Sample<L>], most: usize, seed: u64) -> Vec<Sample<L>> {
    let mut drawn = epoch_order(seed, 0, samples.len());
    drawn.truncate(most);
    drawn.sort_unstable();
    drawn.iter().map(|&index| samples[index].clone()).collect()
}

/// Chooses how images fill the network's square, where that was left open, an image has one class, and there are
/// pretrained features: whichever the linear probe classifies best on up to 400 training images, the crop that the
/// weights were made with among equals.
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
    let mut best = (Fit::Crop, 0);
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
        if right > best.1 {
            best = (fit, right);
        }
    }
    observe(Event::Note(format!(
        "fit = \"{}\" chosen by a linear probe on {} training images (leave-one-out accuracy: {}){}",
        best.0,
        samples.len(),
        accuracies.join(", "),
        if all_square {
            "; all images are square, so letterbox is the same as squash"
        } else {
            ""
        }
    )));
    trainer.set_fit(best.0);
    Ok(())
}
