//! Pictures in TAR shards and in tables through the binary.

use std::fs;
use std::path::{Path, PathBuf};

use predicates::str::contains;
use serde_json::Value;

use crate::common::{CLASSES, Said, data, small_run, tensors, warmstart};

/// Bytes of a block of an archive.
const BLOCK: usize = 512;

/// An archive of files (POSIX.1-1988, ustar).
fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let mut header = [0; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        archive.extend(header);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.extend([0; 2 * BLOCK]);
    archive
}

/// The pictures of a split of the data set, in its order, each with its class.
fn pictures_of(split: &Path) -> Vec<(PathBuf, &'static str)> {
    let mut pictures = Vec::new();
    for class in CLASSES {
        let entries = fs::read_dir(split.join(class)).unwrap();
        pictures.extend(entries.map(|entry| (entry.unwrap().path(), class)));
    }
    pictures.sort();
    pictures
}

/// Writes the data set as shards with a label beside each picture, and as one with a folder for each class.
fn shards(data: &Path, folder: &Path) {
    fs::create_dir_all(folder.join("labels")).unwrap();
    fs::create_dir_all(folder.join("folders")).unwrap();
    for split in ["train", "val"] {
        let (mut labelled, mut in_folders) = (Vec::new(), Vec::new());
        for (path, class) in pictures_of(&data.join(split)) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let content = fs::read(&path).unwrap();
            let number = name.strip_suffix(".png").unwrap();
            in_folders.push((format!("./{class}/{name}"), content.clone()));
            labelled.push((format!("{class}-{number}.cls"), class.into()));
            labelled.push((format!("{class}-{number}.png"), content));
        }
        let name = format!("stripes-{split}-00000.tar");
        fs::write(folder.join("labels").join(name), archive(&labelled)).unwrap();
        let name = format!("{split}.tar");
        fs::write(folder.join("folders").join(name), archive(&in_folders)).unwrap();
    }
}

/// Writes the data set as a table of both splits, the last picture first.
fn table(data: &Path, file: &Path) {
    let mut rows = String::from("split,label,path\n");
    for split in ["val", "train"] {
        for (path, class) in pictures_of(&data.join(split)).into_iter().rev() {
            rows += &format!("{split},{class},{}\n", path.to_str().unwrap());
        }
    }
    fs::write(file, rows).unwrap();
}

fn train(data: &Path, out: &Path) -> assert_cmd::assert::Assert {
    let mut arguments = small_run(data, "none", out);
    arguments.extend(["--epochs", "2", "--seed", "3"]);
    warmstart().args(arguments).assert()
}

#[test]
fn folders_shards_and_a_table_of_the_same_pictures_give_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    shards(&data, dir.path());
    let csv = dir.path().join("stripes.csv");
    table(&data, &csv);
    let of_folders = dir.path().join("run");
    train(&data, &of_folders).success();
    let expected = tensors(&of_folders.join("best.safetensors"));
    for (number, data) in [dir.path().join("labels"), dir.path().join("folders"), csv]
        .into_iter()
        .enumerate()
    {
        let out = dir.path().join(format!("run-{number}"));
        train(&data, &out)
            .success()
            .said(contains("3 classes, 27 training images, 12 validation"));
        let found = tensors(&out.join("best.safetensors"));
        assert!(found == expected, "{}", data.display());
    }
}

#[test]
fn a_shard_is_measured_and_predicted() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    shards(&data, dir.path());
    let run = dir.path().join("run");
    train(&dir.path().join("labels"), &run).success();
    let listed = fs::read_to_string(run.join("data-files.txt")).unwrap();
    assert!(
        listed.contains("\tstripes-train-00000.tar/checker-000.png"),
        "{listed}"
    );
    let shard = dir.path().join("labels/stripes-val-00000.tar");
    let wrong = dir.path().join("wrong");
    let mut eval = warmstart();
    eval.arg("eval").arg(&run).arg("--data").arg(&shard);
    let measured = eval
        .arg("--json")
        .arg("--mistakes")
        .arg(&wrong)
        .assert()
        .success();
    let measured: Value = serde_json::from_slice(&measured.get_output().stdout).unwrap();
    let correct = (measured["top_1"].as_f64().unwrap() * 12.0).round() as usize;
    assert_eq!(files_below(&wrong), 12 - correct, "copies of the mistakes");
    let mut predict = warmstart();
    predict.arg("predict").arg(&run).arg(&shard);
    predict
        .assert()
        .success()
        .stdout(contains("stripes-val-00000.tar/vertical-103.png"));
    let mut predict = warmstart();
    predict
        .arg("predict")
        .arg(&run)
        .arg(shard.join("checker-100.png"));
    predict
        .assert()
        .success()
        .stdout(contains("checker-100.png"));
}

/// The number of files in a folder and those inside it; none if there is no folder.
fn files_below(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let counts = paths.map(|path| if path.is_dir() { files_below(&path) } else { 1 });
    counts.sum()
}

#[test]
fn a_resumed_run_reads_its_shards_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    shards(&data, dir.path());
    let run = dir.path().join("run");
    train(&dir.path().join("folders"), &run).success();
    let resume = |epochs: &str| {
        let mut command = warmstart();
        command.arg("resume").arg(&run).args(["--epochs", epochs]);
        command.assert().success()
    };
    resume("3");
    // Another archive in its place, with a picture more that cannot be read and is left out.
    let mut bytes = archive(&[("checker/999.png".to_owned(), b"no picture".to_vec())]);
    bytes.truncate(2 * BLOCK);
    let shard = dir.path().join("folders/train.tar");
    bytes.extend(fs::read(&shard).unwrap());
    fs::write(&shard, bytes).unwrap();
    resume("4").said(contains("checker/999.png"));
}

#[test]
fn what_cannot_be_read_is_told_in_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path());
    shards(&data, dir.path());
    let out = dir.path().join("run");
    let refused = |data: &Path, expected: &str| {
        let refused = train(data, &out).failure();
        let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
        let last = said.trim_end().lines().last().unwrap();
        assert!(last.contains(expected), "{expected}: {said}");
        assert!(!out.exists());
    };
    let folders = dir.path().join("folders");
    let whole = fs::read(folders.join("train.tar")).unwrap();
    fs::write(folders.join("train.tar"), &whole[..whole.len() / 2]).unwrap();
    refused(&folders, "train.tar: it is cut short");
    let table = dir.path().join("stripes.csv");
    fs::write(&table, "a.png,horizontal\nb.png,vertical\n").unwrap();
    refused(
        &table,
        "stripes.csv, line 1: expected a header with the columns path and label",
    );
    let mut rows = String::from("path,label\n");
    for number in 0..4 {
        rows += &format!("folders/val.tar/checker/10{number}.png,checker\n");
        rows += &format!("folders/val.tar/none-{number}.png,none\n");
    }
    fs::write(&table, rows).unwrap();
    refused(&table, "val.tar has no picture none-0.png");
}
