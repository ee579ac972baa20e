//! A step has the same bits on any number of processes that its virtual shards allow, and almost the values of a step
//! without shards.

mod common;

use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_ranks::Ranks;
use warmstart_tasks::classify::Target;
use warmstart_tasks::task::Task;
use warmstart_train::phase_setup::PhaseSetup;
use warmstart_train::step::{NonFinite, Step};
use warmstart_train::virtual_shards::VirtualShards;
use warmstart_train::watch::Watch;

use common::{Beginning, features, pixels};

/// A network with batch norms, and one that also drops values and branches at random.
const MODELS: [&str; 2] = ["resnet18", "efficientnet_b0"];

/// A phase, and the images of its batches.
#[derive(Clone, Copy)]
struct Case {
    model: &'static str,
    lines: &'static str,
    images: usize,
    shards: usize,
    /// An image with a pixel that is not a number.
    damaged: Option<usize>,
}

struct Fixture {
    case: Case,
    run: Beginning,
    ranks: Ranks,
}

impl Fixture {
    fn new(case: Case, ranks: Ranks) -> Self {
        let mut run = Beginning::new(case.model, 16, case.lines);
        run.state.begin_phase(&run.phase);
        Self { case, run, ranks }
    }

    fn features(&self, part: std::ops::Range<usize>) -> Vec<Tensor<4>> {
        if part.is_empty() {
            return Vec::new();
        }
        let image = |number: usize| {
            let mut pixels = pixels(number * 131);
            if self.case.damaged == Some(number) {
                pixels[5] = f32::NAN;
            }
            pixels
        };
        let images: Vec<Vec<f32>> = part.map(image).collect();
        features(&images)
    }

    fn step(&mut self, lr: f64, watch: Option<&mut Watch>) -> Result<f64, NonFinite> {
        let head = self.run.task.head().parameters;
        let setup = PhaseSetup::new(&self.run.phase, &self.run.architecture, &head).unwrap();
        let shards = VirtualShards {
            shards: self.case.shards,
            ranks: self.ranks.count(),
            rank: self.ranks.rank(),
        };
        let part = shards.part_of_rank(self.case.images);
        let features = self.features(part.clone());
        let targets: Vec<Target> = part.map(|image| Target::from(image % 3 % 2)).collect();
        let step = Step {
            architecture: &self.run.architecture,
            task: &self.run.task,
            phase: &self.run.phase,
            setup: &setup,
            seed: 1,
            ranks: &self.ranks,
            shards,
        };
        let images = self.case.images;
        step.run(
            &mut self.run.state,
            features,
            &targets,
            images,
            lr,
            watch,
            &mut |_| (),
        )
    }

    fn bits(&self) -> Vec<u32> {
        let state = &self.run.state;
        let all = [&state.parameters, &state.optimizer.state];
        let values = all
            .into_iter()
            .chain(&state.average)
            .flat_map(|map| map.names().flat_map(move |name| map.values(name)));
        values.map(f32::to_bits).collect()
    }
}

/// What a process has after two steps.
struct Outcome {
    losses: Vec<u64>,
    values: Vec<u32>,
    /// The health that the first process has measured.
    health: Option<String>,
}

fn two_steps(case: Case, ranks: Ranks) -> Outcome {
    let is_first = ranks.is_first();
    let mut fixture = Fixture::new(case, ranks);
    let mut watch = Watch::default();
    let losses = [Some(&mut watch), None].map(|watch| fixture.step(1e-3, watch).unwrap().to_bits());
    Outcome {
        losses: losses.to_vec(),
        values: fixture.bits(),
        health: is_first.then(|| format!("{:?}", watch.health(1).unwrap())),
    }
}

/// The outcome of each of several threads, which are one process each.
fn on_ranks<R: Send + 'static>(case: Case, count: usize, work: fn(Case, Ranks) -> R) -> Vec<R> {
    let threads: Vec<_> = Ranks::of_threads(count)
        .into_iter()
        .map(|ranks| std::thread::spawn(move || work(case, ranks)))
        .collect();
    let outcomes = threads.into_iter().map(|thread| thread.join().unwrap());
    outcomes.collect()
}

#[test]
fn a_step_has_the_same_bits_on_any_number_of_processes() {
    for model in MODELS {
        for (images, lines) in [
            (16, "batch_norm = 'batch'\ndropout = 0.3"),
            (13, "batch_norm = 'batch'\nmicro_batch = 1\nema_decay = 0.9"),
            (5, "batch_norm = 'frozen'\nclip_norm = 0.1"),
        ] {
            let case = Case {
                model,
                lines,
                images,
                shards: 8,
                damaged: None,
            };
            let alone = two_steps(case, Ranks::alone());
            for count in [2, 4, 8] {
                for (rank, found) in on_ranks(case, count, two_steps).into_iter().enumerate() {
                    let place = format!("{model}, {images} images, rank {rank} of {count}");
                    assert_eq!(found.losses, alone.losses, "{place}");
                    assert!(found.values == alone.values, "{place}");
                    if rank == 0 {
                        assert_eq!(found.health, alone.health, "{place}");
                    }
                }
            }
        }
    }
}

#[test]
fn with_frozen_batch_norms_a_step_in_shards_is_one_in_a_whole_up_to_rounding() {
    let stepped = |shards: usize| {
        let case = Case {
            model: "resnet18",
            lines: "batch_norm = 'frozen'\noptimizer = 'sgd'\nclip_norm = 0.0",
            images: 13,
            shards,
            damaged: None,
        };
        let mut fixture = Fixture::new(case, Ranks::alone());
        let before = fixture.run.state.parameters.clone();
        let loss = fixture.step(0.1, None).unwrap();
        (loss, before, fixture.run.state.parameters)
    };
    let norm = |difference: Parameters| difference.sum_of_squares().sqrt();
    let (whole_loss, before, whole) = stepped(1);
    let moved = norm(whole.clone().less(&before));
    assert!(moved > 0.0);
    for shards in [2, 8, 16] {
        let (loss, _, parameters) = stepped(shards);
        assert!(
            (loss - whole_loss).abs() < 1e-4 * whole_loss,
            "{shards}: {loss} {whole_loss}"
        );
        let apart = norm(parameters.less(&whole));
        assert!(apart < 1e-3 * moved, "{shards}: {apart} {moved}");
    }
}

#[test]
fn all_processes_refuse_a_step_together_and_change_nothing() {
    let case = Case {
        model: "resnet18",
        lines: "",
        images: 16,
        shards: 8,
        damaged: Some(9),
    };
    let refused = |case, ranks| {
        let mut fixture = Fixture::new(case, ranks);
        let before = fixture.bits();
        let refused = fixture.step(1e-3, None).unwrap_err();
        assert!(fixture.bits() == before, "nothing is changed");
        assert_eq!(fixture.run.state.steps, 0);
        refused
    };
    let expected = NonFinite {
        what: "the loss is NaN".to_owned(),
        layer: "the image itself".to_owned(),
    };
    for count in [1, 2, 8] {
        assert_eq!(
            on_ranks(case, count, refused),
            vec![expected.clone(); count]
        );
    }
}
