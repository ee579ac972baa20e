//! How well pretrained features suit data, before anything is trained on them: what a regression on the frozen
//! backbone's features tells of the training images. The features are kept, as those of a frozen phase are.

use warmstart_data::{Fit, Loader, Sample, batches, epoch_order, is_square};
use warmstart_metrics::wilson;
use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::Tensor;

use warmstart_recipe::Error;
use warmstart_tasks::classify::Classification;
use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use crate::trainer::Trainer;
use crate::trainer::batches_ahead;
use crate::assemble;
use warmstart_recipe::Recipe;
use crate::linear_probe::ridge::leave_one_out;
use warmstart_tasks::task::Split;
use warmstart_tasks::task::Task;

/// Most images that a choice of `fit` looks at.
const IMAGES_FOR_FIT: usize = 400;

/// Whether each of `samples` is classified rightly by a regression on the features of the others, in the
/// recipe's preprocessing.
///
/// # Errors
/// If an image cannot be read.
pub fn judge(
    recipe: &Recipe,
    like: &Trainer<Classification>,
    samples: Vec<Sample>,
    parameters: &Parameters,
    observe: Observer,
) -> Result<Vec<bool>, Error> {
    let labels: Vec<usize> = samples.iter().map(|sample| sample.label).collect();
    let mut data = like.task.data().clone();
    data.validation = samples;
    let classes = data.classes.len();
    let job = launch::job::<Classification>(recipe.clone(), data, like.machine.clone())?;
    let boundary = job.architecture.stages.len();
    let phase = &job.recipe.phases[0];
    // No more at a time than the run is planned with.
    let mut frozen = job.frozen(boundary, parameters, phase.micro_batch());
    if let Some(cache) = &job.machine.cache {
        // Without a cache it only takes longer.
        let _ = frozen.open_validation_cache(&job.origin(phase, parameters), cache);
    }
    let source = frozen.evaluation_source(&job.task, Split::Validation);
    let order: Vec<usize> = (0..labels.len()).collect();
    let loader = Loader::new(
        batches(&order, frozen.images()),
        job.machine.workers,
        batches_ahead(frozen.images()),
        source.prepare(),
    );
    let mut features: Vec<Vec<f32>> = Vec::new();
    for batch in loader {
        let batch = batch?;
        let maps = job.features(&frozen, &batch, &source, observe);
        features.extend(rows(maps));
        observe(Event::Evaluated {
            images: features.len(),
            of: labels.len(),
        });
    }
    Ok(leave_one_out(&features, &labels, classes))
}

/// A row an image, of averages `[batch, 1, 1, channels]`.
fn rows(mut maps: Vec<Tensor<4>>) -> Vec<Vec<f32>> {
    let map = maps.pop().expect("a backbone has a result");
    let [_, _, _, channels] = map.dims();
    let values: Vec<f32> = map.into_data().try_into_vec().expect("features are f32");
    values.chunks(channels).map(<[f32]>::to_vec).collect()
}

/// So many of the samples, drawn by the seed, in their order.
pub fn some_of(samples: &[Sample], most: usize, seed: u64) -> Vec<Sample> {
    let mut drawn = epoch_order(seed, 0, samples.len());
    drawn.truncate(most);
    drawn.sort_unstable();
    drawn.iter().map(|&index| samples[index].clone()).collect()
}

/// The fit that the frozen features tell most by, on up to 400 training images, the crop that the weights were
/// made with among equals; and what there is to say of it.
///
/// # Errors
/// As [`judge`].
pub fn choose_fit(
    job: &Trainer<Classification>,
    parameters: &Parameters,
    observe: Observer,
) -> Result<(Fit, String), Error> {
    let train = &job.task.data().train;
    let own = job.task.samples(None).into_iter();
    let own: Vec<Sample> = own.map(|image| train[image].clone()).collect();
    let samples = some_of(&own, IMAGES_FOR_FIT, job.recipe.seed);
    let mut best = (Fit::Crop, 0);
    let mut figures = Vec::new();
    let mut fits = vec![Fit::Crop, Fit::Squash];
    let all_square = samples.iter().all(|sample| is_square(&sample.path));
    if !all_square {
        fits.push(Fit::Letterbox);
    }
    for fit in fits {
        let recipe = Recipe {
            fit,
            ..job.recipe.clone()
        };
        let judged = judge(&recipe, job, samples.clone(), parameters, observe)?;
        let right = judged.iter().filter(|right| **right).count();
        figures.push(format!(
            "{fit} {:.3} ({})",
            right as f64 / samples.len().max(1) as f64,
            wilson(right, samples.len())
        ));
        if right > best.1 {
            best = (fit, right);
        }
    }
    let words = format!(
        "fit = \"{}\": a probe on the frozen features of {} training images, each judged by the others, finds {}{}",
        best.0,
        samples.len(),
        figures.join(", "),
        match all_square {
            true => " (letterbox does the same as squash to pictures that are square)",
            false => "",
        }
    );
    Ok((best.0, words))
}
