//! From a request to a run: new, or going on with an old one.

use std::path::{Path, PathBuf};

use std::sync::Arc;
use warmstart_data::{Checked, Dataset, require_readable};
use warmstart_models::Architecture;

use crate::checkpoint::Checkpoint;
use crate::classify::Classification;
use crate::event::{Event, Observer};
use crate::job::{Job, Machine};
use crate::model_file::{ModelInfo, resolve_path};
use crate::phase_setup::boundary;
use crate::plan::{self, Plan};
use crate::probe::{self, Costs};
use crate::recipe::{Automatic, Draft, Memory, NO_WEIGHTS, Phase, Recipe, Train};
use crate::record::{RunState, Summary};
use crate::run::RunFolder;
use crate::session::Session;
use crate::start::start;
use crate::task::Task;
use crate::{Error, preprocessing};

/// Share of unreadable images above which a run does not start.
const UNREADABLE_LIMIT: f64 = 0.05;

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
    machine: Machine,
    observe: Observer,
) -> Result<Summary, Error> {
    let (recipe, automatic) = resolve(draft)?;
    let name = recipe.data.file_name().unwrap_or_default();
    let out = out.unwrap_or_else(|| Path::new("runs").join(name));
    if absolute(&out).starts_with(&recipe.data) {
        return Err(Error::usage(format!(
            "{} lies in the data set's folder, where it would be taken for a class: give another --out",
            out.display()
        )));
    }
    RunFolder::require_new(&out)?;
    let mut job = assemble(recipe, machine, observe)?;
    let plan = make_plan(&mut job, &automatic, observe)?;
    begin(job, &out, plan.as_ref(), observe)?.run(observe)
}

/// What a run would need: the same as the first lines of [`train`], and nothing else.
///
/// # Errors
/// If anything that was asked for is wrong, or a step cannot be measured.
pub fn plan(draft: Draft, machine: Machine, observe: Observer) -> Result<Plan, Error> {
    let (recipe, automatic) = resolve(draft)?;
    let mut job = assemble(recipe, machine, observe)?;
    observe(Event::Measuring);
    let costs = costs(&job)?;
    plan::plan(&mut job, &costs, &automatic)
}

fn resolve(draft: Draft) -> Result<(Recipe, Vec<Automatic>), Error> {
    // Without a model the draft does not resolve, whatever the image size.
    let native = match &draft.model {
        Some(model) => architecture(model)?.pretrained.image_size,
        None => 0,
    };
    let automatic = draft.automatic()?;
    let mut recipe = draft.resolve(native)?;
    recipe.data = absolute(&recipe.data);
    if recipe.weights != NO_WEIGHTS {
        let weights = absolute(&resolve_path(Path::new(&recipe.weights)));
        recipe.weights = weights.display().to_string();
    }
    Ok((recipe, automatic))
}

fn costs(job: &Job<Classification>) -> Result<Costs, Error> {
    probe::ask(job, &job.task.train, &job.task.classes)
}

/// Plans a run and says so. Where steps cannot be measured, it goes on without a plan.
fn make_plan(
    job: &mut Job<Classification>,
    automatic: &[Automatic],
    observe: Observer,
) -> Result<Option<Plan>, Error> {
    observe(Event::Measuring);
    match costs(job) {
        Ok(costs) => {
            let plan = plan::plan(job, &costs, automatic)?;
            observe(Event::Plan(&plan));
            Ok(Some(plan))
        }
        Err(error) => {
            observe(Event::Note(format!("memory is not planned: {error}")));
            Ok(None)
        }
    }
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
    /// Memory to keep within.
    pub memory: Option<Memory>,
    /// Whether the run failed to allocate.
    pub out_of_memory: bool,
}

impl Changes {
    /// Whether they touch what is planned.
    fn need_a_plan(&self) -> bool {
        self.batch.is_some() || self.freeze_batch.is_some() || self.memory.is_some()
    }
}

/// Goes on with a run from its newest sound checkpoint, or from the start if it has none.
///
/// # Errors
/// If there is no run, no sound checkpoint, or a change that cannot be; if training fails. Nothing
/// is changed before the checkpoint is loaded.
pub fn resume(
    path: &Path,
    changes: &Changes,
    machine: Machine,
    observe: Observer,
) -> Result<Summary, Error> {
    let (run, recipe) = RunFolder::open(path)?;
    let checkpoint = match changes.from_epoch {
        Some(epoch) => Some(chosen(&run, epoch)?),
        None => run.checkpoints.newest(&mut |damage| {
            observe(Event::Note(format!(
                "skipped a damaged checkpoint: {damage}"
            )));
        })?,
    };
    let done = checkpoint
        .as_ref()
        .map_or(0, |checkpoint| checkpoint.state.epoch);
    let mut recipe = change(recipe, changes, done)?;
    if !changes.need_a_plan()
        && (changes.out_of_memory || run.killed_for_memory().is_some())
        && let Some(position) = recipe.position(done + 1)
    {
        let note = spare_memory(&mut recipe.phases[position.phase], path)?;
        observe(Event::Note(note));
        run.write_recipe(&recipe)?;
    }
    let epochs = recipe.epochs();
    let mut job = assemble(recipe, machine, observe)?;
    let plan = match changes.need_a_plan() {
        true => {
            let fixed = Automatic {
                batch: false,
                lr: false,
            };
            let all = vec![fixed; job.recipe.phases.len()];
            make_plan(&mut job, &all, observe)?
        }
        false => run.plan(),
    };
    let Some(checkpoint) = checkpoint else {
        observe(Event::Note(
            "the run has no checkpoint yet: it starts from its first epoch".into(),
        ));
        return begin(job, path, plan.as_ref(), observe)?.run(observe);
    };
    note_other_simd(&checkpoint, observe);
    let finished = run
        .summary()
        .filter(|summary| summary.state == RunState::Finished && summary.epochs == epochs);
    let later: Vec<usize> = run.checkpoints.epochs()?;
    if let Some(plan) = &plan {
        run.write_plan(plan)?;
    }
    let mut session = Session::at(job, run, checkpoint)?;
    session.align_files(observe)?;
    for epoch in later.into_iter().filter(|&epoch| epoch > done) {
        session.checkpoints().remove(epoch)?;
    }
    if done < epochs {
        observe(Event::Note(format!(
            "going on after epoch {done} of {epochs}"
        )));
        return session.run(observe);
    }
    let shown = path.display();
    observe(Event::Note(format!(
        "{shown} has finished its {done} epochs; to train on: warmstart resume {shown} --epochs {}",
        done + 5
    )));
    match finished {
        // The test split was measured; that is done once.
        Some(summary) => session.keep_summary(summary),
        None => session.run(observe),
    }
}

/// The same bits are promised within one SIMD level.
fn note_other_simd(checkpoint: &Checkpoint, observe: Observer) {
    let here = warmstart_nn::simd_level().unwrap_or_default();
    let there = &checkpoint.state.simd;
    if there != here {
        observe(Event::Note(format!(
            "the run went at the SIMD level {there} so far and goes on at {here}: the result is as \
             good, but not the same in every bit"
        )));
    }
}

fn chosen(run: &RunFolder, epoch: usize) -> Result<Checkpoint, Error> {
    let kept = run.checkpoints.epochs()?;
    if !kept.contains(&epoch) {
        let kept = match kept.len() {
            0 => "there are none yet".to_owned(),
            _ => {
                let kept: Vec<_> = kept.iter().map(usize::to_string).collect();
                format!("those kept are of the epochs {}", kept.join(", "))
            }
        };
        return Err(Error::usage(format!(
            "--from-epoch {epoch}: there is no checkpoint of it; {kept}"
        )));
    }
    run.checkpoints.open(epoch)
}

/// The recipe with the changes, which touch no epoch that is done.
fn change(mut recipe: Recipe, changes: &Changes, done: usize) -> Result<Recipe, Error> {
    if let Some(epochs) = changes.epochs
        && (epochs != recipe.epochs() || epochs < done)
    {
        recipe = recipe.with_epochs(epochs, done)?;
    }
    let flags = [
        ("--batch", changes.batch.is_some(), false),
        ("--lr", changes.lr.is_some(), false),
        ("--freeze-batch", changes.freeze_batch.is_some(), true),
        ("--freeze-lr", changes.freeze_lr.is_some(), true),
    ];
    let mut end = 0;
    let mut hit = [false; 2];
    for phase in &mut recipe.phases {
        end += phase.epochs;
        if end <= done {
            continue;
        }
        let frozen = phase.train == Train::Head;
        hit[usize::from(frozen)] = true;
        let (batch, lr) = match frozen {
            true => (changes.freeze_batch, changes.freeze_lr),
            false => (changes.batch, changes.lr),
        };
        phase.batch = batch.unwrap_or(phase.batch);
        if batch.is_some() || changes.memory.is_some() {
            // It was planned for another batch or other memory.
            phase.micro_batch = None;
        }
        phase.lr = lr.unwrap_or(phase.lr);
    }
    for (flag, given, frozen) in flags {
        if given && !hit[usize::from(frozen)] {
            return Err(Error::usage(format!(
                "{flag}: no epoch is left whose backbone is {}",
                if frozen { "frozen" } else { "thawed" }
            )));
        }
    }
    recipe.memory = changes.memory.unwrap_or(recipe.memory);
    recipe.check()?;
    Ok(recipe)
}

/// Lets a phase for which there was not enough memory do with less, and says so.
fn spare_memory(phase: &mut Phase, run: &Path) -> Result<String, Error> {
    let Phase { name, batch, .. } = &*phase;
    let before = phase.micro_batch();
    if before == 1 {
        return Err(Error::Memory(format!(
            "the run ended in phase {name} for lack of memory, and its images go one at a time \
             already: free some memory and resume with `warmstart resume {} --memory auto`, or start a \
             run with a smaller model or --image-size",
            run.display()
        )));
    }
    let after = before.div_ceil(2);
    let note = format!(
        "the run ended in phase {name} for lack of memory: it goes on with {after} images at a time \
         instead of {before}, and the gradients averaged over the batch of {batch}"
    );
    phase.micro_batch = Some(after);
    Ok(note)
}

/// Opens what the recipe names, and refuses what cannot work.
fn assemble(
    recipe: Recipe,
    machine: Machine,
    observe: Observer,
) -> Result<Job<Classification>, Error> {
    let architecture = architecture(&recipe.model)?;
    for phase in &recipe.phases {
        boundary(&architecture, &phase.train)?;
    }
    let data = readable(
        warmstart_data::open(&recipe.data, recipe.val_split, recipe.seed)?,
        observe,
    )?;
    job(recipe, data, machine)
}

/// A recipe and its data, ready to work.
///
/// # Errors
/// If there is no such model.
pub fn job(recipe: Recipe, data: Dataset, machine: Machine) -> Result<Job<Classification>, Error> {
    let architecture = architecture(&recipe.model)?;
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
        task: Arc::new(task),
        info,
        machine,
        device: warmstart_nn::device(),
    })
}

/// Leaves out the images that cannot be read, unless they are too many.
fn readable(mut data: Dataset, observe: Observer) -> Result<Dataset, Error> {
    let test = data.test.take().unwrap_or_default();
    let splits = [data.train, data.validation, test];
    observe(Event::Checking {
        images: splits.iter().map(Vec::len).sum(),
    });
    let checked = splits.map(|split| warmstart_data::check(&split, |_, _| ()));
    let all = Checked {
        readable: checked
            .iter()
            .flat_map(|split| split.readable.clone())
            .collect(),
        unreadable: checked
            .iter()
            .flat_map(|split| split.unreadable.clone())
            .collect(),
    };
    require_readable(&all, UNREADABLE_LIMIT)?;
    let [train, validation, test] = checked.map(|split| split.readable);
    for (label, class) in data.classes.iter().enumerate() {
        if !train.iter().any(|sample| sample.label == label) {
            return Err(Error::usage(format!(
                "the class {class} has no training image that can be read: mend its images, or \
                 remove its folder"
            )));
        }
    }
    if validation.is_empty() {
        return Err(Error::usage(
            "no validation image can be read: mend or replace them",
        ));
    }
    observe(Event::Data {
        classes: &data.classes,
        train: train.len(),
        validation: validation.len(),
        test: test.len(),
        unreadable: &all.unreadable,
        ignored: data.ignored,
        without_validation: &data.without_validation,
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
    job: Job<Classification>,
    folder: &Path,
    plan: Option<&Plan>,
    observe: Observer,
) -> Result<Session<Classification>, Error> {
    let start = start(
        &job.recipe,
        &job.architecture,
        &job.task.head_parameters(),
        &job.task.classes,
        &job.device,
    )?;
    observe(Event::Loaded(&start.report));
    let run = RunFolder::create(folder, &job.recipe, &start.report)?;
    if let Some(plan) = plan {
        run.write_plan(plan)?;
    }
    Ok(Session::new(job, run, start.parameters))
}

/// A path that means the same from every folder.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize()
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}
