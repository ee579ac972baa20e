//! The parameters that a run starts from: out of a pretrained file, or initialized.

use std::collections::HashSet;
use std::path::Path;

use warmstart_files::shown;
use warmstart_nn::ParameterInfo;
use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::initialization::Weights;
use warmstart_recipe::run_files::MODEL;
use warmstart_recipe::{
    Error, Key, NO_WEIGHTS, Problem, Recipe, absolute, command, named_record, weights_file,
};
use warmstart_run::checkpoint::{At, is_checkpoint, read_state, verify};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::classify::is_beside;
use warmstart_tasks::model_file::{ModelInfo, require_sound};
use warmstart_tasks::network::{INFERENCE_BATCH, images};
use warmstart_tasks::task::{HeadParts, Task};
use warmstart_weights::{LoadPlan, Target, TensorMap, WeightFile};

use crate::expectations::{beyond, conventions, expectations, record_line};
use crate::layer_sequential;
use crate::trainer::Trainer;

/// Share of the backbone's tensors that a pretrained file must give.
const BACKBONE_COVERAGE: f64 = 0.95;

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
    let head = trainer.task.head();
    let backbone = architecture.backbone_parameters();
    let parameters = || backbone.iter().chain(&head.parameters);
    if let Some(name) = recipe.init.0.unknown_name(parameters()) {
        let what = format!(
            "init.by_name: {} has no convolution or linear layer `{name}`",
            architecture.name
        );
        let fix = format!(
            "`warmstart init-check {} {}` lists them",
            Key::MODEL,
            architecture.name
        );
        return Err(Problem::new(what).of_key(Key::INIT).fix(fix).into());
    }
    let (loaded, report) = if recipe.weights == NO_WEIGHTS {
        let report = format!(
            "no pretrained weights: all {} tensors are randomly initialized ({}, seed {})\n",
            parameters().count(),
            recipe.init,
            recipe.seed
        );
        (TensorMap::new(), report)
    } else {
        load_file(trainer, &backbone, &head)?
    };
    let (parameters, initialized) = fill(trainer, parameters(), &loaded);
    Ok(InitialWeights {
        parameters,
        report,
        initialized,
    })
}

/// The tensors of the pretrained file that the model has, with the load report.
fn load_file<T: Task>(
    trainer: &Trainer<T>,
    backbone: &[ParameterInfo],
    head: &HeadParts,
) -> Result<(TensorMap, String), Error> {
    let Trainer {
        recipe,
        architecture,
        ..
    } = trainer;
    let path = weights_file(&recipe.weights)?;
    let mut file = warmstart_weights::read(&path)?;
    let note = forget_other_head(&mut file, recipe, head.class_layer, &trainer.data.classes)?;
    let mut expected = expectations(backbone, &head.parameters);
    expected.extend(beyond(architecture, &expected));
    let conventions = conventions(architecture);
    let plan = warmstart_weights::compare(
        &file,
        &Target {
            architecture: architecture.name,
            expected: &expected,
            conventions: &conventions,
        },
        recipe.weights_prefix.as_deref(),
    )?;
    if !recipe.allow_partial {
        plan.require_backbone(BACKBONE_COVERAGE)?;
    }
    let record = match file.metadata {
        // A model of warmstart says itself what it is.
        Some(_) => String::new(),
        None => format!("{}\n", record_line(architecture)),
    };
    let report = format!("{}{note}{record}", plan.report());
    let LoadPlan { loaded, .. } = plan;
    let tensors = loaded
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.data.as_slice()));
    require_sound(&path, tensors)?;
    Ok((loaded, report))
}

/// Every parameter, loaded or else initialized, and the names of those that were initialized.
fn fill<'a, T: Task>(
    trainer: &Trainer<T>,
    infos: impl Iterator<Item = &'a ParameterInfo>,
    loaded: &TensorMap,
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
        let values = match loaded.get(&info.name) {
            Some(tensor) => tensor.data.clone(),
            None => {
                initialized.insert(info.name.clone());
                recipe.init.0.values(info, &defaults, recipe.seed)
            }
        };
        parameters.insert_values(&info.name, &info.shape, values, device);
    }
    (parameters, initialized)
}

/// Takes a classifier for other classes out of the file, even if it has the same shape, and returns the report's line
/// on it.
fn forget_other_head(
    file: &mut WeightFile,
    recipe: &Recipe,
    class_layer: &str,
    classes: &[String],
) -> Result<String, Error> {
    let Some(info) = ModelInfo::of(file)? else {
        return Ok(String::new());
    };
    file.tensors.retain(|name, _| !is_beside(name));
    if info.model != recipe.model {
        let what = format!(
            "it holds a {} and the run asks for {}",
            info.model, recipe.model
        );
        let fix = format!("give {} {}", Key::MODEL, info.model);
        return Err(Error::model(&file.path, what).fix(fix));
    }
    if info.task != recipe.task {
        // Only the backbone of the other task's model is used, so its classes do not matter.
        return Ok(String::new());
    }
    if info.classes == classes {
        return Ok("head: same classes, kept\n".into());
    }
    let head = format!("{class_layer}.");
    file.tensors.retain(|name, _| !name.starts_with(&head));
    Ok(format!(
        "head: the file's {} classes are not the data's {}: re-initialised ({} → {} classes)\n",
        info.classes.len(),
        classes.len(),
        info.classes.len(),
        classes.len()
    ))
}

/// The first images of the first epoch, as the first phase sees them.
fn first_images<T: Task>(trainer: &Trainer<T>) -> Result<Tensor<4>, Error> {
    let phase = &trainer.recipe.phases[0];
    let order = trainer.data.order(trainer.recipe.seed, 1, phase);
    let examples = order.iter().take(INFERENCE_BATCH).map(|&sample| {
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
    Ok(Some(format!(
        "this is a new run that starts from the weights of {}: epochs, optimizer and schedule begin \
         again from zero; to continue the run that they come from: {again}",
        shown(folder)
    )))
}
