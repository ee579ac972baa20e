//! Steps of several processes whose gradients move while the last backward pass computes others: they are those of one
//! process, and are refused together.

mod common;

use std::ops::Range;
use std::sync::Arc;

use warmstart_data::Fit;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_ranks::Ranks;
use warmstart_recipe::{Draft, Phase};
use warmstart_tasks::classify;
use warmstart_tasks::detect::objective::Truth;
use warmstart_tasks::detect::{Detection, Target};
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::TaskData;
use warmstart_tasks::{network, preprocessing};
use warmstart_train::phase_setup::PhaseSetup;
use warmstart_train::step::{NonFinite, Step};
use warmstart_train::training_state::TrainingState;
use warmstart_train::virtual_shards::VirtualShards;

use common::{Beginning, features, pixels, random_state};

const SHARDS: usize = 8;
/// Edge of a detector's images.
const SCENE: usize = 64;

/// A step of a batch of so many images on all ranks, of which `part_of` gives some.
fn step<T: Task>(
    network: (&Architecture, &T, &Phase),
    state: &mut TrainingState,
    ranks: &Ranks,
    images: usize,
    part_of: impl Fn(Range<usize>) -> (Vec<Tensor<4>>, Vec<T::Target>),
) -> Result<f64, NonFinite> {
    let (architecture, task, phase) = network;
    let setup = PhaseSetup::new(phase, architecture, &task.head().parameters).unwrap();
    let shards = VirtualShards {
        shards: SHARDS,
        ranks: ranks.count(),
        rank: ranks.rank(),
    };
    let own = shards.part_of_rank(images);
    let (features, targets) = if own.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        part_of(own)
    };
    let step = Step {
        architecture,
        task,
        phase,
        setup: &setup,
        seed: 1,
        ranks,
        shards,
    };
    step.run(state, features, &targets, images, 1e-3, None, &mut |_| ())
}

fn bits(state: &TrainingState) -> Vec<u32> {
    let all = [&state.parameters, &state.optimizer.state];
    let values = all
        .into_iter()
        .flat_map(|map| map.names().flat_map(move |name| map.values(name)));
    values.map(f32::to_bits).collect()
}

/// What each of several threads finds, which are one process each.
fn on_ranks<R: Send + 'static>(
    count: usize,
    work: impl Fn(&Ranks) -> R + Clone + Send + 'static,
) -> Vec<R> {
    let threads: Vec<_> = Ranks::of_threads(count)
        .into_iter()
        .map(|ranks| {
            let work = work.clone();
            std::thread::spawn(move || work(&ranks))
        })
        .collect();
    let found = threads.into_iter().map(|thread| thread.join().unwrap());
    found.collect()
}

/// Fails unless all processes, however many they are, find what one alone finds.
fn assert_the_same<R: Send + PartialEq + 'static>(
    what: &str,
    work: impl Fn(&Ranks) -> R + Clone + Send + 'static,
) {
    let alone = work(&Ranks::alone());
    for count in [2, 4, SHARDS] {
        for (rank, found) in on_ranks(count, work.clone()).into_iter().enumerate() {
            assert!(found == alone, "{what}: rank {rank} of {count}");
        }
    }
}

/// A training step of a classifier on 16 images. Image `damaged`, if any, has a NaN among its pixels.
fn classifier_step(
    run: &mut Beginning,
    ranks: &Ranks,
    damaged: Option<usize>,
) -> Result<f64, NonFinite> {
    let image = |number: usize| {
        let mut pixels = pixels(number * 131);
        if damaged == Some(number) {
            pixels[5] = f32::NAN;
        }
        pixels
    };
    let part_of = |part: Range<usize>| {
        let images: Vec<Vec<f32>> = part.clone().map(image).collect();
        let targets = part.map(|image| classify::Target::from(image % 3 % 2));
        let targets: Vec<classify::Target> = targets.collect();
        (features(&images), targets)
    };
    let network = (&run.architecture, &run.task, &run.phase);
    step(network, &mut run.state, ranks, 16, part_of)
}

/// The bits of a detector after two steps on so many images, each with an object.
fn detector_steps(model: &str, images: usize, lines: &str, ranks: &Ranks) -> Vec<u32> {
    let architecture = warmstart_models::by_name(model).unwrap();
    let architecture = architecture.with_taps().unwrap();
    let text = format!(
        "task = 'detect'\ndata = 'd'\nmodel = '{model}'\nweights = 'w'\n[[phase]]\ntrain = 'all'\n\
         epochs = 1\nbatch = 16\n{lines}"
    );
    let draft: Draft = toml::from_str(&text).unwrap();
    let mut recipe = draft.resolve(SCENE, None).unwrap();
    let preprocessing = preprocessing::for_size(architecture.pretrained(), SCENE, Fit::Crop);
    let classes = ["one", "other"].map(str::to_owned).into();
    let data = TaskData::of_training_images(classes, Vec::new(), Detection::CLASS_OF);
    let task = Detection::new(&recipe, &architecture, &Arc::new(data), preprocessing);
    let phase = recipe.phases.remove(0);
    let mut state = random_state(&architecture, &task, &phase);
    state.begin_phase(&phase);
    let part_of = |part: Range<usize>| {
        let image = |number: usize| -> Vec<f32> {
            let value = |index: usize| ((index * 7919 + number * 131) % 255) as f32;
            (0..SCENE * SCENE * 3).map(value).collect()
        };
        let images: Vec<Vec<f32>> = part.clone().map(image).collect();
        let pixels: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
        let target = |number: usize| {
            let left = (number * 3 % 24) as f32;
            let truth = Truth {
                class: number % 2,
                corners: [left, 8.0, left + 32.0, 48.0],
            };
            Target::of_boxes(vec![truth], Vec::new(), false)
        };
        let features = vec![network::images(&pixels, SCENE, &warmstart_nn::device())];
        let targets: Vec<Target> = part.map(target).collect();
        (features, targets)
    };
    for _ in 0..2 {
        let network = (&architecture, &task, &phase);
        step(network, &mut state, ranks, images, part_of).unwrap();
    }
    bits(&state)
}

#[test]
fn a_detector_whose_strides_share_layers_is_that_of_one_process() {
    for (images, lines) in [(16, "micro_batch = 1"), (5, "")] {
        assert_the_same(lines, move |ranks| {
            detector_steps("rtmdet_tiny", images, lines, ranks)
        });
    }
}

#[test]
fn a_detector_with_a_path_aggregation_is_that_of_one_process() {
    assert_the_same("yolox_tiny", |ranks| {
        detector_steps("yolox_tiny", 11, "", ranks)
    });
}

/// Three gradients meet at the first map that a light detector's neck takes: two of the next stage, and the neck's.
#[test]
fn a_light_detector_on_a_resnet_is_that_of_one_process() {
    assert_the_same("resnet18", |ranks| {
        detector_steps("resnet18", 11, "", ranks)
    });
}

#[test]
fn a_transformer_and_a_network_of_layer_norms_are_those_of_one_process() {
    for model in ["deit_tiny_patch16_224", "convnextv2_atto"] {
        assert_the_same(model, move |ranks| {
            let mut run = Beginning::new(model, 16, "micro_batch = 1");
            run.state.begin_phase(&run.phase);
            let losses = [0, 1].map(|_| classifier_step(&mut run, ranks, None).unwrap().to_bits());
            (losses, bits(&run.state))
        });
    }
}

#[test]
fn after_a_step_that_one_process_refused_all_take_the_next() {
    // Of two images a shard: in the first shard of a process, in its last one, and in the last micro-batch of that.
    for damaged in [4, 6, 7] {
        assert_the_same(&format!("image {damaged}"), move |ranks| {
            let mut run = Beginning::new("resnet18", 16, "micro_batch = 1");
            run.state.begin_phase(&run.phase);
            let before = bits(&run.state);
            let refused = classifier_step(&mut run, ranks, Some(damaged)).unwrap_err();
            assert!(bits(&run.state) == before, "nothing is changed");
            let taken = classifier_step(&mut run, ranks, None).unwrap().to_bits();
            (refused, taken, bits(&run.state))
        });
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_refused_by_all_who_then_take_a_sound_step() {
    assert_the_same("gradient", |ranks| {
        let mut run = Beginning::new("resnet18", 16, "batch_norm = 'frozen'");
        run.state.begin_phase(&run.phase);
        let sound = run.state.parameters.clone();
        // A large gradient of small values, times a large factor on the way back.
        for (name, factor) in [
            ("fc.weight", 1e34),
            ("layer4.1.bn2.weight", 1e8),
            ("layer4.1.conv2.weight", 1e-10),
        ] {
            let values = sound.values(name).into_iter().map(|value| value * factor);
            let shape = sound.shape(name);
            let parameters = &mut run.state.parameters;
            parameters.insert_values(name, &shape, values.collect(), &warmstart_nn::device());
        }
        let refused = classifier_step(&mut run, ranks, None).unwrap_err();
        assert_eq!(refused.what, "the loss is finite, its gradient is not");
        run.state.parameters = sound;
        let taken = classifier_step(&mut run, ranks, None).unwrap().to_bits();
        (refused, taken, bits(&run.state))
    });
}
