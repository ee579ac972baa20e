use std::panic::{AssertUnwindSafe, catch_unwind};

use warmstart_recipe::run_files::{CHECKPOINTS, MODEL, OPTIMIZER};

use super::*;
use crate::epoch_progress::EpochProgress;
use crate::loss_scale::LossScale;
use crate::record::EpochRecord;
use warmstart_recipe::{Draft, Precision};

fn state(epochs: usize) -> State {
    let record = |epoch| EpochRecord {
        phase: "freeze".into(),
        train_loss: 0.1 + 0.2,
        val_loss: 1.0 / 3.0,
        ..EpochRecord::example(epoch, 0.5)
    };
    let draft: Draft = toml::from_str("data = 'd'\nmodel = 'm'\nweights = 'w'").unwrap();
    State {
        format: State::FORMAT,
        warmstart: "0".into(),
        simd: "avx2".into(),
        device: None,
        recipe: draft.resolve(224, None).unwrap(),
        phase: "freeze".into(),
        data: "d".into(),
        frozen_features: vec!["k".into()],
        epoch: epochs,
        epoch_in_progress: None,
        step: 7 * epochs as u64,
        optimizer_steps: 7,
        skipped_in_a_row: 0,
        loss_scale: None,
        history: (1..=epochs).map(record).collect(),
        files: Default::default(),
    }
}

fn within(epochs: usize, steps: u64) -> State {
    let mut state = state(epochs);
    state.step += steps;
    state.epoch_in_progress = Some(EpochProgress {
        seen: 8 * steps as usize,
        ..Default::default()
    });
    state
}

fn write(checkpoints: &Checkpoints, state: State) -> PathBuf {
    let content = [state.step as u8; 100];
    let write = |path: &Path| write_flushed(path, &content);
    let files: [(_, Write); 2] = [(MODEL, &write), (OPTIMIZER, &write)];
    checkpoints.write(state, &files).unwrap()
}

fn newest(checkpoints: &Checkpoints) -> State {
    checkpoints.newest(&mut |_| {}).unwrap().unwrap().state
}

#[test]
fn a_checkpoint_comes_back_as_it_was() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(run.path());
    let on_card = State {
        device: Some("vulkan, a card, f16".into()),
        loss_scale: LossScale::of(Precision::F16),
        ..state(3)
    };
    for expected in [state(2), within(2, 3), on_card] {
        write(&checkpoints, expected.clone());
        let back = checkpoints.open(expected.at()).unwrap().state;
        assert_eq!(back.files.len(), 2);
        let files = back.files.clone();
        assert_eq!(back, State { files, ..expected });
    }
}

#[test]
fn a_state_of_the_processor_is_as_it_was_before_there_were_cards() {
    let of_processor = state(1).to_json();
    let value: serde_json::Value = serde_json::from_str(&of_processor).unwrap();
    assert_eq!((value.get("device"), value.get("loss_scale")), (None, None));
    let state = State::from_json(of_processor.as_bytes()).ok().unwrap();
    assert_eq!((state.device, state.loss_scale), (None, None));
}

#[test]
fn every_flipped_bit_and_every_cut_of_every_file_is_seen() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(run.path());
    let folder = write(&checkpoints, state(1));
    let refused = |what: &str| {
        let error = checkpoints.open(At::Epoch(1)).unwrap_err();
        assert!(matches!(error, Error::Checkpoint(_)), "{what}: {error}");
    };
    for name in [MODEL, OPTIMIZER, STATE] {
        let path = folder.join(name);
        let good = fs::read(&path).unwrap();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1 << (index % 8);
            fs::write(&path, &bad).unwrap();
            refused(&format!("{name}, byte {index}"));
        }
        for len in [0, 1, good.len() / 2, good.len() - 1] {
            fs::write(&path, &good[..len]).unwrap();
            refused(&format!("{name}, {len} bytes"));
        }
        fs::remove_file(&path).unwrap();
        refused(&format!("{name}, removed"));
        fs::write(&path, &good).unwrap();
    }
    checkpoints.open(At::Epoch(1)).unwrap();
}

#[test]
fn the_newest_is_the_one_that_is_furthest() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(run.path());
    write(&checkpoints, state(1));
    write(&checkpoints, within(1, 3));
    assert_eq!(newest(&checkpoints).at(), At::Step(10));
    // Killed before it removed the one within the epoch.
    write(&checkpoints, state(2));
    assert_eq!(newest(&checkpoints).at(), At::Epoch(2));
    assert_eq!(checkpoints.newest_state().unwrap().unwrap().epoch, 2);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_is_used() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(run.path());
    write(&checkpoints, state(1));
    let damaged = [
        (write(&checkpoints, state(2)), MODEL),
        (write(&checkpoints, within(2, 1)), STATE),
    ];
    for (folder, name) in &damaged {
        fs::write(folder.join(name), [2; 99]).unwrap();
    }
    let mut skipped = Vec::new();
    let newest = checkpoints.newest(&mut |line| skipped.push(line));
    assert_eq!(newest.unwrap().unwrap().state.epoch, 1);
    assert!(
        skipped[0].contains("step-00000015/state.json"),
        "{skipped:?}"
    );
    assert!(
        skipped[1].contains("epoch-0002/model.safetensors"),
        "{skipped:?}"
    );
    fs::remove_file(checkpoints.path(At::Epoch(1)).join(STATE)).unwrap();
    let error = checkpoints.newest(&mut |_| {}).unwrap_err().to_string();
    assert!(
        error.contains("none of its 3 checkpoints is sound"),
        "{error}"
    );
}

#[test]
fn one_of_another_version_is_named_as_such() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(run.path());
    write(&checkpoints, state(1));
    for (format, words) in [
        (State::FORMAT + 1, "a newer"),
        (State::FORMAT - 1, "an older"),
    ] {
        write(&checkpoints, State { format, ..state(2) });
        let mut skipped = Vec::new();
        let newest = checkpoints.newest(&mut |line| skipped.push(line));
        assert_eq!(newest.unwrap().unwrap().state.epoch, 1);
        assert!(
            skipped[0].contains(&format!("written by {words} version")),
            "{skipped:?}"
        );
    }
}

#[test]
fn ended_at_any_moment_of_a_write_the_old_or_the_new_one_is_there() {
    let mut ends = 0;
    for left in 0.. {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::of(run.path());
        write(&checkpoints, state(1));
        // A sound one is in the way.
        write(&checkpoints, state(2));
        fault::LEFT.set(left);
        let ended = catch_unwind(AssertUnwindSafe(|| write(&checkpoints, state(2)))).is_err();
        fault::LEFT.set(usize::MAX);
        checkpoints.recover().unwrap();
        assert_eq!(newest(&checkpoints).epoch, 2, "the old one or the new one");
        if !ended {
            break;
        }
        ends += 1;
        assert_eq!(checkpoints.list().unwrap(), [At::Epoch(1), At::Epoch(2)]);
        write(&checkpoints, state(3));
        assert_eq!(newest(&checkpoints).epoch, 3);
        assert!(!run.path().join("checkpoints").join(WRITING).exists());
    }
    assert_eq!(
        ends, 8,
        "two for each of two files, and four around the renames"
    );
}

#[test]
fn what_was_being_removed_is_gone_and_what_is_of_another_version_is_set_aside() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(run.path());
    write(&checkpoints, state(1));
    write(&checkpoints, state(2));
    let format = State::FORMAT + 1;
    write(&checkpoints, State { format, ..state(3) });
    // A half-removed checkpoint, and a folder with another name.
    let folder = run.path().join(CHECKPOINTS);
    fs::create_dir(folder.join(format!("{REMOVED}epoch-0000"))).unwrap();
    fs::create_dir(folder.join("epoch-2")).unwrap();
    checkpoints.recover().unwrap();
    for epoch in [2, 3, 4] {
        checkpoints.remove(At::Epoch(epoch)).unwrap();
    }
    let mut names = checkpoints.names().unwrap();
    names.sort();
    assert_eq!(
        names,
        ["epoch-0001", "epoch-0003.of-another-version", "epoch-2"]
    );
    assert_eq!(checkpoints.list().unwrap(), [At::Epoch(1)]);
}

#[test]
fn a_run_whose_folder_is_gone_is_not_created_again() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(&run.path().join("gone"));
    let error = checkpoints.write(state(1), &[]).unwrap_err();
    assert!(error.to_string().contains("gone/checkpoints"), "{error}");
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let run = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::of(run.path());
    write(&checkpoints, state(1));
    let good = |path: &Path| write_flushed(path, &[1; 100]);
    let full = |path: &Path| -> Result<(), Error> {
        fs::write(path, [1; 10]).unwrap();
        Err(Error::io("write", path, io::ErrorKind::StorageFull.into()))
    };
    let files: [(_, Write); 2] = [(MODEL, &good), (OPTIMIZER, &full)];
    let error = checkpoints.write(state(2), &files).unwrap_err();
    assert!(
        error.to_string().contains("optimizer.safetensors"),
        "{error}"
    );
    let left = fs::read_dir(run.path().join("checkpoints")).unwrap();
    assert_eq!(left.count(), 1);
    assert_eq!(newest(&checkpoints).epoch, 1);
}
