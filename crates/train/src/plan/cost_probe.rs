//! The cost probe: it measures a step of each phase by taking some, in a child process for each phase. In one process,
//! gaps between freed blocks of one phase would count as memory of the next.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use warmstart_data::{Sample, picture_header};
use warmstart_language::{english, language, message, translated};
use warmstart_nn::initialization::Initialization;
use warmstart_nn::{forget_memory_peak, memory_in_use, memory_peak};
use warmstart_recipe::{Error, Phase, Recipe, TaskKind};
use warmstart_run::stop::Stop;
use warmstart_tasks::network::INFERENCE_BATCH;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::{EvaluationSplit, TaskData};

use super::memory_line::{MemoryLine, StepMemory, StepPeaks};
use super::path_bytes;
use crate::head_layers::layers_of;
use crate::memory::{self, Budget};
use crate::optimizer::Optimizer;
use crate::resources::Resources;
use crate::step::StepPoint;
use crate::trainer::{CurrentPhase, Trainer};
use crate::training_state::TrainingState;
use crate::watch::Watch;

/// Name of the command that answers a [`Request`].
pub const COMMAND: &str = "probe";
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

/// The cost of a phase, in bytes and seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct PhaseCost {
    /// Memory of a training step, without the frozen part.
    pub step: StepMemory,
    /// Memory of inference: of the frozen part and of evaluations.
    pub inference: MemoryLine,
    /// Highest memory of preparing one image, in each thread, without its pixels.
    pub preparing: f64,
    /// Bytes of an image's frozen features.
    pub features: f64,
    /// Seconds of the frozen part per image.
    pub frozen_seconds: f64,
    /// Seconds of a training step per image.
    pub step_seconds: f64,
    /// Seconds of the evaluation per image.
    pub evaluation_seconds: f64,
}

/// The costs of the phases of a run, and the memory that it may use.
pub struct Measured {
    /// The cost of each phase.
    pub costs: Vec<PhaseCost>,
    /// The memory; `None` where the system does not tell.
    pub budget: Option<Budget>,
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
        batches: [2, 4],
        workers: trainer.resources.workers,
    };
    let program = &trainer.resources.program;
    answer(program, &request).or_else(|_| {
        request.batches = [1, 2];
        answer(program, &request)
    })
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
    let recipe = Recipe {
        fold: None,
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
    };
    CostProbe::new(Trainer::<T>::new(recipe, data, resources)?)?.cost(request.batches)
}

struct CostProbe<T: Task> {
    trainer: Trainer<T>,
    state: TrainingState,
}

impl<T: Task> CostProbe<T> {
    fn new(trainer: Trainer<T>) -> Result<Self, Error> {
        let mut parameters = Initialization::default().parameters(
            &trainer.parameter_infos(),
            &trainer.architecture.initialization(),
            trainer.recipe.seed,
            &trainer.device,
        );
        let phase = &trainer.recipe.phases[0];
        let layers = if phase.is_solved() {
            layers_of(&trainer.architecture, &phase.head_layers)
        } else {
            Vec::new()
        };
        if layers.len() > 1 {
            let values = trainer.values_of_layers(&layers)?;
            let classes = trainer.data.classes.len();
            let weight = vec![0.0; classes * values.iter().sum::<usize>()];
            parameters.replace(trainer.multi_head(&layers, &values, &weight, &vec![0.0; classes]));
        }
        let mut state = TrainingState::new(parameters, Optimizer::new(phase.optimizer));
        state.begin_phase(phase);
        Ok(Self { trainer, state })
    }

    fn cost(mut self, batches: [usize; 2]) -> Result<PhaseCost, Error> {
        let mut cost = PhaseCost {
            preparing: self.preparing()?,
            ..PhaseCost::default()
        };
        if !self.trainer.recipe.phases[0].is_solved() {
            let mut peaks = [StepPeaks::default(); 2];
            let mut besides = [0.0; 2];
            for (index, batch) in batches.into_iter().enumerate() {
                peaks[index] = self.step(batch, &mut cost)?;
                besides[index] = uncounted(peaks[index].highest());
            }
            cost.step = StepMemory::through(batches, peaks, besides);
        }
        // The frozen part comes after the steps: the gaps between its freed blocks would count as memory of the steps.
        self.frozen_part(INFERENCE_BATCH, &mut cost)?;
        let [_, few] = batches;
        let mut measured = [(0, 0.0); 2];
        for (measured, images) in measured.iter_mut().zip([few, INFERENCE_BATCH]) {
            *measured = (images, self.evaluation(images, &mut cost)?);
        }
        cost.inference = MemoryLine::through(measured);
        Ok(cost)
    }

    /// Peak bytes in use while the largest image is read and augmented, less its pixels.
    fn preparing(&self) -> Result<f64, Error> {
        let before = memory_in_use();
        forget_memory_peak();
        let phase = &self.trainer.recipe.phases[0];
        let example = self
            .trainer
            .task
            .training_example(0, phase.view(0, 0), phase)?;
        Ok(memory_peak().saturating_sub(before + size_of_val(&*example.pixels)) as f64)
    }

    /// Begins the phase with a batch size.
    fn begin(&mut self, batch: usize) -> Result<CurrentPhase, Error> {
        let phase = &mut self.trainer.recipe.phases[0];
        (phase.batch, phase.micro_batch) = (batch, None);
        forget_memory_peak();
        let parameters = &self.state.parameters;
        self.trainer.begin_phase(0, parameters, &mut |_| ())
    }

    /// Two steps on noise, the second of which is timed. Returns the highest memory of each part of a step, and of
    /// beginning the phase.
    fn step(&mut self, batch: usize, cost: &mut PhaseCost) -> Result<StepPeaks, Error> {
        let current = self.begin(batch)?;
        let mut peaks = StepPeaks {
            update: memory_peak(),
            ..StepPeaks::default()
        };
        forget_memory_peak();
        let phase = &self.trainer.recipe.phases[0];
        let target = |image| {
            self.trainer
                .task
                .training_target(image, phase.view(0, 0), phase)
        };
        let targets: Vec<_> = (0..batch).map(target).collect();
        for is_first in [true, false] {
            let seed = self.trainer.recipe.seed;
            let features = current.frozen.noise(batch, seed, &self.trainer.device);
            let started = Instant::now();
            let step = self.trainer.step(&current);
            // Watching the network's health holds the parameters twice; the step without it is timed.
            let mut watch = is_first.then(Watch::default);
            let state = &mut self.state;
            // With a learning rate of zero the parameters stay finite; the loss does not matter.
            let mut reached = |point: StepPoint| match point {
                StepPoint::LossKnown => peaks.forward = peaks.forward.max(memory_peak()),
                StepPoint::GradientsKnown => {
                    peaks.gradients = peaks.gradients.max(memory_peak());
                    forget_memory_peak();
                }
            };
            let taken = step.run(state, features, &targets, 0.0, watch.as_mut(), &mut reached);
            // A step that was refused has not used the memory of a whole step.
            taken.map_err(|refused| Error::memory(message!("it was refused: {}", refused.what)))?;
            cost.step_seconds = started.elapsed().as_secs_f64() / batch as f64;
            peaks.update = peaks.update.max(memory_peak());
            forget_memory_peak();
        }
        Ok(peaks)
    }

    /// Takes the time of the frozen part, twice: the first is slow.
    fn frozen_part(&mut self, batch: usize, cost: &mut PhaseCost) -> Result<(), Error> {
        let current = self.begin(batch)?;
        cost.features = 4.0 * current.frozen.values() as f64;
        let (trainer, phase) = (&self.trainer, &self.trainer.recipe.phases[0]);
        let source = if phase.is_solved() {
            current.frozen.clean_source(&trainer.task, &trainer.data)
        } else {
            let view = phase.view(0, 0);
            current
                .frozen
                .training_source(&trainer.task, &trainer.data, phase, view)
        };
        let prepare = source.prepare();
        let images: Vec<_> = (0..batch).map(&*prepare).collect::<Result<_, _>>()?;
        for _ in 0..2 {
            let started = Instant::now();
            // There is no cache, so there are no messages.
            let features = trainer.features(&current.frozen, &images, &source, &mut |_| ());
            drop(features);
            cost.frozen_seconds = started.elapsed().as_secs_f64() / batch as f64;
        }
        Ok(())
    }

    /// The highest memory of an evaluation, which is timed.
    fn evaluation(&mut self, images: usize, cost: &mut PhaseCost) -> Result<f64, Error> {
        let current = self.begin(images)?;
        // One batch, so that no images are prepared ahead: the plan counts those itself.
        let mut data = (*self.trainer.data).clone();
        data.validate_on(data.train[..images].to_vec());
        self.trainer.data = Arc::new(data);
        // Repeated, because freeing and allocating leaves gaps, as in many batches.
        for _ in 0..2 {
            let started = Instant::now();
            self.trainer.evaluate(
                &self.state.parameters,
                &current.frozen,
                EvaluationSplit::Validation,
                &mut |_| (),
            )?;
            cost.evaluation_seconds = started.elapsed().as_secs_f64() / images as f64;
        }
        Ok(memory_peak() as f64 + uncounted(memory_peak()))
    }
}

/// Peak memory of the process that the allocator did not count: the program, small allocations, and gaps.
fn uncounted(counted: usize) -> f64 {
    (memory::peak_mb() * 1e6 - counted as f64).max(0.0)
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
