//! The parameters that a run starts from: out of a pretrained file, or initialized.

use std::collections::HashSet;
use std::path::Path;

use warmstart_files::shown;
use warmstart_language::message;
use warmstart_models::Architecture;
use warmstart_nn::ParameterInfo;
use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::initialization::Weights;
use warmstart_recipe::near_miss::{any_of, meant};
use warmstart_recipe::run_files::MODEL;
use warmstart_recipe::{Error, Key, NO_WEIGHTS, Problem, absolute, command, named_record};
use warmstart_run::checkpoint::{At, is_checkpoint, read_state, verify};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::network::{INFERENCE_BATCH, images};
use warmstart_tasks::task::Task;
use warmstart_weights::KeptRows;

use crate::layer_sequential;
use crate::load_file::{Loaded, load_file};
use crate::trainer::Trainer;

/// Most names that an error suggests.
const SUGGESTED: usize = 3;

/// The parameters that a run starts from.
pub struct InitialWeights {
    /// Every parameter of the model.
    pub parameters: Parameters,
    /// The load report: what was loaded and what was not.
    pub report: String,
    /// Names of the parameters that no file gave.
    pub initialized: HashSet<String>,
}

/// Loads or initializes every parameter of a model, and reports it.
///
/// # Errors
/// If the file cannot be read, or covers too little of the backbone.
pub fn initial_weights<T: Task>(
    trainer: &Trainer<T>,
    observe: Observer,
) -> Result<InitialWeights, Error> {
    let weights = &trainer.recipe.weights;
    if named_record(weights).is_none()
        && let Some(note) = note_of_checkpoint(&absolute(Path::new(weights)))?
    {
        observe(Event::Note(note));
    }
    let mut initial = load(trainer)?;
    observe(Event::Loaded(&initial.report));
    let init = &trainer.recipe.init.0;
    if is_scaled_by_images(init.weights) {
        let images = first_images(trainer)?;
        // Layers with a scheme of their own keep it.
        let scaled = initial
            .initialized
            .iter()
            .filter(|name| !init.has_own_scheme(name))
            .cloned()
            .collect();
        layer_sequential::scale(
            &mut initial.parameters,
            &trainer.architecture,
            &scaled,
            images,
        );
    }
    Ok(initial)
}

/// Whether an initialization is scaled by the results on images.
pub fn is_scaled_by_images(weights: Weights) -> bool {
    match weights {
        Weights::Torchvision | Weights::Scheme(_) => false,
        Weights::LayerSequential => true,
    }
}

fn load<T: Task>(trainer: &Trainer<T>) -> Result<InitialWeights, Error> {
    let Trainer {
        recipe,
        architecture,
        ..
    } = trainer;
    if is_scaled_by_images(recipe.init.0.weights) {
        layer_sequential::check(architecture)?;
    }
    let head = trainer.task.head();
    let backbone = architecture.backbone_parameters();
    let parameters = || backbone.iter().chain(&head.parameters);
    if let Some(name) = recipe.init.0.unknown_name(parameters()) {
        let what = message!(
            "init.by_name: {} has no convolution or linear layer `{name}`",
            architecture.name
        );
        let fix = names_of_layers(architecture, name, parameters());
        return Err(Problem::new(what).of_key(Key::INIT).fix(fix).into());
    }
    let loaded = if recipe.weights == NO_WEIGHTS {
        Loaded {
            report: message!(
                "no pretrained weights: all {} tensors are randomly initialized ({}, seed {})\n",
                parameters().count(),
                recipe.init,
                recipe.seed
            ),
            ..Loaded::default()
        }
    } else {
        load_file(trainer, &backbone, &head)?
    };
    let (parameters, initialized) = fill(trainer, parameters(), &loaded);
    Ok(InitialWeights {
        parameters,
        report: loaded.report,
        initialized,
    })
}

/// Where the names of a network's layers are, for one that it does not have.
fn names_of_layers<'a>(
    architecture: &Architecture,
    given: &str,
    parameters: impl Iterator<Item = &'a ParameterInfo>,
) -> String {
    if !architecture.is_detector {
        return message!(
            "`warmstart init-check {} {}` lists them",
            Key::MODEL,
            architecture.name
        );
    }
    // init-check is for networks that classify.
    let weights = parameters.filter(|parameter| parameter.kind.is_weight());
    let layers = weights.map(|weight| {
        let parts = weight.name.rsplit_once('.');
        parts.map_or(weight.name.as_str(), |(layer, _)| layer)
    });
    let layers: Vec<&str> = layers.collect();
    let mut likely = meant(given, &layers);
    if likely.is_empty() {
        likely = layers;
        likely.dedup_by_key(|layer| layer.split('.').next());
        likely.truncate(SUGGESTED);
        return message!("its layers have names such as {}", any_of(&likely));
    }
    likely.truncate(SUGGESTED);
    message!("did you mean {}?", any_of(&likely))
}

/// Every parameter, loaded or else initialized, and the names of those that were initialized.
fn fill<'a, T: Task>(
    trainer: &Trainer<T>,
    infos: impl Iterator<Item = &'a ParameterInfo>,
    loaded: &Loaded,
) -> (Parameters, HashSet<String>) {
    let Trainer {
        recipe,
        architecture,
        device,
        ..
    } = trainer;
    let defaults = architecture.initialization();
    let mut parameters = Parameters::new();
    let mut initialized = HashSet::new();
    for info in infos {
        let values = match loaded.tensors.get(&info.name) {
            Some(tensor) => tensor.data.clone(),
            None => {
                initialized.insert(info.name.clone());
                let mut values = recipe.init.0.values(info, &defaults, recipe.seed);
                let mut rows = loaded.rows.iter();
                if let Some(rows) = rows.find(|rows| rows.name == info.name) {
                    put_rows(&mut values, rows);
                }
                values
            }
        };
        parameters.insert_values(&info.name, &info.shape, values, device);
    }
    (parameters, initialized)
}

/// Writes the rows that a file gives over initial values.
fn put_rows(values: &mut [f32], kept: &KeptRows) {
    let width = values.len() / kept.rows.max(1);
    for (row, of_row) in &kept.values {
        values[row * width..][..width].copy_from_slice(of_row);
    }
}

/// The first images of the first epoch, as the first phase sees them.
fn first_images<T: Task>(trainer: &Trainer<T>) -> Result<Tensor<4>, Error> {
    let phase = &trainer.recipe.phases[0];
    let batches = trainer.data.batches(&trainer.recipe, 1, phase, 0);
    let examples = batches.samples().take(INFERENCE_BATCH).map(|sample| {
        let example = trainer
            .task
            .training_example(sample, phase.view(1, 0), phase)?;
        Ok(example.pixels)
    });
    let examples: Vec<Vec<f32>> = examples.collect::<Result<_, Error>>()?;
    let pixels: Vec<&[f32]> = examples.iter().map(Vec::as_slice).collect();
    Ok(images(
        &pixels,
        trainer.info.preprocessing.crop,
        &trainer.device,
    ))
}

/// A note for a user who starts from a run's checkpoint. The checkpoint's model is verified; one of another version is
/// used as it is.
fn note_of_checkpoint(weights: &Path) -> Result<Option<String>, Error> {
    let Some(folder) = weights.parent().filter(|folder| is_checkpoint(folder)) else {
        return Ok(None);
    };
    let resume = command::resume(folder.ancestors().nth(2).unwrap_or(folder));
    let again = match read_state(folder) {
        Ok(state) => {
            verify(folder, &state, MODEL)?;
            match state.at() {
                At::Epoch(epoch) => format!("{resume} {} {epoch}", Key::FROM_EPOCH),
                At::Step(_) => resume,
            }
        }
        Err(Error::OtherVersion(_)) => resume,
        Err(error) => return Err(error),
    };
    Ok(Some(message!(
        "this is a new run that starts from the weights of {}: epochs, optimizer and schedule begin \
         again from zero; to continue the run that they come from: {again}",
        shown(folder)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_file_replace_initial_ones() {
        let mut values = vec![0.0; 6];
        let kept = KeptRows {
            name: "classes.weight".into(),
            file_name: "classes.weight".into(),
            rows: 3,
            of: 80,
            values: vec![(0, vec![1.0, 2.0]), (2, vec![3.0, 4.0])],
        };
        put_rows(&mut values, &kept);
        assert_eq!(values, [1.0, 2.0, 0.0, 0.0, 3.0, 4.0]);
    }
}
