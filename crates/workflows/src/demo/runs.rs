//! The runs of a demonstration: what each learns, and from what.

use serde::Serialize;
use warmstart_language::english;

/// The task that a run learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DemoTask {
    /// Six shapes with two textures, for the pretraining.
    Source,
    /// Six other shapes.
    Related,
    /// Noise without shapes, told apart by its colour.
    Unrelated,
}

impl DemoTask {
    /// Its name, which is that of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => english!("source"),
            Self::Related => english!("related"),
            Self::Unrelated => english!("unrelated"),
        }
    }
}

/// What a run begins with, and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Random weights, all of which are trained.
    Scratch,
    /// Random weights that do not change: only the head is found.
    Random,
    /// Pretrained weights that do not change: only the head is found.
    Frozen,
    /// Pretrained weights, all of which are trained after the head.
    Thawed,
}

impl Start {
    /// All of them, in the order of the results.
    pub const ALL: [Self; 4] = [Self::Scratch, Self::Random, Self::Frozen, Self::Thawed];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scratch => english!("scratch"),
            Self::Random => english!("random"),
            Self::Frozen => english!("frozen"),
            Self::Thawed => english!("thawed"),
        }
    }

    /// Whether it begins with pretrained weights.
    pub fn is_pretrained(self) -> bool {
        match self {
            Self::Scratch | Self::Random => false,
            Self::Frozen | Self::Thawed => true,
        }
    }
}

/// A run of a demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoRun {
    /// The task.
    pub task: DemoTask,
    /// The weights that it begins with.
    pub start: Start,
    /// Seed of the run and of its training pictures.
    pub seed: u64,
}

/// The runs of a demonstration: the pretraining, and for each target and seed one of each start.
pub fn runs(seeds: u64) -> Vec<DemoRun> {
    let mut runs = vec![DemoRun {
        task: DemoTask::Source,
        start: Start::Scratch,
        seed: 1,
    }];
    for task in [DemoTask::Related, DemoTask::Unrelated] {
        for seed in 1..=seeds {
            runs.extend(Start::ALL.map(|start| DemoRun { task, start, seed }));
        }
    }
    runs
}

/// Whether no run before it has its data: the starts of a seed share them.
pub fn is_first_with_its_data(run: &DemoRun) -> bool {
    run.start == Start::Scratch
}
