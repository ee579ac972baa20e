//! A classifier of two classes at the beginning of a phase, and repeatable images for it.

use std::sync::Arc;

use warmstart_data::Fit;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::initialization::Initialization;
use warmstart_recipe::{Draft, Phase};
use warmstart_tasks::classify::Classification;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::TaskData;
use warmstart_tasks::{network, preprocessing};
use warmstart_train::optimizer::Optimizer;
use warmstart_train::training_state::TrainingState;

/// Edge of the images in pixels.
const SIZE: usize = 32;

/// A classifier with random weights, and the phase that it is at the beginning of.
pub struct Beginning {
    pub architecture: Architecture,
    pub task: Classification,
    pub phase: Phase,
    pub state: TrainingState,
}

impl Beginning {
    /// A phase that trains all layers with batches of so many images; `lines` are further ones of its recipe.
    pub fn new(model: &str, batch: usize, lines: &str) -> Self {
        let architecture = warmstart_models::by_name(model).unwrap();
        let text = format!(
            "data = 'd'\nmodel = '{model}'\nweights = 'w'\n[[phase]]\ntrain = 'all'\nepochs = 1\n\
             batch = {batch}\n{lines}"
        );
        let draft: Draft = toml::from_str(&text).unwrap();
        let mut recipe = draft.resolve(SIZE, None).unwrap();
        let preprocessing = preprocessing::for_size(architecture.pretrained(), SIZE, Fit::Crop);
        let classes = ["one", "other"].map(str::to_owned).into();
        let data = TaskData::of_training_images(classes, Vec::new(), Classification::CLASS_OF);
        let task = Classification::new(&recipe, &architecture, &Arc::new(data), preprocessing);
        let phase = recipe.phases.remove(0);
        let state = random_state(&architecture, &task, &phase);
        Self {
            architecture,
            task,
            phase,
            state,
        }
    }
}

/// The state of a network with random weights before its first step.
pub fn random_state<T: Task>(
    architecture: &Architecture,
    task: &T,
    phase: &Phase,
) -> TrainingState {
    let mut infos = architecture.backbone_parameters();
    infos.extend(task.head().parameters);
    let defaults = architecture.initialization();
    let parameters =
        Initialization::default().parameters(&infos, &defaults, 1, &warmstart_nn::device());
    TrainingState::new(parameters, Optimizer::new(phase.optimizer))
}

/// The normalised pixels of an image, which are others for each shift.
pub fn pixels(shift: usize) -> Vec<f32> {
    let value = |index: usize| ((index * 7919 + shift) % 255) as f32 / 127.0 - 1.0;
    (0..SIZE * SIZE * 3).map(value).collect()
}

/// Images as a phase that trains all layers takes them.
pub fn features(images: &[Vec<f32>]) -> Vec<Tensor<4>> {
    let pixels: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
    vec![network::images(&pixels, SIZE, &warmstart_nn::device())]
}
