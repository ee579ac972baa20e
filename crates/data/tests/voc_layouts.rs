//! Pascal VOC as the development kit, Kaggle, LabelImg, Roboflow, CVAT and PaddleDetection leave it.

#[path = "common/detection.rs"]
#[allow(dead_code)]
mod detection;

use detection::{add, add_picture, opened, problems, refusal, voc, voc_object};
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use warmstart_data::scenes::{Layout, Problem, layout, open};
use warmstart_data::{Sample, Scene};

/// A picture of 100×50 and its annotations with one object.
fn add_pair(dir: &Path, picture: &str, xml: &str, class: &str) {
    add_picture(dir, picture, 100, 50);
    let object = voc_object(class, ["11", "21", "40", "30"]);
    add(dir, xml, format!("<annotation>{object}</annotation>"));
}

/// Pictures of training, validation and test, relative to the folder.
fn splits(dir: &TempDir) -> [Vec<String>; 3] {
    let read = opened(dir);
    assert_eq!(read.layout, Layout::Voc);
    let names = |samples: &[Sample<Scene>]| {
        let mut names = Vec::new();
        for sample in samples {
            assert_eq!(sample.label.objects.len(), 1, "{:?}", sample.path);
            names.push(
                sample
                    .path
                    .strip_prefix(dir.path())
                    .unwrap()
                    .display()
                    .to_string(),
            );
        }
        names
    };
    let dataset = read.dataset;
    [
        names(&dataset.train),
        names(&dataset.validation),
        names(&dataset.test.unwrap_or_default()),
    ]
}

#[test]
fn annotations_and_pictures_may_lie_in_folders_of_any_usual_name() {
    for (pictures, annotations) in [
        ("JPEGImages", "Annotations"),
        ("JPEGimages", "annotations"),
        ("images", "annotations"),
        ("Images", "Annotation"),
        ("img", "xml"),
        ("photos of today", "from labelimg"),
        ("images", "annotations/xmls"),
        ("", ""),
        ("", "xml"),
        ("pictures", ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c", "d", "e"] {
            let picture = format!("./{pictures}/{name}.png");
            add_pair(
                dir.path(),
                &picture,
                &format!("./{annotations}/{name}.xml"),
                "cat",
            );
        }
        let [train, validation, _] = splits(&dir);
        assert_eq!(
            (train.len(), validation.len()),
            (4, 1),
            "{pictures}, {annotations}"
        );
        assert_eq!(
            problems(&opened(&dir).findings),
            [],
            "{pictures}, {annotations}"
        );
        assert_eq!(opened(&dir).dataset.ignored.count(), 0);
    }
}

#[test]
fn folders_named_after_splits_are_the_splits() {
    for (train, validation, test) in [
        ("train/N", "valid/N", "test/N"),
        ("Training/N", "Validation/N", "Testing/N"),
        ("train/images/N", "val/images/N", "test/images/N"),
        ("images/train/N", "images/val/N", "images/test/N"),
        (
            "JPEGImages/train/N",
            "JPEGImages/dev/N",
            "JPEGImages/test/N",
        ),
        ("train_zip/train/N", "eval_zip/eval/N", "test_zip/test/N"),
        ("data/train/N", "data/valid/N", "data/test/N"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for (place, name) in [(train, "a"), (validation, "b"), (test, "c")] {
            let picture = place.replace('N', &format!("{name}.png"));
            let xml = place.replace('N', &format!("{name}.xml"));
            let xml = xml
                .replace("JPEGImages", "Annotations")
                .replace("images", "annotations");
            add_pair(dir.path(), &picture, &xml, "cat");
        }
        add(dir.path(), "README.roboflow.txt", "exported");
        let expected = [(train, "a"), (validation, "b"), (test, "c")]
            .map(|(place, name)| vec![place.replace('N', &format!("{name}.png"))]);
        assert_eq!(splits(&dir), expected);
        assert_eq!(problems(&opened(&dir).findings), []);
    }
}

#[test]
fn of_folders_named_after_splits_inside_each_other_the_inner_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    for place in ["train/training/a", "train/dev/b", "test/c"] {
        let (picture, xml) = (format!("{place}.png"), format!("{place}.xml"));
        add_pair(dir.path(), &picture, &xml, "cat");
    }
    let [train, validation, test] = splits(&dir);
    assert_eq!(train, ["train/training/a.png"]);
    assert_eq!(validation, ["train/dev/b.png"]);
    assert_eq!(test, ["test/c.png"]);
}

#[test]
fn two_folders_for_one_split_are_refused() {
    for (first, second, adjective) in [
        ("val", "valid", "validation"),
        ("dev", "eval", "validation"),
        ("Test_set", "test", "test"),
        ("train", "training", "training"),
        ("images/train", "images/train2017", "training"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for place in ["train/a", "train/b"] {
            let (picture, xml) = (format!("{place}.png"), format!("{place}.xml"));
            add_pair(dir.path(), &picture, &xml, "cat");
        }
        for (place, name) in [(first, "c"), (second, "d")] {
            let (picture, xml) = (format!("{place}/{name}.png"), format!("{place}/{name}.xml"));
            add_pair(dir.path(), &picture, &xml, "cat");
        }
        let message = refusal(&dir);
        if first == "images/train" {
            assert!(message.contains("train2017; keep one"), "{message}");
            continue;
        }
        let expected =
            format!("there are two {adjective} folders, DIR/{first} and DIR/{second}; keep one");
        assert!(message.ends_with(&expected), "{message}");
    }
}

#[test]
fn folders_of_one_name_are_parts_of_one_split() {
    let dir = tempfile::tempdir().unwrap();
    for (place, name) in [("train", "a"), ("north/train", "b"), ("val", "c")] {
        let picture = format!("JPEGImages/{place}/{name}.png");
        add_pair(
            dir.path(),
            &picture,
            &format!("Annotations/{name}.xml"),
            "cat",
        );
    }
    let [train, validation, _] = splits(&dir);
    assert_eq!((train.len(), validation.len()), (2, 1));
}

#[test]
fn lists_may_have_the_line_ends_of_old_macs_and_quotes_around_names() {
    let object = voc_object("cat", ["1", "1", "9", "9"]);
    for list in [
        "a\rb c\r",
        "a\rb c",
        "\"a\"\n\"b c\"\n",
        "'a.png'\r\n'b c.png'\r\n",
        "\"JPEGImages/a.png\" 1\r\"JPEGImages/b c.png\" -1\r",
    ] {
        let dir = voc(&[("a", &object), ("b c", &object)]);
        add(dir.path(), "ImageSets/Main/train.txt", list);
        add(dir.path(), "ImageSets/Main/val.txt", "v\r");
        let read = opened(&dir);
        let counts = (read.dataset.train.len(), read.dataset.validation.len());
        assert_eq!(counts, (2, 1), "{list:?}");
        assert_eq!(problems(&read.findings), [], "{list:?}");
    }
}

#[test]
fn folders_without_any_annotation_are_named_and_not_taken_for_empty_images() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        add_pair(
            dir.path(),
            &format!("train/{name}.png"),
            &format!("train/{name}.xml"),
            "cat",
        );
    }
    add_picture(dir.path(), "train/background.png", 9, 9);
    add_picture(dir.path(), "test/t.png", 9, 9);
    let read = opened(&dir);
    let dataset = &read.dataset;
    assert_eq!(
        (
            dataset.train.len() + dataset.validation.len(),
            &dataset.test
        ),
        (4, &None)
    );
    assert_eq!(
        problems(&read.findings),
        [(Problem::NotUsed, 1), (Problem::WithoutLabelFile, 1)]
    );
    let example = &read.findings.examples(Problem::NotUsed)[0];
    assert!(example.ends_with("test, with 1 pictures"), "{example}");
}

#[test]
fn without_a_training_folder_the_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    add_pair(dir.path(), "valid/a.png", "valid/a.xml", "cat");
    assert_eq!(
        refusal(&dir),
        "DIR: there are folders for validation or test and none for training; add train/"
    );
}

#[test]
fn the_outer_folder_will_do_and_two_data_sets_are_named() {
    let inner = voc(&[("a", &voc_object("cat", ["1", "1", "9", "9"]))]);
    let outer = tempfile::tempdir().unwrap();
    fs::create_dir(outer.path().join("VOCdevkit")).unwrap();
    fs::rename(inner.path(), outer.path().join("VOCdevkit/VOC2007")).unwrap();
    for given in ["", "VOCdevkit"] {
        let read = open(&outer.path().join(given), 0.2, 0).unwrap();
        assert_eq!(
            (read.dataset.train.len(), read.dataset.validation.len()),
            (1, 1)
        );
    }
    let second = voc(&[("a", &voc_object("cat", ["1", "1", "9", "9"]))]);
    fs::rename(second.path(), outer.path().join("VOCdevkit/VOC2012")).unwrap();
    assert_eq!(
        refusal(&outer),
        "DIR: there are 2 Pascal VOC data sets in it; give one of DIR/VOCdevkit/VOC2007, DIR/VOCdevkit/VOC2012"
    );
}

#[test]
fn class_folders_and_other_tools_xml_are_not_voc() {
    let dir = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        add_picture(dir.path(), &format!("train/{class}/a.png"), 9, 9);
    }
    assert_eq!(layout(dir.path()), None);
    add(
        dir.path(),
        "annotations.xml",
        "<?xml version='1.0'?><annotations><image/></annotations>",
    );
    add_picture(dir.path(), "images/a.png", 9, 9);
    assert_eq!(layout(dir.path()), None);
    let classes = tempfile::tempdir().unwrap();
    for class in ["cat", "dog"] {
        add_pair(
            classes.path(),
            &format!("{class}/a.png"),
            &format!("{class}/a.xml"),
            class,
        );
    }
    assert_eq!(layout(classes.path()), None);
}

#[test]
fn names_in_lists_may_have_extensions_flags_and_folders() {
    for line in [
        "NAME",
        "NAME.png",
        "NAME.PNG",
        "NAME.xml",
        "NAME  1",
        "NAME -1",
        "NAME 3 1 2",
        "JPEGImages/NAME.png",
        "./JPEGImages/NAME.png",
        "JPEGImages\\NAME.png",
        "..\\VOC2007\\JPEGImages\\NAME.png",
        "VOC2007/JPEGImages/NAME.png",
        "/home/user/VOCdevkit/VOC2007/JPEGImages/NAME.png",
        "C:\\data\\pics\\NAME.png",
        "./JPEGImages/NAME.png ./Annotations/NAME.xml",
        "  NAME\t0 ",
    ] {
        for name in ["a", "2007_000032", "two words", "v1.5", "café", "7 1"] {
            let dir = voc(&[(name, &voc_object("cat", ["1", "1", "9", "9"]))]);
            let list = line.replace("NAME", name);
            add(
                dir.path(),
                "ImageSets/Main/train.txt",
                format!("{list}\r\n"),
            );
            let read = opened(&dir);
            let train = &read.dataset.train;
            assert_eq!(
                (train.len(), train[0].label.objects.len()),
                (1, 1),
                "{list}"
            );
            assert_eq!(problems(&read.findings), [], "{list}");
        }
    }
}

#[test]
fn a_name_is_the_same_composed_and_decomposed() {
    let dir = voc(&[("cafe\u{301}", &voc_object("cat", ["1", "1", "9", "9"]))]);
    add(dir.path(), "ImageSets/Main/train.txt", "caf\u{e9}\n");
    assert_eq!(problems(&opened(&dir).findings), []);
}

#[test]
fn an_extension_chooses_between_two_pictures() {
    let dir = voc(&[("a", &voc_object("cat", ["1", "1", "9", "9"]))]);
    add_picture(dir.path(), "JPEGImages/a.bmp", 100, 50);
    for (line, expected) in [("a.png", "a.png"), ("a.bmp", "a.bmp"), ("a", "a.bmp")] {
        add(dir.path(), "ImageSets/Main/train.txt", line);
        let train = opened(&dir).dataset.train;
        assert!(
            train[0].path.ends_with(expected),
            "{line}: {:?}",
            train[0].path
        );
    }
}

#[test]
fn lists_of_splits_have_many_names() {
    for (train, validation, test) in [
        ("train.txt", "val.txt", "test.txt"),
        ("train.txt", "valid.txt", "test.txt"),
        ("Train.txt", "Validation.TXT", "Test.txt"),
        ("training.txt", "dev.txt", "testing.txt"),
        ("train_list.txt", "eval_list.txt", "test_list.txt"),
        ("VOC2007_train.txt", "VOC2007_val.txt", "VOC2007_test.txt"),
        ("训练集.txt", "验证集.txt", "测试集.txt"),
    ] {
        for folder in ["ImageSets/Main", "imagesets/main", "ImageSets", "."] {
            let dir = tempfile::tempdir().unwrap();
            for (list, name) in [(train, "a"), (validation, "b"), (test, "c")] {
                let picture = format!("JPEGImages/{name}.png");
                add_pair(
                    dir.path(),
                    &picture,
                    &format!("Annotations/{name}.xml"),
                    "cat",
                );
                add(dir.path(), &format!("{folder}/{list}"), name);
            }
            let expected = ["a", "b", "c"].map(|name| vec![format!("JPEGImages/{name}.png")]);
            assert_eq!(splits(&dir), expected, "{folder}/{train}");
            let findings = opened(&dir).findings;
            assert_eq!(problems(&findings), [], "{folder}/{train}");
        }
    }
}

#[test]
fn what_only_trainval_lists_validates() {
    let cat = voc_object("cat", ["1", "1", "9", "9"]);
    let dir = voc(&[("a", &cat), ("b", &cat)]);
    let sets = dir.path().join("ImageSets/Main");
    fs::remove_file(sets.join("val.txt")).unwrap();
    fs::write(sets.join("train.txt"), "a\nb").unwrap();
    fs::write(sets.join("trainval.txt"), "a\nb\nv").unwrap();
    let read = opened(&dir);
    assert_eq!(
        (read.dataset.train.len(), read.dataset.validation.len()),
        (2, 1)
    );
    assert!(!read.validates_by_share);
    fs::remove_file(sets.join("train.txt")).unwrap();
    fs::remove_file(sets.join("trainval.txt")).unwrap();
    fs::write(sets.join("default.txt"), "a\nb\nv").unwrap();
    assert!(opened(&dir).validates_by_share);
}

#[test]
fn lists_that_are_not_used_are_named_and_those_of_classes_counted() {
    let cat = voc_object("cat", ["1", "1", "9", "9"]);
    let dir = voc(&[("a", &cat), ("b", &cat)]);
    add(dir.path(), "ImageSets/Main/train.txt", "a");
    add(dir.path(), "ImageSets/Main/trainval.txt", "a\nv\n");
    for class in ["cat", "dog", "dining table"] {
        for split in ["train", "val", "trainval"] {
            add(
                dir.path(),
                &format!("ImageSets/Main/{class}_{split}.txt"),
                "a  1\nb -1\n",
            );
        }
    }
    let read = opened(&dir);
    assert_eq!(read.dataset.ignored.count(), 1);
    assert_eq!(problems(&read.findings), [(Problem::NotUsed, 1)]);
    let example = &read.findings.examples(Problem::NotUsed)[0];
    assert!(
        example.starts_with("9 lists of single classes, such as "),
        "{example}"
    );

    add(dir.path(), "ImageSets/Main/valid.txt", "b");
    add(dir.path(), "ImageSets/Main/hard ones.txt", "b");
    add(dir.path(), "ImageSets/Main/trainval.txt", "a\nv\nb\n");
    let read = opened(&dir);
    let examples = read.findings.examples(Problem::NotUsed).join("\n");
    for part in [
        "valid.txt",
        "hard ones.txt",
        "1 images that only ",
        "9 lists of",
    ] {
        assert!(examples.contains(part), "{examples}");
    }
    assert_eq!(read.findings.count(Problem::NotUsed), 4);
}

#[test]
fn two_lists_for_a_split_and_none_for_training_are_refused() {
    let dir = voc(&[("a", &voc_object("cat", ["1", "1", "9", "9"]))]);
    let sets = dir.path().join("ImageSets/Main");
    fs::rename(sets.join("val.txt"), sets.join("valid.txt")).unwrap();
    fs::write(sets.join("dev.txt"), "v").unwrap();
    assert_eq!(
        refusal(&dir),
        "DIR/ImageSets/Main: DIR/ImageSets/Main/dev.txt and DIR/ImageSets/Main/valid.txt are for the same split; keep one"
    );
    fs::remove_file(sets.join("dev.txt")).unwrap();
    fs::remove_file(sets.join("train.txt")).unwrap();
    assert_eq!(
        refusal(&dir),
        "DIR/ImageSets/Main: there is neither train.txt nor trainval.txt, only valid.txt; add one of them, or remove ImageSets to split by share"
    );
}

#[test]
fn annotations_are_found_in_capital_letters_elsewhere_and_by_what_they_name() {
    let dir = tempfile::tempdir().unwrap();
    add_pair(dir.path(), "images/a.png", "annotations/a.XML", "cat");
    add_pair(
        dir.path(),
        "images/b.PNG",
        "annotations/checked/b.xml",
        "cat",
    );
    add_picture(dir.path(), "images/photo 3.png", 100, 50);
    let object = voc_object("dog", ["1", "1", "9", "9"]);
    let xml = format!(
        "<annotation><filename>C:\\pics\\photo 3.png</filename><size><width>100</width><height>50</height></size>{object}</annotation>"
    );
    add(dir.path(), "annotations/000003.xml", xml);
    add(
        dir.path(),
        "annotations/gone.xml",
        "<annotation><filename>gone.jpg</filename></annotation>",
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["cat", "dog"]);
    let images = read.dataset.train.iter().chain(&read.dataset.validation);
    assert!(images.clone().all(|sample| sample.label.objects.len() == 1));
    assert_eq!(images.count(), 3);
    assert_eq!(read.findings.count(Problem::UnknownImage), 1);
    assert_eq!(read.findings.count(Problem::WithoutLabelFile), 0);
}

#[test]
fn two_files_of_one_name_are_refused_and_voc_s_own_folder_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        add_pair(
            dir.path(),
            &format!("images/{name}.png"),
            &format!("annotations/{name}.xml"),
            "cat",
        );
    }
    add_picture(dir.path(), "img/a.png", 100, 50);
    assert_eq!(
        refusal(&dir),
        "DIR: DIR/images/a.png and DIR/img/a.png have the same name and either may be meant; keep one"
    );
    fs::rename(dir.path().join("img"), dir.path().join("JPEGImages")).unwrap();
    add_picture(dir.path(), "JPEGImages/b.png", 100, 50);
    let read = open(dir.path(), 0.5, 0).unwrap();
    let mut images = read.dataset.train.iter().chain(&read.dataset.validation);
    assert!(images.all(|sample| sample.path.starts_with(dir.path().join("JPEGImages"))));
    assert_eq!(read.findings.count(Problem::NotUsed), 1);
}

#[test]
fn masks_of_the_development_kit_are_no_pictures() {
    let dir = voc(&[("a", &voc_object("cat", ["1", "1", "9", "9"]))]);
    fs::remove_dir_all(dir.path().join("ImageSets")).unwrap();
    add_picture(dir.path(), "SegmentationClass/a.png", 9, 9);
    add_picture(dir.path(), "labels/a.png", 9, 9);
    let read = open(dir.path(), 0.5, 0).unwrap();
    let images = read.dataset.train.iter().chain(&read.dataset.validation);
    assert_eq!(images.clone().count(), 2);
    assert!(
        images
            .into_iter()
            .all(|sample| sample.label.objects.len() == 1)
    );
    assert_eq!(problems(&read.findings), [(Problem::NotUsed, 1)]);
}

#[test]
fn lists_beside_the_folders_need_a_training_list() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        add_pair(
            dir.path(),
            &format!("images/{name}.png"),
            &format!("annotations/{name}.xml"),
            "cat",
        );
    }
    add(dir.path(), "all.txt", "nothing of a list");
    add(dir.path(), "test.txt", "nor this");
    let read = opened(&dir);
    assert_eq!(
        (read.dataset.train.len(), read.dataset.validation.len()),
        (2, 1)
    );
    add(dir.path(), "trainval.txt", "a\nb\n");
    add(dir.path(), "test.txt", "c\n");
    let dataset = open(dir.path(), 0.5, 0).unwrap().dataset;
    assert_eq!((dataset.train.len(), dataset.validation.len()), (1, 1));
    assert_eq!(dataset.test.unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_text_keep_their_annotations() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    for (name, class) in [(&b"\xfe"[..], "cat"), (b"\xff", "dog")] {
        add_pair(dir.path(), "x.png", "x.xml", class);
        for extension in ["png", "xml"] {
            let name = [name, b".", extension.as_bytes()].concat();
            let from = dir.path().join(format!("x.{extension}"));
            fs::rename(from, dir.path().join(OsStr::from_bytes(&name))).unwrap();
        }
    }
    let dataset = open(dir.path(), 0.5, 0).unwrap().dataset;
    assert_eq!(dataset.classes, ["cat", "dog"]);
    let mut images = dataset.train.iter().chain(&dataset.validation);
    assert!(images.all(|sample| sample.label.objects.len() == 1));
}
