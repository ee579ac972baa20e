//! Warmstart's side of `bench/speed`: it times forward passes and training steps of a model on request.
//!
//! ```text
//! cargo run --release -p warmstart-train --example speed -- MODEL BATCH THREADS [DEVICE [PRECISION]]
//! ```
//!
//! Reads lines `forward N` and `step N`, does that many, and answers each with a line of JSON: the
//! seconds they took, the process's highest memory in MB (10⁶ bytes), its minor page faults
//! meanwhile, and the device with what its allocator holds. The step is the training loop's own: all
//! layers, batch statistics, cross-entropy over 1,000 classes, AdamW, no clipping. The device is the
//! processor in f32 unless another is named, such as `gpu bf16`; a graphics card has done all of its
//! work when the time is taken.
#![allow(clippy::print_stdout, reason = "an example reports on the terminal")]

use std::error::Error;
use std::fs;
use std::io::{BufRead, stdin};
use std::sync::Arc;
use std::time::Instant;

use warmstart_data::Fit;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::{DType, Device, Tensor};
use warmstart_nn::devices::{self, Card, DeviceName};
use warmstart_nn::initialization::Initialization;
use warmstart_nn::{Folded, Forward};
use warmstart_ranks::Ranks;
use warmstart_recipe::{Draft, Phase};
use warmstart_run::loss_scale::LossScale;
use warmstart_tasks::classify::{Classification, Target};
use warmstart_tasks::network::images;
use warmstart_tasks::preprocessing;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::TaskData;
use warmstart_train::device::format;
use warmstart_train::memory;
use warmstart_train::optimizer::Optimizer;
use warmstart_train::phase_setup::PhaseSetup;
use warmstart_train::step::Step;
use warmstart_train::training_state::TrainingState;
use warmstart_train::virtual_shards::VirtualShards;

const CLASSES: usize = 1000;
const SIZE: usize = 224;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, batch, threads, of_device @ ..] = arguments.as_slice() else {
        return Err("usage: speed MODEL BATCH THREADS [DEVICE [PRECISION]]".into());
    };
    let mut of_device = of_device.iter().map(String::as_str);
    let name: DeviceName = of_device.next().unwrap_or("cpu").parse()?;
    let precision = of_device.next().unwrap_or("f32");
    rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .num_threads(threads.parse()?)
        .build_global()?;
    let architecture = warmstart_models::by_name(model).ok_or("no such model")?;
    let mut bench = Bench::new(architecture, batch.parse()?, name, precision)?;
    let title = devices::card_of(&bench.device).map_or_else(|| name.to_string(), Card::title);
    for line in stdin().lock().lines() {
        let line = line?;
        let (what, count) = line
            .split_once(' ')
            .ok_or("expected `forward N` or `step N`")?;
        let count: usize = count.parse()?;
        let faults = page_faults();
        let started = Instant::now();
        match what {
            "forward" => (0..count).for_each(|_| bench.forward()),
            "step" => (0..count).for_each(|_| bench.step()),
            _ => return Err(format!("unknown request {what}").into()),
        }
        bench.device.sync()?;
        let seconds = started.elapsed().as_secs_f64();
        let answer = serde_json::json!({
            "seconds": seconds,
            "counted": warmstart_nn::memory_peak() / 1000000,
            "peak_mb": memory::peak_mb(),
            "page_faults": page_faults() - faults,
            "device": title,
            "card_mb": memory::card_mb(&bench.device).unwrap_or_default(),
        });
        println!("{answer}");
    }
    Ok(())
}

/// Minor page faults of all threads so far: the tenth field of proc(5)'s `stat`, eighth after the
/// name; 0 where the system does not tell.
fn page_faults() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let faults = after_name.split_whitespace().nth(7);
    faults.and_then(|faults| faults.parse().ok()).unwrap_or(0)
}

struct Bench {
    device: Device,
    format: DType,
    architecture: Architecture,
    task: Classification,
    phase: Phase,
    setup: PhaseSetup,
    folded: Option<Folded>,
    learned: TrainingState,
    pixels: Vec<Vec<f32>>,
    labels: Vec<Target>,
}

impl Bench {
    fn new(
        architecture: Architecture,
        batch: usize,
        name: DeviceName,
        precision: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let device = devices::open(name)?;
        let recipe = format!(
            "data = 'd'\nmodel = '{}'\nweights = 'w'\ndevice = '{name}'\n\
             precision = '{precision}'\n[[phase]]\ntrain = 'all'\nepochs = 1\nclip_norm = 0.0\n\
             batch = {batch}\n",
            architecture.name
        );
        let draft: Draft = toml::from_str(&recipe)?;
        let mut recipe = draft.resolve(SIZE, None)?;
        let preprocessing = preprocessing::for_size(architecture.pretrained(), SIZE, Fit::Crop);
        let classes = (0..CLASSES).map(|class| class.to_string()).collect();
        let data = TaskData::of_training_images(classes, Vec::new(), Classification::CLASS_OF);
        let task = Classification::new(&recipe, &architecture, &Arc::new(data), preprocessing);
        let phase = recipe.phases.remove(0);
        let head = task.head().parameters;
        let mut infos = architecture.backbone_parameters();
        infos.extend(head.iter().cloned());
        let defaults = architecture.initialization();
        let parameters = Initialization::default().parameters(&infos, &defaults, 1, &device);
        let pixel = |index: usize| ((index * 7919) % 255) as f32 / 127.0 - 1.0;
        let image = |number: usize| (0..SIZE * SIZE * 3).map(|i| pixel(i + number)).collect();
        let mut learned = TrainingState::new(parameters, Optimizer::new(phase.optimizer));
        learned.loss_scale = LossScale::of(recipe.precision);
        Ok(Self {
            setup: PhaseSetup::new(&phase, &architecture, &head)?,
            learned,
            format: format(recipe.precision),
            pixels: (0..batch).map(image).collect(),
            labels: (0..batch)
                .map(|image| (image * 61 % CLASSES).into())
                .collect(),
            folded: None,
            device,
            architecture,
            task,
            phase,
        })
    }

    fn forward(&mut self) {
        let images = self.images();
        let all = 0..self.architecture.stages.len();
        let folded = self.folded.get_or_insert_with(|| {
            self.architecture
                .fold(all.clone(), &self.learned.parameters, &self.device)
        });
        let features = self
            .architecture
            .forward(all, images, &mut Forward::Inference(folded));
        let mut tally = Default::default();
        self.task.evaluate(
            &mut tally,
            vec![features],
            folded,
            &self.learned.parameters,
            &self.labels,
        );
    }

    fn images(&self) -> Tensor<4> {
        let pixels: Vec<&[f32]> = self.pixels.iter().map(Vec::as_slice).collect();
        images(&pixels, SIZE, &self.device).cast(self.format)
    }

    fn step(&mut self) {
        self.folded = None;
        let images = self.images();
        let step = Step {
            architecture: &self.architecture,
            task: &self.task,
            phase: &self.phase,
            setup: &self.setup,
            seed: 1,
            ranks: &Ranks::alone(),
            shards: VirtualShards {
                shards: 1,
                ranks: 1,
                rank: 0,
            },
        };
        let loss = step.run(
            &mut self.learned,
            vec![images],
            &self.labels,
            self.labels.len(),
            1e-4,
            None,
            &mut |_| (),
        );
        loss.expect("a step of random weights is finite");
    }
}
