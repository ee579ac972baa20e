//! The cost probe: it has steps of each phase measured, in a child process for each phase. In one process, gaps between
//! freed blocks of one phase would count as memory of the next.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use warmstart_data::{Sample, picture_header};
use warmstart_language::{english, language, message, translated};
use warmstart_nn::devices::{CardKind, card_of};
use warmstart_ranks::Ranks;
use warmstart_recipe::{Error, Phase, Recipe, TaskKind};
use warmstart_run::stop::Stop;
use warmstart_tasks::network::INFERENCE_BATCH;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::{EvaluationSplit, TaskData};

use super::memory_line::{MemoryLine, StepMemory};
use super::path_bytes;
use super::phase_probe::PhaseProbe;
pub use super::phase_probe::{CardCost, PhaseCost};
use crate::head_layers::layers_of;
use crate::memory::{Budget, CardBudget};
use crate::resources::Resources;
use crate::trainer::Trainer;

/// Name of the command that answers a [`Request`].
pub const COMMAND: &str = "probe";
/// Two batch sizes to measure with, and two smaller ones for a system that has no memory for them.
const BATCHES: [[usize; 2]; 2] = [[2, 4], [1, 2]];
/// The batch sizes on a graphics card: it takes hardly longer for some images than for one, so that few tell too little
/// of the time of many.
const BATCHES_ON_CARD: [[usize; 2]; 3] = [[4, INFERENCE_BATCH], [2, 4], [1, 2]];
/// The beginning of the line in which a process reports its error, in its language.
const ERROR: &str = english!("error: ");

/// A request to measure a phase.
#[derive(Serialize, Deserialize)]
pub struct Request<L> {
    /// The recipe in TOML, with every option decided, and one phase.
    recipe: String,
    classes: Vec<String>,
    /// Images to take steps with.
    images: Vec<LabelledFile<L>>,
    /// Two batch sizes.
    batches: [usize; 2],
    workers: usize,
}

/// A sample as it goes to another process.
#[derive(Serialize, Deserialize)]
struct LabelledFile<L> {
    #[serde(with = "path_bytes")]
    path: PathBuf,
    label: L,
}

impl<L: Clone> LabelledFile<L> {
    fn of(sample: &Sample<L>) -> Self {
        Self {
            path: sample.path.clone(),
            label: sample.label.clone(),
        }
    }

    fn sample(&self) -> Sample<L> {
        Sample {
            path: self.path.clone(),
            label: self.label.clone(),
        }
    }
}

/// The costs of the phases of a run, and the memory that it may use.
pub struct Measured {
    /// The cost of each phase.
    pub costs: Vec<PhaseCost>,
    /// The memory; `None` where the system does not tell.
    pub budget: Option<Budget>,
    /// That of the graphics card; `None` on the processor.
    pub card: Option<CardBudget>,
}

/// Measures the phases of a recipe in child processes, one after the other, the one that trains most first.
///
/// # Errors
/// If a process cannot be started, or fails, most likely for lack of memory.
pub fn ask<T: Task>(trainer: &Trainer<T>) -> Result<Vec<PhaseCost>, Error> {
    let data = &trainer.data;
    let validation = data.split(EvaluationSplit::Validation);
    let images = most_costly(data.train.iter().chain(&**validation));
    let phases = &trainer.recipe.phases;
    let mut largest_first: Vec<usize> = (0..phases.len()).collect();
    largest_first.sort_by_key(|&phase| trainer.boundaries[phase]);
    let mut costs = vec![PhaseCost::default(); phases.len()];
    for phase in largest_first {
        costs[phase] = ask_for(trainer, &phases[phase], &images)?;
        if phases[phase].is_solved() {
            let solver = solver_memory(trainer, &phases[phase])?;
            let inference = costs[phase].inference;
            costs[phase].step = StepMemory::of_solving(MemoryLine {
                base: inference.base + solver,
                ..inference
            });
        }
    }
    Ok(costs)
}

/// Bytes that solving for the head of a phase takes, with the features of all training images.
fn solver_memory<T: Task>(trainer: &Trainer<T>, phase: &Phase) -> Result<f64, Error> {
    let values = trainer.values_of_layers(&layers_of(&trainer.architecture, &phase.head_layers))?;
    let (images, classes) = (trainer.data.training_images(), trainer.data.classes.len());
    Ok(warmstart_ridge::memory(images, &values, classes) as f64)
}

/// The images whose reading needs the most memory by their headers, the most costly first. A file's size says
/// little: one of 25 kB can have 10,000 × 10,000 pixels.
fn most_costly<'a, L: Sync>(images: impl Iterator<Item = &'a Sample<L>>) -> Vec<&'a Sample<L>> {
    let images: Vec<_> = images.collect();
    let mut costs: Vec<_> = images
        .par_iter()
        .map(|sample| picture_header(&sample.path).map_or(0, |header| header.bytes))
        .zip(images.par_iter().copied())
        .collect();
    // Stable, so that the choice among equals does not depend on threads.
    costs.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    costs.truncate(INFERENCE_BATCH);
    costs.into_iter().map(|(_, sample)| sample).collect()
}

fn ask_for<T: Task>(
    trainer: &Trainer<T>,
    phase: &Phase,
    images: &[&Sample<T::Label>],
) -> Result<PhaseCost, Error> {
    let recipe = Recipe {
        phases: vec![phase.clone()],
        ..trainer.recipe.clone()
    };
    let mut request = Request {
        recipe: recipe.to_toml(),
        classes: trainer.data.classes.clone(),
        images: images
            .iter()
            .map(|sample| LabelledFile::of(sample))
            .collect(),
        batches: BATCHES[0],
        workers: trainer.resources.workers,
    };
    let program = &trainer.resources.program;
    let mut ask = |batches| {
        request.batches = batches;
        answer(program, &request)
    };
    let tries: &[[usize; 2]] = match card_of(&trainer.device) {
        Some(card) if card.kind != CardKind::Software => &BATCHES_ON_CARD,
        Some(_) | None => &BATCHES,
    };
    let mut cost = ask(tries[0]);
    for &batches in &tries[1..] {
        cost = cost.or_else(|_| ask(batches));
    }
    cost
}

fn answer<L: Serialize>(program: &Path, request: &Request<L>) -> Result<PhaseCost, Error> {
    let failed = |error| Error::io("run", program, error);
    let mut child = Command::new(program)
        .args([COMMAND, "--lang", language().word()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let text = serde_json::to_string(request).expect("a request is plain data") + "\n";
    // Open until the answer is read: the child ends when its input does, so it also ends when this process is killed.
    let mut input = child.stdin.take().expect("it was piped");
    // A child that failed early gives the reason itself.
    let _ = input.write_all(text.as_bytes());
    let output = child.wait_with_output();
    drop(input);
    let output = output.map_err(failed)?;
    if output.status.success()
        && let Ok(cost) = serde_json::from_slice(&output.stdout)
    {
        return Ok(cost);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = reason(&said);
    let [_, images] = request.batches;
    Err(Error::memory(match said {
        "" => message!(
            "a step of {images} images was measured and ended by {}",
            output.status
        ),
        said => message!("a step of {images} images was measured and failed: {said}"),
    }))
}

/// What a process that failed says of it: its error, or the words of a panic, or else its last line.
fn reason(said: &str) -> &str {
    let error = said.lines().rev().find_map(|line| {
        let own = line.strip_prefix(translated(ERROR));
        own.or_else(|| line.strip_prefix(ERROR))
    });
    let is_other = |line: &&str| !line.contains("panicked at ");
    error
        .or_else(|| said.lines().skip_while(is_other).nth(1))
        .or_else(|| said.lines().last())
        .unwrap_or_default()
}

/// The kind of task of a request in JSON, whose label type is not known yet.
///
/// # Errors
/// If it is none.
pub fn kind(request: &serde_json::Value) -> Result<TaskKind, Error> {
    let recipe = request["recipe"].as_str().unwrap_or_default();
    Ok(Recipe::from_toml(Path::new("request"), recipe)?.task)
}

/// The number of threads that a request in JSON is to be measured with.
pub fn threads(request: &serde_json::Value) -> usize {
    request["workers"]
        .as_u64()
        .map_or(1, |workers| workers.max(1) as usize)
}

/// Measures the phase of a request.
///
/// # Errors
/// If it cannot be read, or an image of it.
pub fn measure<T: Task>(request: Request<T::Label>, program: &Path) -> Result<PhaseCost, Error> {
    // The images at a time and the sums that are held follow from the shards: the plan counts them itself.
    let recipe = Recipe {
        fold: None,
        virtual_shards: 1,
        ..Recipe::from_toml(Path::new("request"), &request.recipe)?
    };
    let images = request.images.iter().map(LabelledFile::sample);
    let samples = images.cycle().take(INFERENCE_BATCH).collect();
    let data = TaskData::of_training_images(request.classes, samples, T::CLASS_OF);
    let resources = Resources {
        workers: request.workers,
        cache: None,
        program: program.to_owned(),
        restart_flags: Vec::new(),
        stop: Stop::default(),
        ranks: Ranks::alone(),
    };
    PhaseProbe::new(Trainer::<T>::new(recipe, data, resources)?)?.cost(request.batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmstart_data::{RgbImage, save_picture};

    #[test]
    fn the_images_that_are_measured_are_chosen_by_their_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let sample = |name: &str, image: RgbImage| {
            let path = folder.path().join(name);
            save_picture(&path, &image).unwrap();
            Sample { path, label: 0 }
        };
        let mut noise = RgbImage::black(150, 150);
        let mut state = 1_u32;
        for value in &mut noise.pixels {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *value = (state >> 24) as u8;
        }
        let samples = [
            sample("noise.png", noise),
            sample("flat.png", RgbImage::black(1000, 1000)),
            Sample {
                path: folder.path().join("gone.png"),
                label: 0,
            },
        ];
        let size = |index: usize| samples[index].path.metadata().unwrap().len();
        assert!(size(0) > size(1), "the larger file has fewer pixels");
        let chosen = most_costly(samples.iter());
        let names: Vec<_> = chosen.iter().map(|sample| &sample.path).collect();
        assert_eq!(names, [1, 0, 2].map(|index| &samples[index].path));
    }
}
