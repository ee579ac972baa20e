//! From a request to a run: new, or going on with an old one.

use std::path::{Path, PathBuf};

use warmstart_data::{Dataset, require_readable};
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::Device;

use crate::checkpoint::Checkpoint;
use crate::classify::Classification;
use crate::event::{Event, Observer};
use crate::model_file::{ModelInfo, resolve_path};
use crate::phase_setup::boundary;
use crate::recipe::{Draft, NO_WEIGHTS, Recipe, Train};
use crate::record::Summary;
use crate::run::RunFolder;
use crate::session::Session;
use crate::start::start;
use crate::task::Task;
use crate::{Error, preprocessing};

/// Share of unreadable images above which a run does not start.
const UNREADABLE_LIMIT: f64 = 0.05;

/// What a run works with besides its folder.
struct Job {
    recipe: Recipe,
    architecture: Architecture,
    task: Classification,
    info: ModelInfo,
}

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
    workers: usize,
    observe: Observer,
) -> Result<Summary, Error> {
    // Without a model the draft does not resolve, whatever the image size.
    let native = match &draft.model {
        Some(model) => architecture(model)?.pretrained.image_size,
        None => 0,
    };
    let mut recipe = draft.resolve(native)?;
    recipe.data = absolute(&recipe.data);
    if recipe.weights != NO_WEIGHTS {
        let weights = absolute(&resolve_path(Path::new(&recipe.weights)));
        recipe.weights = weights.display().to_string();
    }
    let name = recipe.data.file_name().unwrap_or_default();
    let out = out.unwrap_or_else(|| Path::new("runs").join(name));
    RunFolder::require_new(&out)?;
    let device = warmstart_nn::device();
    let job = assemble(recipe, observe)?;
    let mut session = begin(job, workers, device, observe, |recipe, report| {
        RunFolder::create(&out, recipe, report)
    })?;
    session.run(observe)
}

/// What `resume` may change.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Total of epochs over all phases.
    pub epochs: Option<usize>,
    /// Go on after this epoch instead of the last.
    pub from_epoch: Option<usize>,
    /// Batch of the phases that train everything.
    pub batch: Option<usize>,
    /// Batch of the phases with a frozen part.
    pub freeze_batch: Option<usize>,
    /// Learning rate of the phases that train everything.
    pub lr: Option<f64>,
    /// Learning rate of the phases with a frozen part.
    pub freeze_lr: Option<f64>,
}

/// Goes on with a run from its newest sound checkpoint, or from the start if it has none.
///
/// # Errors
/// If there is no run, no sound checkpoint, or a change that cannot be; if training fails.
pub fn resume(
    path: &Path,
    changes: Changes,
    workers: usize,
    observe: Observer,
) -> Result<Summary, Error> {
    let (run, recipe) = RunFolder::open(path)?;
    let checkpoint = match changes.from_epoch {
        Some(epoch) => Some(chosen(&run, epoch)?),
        None => run
            .checkpoints
            .newest(&mut |damage| observe(Event::Note(format!("skipped a damaged checkpoint: {damage}"))))?,
    };
    let done = checkpoint.as_ref().map_or(0, |c| c.state.epoch);
    let changed = change(recipe.clone(), &changes, done)?;
    if done == changed.epochs()
        && let Some(summary) = run.summary()
        && summary.state == crate::record::RunState::Finished
    {
        observe(Event::Note(format!(
            "{} has finished its {done} epochs; to train on: warmstart resume {} --epochs {}",
            path.display(),
            path.display(),
            done + 5
        )));
        return Ok(summary);
    }
    let device = warmstart_nn::device();
    let job = assemble(changed.clone(), observe)?;
    let Some(checkpoint) = checkpoint else {
        observe(Event::Note(
            "the run has no checkpoint yet: it starts from its first epoch".into(),
        ));
        let mut session = begin(job, workers, device, observe, |recipe, report| {
            RunFolder::create(path, recipe, report)
        })?;
        return session.run(observe);
    };
    if changed != recipe {
        run.write_recipe(&changed)?;
    }
    for later in run.checkpoints.epochs()?.into_iter().filter(|&epoch| epoch > done) {
        run.checkpoints.remove(later)?;
    }
    observe(Event::Note(format!(
        "going on after epoch {done} of {}",
        changed.epochs()
    )));
    let mut session = Session::new(
        job.recipe,
        job.architecture,
        job.task,
        job.info,
        run,
        Default::default(),
        workers,
        device,
    );
    session.restore(checkpoint)?;
    session.run(observe)
}

fn chosen(run: &RunFolder, epoch: usize) -> Result<Checkpoint, Error> {
    let kept = run.checkpoints.epochs()?;
    if !kept.contains(&epoch) {
        let kept: Vec<_> = kept.iter().map(usize::to_string).collect();
        return Err(Error::usage(format!(
            "--from-epoch {epoch}: the checkpoints that are kept are of the epochs {}",
            kept.join(", ")
        )));
    }
    run.checkpoints.open(epoch)
}

fn change(mut recipe: Recipe, changes: &Changes, done: usize) -> Result<Recipe, Error> {
    if let Some(epochs) = changes.epochs {
        recipe = recipe.with_epochs(epochs, done)?;
    }
    for phase in &mut recipe.phases {
        let (batch, lr) = match phase.train {
            Train::All => (changes.batch, changes.lr),
            Train::Head | Train::From(_) => (changes.freeze_batch, changes.freeze_lr),
        };
        phase.batch = batch.unwrap_or(phase.batch);
        phase.lr = lr.unwrap_or(phase.lr);
    }
    recipe.check()?;
    Ok(recipe)
}

/// Opens what the recipe names, and refuses what cannot work.
fn assemble(recipe: Recipe, observe: Observer) -> Result<Job, Error> {
    let architecture = architecture(&recipe.model)?;
    for phase in &recipe.phases {
        boundary(&architecture, &phase.train)?;
    }
    let data = readable(
        warmstart_data::open(&recipe.data, recipe.val_split, recipe.seed)?,
        observe,
    )?;
    let preprocessing = preprocessing::for_size(&architecture.pretrained, recipe.image_size);
    let info = ModelInfo::new(
        recipe.task,
        &architecture,
        &data.classes,
        preprocessing.clone(),
    );
    let task = Classification::new(&architecture, data, preprocessing, recipe.seed);
    Ok(Job {
        recipe,
        architecture,
        task,
        info,
    })
}

/// Leaves out the images that cannot be read, unless they are too many.
fn readable(mut data: Dataset, observe: Observer) -> Result<Dataset, Error> {
    let test = data.test.take().unwrap_or_default();
    let splits = [data.train, data.validation, test];
    observe(Event::Checking {
        images: splits.iter().map(Vec::len).sum(),
    });
    let mut unreadable = Vec::new();
    let mut checked = Vec::new();
    for split in splits {
        let split = warmstart_data::check(&split, |_, _| ());
        require_readable(&split, UNREADABLE_LIMIT)?;
        unreadable.extend(split.unreadable);
        checked.push(split.readable);
    }
    let [train, validation, test] = checked.try_into().expect("three splits");
    observe(Event::Data {
        classes: &data.classes,
        train: train.len(),
        validation: validation.len(),
        test: test.len(),
        unreadable: &unreadable,
    });
    Ok(Dataset {
        train,
        validation,
        test: (!test.is_empty()).then_some(test),
        ..data
    })
}

/// Makes the parameters and the folder, in this order: a file that cannot be loaded leaves none.
fn begin(
    job: Job,
    workers: usize,
    device: Device,
    observe: Observer,
    folder: impl FnOnce(&Recipe, &str) -> Result<RunFolder, Error>,
) -> Result<Session<Classification>, Error> {
    let start = start(
        &job.recipe,
        &job.architecture,
        &job.task.head_parameters(),
        &job.task.classes,
        &device,
    )?;
    observe(Event::Loaded(&start.report));
    let run = folder(&job.recipe, &start.report)?;
    Ok(Session::new(
        job.recipe,
        job.architecture,
        job.task,
        job.info,
        run,
        start.parameters,
        workers,
        device,
    ))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
