//! Text lists of pictures with their boxes, as keras-yolo3 and Bubbliiiing's detectors read them, and the
//! VOCdevkit beside them.

#[allow(dead_code, reason = "other tests share the helpers")]
#[path = "common/detection.rs"]
mod detection;

use detection::{add, add_picture, boxes, opened, problems, refusal, voc_object};
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use warmstart_data::scenes::{Layout, OpenedScenes, Problem, is_detection, layout, open};

const PICTURES: &str = "VOCdevkit/VOC2007/JPEGImages";

/// A trainer's folder with five pictures of 100×50, whose classes are cat and dog.
fn trainer() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..5 {
        add_picture(dir.path(), &format!("{PICTURES}/my {number}.jpg"), 100, 50);
    }
    add(dir.path(), "model_data/voc_classes.txt", "cat\ndog\n");
    add(dir.path(), "train.py", "");
    dir
}

/// Rows of those numbers, below `prefix`, with these words after each path.
fn rows(prefix: &str, numbers: std::ops::Range<usize>, words: &str) -> String {
    let row = |number| format!("{prefix}{PICTURES}/my {number}.jpg{words}\n");
    numbers.map(row).collect()
}

fn counts(opened: &OpenedScenes) -> [usize; 2] {
    [opened.dataset.train.len(), opened.dataset.validation.len()]
}

#[test]
fn the_lists_of_a_trainer_are_read_by_their_folder_or_by_one_of_them() {
    let dir = trainer();
    let train = rows("", 0..2, " 10,5,30,25,1 1,2,3,4,0") + &rows("", 2..3, "");
    add(dir.path(), "2007_train.txt", train);
    add(dir.path(), "2007_val.txt", rows("", 3..5, " 0,0,100,50,0"));
    let by_folder = opened(&dir);
    assert_eq!(by_folder.layout, Layout::Lists);
    assert_eq!(by_folder.dataset.classes, ["cat", "dog"]);
    assert_eq!(counts(&by_folder), [3, 2]);
    let scene = &by_folder.dataset.train[0].label;
    let expected = [(1, [10.0, 5.0, 30.0, 25.0]), (0, [1.0, 2.0, 3.0, 4.0])];
    assert_eq!(boxes(scene), expected);
    assert_eq!((scene.width, scene.height), (100, 50));
    assert_eq!(problems(&by_folder.findings), [(Problem::WithoutBoxes, 1)]);
    for list in ["2007_train.txt", "2007_val.txt"] {
        let list = dir.path().join(list);
        assert_eq!(layout(&list), Some(Layout::Lists));
        assert_eq!(open(&list, 0.2, 0).unwrap().dataset, by_folder.dataset);
    }
    // The folder of the pictures alone is none of lists.
    assert!(!is_detection(&dir.path().join(PICTURES)));
}

#[test]
fn without_a_list_for_validation_a_share_is_drawn() {
    let dir = trainer();
    add(dir.path(), "2007_train.txt", rows("", 0..5, " 1,2,30,40,0"));
    let opened = opened(&dir);
    assert_eq!(counts(&opened), [4, 1]);
    assert!(opened.validates_by_share);
}

#[test]
fn paths_of_other_machines_are_found_by_their_end() {
    for prefix in ["/home/bubble/yolox-pytorch/", "E:\\yolox pytorch\\"] {
        let dir = trainer();
        add(
            dir.path(),
            "2007_train.txt",
            rows(prefix, 0..5, " 1,2,30,40,0 5,5,9,9,1"),
        );
        let opened = opened(&dir);
        assert_eq!(counts(&opened), [4, 1], "{prefix}");
        assert_eq!(problems(&opened.findings), [(Problem::ForeignName, 5)]);
    }
}

#[test]
fn without_class_names_classes_are_called_by_their_numbers() {
    let dir = trainer();
    fs::remove_file(dir.path().join("model_data/voc_classes.txt")).unwrap();
    add(dir.path(), "2007_train.txt", rows("", 0..5, " 1,2,30,40,1"));
    let opened = opened(&dir);
    assert_eq!(opened.dataset.classes, ["class_0", "class_1"]);
    assert_eq!(opened.findings.count(Problem::UnnamedClasses), 1);
}

#[test]
fn a_bad_box_or_row_costs_no_other_and_is_named_with_its_line() {
    let dir = trainer();
    let good = rows("", 0..5, " 1,2,30,40,0");
    let bad = [
        rows("", 0..1, " 5,5,9 30,5,10,9,1 8,8,20,20,1 90,10,120,20,0"),
        "gone.jpg 1,2,3,4,0\n".to_owned(),
        "1,2,3,4,0\n".to_owned(),
        rows("", 1..2, " 1,2,30,40,cat"),
        rows("", 1..2, " 3,3,9,9,7"),
    ];
    add(dir.path(), "2007_train.txt", good + &bad.concat());
    let opened = opened(&dir);
    assert_eq!(counts(&opened), [4, 1]);
    assert_eq!(
        problems(&opened.findings),
        [
            (Problem::MissingImage, 1),
            (Problem::RepeatedImage, 3),
            (Problem::MergedObject, 4),
            (Problem::Malformed, 3),
            (Problem::UnknownClass, 1),
            (Problem::EmptyBox, 1),
            (Problem::ClippedBox, 1),
        ]
    );
    let list = dir.path().join("2007_train.txt");
    let list = list.display();
    assert_eq!(
        opened.findings.examples(Problem::Malformed),
        [
            format!(
                "{list}, line 6: expected a box of left, top, right, bottom and the number of its class, without spaces, as in 10,20,110,220,0, found \"5,5,9\""
            ),
            format!(
                "{list}, line 8: expected the path of a picture and its boxes, as in 1.jpg 10,20,110,220,0, found \"1,2,3,4,0\""
            ),
            format!(
                "{list}, line 9: expected a box of left, top, right, bottom and the number of its class, without spaces, as in 10,20,110,220,0, found \"1,2,30,40,cat\""
            ),
        ]
    );
}

#[test]
fn lists_that_cannot_be_a_data_set_are_refused_with_the_fix() {
    let dir = trainer();
    add(dir.path(), "2007_train.txt", rows("", 0..3, " 1,2,30,40,0"));
    add(dir.path(), "2012_train.txt", rows("", 3..5, " 1,2,30,40,0"));
    assert_eq!(
        refusal(&dir),
        "DIR: DIR/2007_train.txt and DIR/2012_train.txt are lists for the same split; give the one that is meant as the data, or move the other elsewhere"
    );
    let dir = trainer();
    add(dir.path(), "2007_train.txt", "x/1.jpg 1,2,3,4,0\n");
    let message = refusal(&dir);
    assert!(
        message.contains(
            "listed images are not there (left out): 1, such as DIR/2007_train.txt, line 1: x/1.jpg"
        ),
        "{message}"
    );
    let dir = trainer();
    add(dir.path(), "cls_train.txt", "0;a.jpg\n1;b.jpg\n");
    let list = dir.path().join("cls_train.txt");
    assert!(!is_detection(&list));
    let message = open(&list, 0.2, 0).unwrap_err().to_string();
    assert!(
        message.contains("it is a data set for classification"),
        "{message}"
    );
}

/// VOCdevkit with the four lists that voc_annotation.py writes, of pictures 0 to 4.
fn devkit(dir: &Path, train: &str, val: &str, test: &str) {
    for number in 0..5 {
        add_picture(dir, &format!("{PICTURES}/{number}.jpg"), 100, 50);
        let object = voc_object("cat", ["1", "1", "9", "9"]);
        let xml = format!("<annotation>{object}</annotation>");
        add(
            dir,
            &format!("VOCdevkit/VOC2007/Annotations/{number}.xml"),
            xml,
        );
    }
    let sets = "VOCdevkit/VOC2007/ImageSets/Main";
    for (name, text) in [
        ("train", train),
        ("val", val),
        ("test", test),
        ("trainval", &format!("{train}{val}")),
    ] {
        add(dir, &format!("{sets}/{name}.txt"), text);
    }
    for folder in [sets, PICTURES, "VOCdevkit/VOC2007/Annotations"] {
        add(dir, &format!("{folder}/README.md"), "");
    }
}

#[test]
fn a_vocdevkit_is_read_as_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    devkit(dir.path(), "0\n1\n2\n", "3\n", "4\n");
    for folder in ["", "VOCdevkit", "VOCdevkit/VOC2007"] {
        let opened = open(&dir.path().join(folder), 0.2, 0).unwrap();
        assert_eq!(opened.layout, Layout::Voc);
        assert_eq!(counts(&opened), [3, 1], "{folder}");
        assert_eq!(opened.dataset.test.unwrap().len(), 1);
        assert_eq!(problems(&opened.findings), []);
    }
}

#[test]
fn empty_lists_of_a_vocdevkit_are_no_splits() {
    let dir = tempfile::tempdir().unwrap();
    devkit(dir.path(), "0\n1\n2\n3\n4\n", "", "\n");
    let opened = open(&dir.path().join("VOCdevkit"), 0.2, 0).unwrap();
    assert_eq!(counts(&opened), [4, 1]);
    assert!(opened.validates_by_share && opened.dataset.test.is_none());
    assert_eq!(problems(&opened.findings), [(Problem::NotUsed, 2)]);
}

#[test]
fn lists_at_the_top_of_a_trainers_folder_come_before_its_vocdevkit() {
    let dir = trainer();
    devkit(dir.path(), "0\n1\n2\n", "3\n", "4\n");
    add(dir.path(), "2007_train.txt", rows("", 0..5, " 1,2,30,40,0"));
    let opened = opened(&dir);
    assert_eq!(opened.layout, Layout::Lists);
    let unused = opened.findings.examples(Problem::NotUsed);
    assert!(
        unused[0].ends_with("VOC2007 of the layout Pascal VOC"),
        "{unused:?}"
    );
}
