//! The loop of a run, with a task of one file: which parameters change, which bits come out, what is kept.

mod another_task;

use std::path::Path;

use warmstart_nn::Parameters;
use warmstart_ranks::Ranks;
use warmstart_recipe::run_files::{BEST, MODEL};
use warmstart_recipe::{Draft, Error, Recipe};
use warmstart_run::checkpoint::{At, Checkpoints};
use warmstart_run::data_files::DataFiles;
use warmstart_run::event::Event;
use warmstart_run::folder::RunFolder;
use warmstart_run::stop::Stop;
use warmstart_run::summary::{RunState, Summary};
use warmstart_tasks::model_file::read_tensors;
use warmstart_tasks::task::Task;
use warmstart_train::initial_weights::initial_weights;
use warmstart_train::open_data::open_data;
use warmstart_train::resources::Resources;
use warmstart_train::run_loop::Run;
use warmstart_train::trainer::Trainer;

use another_task::{Brightness, grey_images};

/// A phase of `epochs` epochs, with further options.
fn phase(name: &str, train: &str, epochs: usize, options: &str) -> String {
    format!(
        "[[phase]]\nname = '{name}'\ntrain = '{train}'\nepochs = {epochs}\nbatch = 4\nviews = 'fresh'\n\
         patience = 0\n{options}\n"
    )
}

fn recipe(data: &Path, phases: &str) -> Recipe {
    recipe_of("resnet18", data, phases)
}

fn recipe_of(model: &str, data: &Path, phases: &str) -> Recipe {
    let text = format!(
        "data = '{}'\nmodel = '{model}'\nweights = 'none'\nimage_size = 32\n{phases}",
        data.display()
    );
    let draft: Draft = toml::from_str(&text).unwrap();
    draft.resolve(32, None).unwrap()
}

fn resources(stop: &Stop) -> Resources {
    Resources {
        workers: 1,
        cache: None,
        program: "warmstart".into(),
        restart_flags: Vec::new(),
        stop: stop.clone(),
        ranks: Ranks::alone(),
    }
}

fn trainer(recipe: &Recipe, stop: &Stop) -> Trainer<Brightness> {
    let data = open_data::<Brightness>(recipe, None, &mut |_| ()).unwrap();
    let images = Brightness::images(data, recipe).unwrap();
    Trainer::new(recipe.clone(), images, resources(stop)).unwrap()
}

/// Trains a run in a folder, and stops it after this many steps.
fn train(recipe: &Recipe, folder: &Path, stop_after: usize) -> Result<Summary, Error> {
    let stop = Stop::default();
    let trainer = trainer(recipe, &stop);
    let files = DataFiles::of(trainer.data.splits(), &recipe.data).unwrap();
    let initial = initial_weights(&trainer, &mut |_| ()).unwrap();
    let run = RunFolder::create(folder).unwrap();
    run.begin(recipe, &initial.report, &files).unwrap();
    let mut steps = 0;
    Run::new(trainer, run, files, initial.parameters).run(&mut |event| {
        if let Event::Step(_) = event {
            steps += 1;
            if steps == stop_after {
                stop.requested()
                    .store(true, std::sync::atomic::Ordering::SeqCst);
            }
        }
    })
}

/// Continues a run from its newest checkpoint.
fn resume(recipe: &Recipe, folder: &Path) -> Summary {
    let trainer = trainer(recipe, &Stop::default());
    let files = DataFiles::of(trainer.data.splits(), &recipe.data).unwrap();
    let (run, _) = RunFolder::open(folder, &mut |_| ()).unwrap();
    let newest = run.checkpoints.newest(&mut |_| ()).unwrap().unwrap();
    let mut run = Run::at(trainer, run, files, newest).unwrap();
    run.run(&mut |_| ()).unwrap()
}

fn parameters(folder: &Path, epoch: usize) -> Parameters {
    let checkpoint = Checkpoints::of(folder).path(At::Epoch(epoch));
    read_tensors(&checkpoint.join(MODEL), &warmstart_nn::device()).unwrap()
}

/// Networks that have every kind of layer, each with a stage in its middle.
const NETWORKS: [(&str, &str); 7] = [
    ("resnet18", "layer4"),
    ("resnet18d", "layer4"),
    ("mobilenet_v3_small", "features.9"),
    ("mobilenetv4_conv_small", "blocks.3"),
    ("efficientnet_b0", "features.6"),
    ("convnextv2_atto", "stages.3"),
    ("vit_tiny_patch16_224", "blocks.9"),
];

#[test]
fn a_frozen_phase_changes_the_head_and_nothing_else() {
    for (model, stage) in NETWORKS {
        let folder = tempfile::tempdir().unwrap();
        grey_images(&folder.path().join("data"), 8);
        let phases =
            phase("freeze", "head", 1, "") + &phase("thaw", &format!("from:{stage}"), 1, "");
        let recipe = recipe_of(model, &folder.path().join("data"), &phases);
        let run = folder.path().join("run");
        let trainer = trainer(&recipe, &Stop::default());
        let before = initial_weights(&trainer, &mut |_| ()).unwrap().parameters;
        train(&recipe, &run, usize::MAX).unwrap();
        let [frozen, thawed] = [parameters(&run, 1), parameters(&run, 2)];
        let boundary = trainer.architecture.stage(stage).unwrap();
        for name in before.names() {
            let stage = trainer.architecture.stage_of(name);
            let changed = |after: &Parameters| after.values(name) != before.values(name);
            assert_eq!(
                changed(&frozen),
                stage.is_none(),
                "{model}: {name} while the backbone is frozen"
            );
            let learns = stage.is_none_or(|stage| stage >= boundary);
            assert_eq!(changed(&thawed), learns, "{model}: {name} after the thaw");
        }
    }
}

#[test]
fn a_stopped_run_ends_in_the_bits_of_one_that_was_not() {
    for model in ["resnet18", "efficientnet_b0", "vit_tiny_patch16_224"] {
        a_stopped_run_of(model);
    }
}

fn a_stopped_run_of(model: &str) {
    let folder = tempfile::tempdir().unwrap();
    grey_images(&folder.path().join("data"), 12);
    // Branches are left out at random.
    let options = "ema_decay = 0.9\nstochastic_depth = 0.2";
    let phases = phase("freeze", "head", 1, "") + &phase("thaw", "all", 2, options);
    let recipe = recipe_of(model, &folder.path().join("data"), &phases);
    let [whole, stopped] = ["whole", "stopped"].map(|name| folder.path().join(name));
    let expected = train(&recipe, &whole, usize::MAX).unwrap();
    // In the middle of the second epoch, whose first phase is over.
    let error = train(&recipe, &stopped, 5).unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    let summary = resume(&recipe, &stopped);
    assert_eq!(summary.state, RunState::Finished);
    assert_eq!(summary.kept, expected.kept);
    let model = |run: &Path| std::fs::read(run.join(BEST)).unwrap();
    assert!(model(&whole) == model(&stopped), "the kept models differ");
    for epoch in 1..=3 {
        let [a, b] = [&whole, &stopped].map(|run| parameters(run, epoch));
        for name in a.names() {
            assert_eq!(a.values(name), b.values(name), "{name} after epoch {epoch}");
        }
    }
}

#[test]
fn micro_batches_give_the_step_of_the_batch() {
    for model in [
        "resnet18",
        "efficientnet_b0",
        "convnextv2_atto",
        "vit_tiny_patch16_224",
    ] {
        micro_batches_of(model);
    }
}

fn micro_batches_of(model: &str) {
    let folder = tempfile::tempdir().unwrap();
    grey_images(&folder.path().join("data"), 4);
    let options = "batch_norm = 'frozen'\nlr = 0.01\noptimizer = 'sgd'\nstochastic_depth = 0.2\n";
    let mut models = Vec::new();
    for micro_batch in ["", "micro_batch = 3\n"] {
        let phases = phase("train", "all", 1, &format!("{options}{micro_batch}"));
        let recipe = recipe_of(model, &folder.path().join("data"), &phases);
        let run = folder.path().join(format!("run-{}", models.len()));
        train(&recipe, &run, usize::MAX).unwrap();
        models.push(parameters(&run, 1));
    }
    let [whole, parts] = &models[..] else {
        panic!("two runs")
    };
    for name in whole.names() {
        for (a, b) in whole.values(name).into_iter().zip(parts.values(name)) {
            assert!((a - b).abs() < 1e-4, "{name}: {a} and {b}");
        }
    }
}

#[test]
fn the_loss_falls_and_the_highest_epoch_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    grey_images(&folder.path().join("data"), 12);
    let recipe = recipe(
        &folder.path().join("data"),
        &phase("train", "all", 6, "batch_norm = 'frozen'\nlr = 0.003"),
    );
    let run = folder.path().join("run");
    let summary = train(&recipe, &run, usize::MAX).unwrap();
    let state = Checkpoints::of(&run).newest_state().unwrap().unwrap();
    let losses: Vec<f64> = state
        .history
        .iter()
        .map(|record| record.train_loss)
        .collect();
    assert!(losses[5] < 0.5 * losses[0], "{losses:?}");
    let highest = state
        .history
        .iter()
        .map(|record| record.metric)
        .fold(0.0, f64::max);
    assert_eq!(summary.kept.value, highest);
    let kept = std::fs::read(run.join(BEST)).unwrap();
    let of_epoch = Checkpoints::of(&run).path(At::Epoch(summary.kept.epoch));
    assert!(kept == std::fs::read(of_epoch.join(MODEL)).unwrap());
}

#[test]
fn an_image_that_breaks_on_the_way_is_named_and_the_run_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    grey_images(&data, 12);
    let recipe = recipe(&data, &phase("train", "all", 2, ""));
    let stop = Stop::default();
    let trainer = trainer(&recipe, &stop);
    let lost = trainer.data.train[7].path.clone();
    let files = DataFiles::of(trainer.data.splits(), &recipe.data).unwrap();
    let initial = initial_weights(&trainer, &mut |_| ()).unwrap();
    let run = RunFolder::create(&folder.path().join("run")).unwrap();
    run.begin(&recipe, &initial.report, &files).unwrap();
    let mut run = Run::new(trainer, run, files, initial.parameters);
    let error = run.run(&mut |event| {
        if let Event::Epoch { .. } = event {
            std::fs::write(&lost, "no picture").unwrap();
        }
    });
    let error = error.unwrap_err();
    let name = lost.file_name().unwrap().to_str().unwrap();
    assert!(matches!(error, Error::LostImage { .. }), "{error}");
    assert!(error.to_string().contains(name), "{error}");
    let state = Checkpoints::of(&folder.path().join("run")).newest_state();
    assert_eq!(state.unwrap().unwrap().epoch, 1);
}
