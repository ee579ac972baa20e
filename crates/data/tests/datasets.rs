//! Folders that make a data set, and the errors for those that do not.

use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use warmstart_data::{DataError, Dataset, Sample, check, open, open_split, require_readable};

/// A folder with empty files of these names.
fn folder(files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        add(dir.path(), file, b"");
    }
    dir
}

fn add(dir: &Path, file: &str, content: &[u8]) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// `count` images in each of the classes, directly in the folder.
fn classes(classes: &[(&str, usize)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (class, count) in classes {
        for index in 0..*count {
            add(dir.path(), &format!("{class}/{index:03}.jpg"), b"");
        }
    }
    dir
}

fn listed(dir: &Path, samples: &[Sample]) -> Vec<(String, usize)> {
    let name = |path: &PathBuf| path.strip_prefix(dir).unwrap().display().to_string();
    samples
        .iter()
        .map(|sample| (name(&sample.path), sample.label))
        .collect()
}

fn count(samples: &[Sample], label: usize) -> usize {
    samples
        .iter()
        .filter(|sample| sample.label == label)
        .count()
}

/// The one-line message for a folder that cannot be opened, with the folder written as DIR.
fn refusal(dir: &TempDir) -> String {
    let message = open(dir.path(), 0.2, 0).unwrap_err().to_string();
    assert!(!message.contains('\n'));
    warmstart_files::plain(&message).replace(&dir.path().display().to_string(), "DIR")
}

#[test]
fn train_and_val_folders_share_the_classes_of_train() {
    let dir = folder(&[
        "train/dog/b.JPG",
        "train/dog/a.png",
        "train/cat/nested/deep/c.webp",
        "train/cat/d.bmp",
        "train/Ant/e.jpeg",
        "val/dog/f.jpg",
        "val/cat/g.jpg",
        "test/dog/h.jpg",
        "train/cat/notes.txt",
        "train/cat/.hidden.jpg",
        "train/.cache/x.jpg",
        "val/loose.jpg",
        "test/README",
        "README.md",
    ]);
    let dataset = open(dir.path(), 0.2, 0).unwrap();
    assert_eq!(dataset.classes, ["Ant", "cat", "dog"]);
    let expected = [
        ("train/Ant/e.jpeg", 0),
        ("train/cat/d.bmp", 1),
        ("train/cat/nested/deep/c.webp", 1),
        ("train/dog/a.png", 2),
        ("train/dog/b.JPG", 2),
    ];
    assert_eq!(
        listed(dir.path(), &dataset.train),
        expected.map(|(p, l)| (p.to_owned(), l))
    );
    let expected = [("val/cat/g.jpg", 1), ("val/dog/f.jpg", 2)];
    assert_eq!(
        listed(dir.path(), &dataset.validation),
        expected.map(|(p, l)| (p.to_owned(), l))
    );
    let test = dataset.test.unwrap();
    assert_eq!(
        listed(dir.path(), &test),
        [("test/dog/h.jpg".to_owned(), 2)]
    );
    assert_eq!(dataset.without_validation, ["Ant"]);
    // Inside the splits: notes.txt, .hidden.jpg, .cache, loose.jpg and test/README.
    assert_eq!(dataset.ignored.count(), 5);
}

#[test]
fn the_validation_folder_has_three_names() {
    for name in ["val", "valid", "validation"] {
        let dir = folder(&["train/a/1.jpg", "train/b/1.jpg"]);
        add(dir.path(), &format!("{name}/a/2.jpg"), b"");
        assert_eq!(open(dir.path(), 0.2, 0).unwrap().validation.len(), 1);
    }
}

#[test]
fn class_folders_alone_are_split_within_each_class() {
    let dir = classes(&[("a", 50), ("b", 10), ("c", 2), ("d", 1)]);
    let dataset = open(dir.path(), 0.2, 1).unwrap();
    assert_eq!(
        [0, 1, 2, 3].map(|label| count(&dataset.validation, label)),
        [10, 2, 0, 0]
    );
    assert_eq!(
        [0, 1, 2, 3].map(|label| count(&dataset.train, label)),
        [40, 8, 2, 1]
    );
    assert_eq!(dataset.without_validation, ["c", "d"]);
    for samples in [&dataset.train, &dataset.validation] {
        assert!(samples.is_sorted_by_key(|sample| (sample.label, &sample.path)));
    }
    let all: std::collections::HashSet<_> = dataset
        .train
        .iter()
        .chain(&dataset.validation)
        .map(|sample| &sample.path)
        .collect();
    assert_eq!(all.len(), 63, "no image is in both");
}

#[test]
fn images_come_by_class_then_by_path_whatever_their_depth() {
    let dir = folder(&[
        "aa.jpg",
        "b/2.jpg",
        "b/10.jpg",
        "b/1/9.jpg",
        "a/z.jpg",
        "a/z-1.jpg",
        "a/z/y/1.jpg",
    ]);
    let mut expected = vec![
        ("a/z/y/1.jpg".to_owned(), 0),
        ("a/z-1.jpg".to_owned(), 0),
        ("a/z.jpg".to_owned(), 0),
        ("b/1/9.jpg".to_owned(), 1),
        ("b/10.jpg".to_owned(), 1),
        ("b/2.jpg".to_owned(), 1),
    ];
    // More folders than 75 threads list at a time.
    for class in 0..600 {
        let file = format!("c{class:03}/1.jpg");
        add(dir.path(), &file, b"");
        expected.push((file, 2 + class));
    }
    let dataset = open(dir.path(), 0.0, 0).unwrap();
    assert_eq!(listed(dir.path(), &dataset.train), expected);
    assert_eq!(dataset.ignored.count(), 1, "one lies in no class folder");
}

/// Other systems may keep names in one form.
#[cfg(target_os = "linux")]
#[test]
fn a_name_in_two_normal_forms_is_one_class_in_the_order_of_one_of_them() {
    let dir = folder(&["f/1.jpg", "\u{e9}/2.jpg", "\u{e9}/0.jpg", "e\u{301}/1.jpg"]);
    let dataset = open(dir.path(), 0.0, 0).unwrap();
    assert_eq!(dataset.classes, ["f", "\u{e9}"]);
    let expected = [
        ("f/1.jpg", 0),
        ("e\u{301}/1.jpg", 1),
        ("\u{e9}/0.jpg", 1),
        ("\u{e9}/2.jpg", 1),
    ];
    assert_eq!(
        listed(dir.path(), &dataset.train),
        expected.map(|(file, label)| (file.to_owned(), label))
    );
}

#[test]
fn a_class_keeps_an_image_however_large_the_split() {
    let dir = classes(&[("a", 5), ("b", 1)]);
    let dataset = open(dir.path(), 0.99, 0).unwrap();
    assert_eq!([count(&dataset.train, 0), count(&dataset.train, 1)], [1, 1]);
}

#[test]
fn the_seed_alone_decides_the_split() {
    let names =
        |dir: &TempDir, seed| listed(dir.path(), &open(dir.path(), 0.2, seed).unwrap().validation);
    let (here, there) = (
        classes(&[("a", 40), ("b", 40)]),
        classes(&[("b", 40), ("a", 40)]),
    );
    assert_eq!(names(&here, 3), names(&there, 3));
    assert_ne!(names(&here, 3), names(&here, 4));
}

#[test]
fn an_added_image_moves_few_others() {
    let dir = classes(&[("a", 40), ("b", 40)]);
    let before = listed(dir.path(), &open(dir.path(), 0.2, 3).unwrap().validation);
    add(dir.path(), "a/000-new.jpg", b"");
    let after = listed(dir.path(), &open(dir.path(), 0.2, 3).unwrap().validation);
    let moved = before
        .iter()
        .filter(|sample| !after.contains(sample))
        .count();
    assert!(moved <= 1, "{moved} of {} left validation", before.len());
}

#[test]
fn train_without_val_is_split() {
    let dir = folder(&["test/a/9.jpg"]);
    for index in 0..5 {
        add(dir.path(), &format!("train/a/{index}.jpg"), b"");
        add(dir.path(), &format!("train/b/{index}.jpg"), b"");
    }
    let Dataset {
        train,
        validation,
        test,
        ..
    } = open(dir.path(), 0.2, 0).unwrap();
    assert_eq!(
        (train.len(), validation.len(), test.map(|t| t.len())),
        (8, 2, Some(1))
    );
}

#[test]
fn a_class_may_be_called_train() {
    let dir = classes(&[("bus", 5), ("train", 5)]);
    assert_eq!(open(dir.path(), 0.2, 0).unwrap().classes, ["bus", "train"]);
}

#[test]
fn an_unlabelled_test_folder_is_named_and_not_used() {
    let dir = folder(&[
        "train/a/1.jpg",
        "train/b/1.jpg",
        "val/a/2.jpg",
        "test/3.jpg",
    ]);
    let dataset = open(dir.path(), 0.2, 0).unwrap();
    assert_eq!((dataset.test, dataset.ignored.count()), (None, 1));
    let expected = "test (1 image directly in it, in no class folder)";
    let lines = dataset.ignored.lines();
    assert!(lines[0].ends_with(expected), "{lines:?}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_a_loop_ends() {
    let elsewhere = classes(&[("x", 5)]);
    let dir = classes(&[("a", 5)]);
    std::os::unix::fs::symlink(elsewhere.path().join("x"), dir.path().join("b")).unwrap();
    assert_eq!(open(dir.path(), 0.2, 0).unwrap().train.len(), 8);
    std::os::unix::fs::symlink(dir.path(), dir.path().join("a/again")).unwrap();
    let dataset = open(dir.path(), 0.2, 0).unwrap();
    assert_eq!(dataset.train.len(), 8);
    let lines = dataset.ignored.lines();
    assert!(
        lines[0].contains("a/again: a link to a folder"),
        "{lines:?}"
    );
}

#[test]
fn unusable_folders_are_refused_in_one_line() {
    let empty = folder(&[]);
    assert_eq!(
        refusal(&empty),
        "DIR has no class folders (0 images lie directly in it); put the images into one subfolder per class"
    );
    assert_eq!(
        refusal(&folder(&["1.jpg", "2.jpg", "x.txt"])),
        "DIR has no class folders (2 images lie directly in it); put the images into one subfolder per class"
    );
    assert_eq!(
        refusal(&folder(&["1.heic", "2.heic"])),
        "DIR has no class folders (0 images lie directly in it, but 2 files of unsupported types (.heic 2); save .heic as JPEG or PNG to use them); put the images into one subfolder per class"
    );
    assert_eq!(
        refusal(&folder(&["cat/1.jpg", "cat/2.jpg"])),
        "DIR has only one class, \"cat\"; classification needs at least two class folders"
    );
    assert_eq!(
        refusal(&folder(&["train/a/1.jpg", "train/b/x.heic", "val/a/1.jpg"])),
        "DIR/train/b has no image (.jpg, .png, .webp, .bmp, .gif, .tif), but 1 file of an unsupported type (.heic 1); save .heic as JPEG or PNG to use them; add images or remove the class folder"
    );
    assert_eq!(
        refusal(&folder(&["train/a/1.jpg", "train/b/1.jpg", "val/c/1.jpg"])),
        "DIR/val/c is not one of the 2 classes (a, b); rename or remove the folder"
    );
    assert_eq!(
        refusal(&folder(&["train/a/1.jpg", "train/b/1.jpg", "val/a/x.txt"])),
        "DIR/val has no image in its class folders; add some or remove the folder"
    );
    assert_eq!(
        refusal(&folder(&["val/a/1.jpg", "val/b/1.jpg"])),
        "DIR: there is DIR/val but no train folder beside it; add train/<class>/ or give the folder of class folders"
    );
    assert_eq!(
        refusal(&folder(&[
            "train/a/1.jpg",
            "train/b/1.jpg",
            "val/a/1.jpg",
            "valid/a/1.jpg"
        ])),
        "DIR: there are two validation folders, DIR/val and DIR/valid; merge them into one"
    );
    assert_eq!(
        refusal(&classes(&[("a", 1), ("b", 2)])),
        "no class of DIR has enough images to give one to validation at val_split 0.2; add images or raise val_split"
    );
}

#[test]
fn a_missing_folder_and_a_file_are_refused() {
    let dir = folder(&["file.jpg"]);
    let missing = open(&dir.path().join("none"), 0.2, 0);
    assert!(
        matches!(missing, Err(DataError::Read { .. })),
        "{missing:?}"
    );
    let file = open(&dir.path().join("file.jpg"), 0.2, 0);
    assert!(matches!(file, Err(DataError::NotAFolder(_))), "{file:?}");
}

#[test]
fn a_split_of_zero_holds_no_image_out() {
    let dir = classes(&[("a", 5), ("b", 5)]);
    let dataset = open(dir.path(), 0.0, 0).unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len()), (10, 0));
    assert!(dataset.without_validation.is_empty());
}

#[test]
fn a_split_outside_of_zero_to_one_is_refused() {
    let dir = classes(&[("a", 5), ("b", 5)]);
    for val_split in [1.0, -0.1, f64::NAN] {
        let error = open(dir.path(), val_split, 0).unwrap_err();
        assert!(
            matches!(
                error,
                DataError::OutOfRange {
                    name: "val_split",
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn one_split_is_labelled_by_the_classes_of_the_model() {
    let dir = classes(&[("a", 1), ("c", 2)]);
    let model = ["c", "b", "a"].map(String::from);
    let split = open_split(dir.path(), &model).unwrap();
    let expected = [("c/000.jpg", 0), ("c/001.jpg", 0), ("a/000.jpg", 2)];
    assert_eq!(
        listed(dir.path(), &split.samples),
        expected.map(|(p, l)| (p.to_owned(), l))
    );
    let error = open_split(dir.path(), &model[1..]).unwrap_err();
    assert!(matches!(error, DataError::UnknownClass { .. }), "{error}");
}

#[test]
fn the_folder_above_the_splits_is_recognised() {
    let dir = folder(&["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg"]);
    let error = open_split(dir.path(), &["a", "b"].map(String::from))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("holds the splits of a data set, expected class folders"),
        "{error}"
    );
}

#[test]
fn a_check_decodes_every_image_and_keeps_the_order() {
    let image =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images/rgb.png"));
    let (dir, image) = (tempfile::tempdir().unwrap(), image.unwrap());
    for index in 0..20 {
        let content = if index == 7 {
            &image[..500]
        } else {
            &image[..]
        };
        add(
            dir.path(),
            &format!("{}/{index:02}.png", index % 2),
            content,
        );
    }
    let dataset = open(dir.path(), 0.5, 0).unwrap();
    let samples = [dataset.train, dataset.validation].concat();
    let most = std::sync::atomic::AtomicUsize::new(0);
    let checked = check(samples.clone(), |done, total| {
        assert_eq!(total, 20);
        most.fetch_max(done, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(most.into_inner(), 20);
    let damaged = dir.path().join("1/07.png");
    let rest: Vec<Sample> = samples
        .iter()
        .filter(|s| s.path != damaged)
        .cloned()
        .collect();
    assert_eq!(checked.readable, rest);
    let [(path, reason)] = &checked.unreadable[..] else {
        panic!("{:?}", checked.unreadable)
    };
    assert_eq!(*path, damaged);
    assert!(reason.contains("07.png"), "{reason}");

    assert!(
        require_readable(19, &checked.unreadable, 0.05).is_ok(),
        "one in twenty is tolerated"
    );
    let error = require_readable(19, &checked.unreadable, 0.04);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("1 of 20 images cannot be decoded, more than the 4%"),
        "{error}"
    );
    assert!(error.contains("07.png") && !error.contains('\n'), "{error}");
}
