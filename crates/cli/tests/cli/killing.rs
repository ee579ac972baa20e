//! Killed at any moment, however often, a run ends in the same bytes as an undisturbed one.
//!
//! `WARMSTART_KILLS=200 cargo test --release -p warmstart --test cli killing::` kills more often.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::kills::{Kills, Moment, Numbers, Undisturbed};
use crate::common::scenes::scenes;
use crate::common::tamper::{with_state, with_tensor};
use crate::common::{CLASSES, copy, data, pictures, pretrained, tensors};

/// Kills of each task.
fn wanted() -> usize {
    let all = std::env::var("WARMSTART_KILLS").map_or(36, |kills| kills.parse().unwrap());
    all / 2
}

/// Everything that could be forgotten: shuffling, augmentation, dropout, a moving average, gradients
/// over micro-batches, clipping, statistics, moments, and a cache that fills.
fn classification(dir: &Path) -> PathBuf {
    let data = data(dir);
    let weights = pretrained(dir, &data);
    pictures(&dir.join("pictures"), &["any"], 50, 3);
    write_recipe(
        dir,
        &data,
        &weights,
        "image_size = 32\nfit = 'auto'\nhealth_every = 2\n\
         [[phase]]\nname = 'freeze'\ntrain = 'head'\nepochs = 2\nbatch = 6\nviews = 2\n\
         [phase.augmentation]\nmixup = 0.4\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 2\nbatch = 8\nmicro_batch = 3\nclip_norm = 1.0\n\
         ema_decay = 0.9\nbatch_norm = 'batch'\nbalance = 'sampling'\ndropout = 0.3\n\
         [phase.augmentation]\nrand_augment = 3\nerase = 0.3\ncutmix = 1.0\n",
    )
}

fn detection(dir: &Path) -> PathBuf {
    let classes = data(&dir.join("classes"));
    let weights = pretrained(dir, &classes);
    let data = scenes(dir, 10, 64);
    fs::create_dir(dir.join("pictures")).unwrap();
    for number in [100, 101] {
        let picture = format!("{number}.png");
        fs::copy(
            data.join("val").join(&picture),
            dir.join("pictures").join(&picture),
        )
        .unwrap();
    }
    write_recipe(
        dir,
        &data,
        &weights,
        "image_size = 64\n\
         [[phase]]\nname = 'freeze'\ntrain = 'head'\nepochs = 2\nbatch = 4\nviews = 1\n\
         [[phase]]\nname = 'thaw'\ntrain = 'all'\nepochs = 2\nbatch = 4\nmicro_batch = 2\n\
         [phase.augmentation]\nmosaic = 0.5\nmosaic_closing = 0.5\n",
    )
}

fn write_recipe(dir: &Path, data: &Path, weights: &str, rest: &str) -> PathBuf {
    let recipe = dir.join("recipe.toml");
    let text = format!(
        "data = '{}'\nmodel = 'mobilenet_v2'\nweights = '{weights}'\ncheckpoint_every = 1\n{rest}",
        data.display()
    );
    fs::write(&recipe, text).unwrap();
    recipe
}

/// Kills until there were enough of every kind.
#[allow(
    clippy::print_stdout,
    reason = "whoever asks for more kills wants to see them"
)]
fn kill(recipe: fn(&Path) -> PathBuf, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let recipe = recipe(dir.path());
    let whole = Undisturbed::new(dir.path(), &recipe, [2, 4]);
    let wanted = wanted();
    let mut numbers = Numbers(seed);
    let mut kills = Kills::default();
    let enough = |kills: &Kills| {
        kills.all >= wanted && kills.in_write >= wanted / 4 && kills.at_boundary >= 2
    };
    for number in 0.. {
        if enough(&kills) {
            break;
        }
        assert!(
            kills.all < 4 * wanted,
            "some kind of moment is never hit: {kills:?}"
        );
        let mut moments = vec![Moment::Any, Moment::Write, Moment::Any];
        if kills.at_boundary < 2 || number % 4 == 0 {
            moments.insert(0, Moment::Boundary);
        }
        whole.kill(
            &format!("killed-{number}"),
            &moments,
            &mut numbers,
            &mut kills,
        );
    }
    println!("{kills:?}");
}

#[test]
fn a_classifier_killed_at_any_moment_ends_in_the_same_bytes() {
    kill(classification, 1);
}

#[test]
fn a_detector_killed_at_any_moment_ends_in_the_same_bytes() {
    kill(detection, 2);
}

/// The one checkpoint within an epoch.
fn within_epoch(run: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(run.join("checkpoints")).ok()?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.find(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("step-")
    })
}

/// The control of the comparison: a resumed run that forgets anything differs.
#[test]
fn a_state_that_is_not_restored_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = classification(dir.path());
    pictures(&dir.path().join("data/train"), &CLASSES, 200, 30);
    let whole = Undisturbed::new(dir.path(), &recipe, [2, 4]);
    let cut = dir.path().join("cut");
    let mut child = whole.train(&cut);
    // Within the thaw's second epoch, there are moments and moved statistics. 117 images are 20 steps
    // while frozen, and 15 after.
    let second = cut.join("checkpoints/step-00000055");
    while within_epoch(&cut).is_none_or(|checkpoint| checkpoint <= second) {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the run is still at work"
        );
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let before = tensors(&cut.join("checkpoints/epoch-0003/training.safetensors"));
    let parameter = "features.3.conv.1.1.running_var";
    type Forget<'a> = &'a dyn Fn(&Path);
    let controls: [(&str, bool, Forget); 4] = [
        ("nothing is forgotten", true, &|checkpoint| {
            with_state(checkpoint, |_| ())
        }),
        ("the dropout masks begin anew", false, &|checkpoint| {
            with_state(checkpoint, |state| state["step"] = 0.into());
        }),
        (
            "a running statistic is that of an epoch before",
            false,
            &|checkpoint| {
                let file = checkpoint.join("training.safetensors");
                with_tensor(&file, parameter, |values| {
                    assert_ne!(*values, *before[parameter], "it has moved since");
                    values.copy_from_slice(&before[parameter]);
                });
                with_state(checkpoint, |_| ());
            },
        ),
        ("a moment is zero", false, &|checkpoint| {
            let file = checkpoint.join("optimizer.safetensors");
            with_tensor(&file, "features.3.conv.1.0.weight.exp_avg", |values| {
                values.fill(0)
            });
            with_state(checkpoint, |_| ());
        }),
    ];
    for (what, same, forget) in controls {
        let run = dir.path().join(what);
        copy(&cut, &run);
        forget(&within_epoch(&run).unwrap());
        assert!(whole.resume(&run, 2).wait().unwrap().success(), "{what}");
        let log = fs::read_to_string(run.with_extension("log")).unwrap();
        assert!(log.contains("images of epoch 4 processed"), "{what}: {log}");
        assert_eq!(whole.outcome(&run) == whole.expected, same, "{what}");
    }
}
