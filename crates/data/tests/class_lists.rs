//! Text lists of pictures with their classes, as Bubbliiiing's classification-pytorch writes and reads them.

use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use warmstart_data::{Dataset, Sample, data_folder, is_listed, open, open_split};

/// Pictures as the trainer has them: `datasets/train` and `datasets/test`, four and two of each class.
fn trainer() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        for number in 0..4 {
            add(
                dir.path(),
                &format!("datasets/train/{class}/my {number}.jpg"),
                "",
            );
        }
        for number in 0..2 {
            add(
                dir.path(),
                &format!("datasets/test/{class}/{number}.jpg"),
                "",
            );
        }
    }
    add(dir.path(), "model_data/cls_classes.txt", "dog\ncat\n");
    dir
}

fn add(dir: &Path, file: &str, content: impl AsRef<[u8]>) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Rows for the pictures of a split, below `prefix`; `class` gives the number in a row.
fn rows(prefix: &str, split: &str, class: fn(&str) -> usize) -> String {
    let names: &[String] = &match split {
        "train" => (0..4).map(|number| format!("my {number}.jpg")).collect(),
        _ => (0..2)
            .map(|number| format!("{number}.jpg"))
            .collect::<Vec<_>>(),
    };
    let mut text = String::new();
    for of in ["cat", "dog"] {
        for name in names {
            text += &format!("{};{prefix}datasets/{split}/{of}/{name}\n", class(of));
        }
    }
    text
}

fn number(class: &str) -> usize {
    usize::from(class == "cat")
}

fn counts(dataset: &Dataset) -> [usize; 3] {
    let test = dataset.test.as_deref().map_or(0, <[Sample]>::len);
    [dataset.train.len(), dataset.validation.len(), test]
}

fn refusal(data: &Path) -> String {
    let message = open(data, 0.25, 0).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    let folder = data_folder(data).display().to_string();
    warmstart_files::plain(&message).replace(&folder, "DIR")
}

/// Notes with the folder written as DIR.
fn notes(dir: &TempDir, dataset: &Dataset) -> Vec<String> {
    let folder = dir.path().display().to_string();
    let notes = dataset.notes.iter();
    notes.map(|note| note.replace(&folder, "DIR")).collect()
}

#[test]
fn the_lists_of_a_trainer_are_read_by_their_folder_or_by_one_of_them() {
    let dir = trainer();
    add(dir.path(), "cls_train.txt", rows("", "train", number));
    add(dir.path(), "cls_test.txt", rows("", "test", number));
    let by_folder = open(dir.path(), 0.25, 0).unwrap();
    assert_eq!(by_folder.classes, ["dog", "cat"]);
    assert_eq!(counts(&by_folder), [6, 2, 4]);
    for sample in by_folder.train.iter().chain(&by_folder.validation) {
        let class = &by_folder.classes[sample.label];
        assert!(
            sample
                .path
                .components()
                .any(|part| part.as_os_str() == &class[..])
        );
        assert!(sample.path.is_file());
    }
    assert_eq!(
        notes(&dir, &by_folder),
        [
            "training images come from cls_train.txt, validation images are drawn from them (val_split 0.25), test images come from cls_test.txt"
        ]
    );
    for list in ["cls_train.txt", "cls_test.txt"] {
        let list = dir.path().join(list);
        assert_eq!(open(&list, 0.25, 0).unwrap(), by_folder);
        assert_eq!(data_folder(&list), dir.path());
        assert!(is_listed(&list));
    }
    assert!(is_listed(dir.path()) && !is_listed(&dir.path().join("datasets")));
}

#[test]
fn a_list_for_validation_is_used_as_it_is() {
    let dir = trainer();
    add(dir.path(), "cls_train.txt", rows("", "train", number));
    add(dir.path(), "cls_val.txt", rows("", "test", number));
    let dataset = open(dir.path(), 0.25, 0).unwrap();
    assert_eq!(counts(&dataset), [8, 4, 0]);
    assert!(dataset.without_validation.is_empty());
}

#[test]
fn paths_of_other_machines_are_found_by_their_end_and_said() {
    for prefix in [
        "/home/bubble/classification-pytorch/",
        "D:\\trainer\\",
        "trainer/",
    ] {
        let dir = trainer();
        add(dir.path(), "cls_train.txt", rows(prefix, "train", number));
        let dataset = open(dir.path(), 0.25, 0).unwrap();
        assert_eq!(counts(&dataset), [6, 2, 0], "{prefix}");
        let notes = notes(&dir, &dataset);
        let foreign = "8 image names start elsewhere, such as / or C: (found in the data folder by their end): ";
        let shown = prefix.replace('\\', "/");
        let example = format!(
            "DIR/cls_train.txt, line 1: {shown}datasets/train/cat/my 0.jpg is DIR/datasets/train/cat/my 0.jpg"
        );
        assert!(
            notes[1].starts_with(&format!("{foreign}{example}")),
            "{notes:?}"
        );
    }
}

#[test]
fn absolute_paths_are_taken_as_they_are_and_the_folders_are_named() {
    let (dir, elsewhere) = (trainer(), trainer());
    let prefix = format!("{}/", elsewhere.path().display());
    add(dir.path(), "cls_train.txt", rows(&prefix, "train", number));
    let dataset = open(dir.path(), 0.25, 0).unwrap();
    let is_elsewhere = |sample: &Sample| sample.path.starts_with(elsewhere.path());
    assert!(dataset.train.iter().all(is_elsewhere));
    let notes = notes(&dir, &dataset);
    assert!(
        notes[1].starts_with("2 folders of images are outside of the data set's folder"),
        "{notes:?}"
    );
}

#[test]
fn without_class_names_classes_are_called_by_their_numbers() {
    let dir = trainer();
    fs::remove_dir_all(dir.path().join("model_data")).unwrap();
    add(dir.path(), "cls_train.txt", rows("", "train", number));
    let dataset = open(dir.path(), 0.25, 0).unwrap();
    assert_eq!(dataset.classes, ["class_0", "class_1"]);
    assert_eq!(
        notes(&dir, &dataset)[1],
        "1 data set does not name its classes (called class_0, class_1, …): there is neither cls_classes.txt nor model_data/cls_classes.txt in DIR"
    );
}

#[test]
fn classes_without_a_picture_are_left_out() {
    let dir = trainer();
    add(dir.path(), "model_data/cls_classes.txt", "dog\nbird\ncat\n");
    let text = rows("", "train", |class| 2 * number(class));
    add(dir.path(), "cls_train.txt", text);
    let dataset = open(dir.path(), 0.25, 0).unwrap();
    assert_eq!(dataset.classes, ["dog", "cat"]);
    assert_eq!(
        notes(&dir, &dataset)[1],
        "classes without a picture in DIR/cls_train.txt are left out: bird"
    );
}

#[test]
fn broken_rows_are_named_with_their_line_and_cost_no_other() {
    let dir = trainer();
    let good = rows("", "train", number);
    let broken = format!(
        "cat;a.jpg\n{good}\n0;datasets/gone.jpg\n5;datasets/train/cat/my 0.jpg\n0 datasets/a.jpg\n"
    );
    add(dir.path(), "cls_train.txt", &broken);
    // With class 5 no list of classes fits, and the usual one is taken.
    let dataset = open(dir.path(), 0.25, 0).unwrap();
    assert_eq!(counts(&dataset), [6, 2, 0]);
    let notes = notes(&dir, &dataset).join("\n");
    for part in [
        "1 listed image is not there (left out): DIR/cls_train.txt, line 11: datasets/gone.jpg",
        "3 annotations are malformed (dropped): DIR/cls_train.txt, line 1: expected the number of a class, a semicolon and the path of a picture, as in 0;datasets/train/cat/1.jpg, found \"cat;a.jpg\"",
        "DIR/cls_train.txt, line 12: expected a class from 0 to 1, since there are 2 names, found 5",
        "line 13: expected the number of a class",
    ] {
        assert!(notes.contains(part), "{part} is not in\n{notes}");
    }
}

#[test]
fn a_picture_of_two_classes_is_named_and_kept_once() {
    let dir = trainer();
    let text = rows("", "train", number) + "0;datasets/train/cat/my 0.jpg\n";
    add(dir.path(), "cls_train.txt", text);
    let dataset = open(dir.path(), 0.25, 0).unwrap();
    assert_eq!(counts(&dataset), [6, 2, 0]);
    assert_eq!(
        notes(&dir, &dataset)[1],
        "1 image is listed twice in a split (kept once): DIR/cls_train.txt, line 9: DIR/datasets/train/cat/my 0.jpg is \"cat\" and \"dog\"; the first is taken"
    );
}

#[test]
fn lists_that_cannot_be_a_data_set_are_refused_with_the_fix() {
    let list = |text: &str| {
        let dir = trainer();
        add(dir.path(), "cls_train.txt", text);
        let path = dir.path().join("cls_train.txt");
        (dir, path)
    };
    for (text, expected) in [
        (
            "0;x/1.jpg\n1;x/2.jpg\n",
            "DIR/cls_train.txt, line 1: none of its 2 pictures can be used, such as x/1.jpg; expected paths that exist, or whose ends lie below DIR: put the list beside the folder of its pictures",
        ),
        (
            "\n0;datasets/train/dog/my 0.jpg\n",
            "DIR/cls_train.txt: all its pictures are of one class, \"dog\"; classification needs at least two",
        ),
        (
            "\nhello\n",
            "DIR/cls_train.txt, line 2: expected in every line the number of a class, a semicolon and the path of a picture, as in 0;datasets/train/cat/1.jpg, or for detection the path of a picture and its boxes, as in 1.jpg 10,20,110,220,0; found \"hello\"",
        ),
        (
            "",
            "DIR/cls_train.txt, line 1: expected in every line the number of a class, a semicolon and the path of a picture, as in 0;datasets/train/cat/1.jpg, or for detection the path of a picture and its boxes, as in 1.jpg 10,20,110,220,0; found nothing",
        ),
    ] {
        let (_dir, path) = list(text);
        assert_eq!(refusal(&path), expected);
    }
    let dir = trainer();
    add(dir.path(), "cls_train.txt", rows("", "train", number));
    add(dir.path(), "pets_train.txt", rows("", "train", number));
    assert_eq!(
        refusal(dir.path()),
        "DIR: DIR/cls_train.txt and DIR/pets_train.txt are lists for the same split; give the one that is meant as the data, or move the other elsewhere"
    );
    let one = open(&dir.path().join("pets_train.txt"), 0.25, 0).unwrap();
    assert!(notes(&dir, &one)[1].starts_with("1 file or folder is not used: DIR/cls_train.txt"));
    let dir = trainer();
    add(dir.path(), "cls_test.txt", rows("", "test", number));
    let message = refusal(&dir.path().join("cls_test.txt"));
    assert!(
        message.starts_with("DIR/cls_test.txt: by its name it is for validation or testing"),
        "{message}"
    );
    let dir = trainer();
    let dogs = "0;datasets/train/dog/my 0.jpg\n0;datasets/train/dog/my 1.jpg\n";
    add(dir.path(), "cls_train.txt", dogs.replacen('0', "2", 1));
    add(dir.path(), "cls_val.txt", rows("", "test", number));
    add(dir.path(), "model_data/cls_classes.txt", "dog\ncat\nwolf\n");
    assert_eq!(
        refusal(dir.path()),
        "DIR/cls_val.txt: it has pictures of the class \"cat\", and DIR/cls_train.txt has none; add some there or remove these lines"
    );
}

#[test]
fn a_model_is_measured_on_one_list() {
    let dir = trainer();
    add(dir.path(), "cls_train.txt", rows("", "train", number));
    let list = dir.path().join("cls_test.txt");
    fs::write(
        &list,
        "1;datasets/test/cat/0.jpg\n1;datasets/test/cat/1.jpg\n",
    )
    .unwrap();
    let classes = ["bird", "cat", "dog"].map(str::to_owned);
    let split = open_split(&list, &classes).unwrap();
    let labels: Vec<usize> = split.samples.iter().map(|sample| sample.label).collect();
    // The numbers are those of the model.
    assert_eq!(labels, [1, 1]);
    let paths: Vec<PathBuf> = split
        .samples
        .into_iter()
        .map(|sample| sample.path)
        .collect();
    assert!(paths[0].ends_with("datasets/test/cat/0.jpg"));
    let message = open_split(&list, &classes[2..]).unwrap_err().to_string();
    assert!(
        message.ends_with("it has pictures of the class \"cat\", which is not one of the 1 classes (dog); remove these lines, or give the list of classes the model's names"),
        "{message}"
    );
    // A row that cannot be used would change the measure.
    fs::write(
        &list,
        "1;datasets/test/cat/0.jpg\n1;datasets/test/cat/7.jpg\n",
    )
    .unwrap();
    let message = open_split(&list, &classes).unwrap_err().to_string();
    assert!(
        message.contains("1 listed image is not there (left out), such as")
            && message.contains("line 2: datasets/test/cat/7.jpg"),
        "{message}"
    );
    let message = open_split(dir.path(), &classes).unwrap_err().to_string();
    assert!(message.contains("give one of them, such as"), "{message}");
}
