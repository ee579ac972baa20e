//! COCO's files as tools write them: ids and numbers in quotes, fractions, names of other machines, and
//! images that are listed twice or turned.

#[path = "common/detection.rs"]
#[allow(dead_code)]
mod detection;

use detection::{add, add_picture, boxes, coco, opened, problems, refusal, voc, voc_object};
use std::fmt::Write as _;
use std::fs;
use std::time::Instant;
use warmstart_data::scenes::{Problem, open};
use warmstart_data::{Scene, decode};

const IMAGE: &str = r#"{"id": 5, "file_name": "a.png"}"#;

#[test]
fn the_objects_of_an_image_that_is_listed_twice_are_joined_and_counted() {
    let dir = coco(
        r#"{"id": 5, "file_name": "a.png"}, {"id": 6, "file_name": "./a.png"}, {"id": 8, "file_name": "x\\..\\a.png"}"#,
        r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 30, 4]}, {"image_id": 6, "category_id": 7, "bbox": [5, 6, 7, 8]},
           {"image_id": 8, "category_id": 7, "bbox": [50, 6, 7, 8]}, {"image_id": 8, "category_id": 1, "bbox": [1, 2, 30, 4]}"#,
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.train.len(), 1);
    assert_eq!(
        boxes(&read.dataset.train[0].label),
        [
            (0, [1.0, 2.0, 31.0, 6.0]),
            (1, [5.0, 6.0, 12.0, 14.0]),
            (1, [50.0, 6.0, 57.0, 14.0])
        ]
    );
    assert_eq!(
        problems(&read.findings),
        [
            (Problem::RepeatedImage, 2),
            (Problem::MergedObject, 3),
            (Problem::DuplicateBox, 1)
        ]
    );
}

#[test]
fn images_of_one_id_are_left_out_since_the_owner_of_their_objects_is_unknown() {
    let dir = coco(
        r#"{"id": 5, "file_name": "a.png"}, {"id": 6, "file_name": "b.png"}, {"id": "5", "file_name": "c.png"}, {"id": 5, "file_name": "d.png"}"#,
        r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 30, 4]}, {"image_id": 6, "category_id": 7, "bbox": [5, 6, 7, 8]}"#,
    );
    for name in ["b", "c", "d"] {
        add_picture(dir.path(), &format!("train/{name}.png"), 100, 50);
    }
    let read = opened(&dir);
    assert!(read.dataset.train[0].path.ends_with("b.png"));
    assert_eq!(
        boxes(&read.dataset.train[0].label),
        [(1, [5.0, 6.0, 12.0, 14.0])]
    );
    assert_eq!(read.dataset.train.len(), 1);
    assert_eq!(
        problems(&read.findings),
        [(Problem::SharedId, 3), (Problem::UntrainedClass, 1)]
    );
}

#[test]
fn boxes_in_fractions_are_read_as_such_and_counted() {
    let dir = coco(
        IMAGE,
        r#"{"image_id": 5, "category_id": 1, "bbox": [0.25, 0.5, 0.5, 0.5], "area": 0.25},
           {"image_id": 5, "category_id": 7, "bbox": [0, 0, 1, 1]}"#,
    );
    let read = opened(&dir);
    let scene = &read.dataset.train[0].label;
    assert_eq!(
        boxes(scene),
        [(0, [25.0, 25.0, 75.0, 50.0]), (1, [0.0, 0.0, 100.0, 50.0])]
    );
    assert_eq!(scene.objects[0].area, 1250.0);
    assert_eq!(problems(&read.findings), [(Problem::FractionBox, 2)]);
    let pixels = coco(
        IMAGE,
        r#"{"image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1]},
           {"image_id": 5, "category_id": 7, "bbox": [0.5, 0.5, 0.25, 0.25]}, {"image_id": 5, "category_id": 7, "bbox": [0, 0, 9, 9]}"#,
    );
    let read = opened(&pixels);
    assert_eq!(
        boxes(&read.dataset.train[0].label)[0],
        (0, [0.0, 0.0, 1.0, 1.0])
    );
    assert_eq!(problems(&read.findings), [(Problem::TinyBox, 1)]);
}

#[test]
fn ids_and_numbers_may_be_in_quotes() {
    let dir = coco(
        r#"{"id": "5", "file_name": "a.png", "width": "100", "height": "50"}"#,
        r#"{"image_id": 5, "category_id": "7", "bbox": ["1", "2", "30", "4"]}, {"image_id": "5.0", "category_id": 1, "bbox": [1, 2, 3, 4]},
           {"image_id": 5.0, "category_id": " 1", "bbox": [1, 2, 30, 4], "iscrowd": "1"}"#,
    );
    let text = fs::read_to_string(dir.path().join("annotations/instances_train.json")).unwrap();
    let quoted = text.replace(r#"{"id": 7, "name""#, r#"{"id": "7", "name""#);
    assert_ne!(quoted, text);
    add(dir.path(), "annotations/instances_train.json", quoted);
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["cat", "dog"]);
    let expected = [(1, [1.0, 2.0, 31.0, 6.0]), (0, [1.0, 2.0, 31.0, 6.0])];
    assert_eq!(boxes(&read.dataset.train[0].label), expected);
    assert!(read.dataset.train[0].label.objects[1].crowd);
    assert_eq!(problems(&read.findings), [(Problem::UnknownImage, 1)]);
}

#[test]
fn ids_of_categories_may_be_words_and_the_order_is_by_number() {
    let dir = coco(
        IMAGE,
        r#"{"image_id": 5, "category_id": "x", "bbox": [1, 2, 3, 4]}, {"image_id": 5, "category_id": 10, "bbox": [1, 2, 3, 4]}"#,
    );
    let text = fs::read_to_string(dir.path().join("annotations/instances_train.json")).unwrap();
    let start = text.find("\"categories\"").unwrap();
    let categories = r#""categories": [{"id": "x", "name": "dog"}, {"id": "10", "name": "cow"}, {"id": 9, "name": "cat"}]}"#;
    add(
        dir.path(),
        "annotations/instances_train.json",
        text[..start].to_owned() + categories,
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["cat", "cow", "dog"]);
    let classes: Vec<usize> = read.dataset.train[0]
        .label
        .objects
        .iter()
        .map(|o| o.class)
        .collect();
    assert_eq!(classes, [2, 1]);
}

#[test]
fn python_s_numbers_that_are_not_finite_cost_their_box_only() {
    let dir = coco(
        IMAGE,
        r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 30, 4], "area": NaN}, {"image_id": 5, "category_id": 7, "bbox": [NaN, 2, 3, 4]},
           {"image_id": 5, "category_id": 7, "bbox": [1, -Infinity, 3, Infinity]}, {"image_id": 5, "category_id": 7, "bbox": [9, 9, 9, 9], "note": "NaN"}"#,
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.train[0].label.objects[0].area, 120.0);
    assert_eq!(read.dataset.train[0].label.objects.len(), 2);
    assert_eq!(problems(&read.findings), [(Problem::NotFinite, 2)]);
}

#[test]
fn an_error_in_one_long_line_names_its_column_or_key() {
    for (content, words) in [
        (
            r#"{"images": [], "annotations": [oops], "categories": []}"#,
            ", line 1: expected COCO's JSON with images, annotations and categories; expected value at column 32; ",
        ),
        (
            r#"{"images": 7, "annotations": [], "categories": []}"#,
            "invalid type: integer `7`, expected a sequence at column 12; ",
        ),
        (
            r#"{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2}]}"#,
            ", line 1: categories[1] at column 74: expected an id and a name, missing field `name`; ",
        ),
        (
            "{\"images\": [], \"annotations\": [],\n\"categories\": [{\"id\": [], \"name\": \"a\"}]}",
            ", line 2: categories[0] at column 16: expected an id and a name, found the id []; ",
        ),
    ] {
        let dir = coco("", "");
        add(dir.path(), "annotations/instances_train.json", content);
        let message = refusal(&dir);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn names_from_other_machines_are_found_by_their_ends() {
    let dir = coco(
        r#"{"id": 5, "file_name": "/data/mine/train/a.png"}, {"id": 6, "file_name": "C:\\Users\\me\\b.png"},
           {"id": 7, "file_name": "sub\\c.png"}, {"id": 8, "file_name": "/data/mine/train/gone.png"}"#,
        r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]}, {"image_id": 6, "category_id": 7, "bbox": [1, 2, 3, 4]},
           {"image_id": 7, "category_id": 7, "bbox": [1, 2, 3, 4]}, {"image_id": 8, "category_id": 7, "bbox": [1, 2, 3, 4]}"#,
    );
    add_picture(dir.path(), "train/b.png", 100, 50);
    add_picture(dir.path(), "train/sub/c.png", 100, 50);
    let read = opened(&dir);
    assert_eq!(read.dataset.train.len(), 3);
    assert_eq!(
        problems(&read.findings),
        [(Problem::OutsideFolder, 1), (Problem::ForeignName, 2)]
    );
    let example = &read.findings.examples(Problem::OutsideFolder)[0];
    assert!(
        example.contains("gone.png\" starts elsewhere (it is absolute"),
        "{example}"
    );
}

#[test]
fn names_that_are_all_of_another_machine_are_the_cause() {
    let dir = coco(
        r#"{"id": 5, "file_name": "/data/x.png"}"#,
        r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]}"#,
    );
    let message = refusal(&dir);
    assert!(
        message.starts_with("DIR: its training split has no image: image names lead out of the data folder (left out): 1, such as DIR/annotations/instances_train.json, image 0: the file_name \"/data/x.png\" starts elsewhere (it is absolute"),
        "{message}"
    );
}

#[test]
fn a_split_of_crowds_only_is_named() {
    let dir = coco(
        IMAGE,
        r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1}"#,
    );
    let read = opened(&dir);
    assert_eq!(
        read.findings.examples(Problem::OnlyCrowds),
        ["the training split"]
    );
}

#[test]
fn files_and_lists_of_great_length_are_read_in_time() {
    let dir = coco("", "");
    let (mut images, mut annotations, mut categories) =
        (String::new(), String::new(), String::new());
    for id in 0..100_000 {
        let comma = if id == 0 { "" } else { "," };
        write!(images, r#"{comma}{{"id": {id}, "file_name": "{id}.png"}}"#).unwrap();
        write!(annotations, r#"{comma}{{"id": {id}, "image_id": 200000, "category_id": {id}, "bbox": [1, 2, 3, 4]}}"#).unwrap();
        write!(categories, r#"{comma}{{"id": {id}, "name": "class {id}"}}"#).unwrap();
    }
    let train = format!(
        r#"{{"images": [{images}, {{"id": 200000, "file_name": "a.png"}}], "annotations": [{annotations}], "categories": [{categories}]}}"#
    );
    add(dir.path(), "annotations/instances_train.json", &train);
    let val = dir.path().join("annotations/instances_val.json");
    let small = fs::read_to_string(&val).unwrap();
    fs::write(&val, small.replace("dog", "class 7")).unwrap();
    let start = Instant::now();
    let read = open(dir.path(), 0.2, 0).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    // Two seconds of one core; comparing every pair of them takes many minutes.
    assert!(seconds < 60.0, "{seconds} s");
    assert_eq!(read.dataset.classes.len(), 100_000);
    assert_eq!(read.dataset.train[0].label.objects.len(), 100_000);
}

#[test]
fn an_empty_file_of_annotations_is_named() {
    let dir = tempfile::tempdir().unwrap();
    add(dir.path(), "annotations/train.json", "");
    add_picture(dir.path(), "images/a.png", 100, 50);
    let message = refusal(&dir);
    assert!(
        message.starts_with("DIR/annotations/train.json, line 1: expected COCO's JSON"),
        "{message}"
    );
}

#[test]
fn nesting_without_end_is_an_error_with_its_place() {
    let dir = coco("", "");
    let nested = format!(
        r#"{{"images": [], "annotations": [], "categories": [{}"#,
        "[".repeat(1_000_000)
    );
    add(dir.path(), "annotations/instances_train.json", nested);
    let message = refusal(&dir);
    assert!(
        message.starts_with("DIR/annotations/instances_train.json, line 1: expected COCO's JSON"),
        "{message}"
    );
}

/// A JPEG of a black picture with a white part, which is to be turned by an EXIF orientation.
fn turned_jpeg(width: u32, height: u32, white: [u32; 4], orientation: u8) -> Vec<u8> {
    let [left, top, right, bottom] = white;
    let picture = image::RgbImage::from_fn(width, height, |x, y| {
        let within = (left..right).contains(&x) && (top..bottom).contains(&y);
        image::Rgb(if within { [255; 3] } else { [0; 3] })
    });
    let mut jpeg = Vec::new();
    picture
        .write_to(
            &mut std::io::Cursor::new(&mut jpeg),
            image::ImageFormat::Jpeg,
        )
        .unwrap();
    let mut exif =
        b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    jpeg.splice(2..2, exif);
    jpeg
}

/// Share of a scene's first box that is white in the decoded picture.
fn white_share(path: &std::path::Path, scene: &Scene) -> f64 {
    let image = decode(path).unwrap();
    assert_eq!((image.width, image.height), (scene.width, scene.height));
    let [left, top, right, bottom] = scene.objects[0].bounds.corners().map(|v| v as usize);
    let pixels = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
    let white = pixels
        .clone()
        .filter(|(x, y)| image.pixels[(y * image.width + x) * 3] > 128);
    white.count() as f64 / pixels.count() as f64
}

#[test]
fn boxes_of_the_stored_picture_turn_with_it() {
    for orientation in 5..=8 {
        let jpeg = turned_jpeg(64, 32, [8, 16, 40, 24], orientation);
        let set = coco(
            r#"{"id": 5, "file_name": "a.jpg", "width": 64, "height": 32}"#,
            r#"{"image_id": 5, "category_id": 1, "bbox": [8, 16, 32, 8]}"#,
        );
        add(set.path(), "train/a.jpg", &jpeg);
        let size = "<size><width>64</width><height>32</height></size>";
        let other = voc(&[(
            "a",
            &(size.to_owned() + &voc_object("cat", ["9", "17", "40", "24"])),
        )]);
        fs::remove_file(other.path().join("JPEGImages/a.png")).unwrap();
        add(other.path(), "JPEGImages/a.jpg", &jpeg);
        for dir in [set, other] {
            let read = opened(&dir);
            let sample = &read.dataset.train[0];
            assert_eq!((sample.label.width, sample.label.height), (32, 64));
            let share = white_share(&sample.path, &sample.label);
            assert!(share > 0.98, "orientation {orientation}: {share}");
            assert_eq!(read.findings.count(Problem::TurnedBoxes), 1);
            assert_eq!(read.findings.count(Problem::OtherSize), 0);
        }
    }
}

#[test]
fn boxes_of_the_turned_picture_stay_and_doubt_is_counted() {
    let found = |jpeg: Vec<u8>, image: &str| {
        let dir = coco(
            image,
            r#"{"image_id": 5, "category_id": 1, "bbox": [8, 16, 8, 8]}, {"image_id": 5, "category_id": 7, "bbox": [8, 16, 8, 9]}"#,
        );
        add(dir.path(), "train/a.jpg", jpeg);
        let read = opened(&dir);
        assert_eq!(
            boxes(&read.dataset.train[0].label)[0],
            (0, [8.0, 16.0, 16.0, 24.0])
        );
        problems(&read.findings)
    };
    let sized = |width: u32, height: u32| {
        format!(r#"{{"id": 5, "file_name": "a.jpg", "width": {width}, "height": {height}}}"#)
    };
    let white = [0, 0, 1, 1];
    assert_eq!(found(turned_jpeg(64, 32, white, 6), &sized(32, 64)), []);
    assert_eq!(found(turned_jpeg(64, 32, white, 1), &sized(64, 32)), []);
    let doubt = [(Problem::UnknownTurn, 1)];
    assert_eq!(
        found(
            turned_jpeg(64, 32, white, 6),
            r#"{"id": 5, "file_name": "a.jpg"}"#
        ),
        doubt
    );
    assert_eq!(found(turned_jpeg(64, 64, white, 6), &sized(64, 64)), doubt);
    assert_eq!(found(turned_jpeg(64, 32, white, 3), &sized(64, 32)), doubt);
}

#[test]
fn a_category_without_a_name_is_refused_with_its_place() {
    for name in ["", " "] {
        let dir = coco(
            IMAGE,
            r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]}"#,
        );
        let file = "annotations/instances_train.json";
        let text = fs::read_to_string(dir.path().join(file)).unwrap();
        let unnamed = text.replace(r#""name": "cat""#, &format!(r#""name": "{name}""#));
        assert_ne!(unnamed, text);
        add(dir.path(), file, unnamed);
        let message = refusal(&dir);
        assert!(
            message.contains("line 1: categories[1] at column "),
            "{message}"
        );
        assert!(
            message.contains(&format!("found the name {name:?}")),
            "{message}"
        );
    }
}

#[test]
fn a_malformed_box_is_named_by_its_key() {
    for (bbox, words) in [
        (
            r#"[1, 2, "wide", 4]"#,
            "bbox: invalid type: string \"wide\"",
        ),
        ("[1, 2, 3]", "bbox: invalid length 3"),
        ("null", "bbox: invalid type: null"),
        (r#"{"x": 1}"#, "bbox: invalid type: map"),
    ] {
        let dir = coco(
            IMAGE,
            &format!(
                r#"{{"image_id": 5, "category_id": 1, "bbox": {bbox}}}, {{"image_id": 5, "category_id": 1, "bbox": [1, 2, 30, 4]}}"#
            ),
        );
        let read = opened(&dir);
        let example = &read.findings.examples(Problem::Malformed)[0];
        assert!(
            example.contains("annotation 0: ") && example.contains(words),
            "{example}"
        );
    }
}
