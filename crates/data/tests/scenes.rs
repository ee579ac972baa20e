//! Detection data in the layouts of COCO, YOLO and Pascal VOC.

#[path = "common/detection.rs"]
#[allow(dead_code)]
mod detection;

use detection::{add, add_picture, boxes, coco, opened, problems, refusal, voc, voc_object, yolo};
use std::fs;
use std::path::Path;
use warmstart_data::scenes::{Layout, Problem, layout, open, open_split, picture_size};
use warmstart_data::{Sample, Scene, SplitKind, decode};

fn names(dir: &Path, samples: &[Sample<Scene>]) -> Vec<String> {
    let name =
        |sample: &Sample<Scene>| sample.path.strip_prefix(dir).unwrap().display().to_string();
    samples.iter().map(name).collect()
}

fn assert_close(found: &[(usize, [f64; 4])], expected: &[(usize, [f64; 4])]) {
    assert_eq!(found.len(), expected.len());
    for ((class, corners), (expected_class, expected_corners)) in found.iter().zip(expected) {
        assert_eq!(class, expected_class);
        for (a, b) in corners.iter().zip(expected_corners) {
            assert!((a - b).abs() < 1e-4, "{found:?} is not {expected:?}");
        }
    }
}

#[test]
fn the_same_boxes_come_out_of_all_three_layouts() {
    let coco = coco(
        r#"{"id": 5, "file_name": "a.png", "width": 100, "height": 50}"#,
        r#"{"id": 1, "image_id": 5, "category_id": 1, "bbox": [10, 20, 30, 10]},
           {"id": 2, "image_id": 5, "category_id": 7, "bbox": [0, 0, 1, 1]},
           {"id": 3, "image_id": 5, "category_id": 1, "bbox": [50, 0, 50, 50]}"#,
    );
    let yolo = yolo(&[(
        "a",
        b"0 0.25 0.5 0.3 0.2\n1 0.005 0.01 0.01 0.02\n0 0.75 0.5 0.5 1\n",
    )]);
    let objects = [
        voc_object("cat", ["11", "21", "40", "30"]),
        voc_object("dog", ["1", "1", "1", "1"]),
        voc_object("cat", ["51", "1", "100", "50"]),
    ];
    let voc = voc(&[("a", &objects.concat())]);
    let expected = [
        (0, [10.0, 20.0, 40.0, 30.0]),
        (1, [0.0, 0.0, 1.0, 1.0]),
        (0, [50.0, 0.0, 100.0, 50.0]),
    ];
    for (dir, kind) in [
        (coco, Layout::Coco),
        (yolo, Layout::Yolo),
        (voc, Layout::Voc),
    ] {
        assert_eq!(layout(dir.path()), Some(kind));
        let read = opened(&dir);
        assert_eq!(read.layout, kind);
        assert_eq!(read.dataset.classes, ["cat", "dog"]);
        let scene = &read.dataset.train[0].label;
        assert_eq!((scene.width, scene.height), (100, 50));
        assert_close(&boxes(scene), &expected);
        let areas: Vec<f64> = scene.objects.iter().map(|o| o.area.round()).collect();
        assert_eq!(areas, [300.0, 1.0, 2500.0]);
        assert_eq!(problems(&read.findings), []);
        assert_eq!(read.dataset.validation.len(), 1);
    }
}

#[test]
fn class_folders_and_other_folders_are_no_detection_data() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(layout(dir.path()), None);
    add_picture(dir.path(), "train/cat/a.png", 4, 4);
    add(dir.path(), "annotations/captions_train.json", "{}");
    assert_eq!(layout(dir.path()), None);
    assert_eq!(
        refusal(&dir),
        "DIR: it is not a detection data set; expected annotations/instances_train.json (COCO), data.yaml (YOLO), 2007_train.txt (lists of boxes), Annotations/ and JPEGImages/ (VOC), or JSON of Labelme or Label Studio"
    );
    assert!(
        open(&dir.path().join("nowhere"), 0.2, 0)
            .unwrap_err()
            .to_string()
            .starts_with("cannot read")
    );
}

#[test]
fn coco_s_own_names_of_splits_are_known() {
    let dir = coco("", "");
    let train = r#"{"images": [{"id": 3, "file_name": "a.png"}], "categories": [{"id": 2, "name": "x"}],
        "annotations": [{"image_id": 3, "category_id": 2, "bbox": [1, 2, 3, 4], "area": 7.5, "iscrowd": 1}]}"#;
    fs::remove_dir_all(dir.path().join("annotations")).unwrap();
    add(dir.path(), "annotations/instances_train2017.json", train);
    add(dir.path(), "annotations/instances_val2017.json", train);
    add(dir.path(), "annotations/captions_val2017.json", "not read");
    fs::rename(dir.path().join("train"), dir.path().join("train2017")).unwrap();
    add_picture(dir.path(), "val2017/a.png", 100, 50);
    let read = opened(&dir);
    assert_eq!(names(dir.path(), &read.dataset.train), ["train2017/a.png"]);
    assert_eq!(
        names(dir.path(), &read.dataset.validation),
        ["val2017/a.png"]
    );
    let object = read.dataset.train[0].label.objects[0];
    assert_eq!(
        (object.area, object.crowd, object.difficult),
        (7.5, true, false)
    );
    assert_eq!(
        boxes(&read.dataset.train[0].label),
        [(0, [1.0, 2.0, 4.0, 6.0])]
    );
}

#[test]
fn categories_of_another_split_are_matched_by_name() {
    let dir = coco(
        r#"{"id": 5, "file_name": "a.png"}"#,
        r#"{"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4]}"#,
    );
    let val = r#"{"images": [{"id": 1, "file_name": "v.png"}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "bird"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]},
                        {"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}]}"#;
    add(dir.path(), "annotations/instances_val.json", val);
    let read = opened(&dir);
    assert_eq!(
        boxes(&read.dataset.validation[0].label),
        [(1, [1.0, 2.0, 4.0, 6.0])]
    );
    assert_eq!(
        problems(&read.findings),
        [(Problem::UnknownClass, 1), (Problem::UntrainedClass, 1)]
    );
    assert_eq!(read.dataset.without_validation, ["cat"]);
}

#[test]
fn an_outline_in_a_yolo_file_gives_its_bounding_box() {
    let dir = yolo(&[("a", b"1 0.1 0.2 0.5 0.4 0.3 0.8\n")]);
    let read = opened(&dir);
    assert_close(
        &boxes(&read.dataset.train[0].label),
        &[(1, [10.0, 10.0, 50.0, 40.0])],
    );
}

#[test]
fn yolo_s_names_may_be_a_mapping_and_its_splits_lists_of_images() {
    let dir = yolo(&[("a", b"1 0.5 0.5 0.1 0.1\n"), ("b", b"0 0.5 0.5 0.1 0.1\n")]);
    let yaml = "# a comment\npath: .\ntrain: train.txt\nval:\n  - images/val\nnames:\n  1: no\n  0: '7'\nnc: 2\ndownload: {a: [b, {c: d}]}\n";
    add(dir.path(), "data.yaml", yaml);
    add(
        dir.path(),
        "train.txt",
        "./images/train/b.png\nimages/train/gone.png\n\n",
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["7", "no"]);
    assert_eq!(
        names(dir.path(), &read.dataset.train),
        ["images/train/b.png"]
    );
    assert_eq!(read.findings.count(Problem::MissingImage), 1);
}

#[test]
fn a_data_yaml_that_was_written_for_another_place_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "path: /nowhere/at/all\ntrain: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [x]\n";
    add(dir.path(), "data.yaml", yaml);
    for split in ["train", "valid"] {
        add_picture(dir.path(), &format!("{split}/images/a.png"), 10, 10);
        add(
            dir.path(),
            &format!("{split}/labels/a.txt"),
            "0 0.5 0.5 1 1",
        );
    }
    let read = opened(&dir);
    assert_eq!(
        names(dir.path(), &read.dataset.train),
        ["train/images/a.png"]
    );
    assert_eq!(
        names(dir.path(), &read.dataset.validation),
        ["valid/images/a.png"]
    );
    assert_eq!(read.dataset.test, None);
    assert_eq!(problems(&read.findings), [(Problem::MissingSplit, 1)]);
}

#[test]
fn labels_may_lie_beside_the_images() {
    let dir = tempfile::tempdir().unwrap();
    add(dir.path(), "data.yml", "train: all\nval: all\nnames: [x]\n");
    add_picture(dir.path(), "all/a.png", 10, 10);
    add(dir.path(), "all/a.txt", "0 0.5 0.5 1 1");
    add(dir.path(), "all/b.txt", "0 0.5 0.5 1 1");
    add(dir.path(), "all/classes.txt", "x");
    let read = opened(&dir);
    assert_eq!(
        boxes(&read.dataset.train[0].label),
        [(0, [0.0, 0.0, 10.0, 10.0])]
    );
    assert_eq!(
        problems(&read.findings),
        [(Problem::SharedImage, 1), (Problem::UnknownImage, 2)]
    );
    assert_eq!(read.dataset.ignored.count(), 0);
}

#[test]
fn voc_takes_train_before_trainval_and_everything_without_lists() {
    let cat = voc_object("cat", ["1", "1", "9", "9"]);
    let both = [("a", &*cat), ("b", &*cat), ("c", &*cat), ("d", &*cat)];
    let dir = voc(&both);
    let sets = dir.path().join("ImageSets/Main");
    fs::write(sets.join("trainval.txt"), "a\nb\nc\nd\nv\n").unwrap();
    fs::write(sets.join("test.txt"), "d").unwrap();
    let sizes = || {
        let dataset = opened(&dir).dataset;
        (
            dataset.train.len(),
            dataset.validation.len(),
            dataset.test.map(|test| test.len()),
        )
    };
    assert_eq!(sizes(), (4, 1, Some(1)));
    fs::remove_file(sets.join("train.txt")).unwrap();
    fs::remove_file(sets.join("val.txt")).unwrap();
    assert_eq!(sizes(), (4, 1, Some(1)));
    fs::remove_dir_all(&sets).unwrap();
    assert_eq!(sizes(), (4, 1, None));
}

#[test]
fn voc_marks_difficult_objects_and_passes_over_their_parts() {
    let object = "<object><part><name>head</name><bndbox><xmin>3</xmin></bndbox></part><name> dog </name><difficult>1</difficult>
        <bndbox><xmin>2.5</xmin><ymin>1</ymin><ymax>9</ymax><xmax>9</xmax></bndbox></object>";
    let read = opened(&voc(&[("a", object)]));
    let scene = &read.dataset.train[0].label;
    assert_eq!(boxes(scene), [(1, [1.5, 0.0, 9.0, 9.0])]);
    assert!(scene.objects[0].difficult);
}

#[test]
fn a_list_of_classes_orders_those_of_voc() {
    let objects =
        voc_object("dog", ["1", "1", "9", "9"]) + &voc_object("cow", ["1", "1", "9", "9"]);
    let dir = voc(&[("a", &objects)]);
    assert_eq!(opened(&dir).dataset.classes, ["cat", "cow", "dog"]);
    add(dir.path(), "classes.txt", "dog\ncat\n");
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["dog", "cat"]);
    assert_eq!(read.findings.count(Problem::UnknownClass), 1);
}

#[test]
fn a_split_by_share_depends_on_the_seed_and_the_paths_only() {
    let labels: Vec<String> = (0..20).map(|index| format!("{index:02}")).collect();
    let labels: Vec<(&str, &[u8])> = labels
        .iter()
        .map(|name| (&name[..], b"0 0.5 0.5 0.1 0.1" as &[u8]))
        .collect();
    let validation = |seed| {
        let dir = yolo(&labels);
        add(
            dir.path(),
            "data.yaml",
            "train: images/train\nnames: [cat, dog]\n",
        );
        let dataset = open(dir.path(), 0.25, seed).unwrap().dataset;
        assert_eq!((dataset.train.len(), dataset.validation.len()), (15, 5));
        names(dir.path(), &dataset.validation)
    };
    assert_eq!(validation(3), validation(3));
    assert_ne!(validation(3), validation(4));
}

#[test]
fn one_bad_box_costs_that_box_only() {
    let dir = yolo(&[(
        "a",
        b"0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n0 0 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2\n-1 0.5 0.5 0.2 0.2\n0 nan 0.5 0.2 0.2\n0 0.5 inf 0.2 0.2\n0 0.5 0.5 0 0.2\n0 0.5 0.5 -0.2 0.2\n0 5 5 0.2 0.2\n0 0.5 0.5 0.2\n0 0.5 x 0.2 0.2\n\n1 0.5 0.5 0.2 0.2\n",
    )]);
    let read = opened(&dir);
    let expected = [
        (0, [40.0, 20.0, 60.0, 30.0]),
        (0, [0.0, 20.0, 10.0, 30.0]),
        (1, [40.0, 20.0, 60.0, 30.0]),
    ];
    assert_close(&boxes(&read.dataset.train[0].label), &expected);
    assert_eq!(
        problems(&read.findings),
        [
            (Problem::Malformed, 2),
            (Problem::UnknownClass, 2),
            (Problem::NotFinite, 2),
            (Problem::EmptyBox, 2),
            (Problem::OutsideBox, 1),
            (Problem::ClippedBox, 1),
            (Problem::DuplicateBox, 1),
        ]
    );
    let example = &read.findings.examples(Problem::UnknownClass)[0];
    let expected = "labels/train/a.txt, line 4: expected a class from 0 to 1, found 2";
    assert!(example.ends_with(expected), "{example}");
}

#[test]
fn images_without_objects_are_kept_and_counted() {
    let dir = yolo(&[("a", b"0 0.5 0.5 0.2 0.2\n"), ("b", b"")]);
    add_picture(dir.path(), "images/train/c.png", 30, 20);
    add(dir.path(), "labels/train/d.txt", "0 0.5 0.5 0.2 0.2");
    let read = opened(&dir);
    assert_eq!(read.dataset.train.len(), 3);
    assert_eq!(
        read.dataset.train[2].label,
        Scene {
            width: 30,
            height: 20,
            objects: vec![]
        }
    );
    assert_eq!(
        problems(&read.findings),
        [
            (Problem::WithoutLabelFile, 1),
            (Problem::WithoutBoxes, 1),
            (Problem::UnknownImage, 1),
            (Problem::UntrainedClass, 1),
        ]
    );
}

#[test]
fn images_that_are_missing_or_damaged_are_left_out_and_counted() {
    let dir = coco(
        r#"{"id": 5, "file_name": "a.png", "width": 50, "height": 100}, {"id": 6, "file_name": "gone.png"},
           {"id": 7, "file_name": "text.png"}, {"id": 8, "file_name": "a.png"}, {"id": 5, "file_name": "v.png"}"#,
        r#"{"id": 90, "image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]}, {"image_id": 6, "category_id": 1, "bbox": [1, 2, 3, 4]},
           {"id": 91, "image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4]}"#,
    );
    add(dir.path(), "train/text.png", "no picture");
    add_picture(dir.path(), "train/unlisted.png", 9, 9);
    let read = opened(&dir);
    assert_eq!(names(dir.path(), &read.dataset.train), ["train/a.png"]);
    assert_eq!(read.unreadable.len(), 1);
    assert_eq!(read.dataset.ignored.count(), 1);
    assert_eq!(
        problems(&read.findings),
        [
            (Problem::MissingImage, 1),
            (Problem::UnreadableImage, 1),
            (Problem::RepeatedImage, 2),
            (Problem::OtherSize, 1),
            (Problem::UnknownImage, 1),
            (Problem::UntrainedClass, 1),
        ]
    );
    let example = &read.findings.examples(Problem::OtherSize)[0];
    let expected = "the annotation says 50×100, the picture has 100×50, perhaps turned by its EXIF orientation";
    assert!(example.ends_with(expected), "{example}");
    let example = &read.findings.examples(Problem::UnknownImage)[0];
    assert!(
        example.ends_with("instances_train.json, annotation 91: there is no image 99"),
        "{example}"
    );
}

#[test]
fn what_another_split_lacks_does_not_keep_one_from_being_used() {
    let dir = yolo(&[("a", b""), ("b", b"")]);
    assert!(refusal(&dir).starts_with("DIR: its training split has no object"));
    let opened = open_split(dir.path(), SplitKind::Validation, 0.2, 1).unwrap();
    assert_eq!(opened.dataset.validation.len(), 1);
    let error = open_split(dir.path(), SplitKind::Train, 0.2, 1).unwrap_err();
    assert!(error.to_string().contains("no object"), "{error}");
}

#[test]
fn a_split_without_images_or_objects_is_refused_with_the_cause() {
    let dir = yolo(&[("a", b"0 50 25 20 10\n"), ("b", b"")]);
    assert!(refusal(&dir).starts_with(
        "DIR: its training split has no object in any of 2 images: boxes are wholly outside of their image (dropped): 1, such as DIR/labels/train/a.txt, line 1"
    ), "{}", refusal(&dir));
    let dir = yolo(&[("a", b"0 0.5 0.5 0.2 0.2\n")]);
    fs::remove_file(dir.path().join("images/val/v.png")).unwrap();
    assert_eq!(
        refusal(&dir),
        "DIR: its validation split has no image: annotations are of unknown images (dropped): 1, such as DIR/labels/val/v.txt; add images or fix the annotations"
    );
    add(
        dir.path(),
        "data.yaml",
        "train: images/train\nnames: [cat]\n",
    );
    assert_eq!(
        refusal(&dir),
        "DIR: there are too few images (1) to give one to validation at val_split 0.2; add images, one for each fold at least, or raise val_split in a run without folds"
    );
    fs::remove_file(dir.path().join("images/train/a.png")).unwrap();
    assert_eq!(
        refusal(&dir),
        "DIR: its training split has no image: annotations are of unknown images (dropped): 1, such as DIR/labels/train/a.txt; add images or fix the annotations"
    );
}

#[test]
fn two_files_for_one_split_and_a_missing_folder_are_refused() {
    let dir = coco("", "");
    add(dir.path(), "annotations/instances_train2017.json", "{}");
    assert!(refusal(&dir).ends_with("are for the same split; keep one"));
    let dir = coco("", "");
    fs::remove_dir_all(dir.path().join("val")).unwrap();
    fs::remove_dir_all(dir.path().join("train")).unwrap();
    assert_eq!(
        refusal(&dir),
        "DIR: DIR/annotations/instances_train.json needs the folder train of its images beside annotations; add it"
    );
}

#[test]
fn the_size_from_the_header_is_that_of_the_decoded_picture() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
    let mut compared = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(image) = decode(&path) {
            assert_eq!(
                picture_size(&path).unwrap(),
                (image.width, image.height),
                "{path:?}"
            );
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn a_header_cut_short_anywhere_is_an_error_or_enough() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "turned_6.jpg",
        "turned_6.png",
        "lossy.webp",
        "rgb.png",
        "palette.bmp",
    ] {
        let whole = picture_size(&folder.join(name)).unwrap();
        let bytes = fs::read(folder.join(name)).unwrap();
        assert!(bytes.len() > 64);
        for length in (0..bytes.len().min(2048)).step_by(31) {
            add(dir.path(), name, &bytes[..length]);
            if let Ok((width, height)) = picture_size(&dir.path().join(name)) {
                let either = [whole, (whole.1, whole.0)];
                assert!(either.contains(&(width, height)), "{name} cut to {length}");
            }
        }
    }
}
