//! Detection data as tools lay it out: which folders are read, from which files, and what is named as not
//! read or not used.

#[path = "common/detection.rs"]
#[allow(dead_code)]
mod detection;

use detection::{add, add_picture, boxes, opened, problems, refusal};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use warmstart_data::scenes::{Layout, OpenedScenes, Problem, is_detection, layout};
use warmstart_data::{Sample, Scene};

/// COCO's JSON of the classes red (id 1) and blue (id 2), with one box of each image: at x 10, y 20, 30
/// wide, 10 high, red in the first image, blue in the second, and so on.
fn coco(files: &[&str]) -> Value {
    let images: Vec<Value> = (1..)
        .zip(files)
        .map(|(id, file)| json!({"id": id, "file_name": file, "width": 100, "height": 50}))
        .collect();
    let annotations: Vec<Value> = (1..=files.len())
        .map(|id| json!({"id": id, "image_id": id, "category_id": 1 + (id + 1) % 2, "bbox": [10, 20, 30, 10]}))
        .collect();
    let categories = json!([{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]);
    json!({"images": images, "annotations": annotations, "categories": categories})
}

/// A folder with these label files, and with pictures of 100×50.
fn folder(labels: &[(&str, Value)], pictures: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (file, content) in labels {
        add(dir.path(), file, content.to_string());
    }
    for picture in pictures {
        add_picture(dir.path(), picture, 100, 50);
    }
    dir
}

fn below(dir: &Path, samples: &[Sample<Scene>]) -> Vec<String> {
    let path =
        |sample: &Sample<Scene>| sample.path.strip_prefix(dir).unwrap().display().to_string();
    samples.iter().map(path).collect()
}

/// The paths of the training and the validation images.
fn splits(dir: &TempDir, read: &OpenedScenes) -> (Vec<String>, Vec<String>) {
    let dataset = &read.dataset;
    (
        below(dir.path(), &dataset.train),
        below(dir.path(), &dataset.validation),
    )
}

fn not_used(dir: &TempDir, read: &OpenedScenes) -> Vec<String> {
    let place = format!("{}/", dir.path().display());
    let examples = read.findings.examples(Problem::NotUsed).iter();
    examples
        .map(|example| example.replace(&place, ""))
        .collect()
}

#[test]
fn coco_is_read_wherever_tools_put_its_files_and_images() {
    for (train, val, images) in [
        (
            "annotations/instances_train.json",
            "annotations/instances_val.json",
            ["train/a.png", "train/b.png", "val/c.png"],
        ),
        (
            "annotations/instances_train2017.json",
            "annotations/instances_val2017.json",
            [
                "images/train2017/a.png",
                "images/train2017/b.png",
                "images/val2017/c.png",
            ],
        ),
        (
            "annotations/train.json",
            "annotations/val.json",
            ["images/a.png", "images/b.png", "images/c.png"],
        ),
        (
            "annotations/train.json",
            "annotations/dev.json",
            [
                "images/train/a.png",
                "images/train/b.png",
                "images/dev/c.png",
            ],
        ),
        (
            "annotations/Training.json",
            "annotations/Validation.json",
            [
                "Training/images/a.png",
                "Training/images/b.png",
                "Validation/images/c.png",
            ],
        ),
        (
            "train/_annotations.coco.json",
            "valid/_annotations.coco.json",
            ["train/a.png", "train/b.png", "valid/c.png"],
        ),
        (
            "train/annotations.json",
            "eval/annotations.json",
            ["train/a.png", "train/b.png", "eval/c.png"],
        ),
        (
            "train/labels.json",
            "validation/labels.json",
            [
                "train/data/a.png",
                "train/data/b.png",
                "validation/data/c.png",
            ],
        ),
        ("train.json", "val.json", ["a.png", "b.png", "c.png"]),
        (
            "train_annotations.json",
            "val_annotations.json",
            ["train/a.png", "train/b.png", "val/c.png"],
        ),
    ] {
        let labels = [(train, coco(&["a.png", "b.png"])), (val, coco(&["c.png"]))];
        let dir = folder(&labels, &images);
        assert_eq!(layout(dir.path()), Some(Layout::Coco), "{train}");
        let read = opened(&dir);
        let [a, b, c] = images.map(str::to_owned);
        assert_eq!(splits(&dir, &read), (vec![a, b], vec![c]));
        assert_eq!(read.dataset.classes, ["red", "blue"]);
        assert_eq!(
            boxes(&read.dataset.train[1].label),
            [(1, [10.0, 20.0, 40.0, 30.0])]
        );
        assert_eq!(problems(&read.findings), [], "{train}");
        assert_eq!(
            (read.dataset.ignored.count(), read.validates_by_share),
            (0, false)
        );
    }
}

#[test]
fn one_coco_file_validates_by_a_share() {
    for (file, images, names) in [
        (
            "annotations/instances_default.json",
            ["images/default/a.png", "images/default/b.png"],
            ["a.png", "b.png"],
        ),
        (
            "annotations/instances_default.json",
            ["images/a.png", "images/b.png"],
            ["a.png", "b.png"],
        ),
        (
            "annotations.json",
            ["images/a.png", "images/b.png"],
            ["a.png", "b.png"],
        ),
        ("instances.json", ["a.png", "b.png"], ["a.png", "b.png"]),
        (
            "result.json",
            ["images/a.png", "images/b.png"],
            ["images/a.png", "images\\b.png"],
        ),
        (
            "labels.json",
            ["data/a.png", "data/b.png"],
            ["a.png", "b.png"],
        ),
        (
            "export-7.json",
            ["data/a.png", "data/b.png"],
            ["data/a.png", "./data/b.png"],
        ),
    ] {
        let dir = folder(&[(file, coco(&names))], &images);
        let read = warmstart_data::scenes::open(dir.path(), 0.5, 0).unwrap();
        assert_eq!(
            (read.layout, read.validates_by_share),
            (Layout::Coco, true),
            "{file}"
        );
        assert_eq!(
            (read.dataset.train.len(), read.dataset.validation.len()),
            (1, 1)
        );
        assert_eq!(read.findings.count(Problem::NotUsed), 0);
    }
}

#[test]
fn a_test_split_of_roboflow_s_is_no_validation_split() {
    let labels = [
        (
            "train/_annotations.coco.json",
            coco(&["a.png", "b.png", "c.png", "d.png"]),
        ),
        ("test/_annotations.coco.json", coco(&["a.png"])),
    ];
    let dir = folder(
        &labels,
        &[
            "train/a.png",
            "train/b.png",
            "train/c.png",
            "train/d.png",
            "test/a.png",
        ],
    );
    let read = warmstart_data::scenes::open(dir.path(), 0.25, 0).unwrap();
    assert!(read.validates_by_share);
    assert_eq!(
        (read.dataset.train.len(), read.dataset.validation.len()),
        (3, 1)
    );
    assert_eq!(
        below(dir.path(), &read.dataset.test.unwrap()),
        ["test/a.png"]
    );
}

#[test]
fn the_group_that_roboflow_lists_as_a_class_is_left_out() {
    let mut train = coco(&["a.png", "b.png"]);
    train["categories"] = json!([
        {"id": 0, "name": "things", "supercategory": "none"},
        {"id": 1, "name": "red", "supercategory": "things"},
        {"id": 2, "name": "blue", "supercategory": "things"}
    ]);
    let labels = [
        ("train/_annotations.coco.json", train.clone()),
        ("valid/_annotations.coco.json", train.clone()),
    ];
    let images = ["train/a.png", "train/b.png", "valid/a.png", "valid/b.png"];
    let read = opened(&folder(&labels, &images));
    assert_eq!(read.dataset.classes, ["red", "blue"]);
    assert_eq!(problems(&read.findings), [(Problem::GroupClass, 1)]);
    train["annotations"][0]["category_id"] = json!(0);
    let labels = [
        ("train/_annotations.coco.json", train.clone()),
        ("valid/_annotations.coco.json", train),
    ];
    let read = opened(&folder(&labels, &images));
    assert_eq!(
        read.dataset.classes,
        ["things", "red", "blue"],
        "a class with objects is no group"
    );
}

#[test]
fn what_is_not_used_is_named() {
    let labels = [
        (
            "annotations/instances_train.json",
            coco(&["a.png", "b.png"]),
        ),
        ("annotations/instances_val.json", coco(&["c.png"])),
        (
            "annotations/captions_train.json",
            json!({"images": [], "annotations": []}),
        ),
        ("annotations/person_keypoints_train.json", coco(&["a.png"])),
        ("annotations/more.json", coco(&["a.png"])),
        (
            "task.json",
            json!([{"id": 1, "annotations": [], "data": {"image": "a.png"}}]),
        ),
    ];
    let images = [
        "train/a.png",
        "train/b.png",
        "val/c.png",
        "test/d.png",
        "test/e.png",
        "val/f.png",
    ];
    let dir = folder(&labels, &images);
    add(dir.path(), "data.yaml", "train: train\nnames: [red]\n");
    let read = opened(&dir);
    assert_eq!(splits(&dir, &read).1, ["val/c.png"]);
    assert_eq!(read.findings.count(Problem::NotUsed), 6);
    assert_eq!(
        not_used(&dir, &read),
        [
            "annotations/person_keypoints_train.json",
            "annotations/more.json",
            "annotations/captions_train.json",
            "test (2 pictures)",
            "data.yaml of the layout YOLO",
        ]
    );
}

#[test]
fn files_of_coco_that_no_name_assigns_to_a_split_are_refused() {
    let labels = [
        ("one.json", coco(&["a.png"])),
        ("two.json", coco(&["b.png"])),
    ];
    let message = refusal(&folder(&labels, &["a.png", "b.png"]));
    assert!(
        message.contains("found DIR/one.json, DIR/two.json; name the splits"),
        "{message}"
    );
    let labels = [("annotations.json", coco(&["a.png", "b.png"]))];
    let message = refusal(&folder(&labels, &[]));
    assert_eq!(
        message,
        "DIR: DIR/annotations.json names 2 images, and none of them is in this folder; add them"
    );
}

fn labelme(picture: &str, shapes: Value) -> Value {
    json!({"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": picture, "imageData": null,
        "imageHeight": 50, "imageWidth": 100})
}

fn shape(kind: &str, label: &str, points: Value) -> Value {
    json!({"label": label, "points": points, "group_id": null, "shape_type": kind, "flags": {}})
}

#[test]
fn labelme_s_rectangles_polygons_and_circles_become_boxes() {
    let shapes = json!([
        shape("rectangle", "dog", json!([[40, 30], [10, 20]])),
        shape("polygon", "cat", json!([[5, 5], [9, 7], [6, 12]])),
        shape("circle", "cat", json!([[50, 25], [53, 29]])),
        shape("line", "cat", json!([[0, 0], [9, 9]])),
        shape("point", "cat", json!([[4, 4]])),
        shape("linestrip", "cat", json!([[0, 0], [9, 9], [7, 3]])),
        {"label": "cat"},
    ]);
    let one = || json!([shape("rectangle", "cat", json!([[1, 1], [9, 9]]))]);
    let labels = [
        ("train/a.json", labelme("a.png", shapes)),
        ("val/b.json", labelme("..\\val\\b.png", one())),
    ];
    let dir = folder(&labels, &["train/a.png", "val/b.png"]);
    assert_eq!(layout(dir.path()), Some(Layout::Labelme));
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["cat", "dog"]);
    assert_eq!(
        boxes(&read.dataset.train[0].label),
        [
            (1, [10.0, 20.0, 40.0, 30.0]),
            (0, [5.0, 5.0, 9.0, 12.0]),
            (0, [45.0, 20.0, 55.0, 30.0])
        ]
    );
    assert_eq!(splits(&dir, &read).1, ["val/b.png"]);
    assert_eq!(
        problems(&read.findings),
        [
            (Problem::Malformed, 1),
            (Problem::OtherShape, 3),
            (Problem::UntrainedClass, 0)
        ][..2]
    );
}

#[test]
fn labelme_s_points_in_fractions_are_read_as_such() {
    let part = json!([shape("rectangle", "cat", json!([[0.1, 0.2], [0.5, 0.6]]))]);
    let whole = json!([shape("rectangle", "cat", json!([[0, 0], [1, 1]]))]);
    let labels = [
        ("train/a.json", labelme("a.png", part)),
        ("val/b.json", labelme("b.png", whole.clone())),
    ];
    let pictures = ["train/a.png", "val/b.png"];
    let read = opened(&folder(&labels, &pictures));
    let (train, validation) = (&read.dataset.train, &read.dataset.validation);
    assert_eq!(boxes(&train[0].label), [(0, [10.0, 10.0, 50.0, 30.0])]);
    assert_eq!(boxes(&validation[0].label), [(0, [0.0, 0.0, 100.0, 50.0])]);
    assert_eq!(problems(&read.findings), [(Problem::FractionBox, 2)]);
    let pixels = json!([shape("rectangle", "cat", json!([[0.5, 0.5], [40.5, 20.5]]))]);
    let labels = [
        ("train/a.json", labelme("a.png", pixels)),
        ("val/b.json", labelme("b.png", whole)),
    ];
    let read = opened(&folder(&labels, &pictures));
    assert_eq!(read.findings.count(Problem::FractionBox), 0);
}

#[cfg(unix)]
#[test]
fn a_pipe_named_as_a_file_of_labelme_is_refused() {
    let one = || json!([shape("rectangle", "cat", json!([[1, 1], [9, 9]]))]);
    let labels = [
        ("train/a.json", labelme("a.png", one())),
        ("val/b.json", labelme("b.png", one())),
    ];
    let dir = folder(&labels, &["train/a.png", "train/c.png", "val/b.png"]);
    let pipe = dir.path().join("train/c.json");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let message = refusal(&dir);
    assert!(
        message.contains("DIR/train/c.json") && message.contains("it is a pipe"),
        "{message}"
    );
}

#[test]
fn two_folders_for_one_split_of_labelme_are_refused() {
    let one = || json!([shape("rectangle", "cat", json!([[1, 1], [9, 9]]))]);
    let labels = [
        ("train/a.json", labelme("a.png", one())),
        ("dev/b.json", labelme("b.png", one())),
        ("eval/c.json", labelme("c.png", one())),
    ];
    let message = refusal(&folder(
        &labels,
        &["train/a.png", "dev/b.png", "eval/c.png"],
    ));
    assert_eq!(
        message,
        "DIR: there are two validation folders, DIR/dev and DIR/eval; keep one"
    );
}

#[test]
fn a_class_in_two_forms_of_unicode_is_one() {
    let of = |class: &str| json!([shape("rectangle", class, json!([[1, 1], [9, 9]]))]);
    let labels = [
        ("train/a.json", labelme("a.png", of("caf\u{e9}"))),
        ("val/b.json", labelme("b.png", of("cafe\u{301}"))),
    ];
    let read = opened(&folder(&labels, &["train/a.png", "val/b.png"]));
    assert_eq!(read.dataset.classes, ["caf\u{e9}"]);
    let mut two = coco(&["a.png"]);
    two["categories"][0]["name"] = json!("caf\u{e9}");
    two["categories"][1]["name"] = json!("cafe\u{301}");
    let message = refusal(&folder(&[("train.json", two)], &["a.png"]));
    assert!(message.contains("is listed twice"), "{message}");
    let region = |class: &str| json!({"type": "rectanglelabels", "value": {"x": 10, "y": 10, "width": 20, "height": 20, "rectanglelabels": [class]}});
    let tasks = json!([
        {"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": [region("caf\u{e9}")]}]},
        {"id": 2, "data": {"image": "b.png"}, "annotations": [{"result": [region("cafe\u{301}")]}]},
        {"id": 3, "data": {"image": "c.png"}, "annotations": [{"result": [region("cafe\u{301}")]}]},
    ]);
    let pictures = ["a.png", "b.png", "c.png"];
    let read = opened(&folder(&[("export.json", tasks)], &pictures));
    assert_eq!(read.dataset.classes, ["caf\u{e9}"]);
}

#[test]
fn labelme_s_files_may_lie_flat_or_in_a_folder_of_their_own() {
    let one = || json!([shape("rectangle", "cat", json!([[1, 1], [9, 9]]))]);
    for (labels, pictures) in [
        (["a.json", "b.json", "c.json"], ["a.png", "b.png", "c.png"]),
        (
            [
                "annotations/a.json",
                "annotations/b.json",
                "annotations/c.json",
            ],
            ["images/a.png", "images/b.png", "images/c.png"],
        ),
        (
            ["images/a.json", "images/b.json", "images/c.json"],
            ["images/a.png", "images/b.png", "images/c.png"],
        ),
    ] {
        let name = |label: &str| label.rsplit('/').next().unwrap().replace("json", "png");
        let labels = labels.map(|label| (label, labelme(&name(label), one())));
        let dir = folder(&labels, &pictures);
        let read = warmstart_data::scenes::open(dir.path(), 0.3, 0).unwrap();
        assert_eq!(
            (read.layout, read.validates_by_share),
            (Layout::Labelme, true)
        );
        assert_eq!(
            (read.dataset.train.len(), read.dataset.validation.len()),
            (2, 1)
        );
        assert_eq!(problems(&read.findings), []);
    }
}

#[test]
fn two_files_of_one_picture_are_joined_and_a_missing_picture_is_named() {
    let rectangle =
        |left: u32| json!([shape("rectangle", "cat", json!([[left, 1], [left + 9, 9]]))]);
    let labels = [
        ("train/a.json", labelme("a.png", rectangle(1))),
        ("train/a (copy).json", labelme("a.png", rectangle(30))),
        ("train/gone.json", labelme("gone.png", rectangle(1))),
        ("val/b.json", labelme("b.png", rectangle(1))),
    ];
    let dir = folder(
        &labels,
        &["train/a.png", "train/unlabelled.png", "val/b.png"],
    );
    let read = opened(&dir);
    assert_eq!(boxes(&read.dataset.train[0].label).len(), 2);
    assert_eq!(
        splits(&dir, &read).0,
        ["train/a.png", "train/unlabelled.png"]
    );
    assert_eq!(
        problems(&read.findings),
        [
            (Problem::MissingImage, 1),
            (Problem::RepeatedImage, 1),
            (Problem::MergedObject, 1),
            (Problem::WithoutLabelFile, 1),
        ]
    );
}

fn rounded(scene: &Scene) -> Vec<(usize, [f64; 4])> {
    let boxes = boxes(scene).into_iter();
    let round = |corners: [f64; 4]| corners.map(|value| (value * 1e6).round() / 1e6);
    boxes
        .map(|(class, corners)| (class, round(corners)))
        .collect()
}

fn region(label: &str, x: f64, y: f64, width: f64, height: f64) -> Value {
    json!({"id": "r", "type": "rectanglelabels", "original_width": 100, "original_height": 50,
        "value": {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [label]}})
}

#[test]
fn label_studio_s_tasks_are_read_with_their_pictures() {
    let task = |id: u32, image: &str, result: Value| {
        json!({"id": id, "data": {"image": image}, "annotations": [
            {"id": 1, "was_cancelled": true, "result": [region("wrong", 0.0, 0.0, 5.0, 5.0)]},
            {"id": 2, "was_cancelled": false, "result": result}]})
    };
    let outline = json!({"id": "p", "type": "polygonlabels",
        "value": {"points": [[10, 10], [30, 10], [20, 60]], "polygonlabels": ["dog"]}});
    let keypoint = json!({"id": "k", "type": "keypointlabels",
        "value": {"x": 1, "y": 1, "width": 0.5, "keypointlabels": ["dog"]}});
    let choice = json!({"id": "c", "type": "choices", "value": {"choices": ["indoors"]}});
    let mut turned = region("cat", 50.0, 20.0, 20.0, 20.0);
    turned["value"]["rotation"] = json!(90);
    let tasks = json!([
        task(1, "/data/upload/3/1a2b3c4d-a.png", json!([region("cat", 10.0, 40.0, 30.0, 20.0), outline, keypoint, choice])),
        task(2, "/data/local-files/?d=some/where/b%20c.png", json!([turned])),
        task(3, "https://example.org/d.png?x=1", json!([])),
        task(4, "/data/upload/gone.png", json!([])),
        {"id": 5, "data": {"image": "e.png"}, "annotations": []},
    ]);
    let images = [
        "images/a.png",
        "images/b c.png",
        "images/d.png",
        "images/e.png",
    ];
    let dir = folder(&[("project-1.json", tasks.clone())], &images);
    assert_eq!(layout(dir.path()), Some(Layout::LabelStudio));
    let dir = folder(
        &[("train.json", tasks.clone()), ("val.json", tasks)],
        &images,
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["cat", "dog"]);
    assert_eq!(
        splits(&dir, &read).0,
        ["images/a.png", "images/b c.png", "images/d.png"]
    );
    assert_eq!(
        rounded(&read.dataset.train[0].label),
        [(0, [10.0, 20.0, 40.0, 30.0]), (1, [10.0, 5.0, 30.0, 30.0])]
    );
    // 20 wide and 10 high, turned by a right angle about its corner at 50, 10.
    assert_eq!(
        rounded(&read.dataset.train[1].label),
        [(0, [40.0, 10.0, 50.0, 30.0])]
    );
    let count = |problem| read.findings.count(problem);
    assert_eq!(
        (
            count(Problem::MissingImage),
            count(Problem::OtherShape),
            count(Problem::NotUsed)
        ),
        (2, 2, 2)
    );
}

#[test]
fn label_studio_s_short_form_is_read() {
    let task = |image: &str| {
        json!({"image": image, "id": 1, "annotator": 1, "annotation_id": 1, "label": [
            {"x": 10, "y": 40, "width": 30, "height": 20, "rotation": 0, "rectanglelabels": ["cat"],
             "original_width": 100, "original_height": 50}]})
    };
    let tasks = json!([task("/data/upload/a.png"), task("/data/upload/b.png")]);
    let read = warmstart_data::scenes::open(
        folder(&[("min.json", tasks)], &["a.png", "b.png"]).path(),
        0.5,
        0,
    )
    .unwrap();
    assert_eq!(
        rounded(&read.dataset.train[0].label),
        [(0, [10.0, 20.0, 40.0, 30.0])]
    );
}

#[test]
fn layouts_that_are_not_read_are_named_with_what_to_do() {
    let createml = r#"[{"image": "a.png", "annotations": [{"label": "x", "coordinates": {}}]}]"#;
    let via = r#"{"_via_settings": {}, "_via_img_metadata": {}}"#;
    for (file, content, words) in [
        (
            "annotations.xml",
            "<?xml version=\"1.0\"?>\n<annotations><version>1.1</version></annotations>",
            "CVAT's own XML, which is not read; export the task as COCO 1.0",
        ),
        (
            "train/_annotations.createml.json",
            createml,
            "CreateML's JSON, which is not read; export the data set as COCO",
        ),
        (
            "via_project.json",
            via,
            "the VGG Image Annotator's JSON, which is not read; export the annotations as COCO",
        ),
        (
            "via_region_data.json",
            r#"{"a.png7": {"filename": "a.png", "size": 7, "regions": [], "file_attributes": {}}}"#,
            "the VGG Image Annotator's JSON",
        ),
        (
            "train/_annotations.csv",
            "filename,width,height,class,xmin,ymin,xmax,ymax\n",
            "a table of boxes (CSV), which is not read",
        ),
        (
            "train.csv",
            "image_id,width,height,bbox,source\n",
            "a table of boxes (CSV), which is not read",
        ),
        (
            "train/_annotations.txt",
            "a.png 1,2,30,40,0\n",
            "Roboflow's text for Keras, which is not read",
        ),
        (
            "project-1.csv",
            "annotation_id,annotator,created_at,id,image,label\n",
            "Label Studio's CSV, which is not read",
        ),
        (
            "labelTxt/a.txt",
            "1 1 9 1 9 9 1 9 plane 0\n",
            "DOTA's turned boxes, which are not read",
        ),
        (
            "train/label_2/a.txt",
            "Car 0.00 0 -1.57 1 1 9 9 1 1 1 1 1 1 1\n",
            "KITTI's labels, which are not read",
        ),
        (
            "gt/gt.txt",
            "1,1,10,20,30,40,1,1,0.5\n",
            "MOT's list of tracks, which is not read",
        ),
        ("train/x.tfrecord", "", "TFRecord, which is not read"),
        (
            "annotations/default.json",
            r#"{"info": {}, "categories": {}, "items": []}"#,
            "Datumaro's JSON, which is not read",
        ),
    ] {
        let dir = folder(&[], &["train/a.png", "valid/b.png"]);
        add(dir.path(), file, content);
        assert!(is_detection(dir.path()), "{file}");
        assert_eq!(layout(dir.path()), None);
        let message = refusal(&dir);
        assert!(
            message.starts_with(&format!("DIR: DIR/{file} looks like {words}")),
            "{message}"
        );
    }
}

#[test]
fn a_data_set_in_a_folder_below_is_named() {
    let labels = [("street/annotations/instances_train.json", coco(&["a.png"]))];
    let dir = folder(&labels, &["street/train/a.png"]);
    let message = refusal(&dir);
    assert!(
        message.starts_with("DIR: DIR/street has boxes in the layout COCO; give this folder"),
        "{message}"
    );
    let one = json!([shape("rectangle", "cat", json!([[1, 1], [9, 9]]))]);
    let labels = [("scans/a.json", labelme("a.png", one))];
    let dir = folder(&labels, &["scans/a.png"]);
    assert!(is_detection(dir.path()));
    let message = refusal(&dir);
    assert!(
        message.starts_with("DIR: DIR/scans has boxes in the layout Labelme; give this folder"),
        "{message}"
    );
    // As classes, the folder is refused too.
    assert!(
        message.ends_with("(for classes, keep the pictures alone, one folder per class)"),
        "{message}"
    );
    assert!(warmstart_data::open(dir.path(), 0.5, 0).is_err());
}

#[test]
fn class_folders_stay_class_folders_beside_tables_and_records() {
    let dir = folder(
        &[("classes.json", json!({"0": "cat", "1": "dog"}))],
        &["train/cat/a.png", "train/dog/b.png"],
    );
    add(dir.path(), "boxes.csv", "file,xmin,ymin,xmax,ymax\n");
    add(dir.path(), "train.csv", "file,label\n");
    assert!(!is_detection(dir.path()));
}

#[test]
fn labels_of_other_classes_than_the_folders_beside_them_are_named() {
    let via = r#"{"_via_settings": {}, "_via_img_metadata": {"0.png1": {"regions": []}}}"#;
    let cvat =
        "<?xml version=\"1.0\"?>\n<annotations><image><box label=\"car\"/></image></annotations>";
    let json = r#"[{"image": "vid1/0.png", "bbox": [1, 2, 3, 4], "label": "car"}]"#;
    for (file, content, words) in [
        ("annotations.xml", cvat, "CVAT's own XML"),
        ("via.json", via, "the VGG Image Annotator's JSON"),
        ("boxes.json", json, "JSON of boxes"),
        (
            "boxes.csv",
            "filename,xmin,ymin,xmax,ymax,class\nvid1/0.png,1,1,9,9,car\n",
            "a table of boxes",
        ),
        (
            "boxes.csv",
            "filename,xmin,ymin,xmax,ymax,class\n0.png,1,1,9,9,0\n0.png,2,2,9,9,1\n",
            "a table of boxes",
        ),
        (
            "vid1/a.csv",
            "image,x,y,w,h\n0.png,1,1,9,9\n",
            "a table of boxes",
        ),
    ] {
        let dir = folder(
            &[],
            &["vid1/0.png", "vid1/1.png", "vid2/0.png", "vid2/1.png"],
        );
        add(dir.path(), file, content);
        assert!(is_detection(dir.path()), "{file}: {content}");
        let message = refusal(&dir);
        assert!(
            message.starts_with(&format!("DIR: DIR/{file} looks like {words}")),
            "{message}"
        );
    }
}

#[test]
fn tables_and_tags_of_the_folders_classes_leave_them_classes() {
    for (file, content) in [
        (
            "boxes.csv",
            "file,xmin,ymin,xmax,ymax,class\na.png,1,1,9,9,Cat\nb.png,1,1,9,9,dog\n",
        ),
        (
            "boxes.csv",
            "file,x1,y1,x2,y2,class\na.png,1,1,9,9,0\nb.png,1,1,9,9,1\n",
        ),
        ("boxes.csv", "file,xmin,ymin,xmax,ymax\na.png,1,1,9,9\n"),
        (
            "annotations.xml",
            "<annotations><image><tag label=\"cat\"/></image></annotations>",
        ),
    ] {
        let dir = folder(&[], &["train/cat/a.png", "train/dog/b.png"]);
        add(dir.path(), file, content);
        assert!(!is_detection(dir.path()), "{content}");
    }
}

#[test]
fn a_split_that_is_not_for_training_is_not_advised_as_the_data() {
    let voc = "<annotation><object><name>a</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>";
    for (name, is_held_out) in [
        ("Testdaten", true),
        ("Validierungsdaten", true),
        ("street", false),
    ] {
        let dir = folder(&[], &[&format!("{name}/JPEGImages/0.png"), "other/0.png"]);
        add(dir.path(), &format!("{name}/Annotations/0.xml"), voc);
        let message = refusal(&dir);
        let advises = message.contains("give this folder");
        assert_ne!(advises, is_held_out, "{message}");
    }
}

#[cfg(unix)]
#[test]
fn a_split_that_is_training_by_a_link_is_named() {
    let labels = [
        (
            "annotations/instances_train.json",
            coco(&["a.png", "b.png"]),
        ),
        ("annotations/instances_val.json", coco(&["a.png", "b.png"])),
    ];
    let dir = folder(&labels, &["train/a.png", "train/b.png"]);
    std::os::unix::fs::symlink("train", dir.path().join("val")).unwrap();
    let read = opened(&dir);
    assert_eq!(read.findings.count(Problem::SharedImage), 2);
    let example = &read.findings.examples(Problem::SharedImage)[0];
    assert!(
        example.ends_with("/train") && example.contains("/val is a link to "),
        "{example}"
    );
}

#[test]
fn labelme_s_pictures_of_one_name_are_found_by_their_nearness() {
    let one = || json!([shape("rectangle", "cat", json!([[1, 1], [9, 9]]))]);
    for (train, val, images) in [
        (
            "train/labels",
            "val/labels",
            ["train/images/0.png", "val/images/0.png"],
        ),
        (
            "labels/train",
            "labels/val",
            ["images/train/0.png", "images/val/0.png"],
        ),
    ] {
        let labels = [
            (&*format!("{train}/0.json"), labelme("0.png", one())),
            (&*format!("{val}/0.json"), labelme("0.png", one())),
        ];
        let dir = folder(&labels, &images);
        let read = opened(&dir);
        let [train, val] = images.map(|image| vec![image.to_owned()]);
        assert_eq!(splits(&dir, &read), (train, val));
        assert_eq!(problems(&read.findings), []);
    }
    let labels = [
        ("labels/0.json", labelme("0.png", one())),
        ("labels/1.json", labelme("1.png", one())),
        ("labels/2.json", labelme("2.png", one())),
    ];
    let pictures = [
        "images/a/0.png",
        "images/b/0.png",
        "images/a/1.png",
        "images/b/2.png",
    ];
    let read = opened(&folder(&labels, &pictures));
    let example = &read.findings.examples(Problem::MissingImage)[0];
    assert!(example.contains("0.json: its imagePath fits "), "{example}");
}

#[test]
fn coco_s_pictures_may_lie_in_several_folders() {
    let names = ["0.png", "1.png", "2.png", "3.png"];
    let pictures = ["a/0.png", "a/1.png", "a/2.png", "b/3.png"];
    let dir = folder(&[("annotations.json", coco(&names))], &pictures);
    let read = opened(&dir);
    assert_eq!(read.dataset.train.len() + read.dataset.validation.len(), 4);
    assert_eq!(problems(&read.findings), []);
    for name in ["0.png", "/home/x/0.png"] {
        let names = [name, "1.png", "2.png", "3.png"];
        let pictures = [
            "images/a/0.png",
            "images/b/0.png",
            "images/a/1.png",
            "images/a/2.png",
            "images/b/3.png",
        ];
        let read = opened(&folder(&[("annotations.json", coco(&names))], &pictures));
        assert_eq!(read.dataset.train.len() + read.dataset.validation.len(), 3);
        let example = &read.findings.examples(Problem::OutsideFolder)[0];
        assert!(
            example.contains("fits several images in different folders"),
            "{example}"
        );
    }
}

#[test]
fn names_in_findings_cannot_command_a_terminal() {
    let mut train = coco(&["a.png", "\u{1b}[2J\n.png"]);
    train["categories"][0]["name"] = json!("red\u{1b}[31m\n");
    let labels = [
        ("annotations/instances_train.json", train.clone()),
        ("annotations/instances_val.json", train),
    ];
    let read = opened(&folder(&labels, &["train/a.png", "val/a.png"]));
    let report = warmstart_data::scenes::Report::new(&read);
    let text = report.to_string();
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(text.contains("red\\u{1b}[31m\\n\n"), "{text}");
    let example = &read.findings.examples(Problem::MissingImage)[0];
    assert!(example.ends_with("train/\\u{1b}[2J\\n.png"), "{example}");
}

#[cfg(unix)]
#[test]
fn a_report_on_names_that_are_not_text_is_written() {
    use std::os::unix::ffi::OsStrExt as _;
    let one = || json!([shape("rectangle", "cat", json!([[1, 1], [9, 9]]))]);
    let dir = folder(
        &[
            ("train/a.json", labelme("a.png", one())),
            ("val/b.json", labelme("b.png", one())),
        ],
        &["train/a.png", "val/b.png"],
    );
    let name = std::ffi::OsStr::from_bytes(b"\xff.png");
    std::fs::write(dir.path().join("train").join(name), "no picture").unwrap();
    let read = opened(&dir);
    let report = warmstart_data::scenes::Report::new(&read);
    assert!(report.unreadable[0].0.ends_with("train/\\xff.png"));
    assert!(serde_json::to_string(&report).is_ok());
}
