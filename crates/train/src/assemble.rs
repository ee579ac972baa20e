//! From a request to a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use warmstart_data::{Dataset, data_folder};
use warmstart_files::shown;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::initialization::Weights;

use warmstart_run::checkpoint;
use warmstart_run::checkpoint::At;
use warmstart_run::checkpoint::is_checkpoint;
use warmstart_run::checkpoint::read_state;
use warmstart_run::checkpoint::verify;
use warmstart_tasks::classify::Classification;
use warmstart_recipe::command;
use warmstart_run::data_files::DataFiles;
use warmstart_tasks::detect::Detection;
use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use warmstart_recipe::folds::all_images;
use warmstart_tasks::network::INFERENCE_BATCH;
use warmstart_tasks::network::images;
use crate::trainer::Trainer;
use crate::resources::Resources;
use crate::layer_sequential;
use warmstart_tasks::model_file::ModelInfo;
use warmstart_recipe::run_files::resolve_path;
use crate::phase_setup::boundary;
use crate::plan;
use warmstart_run::plan::Plan;
use crate::check_images::readable;
use warmstart_recipe as recipe;
use warmstart_recipe::Balance;
use warmstart_recipe::Draft;
use warmstart_recipe::NO_WEIGHTS;
use warmstart_recipe::Open;
use warmstart_recipe::Phase;
use warmstart_recipe::Recipe;
use warmstart_recipe::Scaled;
use warmstart_recipe::TrainingImages;
use warmstart_run::record::Summary;
use warmstart_run::folder::RunFolder;
use crate::run_loop::Run;
use crate::plan::automatic::measure;
use crate::plan::automatic::settle;
use crate::initial_weights::InitialWeights;
use crate::initial_weights::initial_weights;
use warmstart_tasks::task::Task;
use warmstart_recipe::Error;
use warmstart_tasks::preprocessing;

/// Edge of the square image of a detector, in pixels, unless the user says otherwise: small enough for a
/// processor.
const DETECTION_SIZE: usize = 320;

/// The architecture of that name.
///
/// # Errors
/// A usage error that lists the names there are.
pub fn architecture(name: &str) -> Result<Architecture, Error> {
    warmstart_models::by_name(name).ok_or_else(|| {
        let known: Vec<_> = warmstart_models::names().collect();
        Error::usage(format!(
            "there is no model `{name}`; the models are {}",
            known.join(", ")
        ))
    })
}

/// Starts a run in a new folder, `runs/<name of the data's folder>` if none is given, and trains it
/// to its end.
///
/// # Errors
/// Before the folder is made, if anything that was asked for is wrong; after, if training fails.
pub fn train(
    draft: Draft,
    out: Option<PathBuf>,
    machine: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    let (recipe, open) = resolve(draft)?;
    let out = output_folder(out, &recipe.data);
    if absolute(&out).starts_with(data_folder(&recipe.data)) {
        return Err(Error::usage(format!(
            "{} lies in the data set's folder, where it would be taken for a part of it: give another --out",
            shown(&out)
        )));
    }
    RunFolder::require_new(&out)?;
    match recipe.task {
        recipe::Task::Classify => {
            train_task::<Classification>(recipe, &open, &out, machine, observe)
        }
        recipe::Task::Detect => train_task::<Detection>(recipe, &open, &out, machine, observe),
    }
}

/// Where a run is put: `runs/<name of the data's folder>` unless the user says otherwise.
pub fn output_folder(out: Option<PathBuf>, data: &Path) -> PathBuf {
    let data = absolute(data);
    let name = data_folder(&data).file_name().unwrap_or_default();
    out.unwrap_or_else(|| Path::new("runs").join(name))
}

fn train_task<T: Task>(
    recipe: Recipe,
    open: &Open,
    out: &Path,
    machine: Resources,
    observe: Observer,
) -> Result<Summary, Error> {
    let job = prepare::<T>(recipe, open, machine, observe)?;
    let files = DataFiles::of(job.task.data(), &job.recipe.data)?;
    // The folder last: a file that cannot be loaded leaves none.
    let start = load(&job, observe)?;
    let (job, plan) = settle(job, open, &start.parameters, observe)?;
    let run = RunFolder::create(out)?;
    run.begin(&job.recipe, &start.report, &files)?;
    let session = Run::new(job, run, files, start.parameters);
    session.with_plan(plan)?.run(observe)
}

/// What a run with an empty cache would need: the same as the first lines of [`train`], and nothing else.
///
/// # Errors
/// If anything that was asked for is wrong, or a step cannot be measured.
pub fn plan(draft: Draft, machine: Resources, observe: Observer) -> Result<Plan, Error> {
    let (recipe, open) = resolve(draft)?;
    match recipe.task {
        recipe::Task::Classify => plan_task::<Classification>(recipe, &open, machine, observe),
        recipe::Task::Detect => plan_task::<Detection>(recipe, &open, machine, observe),
    }
}

fn plan_task<T: Task>(
    recipe: Recipe,
    open: &Open,
    machine: Resources,
    observe: Observer,
) -> Result<Plan, Error> {
    let mut job = prepare::<T>(recipe, open, machine, observe)?;
    let (costs, budget) = measure(&mut job, &open.phases, observe)?;
    // What is kept already takes the pretrained weights to tell.
    plan::plan(&job, &costs, None, budget.as_ref())
}

/// The recipe of a draft, and what of it is decided later.
///
/// # Errors
/// If something that was asked for contradicts itself, or isn't there.
pub fn resolve(mut draft: Draft) -> Result<(Recipe, Open), Error> {
    if let (None, Some(data)) = (draft.task, &draft.data) {
        draft.task = Some(recipe::Task::of_data(data));
    }
    let open = draft.open()?;
    let recipe = resolve_for(&open, None)?;
    // Before any image is read.
    require_weights(&recipe.weights)?;
    Ok((recipe, open))
}

/// Refuses a file of weights that is not there, or not a file.
///
/// # Errors
/// If it cannot be opened.
pub(crate) fn require_weights(weights: &str) -> Result<(), Error> {
    if weights == NO_WEIGHTS {
        return Ok(());
    }
    let path = resolve_path(Path::new(weights))?;
    warmstart_files::open(&path)
        .map(drop)
        .map_err(|error| Error::io("read", &path, error))
}

/// The recipe of a draft for some training images, with paths that mean the same from every folder.
fn resolve_for(open: &Open, images: Option<TrainingImages>) -> Result<Recipe, Error> {
    let draft = open.draft.clone();
    // Without a model the draft does not resolve, whatever the image size.
    let native = match (&draft.model, draft.task()) {
        (Some(model), recipe::Task::Classify) => architecture(model)?.pretrained.image_size,
        (Some(model), recipe::Task::Detect) => architecture(model).map(|_| DETECTION_SIZE)?,
        (None, _) => 0,
    };
    let mut recipe = draft.resolve(native, images)?;
    recipe.data = absolute(&recipe.data);
    unicode(&recipe.data, "data set")?;
    if recipe.weights != NO_WEIGHTS {
        let weights = resolve_path(Path::new(&recipe.weights))?;
        // Links stay: the shards of an index lie beside the link, not beside what it leads to.
        let weights = std::path::absolute(&weights).unwrap_or(weights);
        recipe.weights = unicode(&weights, "weights")?.to_owned();
    }
    Ok(recipe)
}

/// The text of a path that a recipe names.
fn unicode<'a>(path: &'a Path, what: &str) -> Result<&'a str, Error> {
    path.to_str().ok_or_else(|| {
        Error::usage(format!(
            "the path of the {what}, {}, is not valid UTF-8, so recipe.toml cannot hold it: rename the folder or \
             file",
            shown(path)
        ))
    })
}

/// Opens what the recipe names, and refuses what cannot work.
///
/// # Errors
/// If something that it names isn't there, or cannot be read.
pub fn assemble<T: Task>(
    recipe: Recipe,
    machine: Resources,
    observe: Observer,
) -> Result<Trainer<T>, Error> {
    let backbone = T::backbone(architecture(&recipe.model)?);
    for phase in &recipe.phases {
        boundary(&backbone, &phase.train)?;
    }
    let mut data = readable::<T>(T::open(&recipe, observe)?, &recipe, observe)?;
    if let Some(part) = recipe.fold {
        data.train = all_images(part, &data.train, &data.validation)?;
        data.validation = data.train.clone();
        // Each part would look at it, and it is to be looked at once.
        data.test = None;
        let counts = T::class_counts(&data.classes, &data.train);
        if let Some((class, _)) = counts.iter().find(|(_, images)| *images == 1) {
            return Err(Error::usage(format!(
                "--folds {}: class \"{class}\" has one image, and the run that validates on it could not learn the \
                 class: add images, or remove the class",
                part.of
            )));
        }
    }
    T::require_learnable(&data)?;
    job(recipe, data, machine)
}

/// Opens what a new run's recipe names, and makes the recipe one for such images.
///
/// # Errors
/// As [`assemble`].
pub fn prepare<T: Task>(
    recipe: Recipe,
    open: &Open,
    machine: Resources,
    observe: Observer,
) -> Result<Trainer<T>, Error> {
    let job = assemble::<T>(recipe, machine, observe)?;
    let recipe = resolve_for(open, Some(job.task.scale()))?;
    let weighed = |(phase, left): (&Phase, &Scaled)| left.balance && phase.balance == Balance::Loss;
    if recipe.phases.iter().zip(&open.scaled).any(weighed) {
        observe(Event::Note(
            "classes are more unequal in training than in validation, so images of the rare ones \
             weigh more (balance = \"loss\"); balance = \"none\" leaves them as they are"
                .to_owned(),
        ));
    }
    self::job(recipe, job.task.data().clone(), job.machine)
}

/// A recipe and its data, ready to work.
///
/// # Errors
/// If there is no such model.
pub fn job<T: Task>(
    recipe: Recipe,
    data: Dataset<T::Label>,
    machine: Resources,
) -> Result<Trainer<T>, Error> {
    let architecture = T::backbone(architecture(&recipe.model)?);
    let (pretrained, size) = (&architecture.pretrained, recipe.image_size);
    let preprocessing = match recipe.task {
        recipe::Task::Classify => preprocessing::for_size(pretrained, size, recipe.fit),
        recipe::Task::Detect => preprocessing::letterboxed(pretrained, size),
    };
    let info = ModelInfo::new(
        recipe.task,
        &architecture,
        &data.classes,
        preprocessing.clone(),
    );
    let task = T::new(&recipe, &architecture, data, preprocessing);
    Ok(Trainer {
        recipe,
        architecture,
        task: Arc::new(task),
        info,
        machine,
        device: warmstart_nn::device(),
    })
}

/// Loads or initializes the parameters, and says what came from where.
///
/// # Errors
/// If a file cannot be read.
pub fn load<T: Task>(job: &Trainer<T>, observe: Observer) -> Result<InitialWeights, Error> {
    let weights = Path::new(&job.recipe.weights);
    if let Some(note) = of_checkpoint(&absolute(weights))? {
        observe(Event::Note(note));
    }
    let mut start = start(
        &job.recipe,
        &job.architecture,
        &job.task.head_parameters(),
        T::class_head(&job.architecture),
        &job.task.data().classes,
        &job.device,
    )?;
    observe(Event::Loaded(&start.report));
    let init = &job.recipe.init.0;
    if init.weights == Weights::LayerSequential {
        let images = first_images(job)?;
        // What was asked for by name is to be as it was asked for.
        let scaled = start.initialized.iter();
        let scaled = scaled.filter(|name| !init.has_own_scheme(name)).cloned();
        let scaled = scaled.collect();
        layer_sequential::scale(&mut start.parameters, &job.architecture, &scaled, images);
    }
    Ok(start)
}

/// The images that the first epoch begins with, as the first phase sees them.
fn first_images<T: Task>(job: &Trainer<T>) -> Result<Tensor<4>, Error> {
    let phase = &job.recipe.phases[0];
    let order = job.task.order(job.recipe.seed, 1, phase);
    let examples = order.iter().take(INFERENCE_BATCH).map(|&sample| {
        let example = job.task.training_example(sample, phase.view(1, 0), phase)?;
        Ok(example.pixels)
    });
    let examples: Vec<Vec<f32>> = examples.collect::<Result<_, Error>>()?;
    let pixels: Vec<&[f32]> = examples.iter().map(Vec::as_slice).collect();
    Ok(images(&pixels, job.info.preprocessing.crop, &job.device))
}

/// What a user should know who starts from a run's checkpoint, whose model is verified; that of another
/// version is taken as it is.
fn of_checkpoint(weights: &Path) -> Result<Option<String>, Error> {
    let Some(folder) = weights.parent().filter(|folder| is_checkpoint(folder)) else {
        return Ok(None);
    };
    let resume = command::resume(folder.ancestors().nth(2).unwrap_or(folder));
    let again = match read_state(folder) {
        Ok(state) => {
            verify(folder, &state, checkpoint::MODEL)?;
            match state.at() {
                At::Epoch(epoch) => format!("{resume} --from-epoch {epoch}"),
                At::Step(_) => resume,
            }
        }
        Err(Error::OtherVersion(_)) => resume,
        Err(error) => return Err(error),
    };
    Ok(Some(format!(
        "this is a new run that starts from the weights of {}: epochs, optimizer and schedule begin \
         afresh; to continue the run that they are from: {again}",
        shown(folder)
    )))
}

/// A path that means the same from every folder.
pub fn absolute(path: &Path) -> PathBuf {
    path.canonicalize()
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}
