//! Folders that are splits, folders that are classes, and folders that are neither.

use std::fs;
use std::path::Path;
use tempfile::TempDir;
use warmstart_data::{Dataset, Sample, open, open_split};

/// A folder with an empty file of each name; `2*a/cat` stands for two pictures in a/cat.
fn folder(files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        match file.split_once('*') {
            None => add(dir.path(), file, ""),
            Some((count, place)) => (0..count.parse().unwrap())
                .for_each(|number: usize| add(dir.path(), &format!("{place}/{number}.png"), "")),
        }
    }
    dir
}

fn add(dir: &Path, file: &str, content: &str) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn opened(dir: &TempDir) -> Dataset {
    open(dir.path(), 0.5, 0).unwrap()
}

/// The number of training, validation and test images.
fn counts(dataset: &Dataset) -> [usize; 3] {
    let test = dataset.test.as_deref().map_or(0, <[Sample]>::len);
    [dataset.train.len(), dataset.validation.len(), test]
}

/// The one-line message for a folder that cannot be opened, with the folder written as DIR.
fn refusal(dir: &TempDir) -> String {
    let message = open(dir.path(), 0.5, 0).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    warmstart_files::plain(&message).replace(&dir.path().display().to_string(), "DIR")
}

/// The lines on what is not used, with the folder written as DIR.
fn unused(dir: &TempDir, dataset: &Dataset) -> Vec<String> {
    let path = dir.path().display().to_string();
    let lines = dataset.ignored.lines().into_iter();
    lines.map(|line| line.replace(&path, "DIR")).collect()
}

#[test]
fn splits_have_many_names() {
    for (train, validation, test) in [
        ("Training", "Validation", "Testing"),
        ("training_set", "validation_set", "test_set"),
        ("images_train", "images_val", "images_test"),
        ("TRAIN", "DEV", "TEST"),
        ("train2017", "eval", "test2017"),
        ("训练集", "验证集", "测试集"),
    ] {
        let dir = folder(&[
            &format!("4*{train}/cat"),
            &format!("4*{train}/dog"),
            &format!("1*{validation}/cat"),
            &format!("1*{validation}/dog"),
            &format!("2*{test}/dog"),
        ]);
        let dataset = opened(&dir);
        assert_eq!(dataset.classes, ["cat", "dog"], "{train}");
        assert_eq!(counts(&dataset), [8, 2, 2], "{train}");
        let note = &dataset.notes[0];
        let expected = format!(
            "training images come from {train}, validation images come from {validation}, test images come from {test}"
        );
        assert_eq!(*note, expected);
    }
}

#[test]
fn splits_may_have_a_common_name_around_theirs() {
    let dir = folder(&[
        "2*seg_train/seg_train/sea",
        "2*seg_train/seg_train/ice",
        "1*seg_test/seg_test/ice",
        "3*seg_pred/seg_pred",
    ]);
    let dataset = opened(&dir);
    assert_eq!(dataset.classes, ["ice", "sea"]);
    assert_eq!(counts(&dataset), [2, 2, 1]);
    assert_eq!(
        unused(&dir, &dataset),
        ["not used: DIR/seg_pred (3 images)"]
    );
    // One alone is a class.
    let dir = folder(&["4*train station", "4*bus station"]);
    assert_eq!(opened(&dir).classes, ["bus station", "train station"]);
}

#[test]
fn a_split_that_was_unpacked_into_itself_is_found() {
    let dir = folder(&["2*train/train/a", "2*train/train/b", "1*valid/val/a"]);
    assert_eq!(counts(&opened(&dir)), [4, 1, 0]);
}

#[test]
fn usual_names_need_no_note() {
    let dir = folder(&["2*train/a", "2*train/b", "1*val/a", "1*test/b"]);
    assert!(opened(&dir).notes.is_empty());
}

#[test]
fn without_a_validation_folder_it_is_said_where_validation_comes_from() {
    let dir = folder(&["2*Training/a", "2*Training/b", "1*Testing/a"]);
    let dataset = opened(&dir);
    assert_eq!(counts(&dataset), [2, 2, 1]);
    assert_eq!(
        dataset.notes,
        [
            "training images come from Training, validation images are drawn from them (val_split 0.5), test images come from Testing"
        ]
    );
}

#[test]
fn folders_beside_the_splits_are_named() {
    let dir = folder(&[
        "2*train/a",
        "2*train/b",
        "1*val/a",
        "2*extra/a",
        "1*extra/b",
        "loose.png",
        "notes/x.txt",
        "2*holdout",
    ]);
    let lines = unused(&dir, &opened(&dir));
    assert_eq!(
        lines,
        [
            "not used: DIR (1 image directly in it, in no class folder)",
            "not used: DIR/extra (3 images)",
            "not used: DIR/holdout (2 images)",
            "not used: DIR/notes (no images)",
        ]
    );
}

#[test]
fn two_folders_for_one_split_are_refused_unless_one_is_empty() {
    let dir = folder(&["2*train/a", "2*train/b", "1*dev/a", "1*Val/a"]);
    assert_eq!(
        refusal(&dir),
        "DIR: there are two validation folders, DIR/Val and DIR/dev; merge them into one"
    );
    let dir = folder(&["2*train/a", "2*train/b", "1*dev/a"]);
    fs::create_dir(dir.path().join("val")).unwrap();
    let dataset = opened(&dir);
    assert_eq!(counts(&dataset), [4, 1, 0]);
    assert_eq!(unused(&dir, &dataset), ["not used: DIR/val (no images)"]);
}

#[test]
fn two_folders_for_one_split_are_to_be_merged_or_sorted_by_class() {
    let numbered = folder(&["2*train1/a", "2*train2/b", "1*val/a"]);
    assert!(refusal(&numbered).ends_with("DIR/train1 and DIR/train2; merge them into one"));
    for files in [
        &["2*cats_train", "2*dogs_train", "1*cats_test", "1*dogs_test"],
        &["2*train_cats", "2*train_dogs", "1*val_cats", "1*val_dogs"],
    ] {
        let message = refusal(&folder(files));
        assert!(
            message.ends_with(
                "they look like class and split in one name; move their images to train/cats/ and train/dogs/"
            ),
            "{message}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_split_that_is_training_by_links_is_refused() {
    use std::os::unix::fs::symlink;
    let train = || folder(&["2*train/cat", "2*train/dog"]);
    let expected = "DIR: DIR/val is a link to DIR/train, or holds links to it: it validates on what it learns; give it pictures of its own or remove it";
    let whole = train();
    symlink("train", whole.path().join("val")).unwrap();
    assert_eq!(refusal(&whole), expected);
    let classes = train();
    fs::create_dir(classes.path().join("val")).unwrap();
    symlink("../train/cat", classes.path().join("val/cat")).unwrap();
    assert_eq!(refusal(&classes), expected);
    type Link = fn(&Path, &Path) -> std::io::Result<()>;
    for link in [(|from, to| fs::hard_link(from, to)) as Link, |from, to| {
        symlink(from, to)
    }] {
        let files = train();
        fs::create_dir_all(files.path().join("val/dog")).unwrap();
        for name in ["0.png", "1.png"] {
            let place = |split: &str| files.path().join(split).join("dog").join(name);
            link(&place("train"), &place("val")).unwrap();
        }
        assert_eq!(refusal(&files), expected);
        // One picture of its own, and the copies are found as others are.
        add(files.path(), "val/dog/own.png", "");
        assert_eq!(counts(&opened(&files)), [4, 3, 0]);
    }
    let test = folder(&["2*train/cat", "2*train/dog", "1*val/cat"]);
    symlink("train", test.path().join("test")).unwrap();
    assert!(refusal(&test).contains("it tests on what it learns"));
}

#[test]
fn pictures_directly_in_splits_are_not_classes() {
    for files in [
        &["3*train", "3*test"][..],
        &["3*Training", "3*Validation", "3*Testing"],
        &["3*train", "3*val", "3*cat"],
        &["3*train"],
    ] {
        let message = refusal(&folder(files));
        assert!(
            message.contains("has no class folders (3 images lie directly in it)"),
            "{message}"
        );
    }
}

#[test]
fn one_class_may_have_the_name_of_a_split() {
    for name in ["train", "Test", "dev"] {
        let dir = folder(&[&format!("4*{name}"), "4*bus"]);
        let dataset = opened(&dir);
        assert_eq!(dataset.classes.len(), 2, "{name}");
        assert!(
            dataset.notes[0].starts_with(&format!("{name} is taken for a class")),
            "{:?}",
            dataset.notes
        );
    }
    // Nor do a few pictures in a folder inside it make it a split.
    let dir = folder(&["4*train", "2*train/night", "4*bus"]);
    assert_eq!(opened(&dir).classes, ["bus", "train"]);
}

#[test]
fn class_folders_beside_a_split_are_refused() {
    let dir = folder(&["2*cat", "2*dog", "1*test/cat", "1*test/dog"]);
    assert_eq!(
        refusal(&dir),
        "DIR: there is DIR/test but no train folder beside it; add train/<class>/ or give the folder of class folders"
    );
}

#[test]
fn folders_of_the_same_folders_are_not_classes() {
    for files in [
        &["3*a/images", "3*b/images"][..],
        &["3*fold1/cat", "3*fold1/dog", "3*fold2/cat", "1*fold2/dog"],
        &["9*A/cat", "1*A", "3*B/Cat", "notes/x"],
        &["3*train/old/cat", "3*train/new/cat", "1*val/cat"],
        &[
            "3*siteA/cat",
            "3*siteA/dog",
            "3*siteB/dog",
            "3*siteB/bird",
            "3*siteC/cat",
        ],
        &["3*set1/cat", "3*set1/dog", "3*set2/cat"],
        &["3*part1/data/cat", "3*part1/data/dog", "3*part2/data2/cat"],
    ] {
        let message = refusal(&folder(files));
        assert!(
            message.contains("hold folders of the same names"),
            "{message}"
        );
    }
    let message = refusal(&folder(&["3*cat/train", "1*cat/val", "3*dog/train"]));
    assert!(
        message.ends_with("if they are classes, put the splits above them, as in train/cat/"),
        "{message}"
    );
}

#[test]
fn a_folder_that_holds_a_class_of_the_name_beside_it_is_no_class() {
    for files in [
        &["3*data1/cat", "3*data1/dog", "3*cat"][..],
        &["3*more/new/Cat", "3*more/new/dog", "3*cat", "3*dog"],
    ] {
        let message = refusal(&folder(files));
        assert!(
            message.contains("there is another cat beside it, so"),
            "{message}"
        );
    }
    let within_itself = folder(&["3*cat/cat", "3*dog/dog"]);
    assert_eq!(opened(&within_itself).classes, ["cat", "dog"]);
}

#[test]
fn splits_with_a_letter_are_not_classes() {
    for files in [
        &["3*trainA", "3*trainB", "3*testA", "3*testB"][..],
        &["3*trainA", "3*testA"],
        &["3*valA/x", "3*valB/y"],
    ] {
        let message = refusal(&folder(files));
        assert!(
            message.contains("look like splits with a letter for each class"),
            "{message}"
        );
    }
    let one = folder(&["3*trains", "3*trainA", "3*tests"]);
    assert_eq!(opened(&one).classes.len(), 3);
}

#[test]
fn folders_inside_classes_are_searched() {
    let nested = folder(&["3*cat/left", "3*cat/right", "3*dog/puppy"]);
    assert_eq!(opened(&nested).classes, ["cat", "dog"]);
    let deeper = folder(&["3*cat/left/big", "3*dog/puppy"]);
    assert_eq!(opened(&deeper).classes, ["cat", "dog"]);
    let some_shared = folder(&["3*cat", "1*cat/more", "3*dog", "1*dog/more"]);
    assert_eq!(opened(&some_shared).train.len(), 4);
}

#[test]
fn a_data_set_inside_a_folder_is_found() {
    let message = refusal(&folder(&["2*pets/cat", "2*pets/dog"]));
    assert_eq!(
        message,
        "DIR: it has one folder, pets, with 2 folders of images in it (cat, dog); if they are the classes or the splits, give data DIR/pets"
    );
    let voc = folder(&["2*VOC2007/JPEGImages", "VOC2007/Annotations/0.xml"]);
    assert_eq!(
        refusal(&voc),
        "DIR: DIR/VOC2007 is a detection data set of its own, not a class; give data DIR/VOC2007"
    );
}

#[test]
fn pictures_with_labels_are_named_as_what_they_look_like() {
    for (file, content, expected) in [
        (
            "train/0.xml",
            "<annotation/>",
            "DIR/train: 0.xml looks like labels of Pascal VOC",
        ),
        (
            "train/_annotations.coco.json",
            r#"{"images": [], "annotations": []}"#,
            "_annotations.coco.json looks like labels of COCO",
        ),
        (
            "train/0.txt",
            "0 0.5 0.5 0.1 0.1",
            "0.txt looks like labels of YOLO",
        ),
        ("train/0.json", r#"{"shapes": []}"#, "labels of Labelme"),
        (
            "train/t.csv",
            "file,xmin,ymin,xmax,ymax",
            "t.csv looks like a table of boxes",
        ),
    ] {
        let dir = folder(&["2*train", "2*test"]);
        add(dir.path(), file, content);
        let message = refusal(&dir);
        assert!(message.contains(expected), "{message}");
        // The same in folders of other names.
        let dir = folder(&["2*one", "2*two"]);
        add(dir.path(), &file.replace("train", "two"), content);
        let message = refusal(&dir);
        let is_named = message.contains("pictures with boxes, not classes")
            || message.contains("DIR/two is a detection data set of its own, not a class");
        assert!(is_named, "{message}");
    }
}

#[test]
fn folders_of_labels_are_never_empty_classes() {
    let yolo = folder(&["2*images/train", "1*images/val"]);
    add(yolo.path(), "labels/train/0.txt", "0 0.5 0.5 0.1 0.1");
    assert!(refusal(&yolo).contains("looks like labels of YOLO"));
    let of_empty_labels = folder(&["2*train/images", "train/labels/0.txt"]);
    assert!(
        refusal(&of_empty_labels).contains("look like pictures and their labels"),
        "{}",
        refusal(&of_empty_labels)
    );
    let masks = folder(&["2*images", "2*masks"]);
    assert!(
        refusal(&masks)
            .contains("its folders images and masks look like pictures and their labels")
    );
}

#[test]
fn labels_beside_the_splits_are_named() {
    for (file, content, expected) in [
        (
            "train.csv",
            "image,bbox\n0.png,1 2 3 4",
            "DIR: train.csv looks like a table of boxes",
        ),
        (
            "json/all.json",
            r#"{"images": [], "annotations": [], "categories": []}"#,
            "DIR: json/all.json looks like labels of COCO",
        ),
        (
            "labels/0.txt",
            "0 0.5 0.5 0.1 0.1",
            "DIR: labels/0.txt looks like labels of YOLO",
        ),
    ] {
        let dir = folder(&["2*train", "2*test"]);
        add(dir.path(), file, content);
        let message = refusal(&dir);
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn captions_and_notes_beside_pictures_are_no_labels() {
    let dir = folder(&["2*cat", "2*dog", "cat/list.csv"]);
    add(dir.path(), "cat/0.txt", "a cat on a mat");
    add(
        dir.path(),
        "cat/meta.json",
        r#"{"categories": ["cat", "pet"]}"#,
    );
    let dataset = opened(&dir);
    assert_eq!(
        unused(&dir, &dataset),
        ["skipped 3 files of unsupported types (.csv 1, .json 1, .txt 1)"]
    );
}

#[test]
fn one_name_in_two_normal_forms_is_one_class() {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    let dir = folder(&[
        &format!("2*train/{decomposed}"),
        "2*train/dog",
        &format!("1*val/{composed}"),
    ]);
    let dataset = opened(&dir);
    assert_eq!(dataset.classes, [composed, "dog"]);
    assert_eq!(counts(&dataset), [4, 1, 0]);
    let of_model = [decomposed.to_owned()];
    let split = open_split(&dir.path().join("val"), &of_model).unwrap();
    assert_eq!(split.samples.len(), 1);

    let both = folder(&[
        &format!("2*{composed}"),
        &format!("2*{decomposed}"),
        "2*dog",
    ]);
    let dataset = opened(&both);
    assert_eq!(dataset.classes, [composed, "dog"]);
    assert_eq!(counts(&dataset), [3, 3, 0]);
}

#[test]
fn files_of_systems_are_not_counted() {
    let dir = folder(&[
        "2*cat",
        "2*dog",
        "cat/.DS_Store",
        "cat/._0.png",
        "cat/Thumbs.db",
        "1*cat/@eaDir/0.png",
        "1*__MACOSX/cat",
        ".ipynb_checkpoints/x.png",
        "cat/.hidden.png",
        "cat/a.HEIC",
    ]);
    let dataset = opened(&dir);
    assert_eq!(dataset.classes, ["cat", "dog"]);
    assert_eq!(
        unused(&dir, &dataset),
        [
            "skipped 1 file of an unsupported type (.heic 1); save .heic as JPEG or PNG to use them",
            "skipped 1 hidden file or folder",
        ]
    );
}
