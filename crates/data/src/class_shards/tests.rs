use super::*;
use crate::picture_file::{open_picture, stamp};
use crate::{Dataset, SplitKind, image_files, is_listed, open, open_split};
use std::fs;
use std::io::Read as _;
use tar::{Builder, Header};

/// Writes an archive of some files.
fn archive<C: AsRef<[u8]>>(path: &Path, files: &[(&str, C)]) {
    let mut archive = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_gnu();
        let content = content.as_ref();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, archive.into_inner().unwrap()).unwrap();
}

/// The pictures of a split below the folder, each with its class.
fn listed(dir: &Path, dataset: &Dataset, split: SplitKind) -> Vec<(String, String)> {
    let samples = match split {
        SplitKind::Train => &dataset.train,
        SplitKind::Validation => &dataset.validation,
        SplitKind::Test => dataset.test.as_ref().unwrap(),
    };
    let below = |path: &Path| {
        let below = path.strip_prefix(dir).unwrap();
        below.to_str().unwrap().replace('\\', "/")
    };
    let samples = samples.iter();
    samples
        .map(|sample| (below(&sample.path), dataset.classes[sample.label].clone()))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = expected.iter();
    pairs
        .map(|(path, class)| (path.to_string(), class.to_string()))
        .collect()
}

#[test]
fn samples_of_webdataset_are_labelled_by_the_members_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("classes.txt"), "cat\ndog\n").unwrap();
    archive(
        &dir.path().join("train-00000.tar"),
        &[
            ("1.jpg", "a"),
            ("1.cls", "1"),
            ("2.jpg", "b"),
            ("2.mask.png", "m"),
            ("2.json", r#"{"label": 0}"#),
            ("3.jpg", "c"),
        ],
    );
    archive(
        &dir.path().join("pets-val-000000.tar"),
        &[
            ("x.png", "d"),
            ("x.cls", "0\n"),
            ("y.png", "e"),
            ("y.cls", "1"),
        ],
    );
    let dataset = open(dir.path(), 0.2, 0).unwrap();
    assert_eq!(dataset.classes, ["cat", "dog"]);
    let train = listed(dir.path(), &dataset, SplitKind::Train);
    let expected = [
        ("train-00000.tar/2.jpg", "cat"),
        ("train-00000.tar/1.jpg", "dog"),
    ];
    assert_eq!(train, pairs(&expected));
    let validation = listed(dir.path(), &dataset, SplitKind::Validation);
    let expected = [
        ("pets-val-000000.tar/x.png", "cat"),
        ("pets-val-000000.tar/y.png", "dog"),
    ];
    assert_eq!(validation, pairs(&expected));
    let notes = dataset.notes.join("\n");
    assert!(
        notes.contains("1 image has no label (left out): "),
        "{notes}"
    );
    assert!(notes.contains("3.jpg"), "{notes}");
    assert!(notes.contains("2.mask.png"), "{notes}");
}

#[test]
fn names_and_numbers_are_labels_without_a_list() {
    let dir = tempfile::tempdir().unwrap();
    let shard = dir.path().join("shards/pets.tar");
    let files = [
        ("1.jpg", ""),
        ("1.cls", "dog"),
        ("2.jpg", ""),
        ("2.cls", "cat"),
    ];
    archive(&shard, &files);
    let dataset = open(&shard, 0.0, 0).unwrap();
    assert_eq!(dataset.classes, ["cat", "dog"]);
    let files = [
        ("1.jpg", ""),
        ("1.cls", "10"),
        ("2.jpg", ""),
        ("2.cls", "9"),
    ];
    archive(&shard, &files);
    assert_eq!(open(&shard, 0.0, 0).unwrap().classes, ["9", "10"]);
}

#[test]
fn folders_inside_archives_are_classes_and_splits() {
    let dir = tempfile::tempdir().unwrap();
    let shard = dir.path().join("pets.tar");
    archive(
        &shard,
        &[
            ("pets/train/cat/1.jpg", ""),
            ("pets/train/dog/2.jpg", ""),
            ("pets/test/dog/3.jpg", ""),
        ],
    );
    let dataset = open(&shard, 0.0, 0).unwrap();
    let train = listed(dir.path(), &dataset, SplitKind::Train);
    let expected = [
        ("pets.tar/pets/train/cat/1.jpg", "cat"),
        ("pets.tar/pets/train/dog/2.jpg", "dog"),
    ];
    assert_eq!(train, pairs(&expected));
    let test = listed(dir.path(), &dataset, SplitKind::Test);
    assert_eq!(test, pairs(&[("pets.tar/pets/test/dog/3.jpg", "dog")]));
}

#[test]
fn split_folders_inside_an_archive_win_over_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        ("train/cat/1.jpg", ""),
        ("train/dog/2.jpg", ""),
        ("val/dog/3.jpg", ""),
    ];
    archive(&dir.path().join("train.tar"), &files);
    let dataset = open(dir.path(), 0.2, 0).unwrap();
    assert_eq!(dataset.train.len(), 2);
    let validation = listed(dir.path(), &dataset, SplitKind::Validation);
    assert_eq!(validation, pairs(&[("train.tar/val/dog/3.jpg", "dog")]));
}

#[test]
fn folders_inside_archives_are_names_also_where_they_look_like_numbers() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("classes.txt"), "cat\ndog\n").unwrap();
    let files = [("00/1.jpg", ""), ("01/2.jpg", "")];
    archive(&dir.path().join("train.tar"), &files);
    let dataset = open(dir.path(), 0.0, 0).unwrap();
    assert_eq!(dataset.classes, ["00", "01"]);
}

#[test]
fn a_label_that_is_no_text_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 8] = [
        ("1.jpg", b""),
        ("1.cls", b"\xc3"),
        ("2.jpg", b""),
        ("2.cls", b"\xc4"),
        ("3.jpg", b""),
        ("3.cls", b"cat"),
        ("4.jpg", b""),
        ("4.cls", b"dog"),
    ];
    archive(&dir.path().join("train.tar"), &files);
    let dataset = open(dir.path(), 0.0, 0).unwrap();
    assert_eq!(dataset.classes, ["cat", "dog"]);
    assert_eq!(dataset.train.len(), 2);
    let notes = dataset.notes.join("\n");
    assert!(notes.contains("2 images have no label"), "{notes}");
}

#[test]
fn archives_say_which_pictures_belong_to_classes_and_not_to_detection_data_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("cat/1.jpg", ""), ("dog/2.jpg", "")];
    archive(&dir.path().join("backup.tar"), &files);
    assert!(is_listed(dir.path()));
    for (file, text) in [
        ("data.yaml", "train: images\nval: images\nnames: [cat]\n"),
        ("images/1.jpg", ""),
        ("labels/1.txt", "0 0.5 0.5 0.2 0.2\n"),
    ] {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    assert!(!is_listed(dir.path()));
}

#[test]
fn validation_is_drawn_from_archives_of_no_split() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..2 {
        let names: Vec<String> = (0..10)
            .map(|picture| format!("{}/{number}{picture}.jpg", ["cat", "dog"][picture % 2]))
            .collect();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "")).collect();
        archive(&dir.path().join(format!("{number}.tar")), &files);
    }
    let dataset = open(dir.path(), 0.2, 0).unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len()), (16, 4));
    assert_eq!(open(dir.path(), 0.2, 0).unwrap(), dataset);
}

#[test]
fn an_archive_without_labels_is_refused_with_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("cat/1.jpg", ""), ("dog/2.jpg", "")];
    archive(&dir.path().join("train-0.tar"), &files);
    archive(&dir.path().join("train-1.tar"), &[("3.jpg", "")]);
    let refusal = open(dir.path(), 0.0, 0).unwrap_err().to_string();
    assert!(
        refusal.contains("train-1.tar: none of its 1 pictures has a label"),
        "{refusal}"
    );
    assert!(
        refusal.ends_with("a folder for each class, as in cat/1.jpg"),
        "{refusal}"
    );
    fs::rename(
        dir.path().join("train-1.tar"),
        dir.path().join("test-1.tar"),
    )
    .unwrap();
    let dataset = open(dir.path(), 0.0, 0).unwrap();
    let lines = dataset.ignored.lines();
    assert!(lines[0].ends_with("test-1.tar (1 image)"), "{lines:?}");
}

#[test]
fn archives_for_validation_alone_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("cat/1.jpg", ""), ("dog/2.jpg", "")];
    archive(&dir.path().join("val-0.tar"), &files);
    let refusal = open(dir.path(), 0.2, 0).unwrap_err().to_string();
    assert!(refusal.contains("no archive is for training"), "{refusal}");
}

#[test]
fn one_split_is_opened_by_the_classes_of_a_model() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("classes.txt"), "cat\ndog\n").unwrap();
    let files = [("1.jpg", ""), ("1.cls", "1"), ("2.jpg", ""), ("2.cls", "0")];
    archive(&dir.path().join("val/0.tar"), &files);
    let classes = ["dog".to_owned(), "cat".to_owned()];
    let split = open_split(&dir.path().join("val"), &classes).unwrap();
    let labels: Vec<usize> = split.samples.iter().map(|sample| sample.label).collect();
    assert_eq!(labels, [0, 1]);
    assert!(split.samples[0].path.ends_with("val/0.tar/1.jpg"));
    archive(&dir.path().join("train-0.tar"), &files);
    let refusal = open_split(dir.path(), &classes).unwrap_err().to_string();
    assert!(refusal.contains("it holds several splits"), "{refusal}");
    let files = [("1.jpg", ""), ("1.cls", "1"), ("2.jpg", "")];
    archive(&dir.path().join("val/0.tar"), &files);
    let refusal = open_split(&dir.path().join("val"), &classes)
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains("1 image has no label (left out), such as"),
        "{refusal}"
    );
}

#[test]
fn a_picture_in_an_archive_is_read_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let shard = dir.path().join("a.tar");
    archive(&shard, &[("cat/1.jpg", "first"), ("cat/2.jpg", "other")]);
    let content = |path: &Path| {
        let mut content = String::new();
        open_picture(path)
            .unwrap()
            .read_to_string(&mut content)
            .unwrap();
        content
    };
    let picture = shard.join("cat/1.jpg");
    assert_eq!(content(&picture), "first");
    assert_eq!(stamp(&picture).unwrap().bytes, 5);
    let plain = dir.path().join("plain.jpg");
    fs::write(&plain, "plain").unwrap();
    assert_eq!(content(&plain), "plain");
    let missing = open_picture(&shard.join("cat/3.jpg")).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    assert!(
        missing
            .to_string()
            .ends_with("a.tar has no picture cat/3.jpg"),
        "{missing}"
    );
    assert!(stamp(dir.path()).is_err(), "a folder is no picture");
    // Another archive in its place is another index.
    let files = [
        ("cat/2.jpg", "a new one"),
        ("dog/1.jpg", "now here"),
        ("dog/2.jpg", ""),
    ];
    archive(&shard, &files);
    assert_eq!(content(&shard.join("dog/1.jpg")), "now here");
    assert_eq!(content(&shard.join("cat/2.jpg")), "a new one");
    assert!(open_picture(&picture).is_err());
}

#[test]
fn more_archives_than_are_kept_open_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let shards: Vec<PathBuf> = (0..150)
        .map(|number| dir.path().join(format!("{number:03}.tar")))
        .collect();
    for shard in &shards {
        let name = shard.file_stem().unwrap().to_str().unwrap();
        archive(shard, &[("1.jpg", name)]);
    }
    for shard in shards.iter().chain(&shards) {
        let mut content = String::new();
        let mut picture = open_picture(&shard.join("1.jpg")).unwrap();
        picture.read_to_string(&mut content).unwrap();
        assert_eq!(content, shard.file_stem().unwrap().to_str().unwrap());
    }
}

#[test]
fn the_pictures_of_an_archive_are_listed_for_predictions() {
    let dir = tempfile::tempdir().unwrap();
    let shard = dir.path().join("a.tar");
    archive(
        &shard,
        &[("b.jpg", ""), ("a.png", ""), ("a.cls", "1"), (".x.jpg", "")],
    );
    let expected = [shard.join("a.png"), shard.join("b.jpg")];
    let (found, skipped) = image_files(&shard).unwrap();
    assert_eq!(found, expected);
    assert_eq!(skipped.count(), 2);
    assert_eq!(image_files(dir.path()).unwrap().0, expected);
    archive(&shard, &[("notes.txt", "")]);
    let refusal = image_files(&shard).unwrap_err().to_string();
    assert!(
        refusal.ends_with("a.tar: there is no picture in it"),
        "{refusal}"
    );
}

#[test]
fn an_archive_that_is_cut_short_is_named_once() {
    let dir = tempfile::tempdir().unwrap();
    let shard = dir.path().join("train-0.tar");
    archive(&shard, &[("cat/1.jpg", "first"), ("dog/2.jpg", "other")]);
    let bytes = fs::read(&shard).unwrap();
    fs::write(&shard, &bytes[..1100]).unwrap();
    let refusal = open(dir.path(), 0.0, 0).unwrap_err().to_string();
    assert!(
        refusal.contains("train-0.tar: it is cut short"),
        "{refusal}"
    );
}

#[test]
fn many_classes_take_no_quadratic_time() {
    let dir = tempfile::tempdir().unwrap();
    let shard = dir.path().join("a.tar");
    let names: Vec<String> = (0..20_000)
        .map(|class| format!("c{class:05}/1.jpg"))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "")).collect();
    archive(&shard, &files);
    let dataset = open(&shard, 0.0, 0).unwrap();
    assert_eq!(
        (dataset.classes.len(), dataset.train.len()),
        (20_000, 20_000)
    );
    assert_eq!(dataset.train[19_999].label, 19_999);
}
