//! Detection data that is broken or means harm: no panic, no file read outside the data folder, and
//! a message that names the file and the line.

#[path = "common/detection.rs"]
#[allow(dead_code)]
mod detection;

use detection::{add, add_picture, boxes, coco, opened, problems, refusal, voc, voc_object, yolo};
use std::fs;
use warmstart_data::scenes::Problem;

const IMAGE: &str = r#"{"id": 5, "file_name": "a.png"}"#;
const BOX: &str = r#"{"id": 1, "image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]}"#;

#[test]
fn malformed_entries_of_coco_are_dropped_one_by_one() {
    let bad = [
        r#"{"image_id": 5, "category_id": 1, "bbox": ["1", "two", "3", "4"]}"#,
        r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3]}"#,
        r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4, 5]}"#,
        r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 1e999]}"#,
        r#"{"image_id": 5, "category_id": 1, "bbox": null}"#,
        r#"{"image_id": 5, "category_id": 1}"#,
        "null",
        "[]",
        "17",
    ];
    let dir = coco(
        &format!(r#"{IMAGE}, {{"id": 6}}, 3"#),
        &format!("{}, {BOX}", bad.join(", ")),
    );
    let read = opened(&dir);
    assert_eq!(boxes(&read.dataset.train[0].label).len(), 1);
    assert_eq!(
        problems(&read.findings),
        [
            (Problem::Malformed, bad.len() + 2),
            (Problem::UntrainedClass, 1)
        ]
    );
    let example = &read.findings.examples(Problem::Malformed)[2];
    let expected = "annotation 0: bbox: invalid type: string \"two\", expected a number";
    assert!(example.ends_with(expected), "{example}");
}

#[test]
fn boxes_of_coco_that_are_empty_huge_or_of_no_class_are_counted() {
    let object = |category: &str, bbox: &str| {
        format!(r#"{{"image_id": "5", "category_id": {category}, "bbox": {bbox}, "area": -3}}"#)
    };
    let annotations = [
        object("1", "[1, 2, -3, 4]"),
        object("1", "[1, 2, 0, 4]"),
        object("1", "[1e308, 2, 1e308, 4]"),
        object("1", "[-1e300, -1e300, 2e300, 2e300]"),
        object("2", "[1, 2, 3, 4]"),
        object("null", "[1, 2, 3, 4]"),
        object("7.0", "[99, 49, 1, 1]"),
    ];
    let read = opened(&coco(IMAGE, &annotations.join(",")));
    let scene = &read.dataset.train[0].label;
    let expected = [(0, [0.0, 0.0, 100.0, 50.0]), (1, [99.0, 49.0, 100.0, 50.0])];
    assert_eq!(boxes(scene), expected);
    assert_eq!(scene.objects[1].area, 1.0);
    assert_eq!(
        problems(&read.findings),
        [
            (Problem::UnknownClass, 2),
            (Problem::NotFinite, 1),
            (Problem::EmptyBox, 2),
            (Problem::ClippedBox, 1),
        ]
    );
}

#[test]
fn image_names_do_not_lead_out_of_the_data_folder() {
    let names = ["../val/v.png", "/etc/hostname", "", "x/../../val/v.png"];
    let images: Vec<String> = (10..)
        .zip(names)
        .map(|(id, name)| format!(r#"{{"id": {id}, "file_name": "{name}"}}"#))
        .collect();
    let read = opened(&coco(&format!("{IMAGE}, {}", images.join(", ")), BOX));
    assert_eq!(read.dataset.train.len(), 1);
    assert_eq!(read.findings.count(Problem::OutsideFolder), names.len());

    let dir = voc(&[("a", &voc_object("cat", ["1", "1", "9", "9"]))]);
    add_picture(dir.path(), "secret.png", 9, 9);
    add(
        dir.path(),
        "ImageSets/Main/train.txt",
        "a\n../secret\n/etc/hostname\n",
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.train.len(), 1);
    assert_eq!(problems(&read.findings), [(Problem::OutsideFolder, 2)]);
}

#[test]
fn coco_files_that_are_no_json_name_the_line() {
    let message = |content: &[u8]| {
        let dir = coco(IMAGE, BOX);
        add(dir.path(), "annotations/instances_train.json", content);
        let message = refusal(&dir);
        let name = "DIR/annotations/instances_train.json, line ";
        message.strip_prefix(name).expect(&message).to_owned()
    };
    let deep = [b"{\"images\": ", &[b'['; 200_000][..]].concat();
    for (content, start) in [
        (&b""[..], "1: expected COCO's JSON with images, annotations and categories; EOF"),
        (b"{\n\"images\": [{},\n}", "3: expected COCO's JSON"),
        (b"{\"images\": [],\n \"annotations\": [{\"bbox\": [NaN]}]}", "2: expected COCO's JSON"),
        (b"{\"images\": []}", "1: expected COCO's JSON with images, annotations and categories; missing field `annotations`"),
        (b"[]", "1: expected COCO's JSON"),
        (b"7", "1: expected COCO's JSON"),
        (b"{\n\"images\": \"\xff\"}", "2: expected text in UTF-8"),
        (b"{\"images\": [], \"annotations\": [], \"categories\": []}", "1: categories is empty"),
        (b"{\"images\": [], \"annotations\": [], \"categories\": [{\"id\": 1, \"name\": \"a\"}, {\"id\": 1, \"name\": \"b\"}]}", "1: the categories \"a\" and \"b\" both have the id 1"),
        (b"{\"images\": [], \"annotations\": [], \"categories\": [{\"id\": 1, \"name\": \"a\"}, {\"id\": 2, \"name\": \"a\"}]}", "1: the class \"a\" is listed twice"),
        (&deep, "1: expected COCO's JSON"),
    ] {
        let message = message(content);
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn a_deeply_nested_entry_of_coco_is_malformed() {
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let annotation =
        format!(r#"{{"id": {nested}, "image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]}}"#);
    let read = opened(&coco(IMAGE, &format!("{BOX}, {annotation}")));
    assert_eq!(read.findings.count(Problem::Malformed), 1);
}

#[test]
fn yaml_of_another_form_names_the_line() {
    let message = |content: &[u8]| {
        let dir = yolo(&[("a", b"0 0.5 0.5 0.2 0.2")]);
        add(dir.path(), "data.yaml", content);
        let message = refusal(&dir);
        let rest = message.strip_prefix("DIR/data.yaml, line ");
        rest.expect(&message).to_owned()
    };
    let deep = [b"x: ", &[b'['; 100_000][..]].concat();
    let bomb = b"a: &a [x, x]\nb: &b [*a, *a]\nnames: *b\n";
    for (content, start) in [
        (
            &b""[..],
            "1: expected keys such as train, val and names, found nothing",
        ),
        (b"- a\n- b", "1: expected keys"),
        (b"train: images/train\n", "1: there is no key names"),
        (b"names: [a]\n", "1: there is no key train"),
        (
            b"train: x\nnames: [a, [b]]",
            "2: expected names: to be a list of names",
        ),
        (
            b"train: x\nnames: 7",
            "2: expected names: to be a list of names",
        ),
        (b"train: x\nnames: {zero: a}", "2: expected names:"),
        (
            b"train: x\nnames: {0: a, 2: b}",
            "2: names: \"b\" has the index 2 where 1 comes next",
        ),
        (
            b"train: x\nnames: {99999999999999999999: a}",
            "2: expected names:",
        ),
        (
            b"train: x\nnames: [a, a]",
            "1: the class \"a\" is listed twice",
        ),
        (b"train: x\nnames: [a", "2: expected YAML; "),
        (
            b"train: {a: b}\nnames: [a]",
            "1: expected train: to be a path",
        ),
        (b"train: x\n\xff", "2: expected text in UTF-8"),
        (
            b"train: nowhere\nnames: [a]",
            "1: train: there is no nowhere in DIR",
        ),
        (bomb, "3: expected names:"),
        (&deep, "1: expected YAML"),
    ] {
        let message = message(content);
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn a_label_file_may_be_anything_but_a_folder() {
    let dir = yolo(&[
        ("a", b"0 0.5 0.5 0.2 0.2\r\n\xff\xfe 1\r\n\0\r\n1 0.5 0.5 1e999 0.2\r\n1e300 0.5 0.5 0.2 0.2\r\n0.5 0.5 0.5 0.2 0.2"),
        ("b", b"\xef\xbb\xbf1 0.5 0.5 0.2 0.2"),
    ]);
    let read = opened(&dir);
    assert_eq!(read.dataset.train[0].label.objects.len(), 1);
    assert_eq!(read.dataset.train[1].label.objects.len(), 1);
    assert_eq!(
        problems(&read.findings),
        [
            (Problem::Malformed, 2),
            (Problem::UnknownClass, 2),
            (Problem::NotFinite, 1)
        ]
    );
    let labels = dir.path().join("labels/train/a.txt");
    fs::remove_file(&labels).unwrap();
    fs::create_dir(&labels).unwrap();
    assert!(
        refusal(&dir).starts_with("cannot read DIR/labels/train/a.txt: "),
        "{}",
        refusal(&dir)
    );
}

#[test]
fn five_hundred_boxes_and_boxes_of_one_pixel_are_kept() {
    let lines: Vec<String> = (0..500)
        .map(|index| {
            let (x, y) = (index % 100, index / 100);
            let (x, y) = ((f64::from(x) + 0.5) / 100.0, (f64::from(y) + 0.5) / 50.0);
            format!("1 {x} {y} 0.01 0.02")
        })
        .collect();
    let read = opened(&yolo(&[("a", lines.join("\n").as_bytes())]));
    assert_eq!(read.dataset.train[0].label.objects.len(), 500);
    assert_eq!(problems(&read.findings), [(Problem::UntrainedClass, 1)]);
}

#[test]
fn voc_files_that_are_no_xml_name_the_line_and_bad_objects_are_dropped() {
    let message = |content: &[u8]| {
        let dir = voc(&[("a", "")]);
        add(dir.path(), "Annotations/a.xml", content);
        let message = refusal(&dir);
        let rest = message.strip_prefix("DIR/Annotations/a.xml, line ");
        rest.expect(&message).to_owned()
    };
    let deep = [&b"<annotation>"[..], &b"<a>".repeat(100_000)].concat();
    let bomb = b"<!DOCTYPE a [<!ENTITY a 'x'>]><annotation>&a;</annotation>";
    for (content, start) in [
        (&b""[..], "1: expected XML; "),
        (
            b"<annotation>\n<object>\n</annotation>",
            "3: expected XML; ",
        ),
        (
            b"<html/>",
            "1: expected VOC's element annotation, found html",
        ),
        (
            b"<annotation>\xff</annotation>",
            "1: expected text in UTF-8",
        ),
        (bomb, "1: expected XML; "),
        (&deep, "1: expected XML; "),
    ] {
        let message = message(content);
        assert!(message.starts_with(start), "{message}");
    }
    let objects = [
        voc_object("cat", ["1", "1", "9", "9"]),
        voc_object("", ["1", "1", "9", "9"]),
        voc_object("cat", ["one", "1", "9", "9"]),
        voc_object("cat", ["NaN", "1", "9", "9"]),
        voc_object("cat", ["9", "1", "1", "9"]),
        voc_object("cat", ["-inf", "1", "1", "9"]),
        "<object/>".into(),
        "<object><name>cat</name><bndbox/></object>".into(),
    ];
    let read = opened(&voc(&[("a", &objects.join("\n"))]));
    assert_eq!(read.dataset.train[0].label.objects.len(), 1);
    assert_eq!(
        problems(&read.findings),
        [
            (Problem::Malformed, 4),
            (Problem::NotFinite, 2),
            (Problem::EmptyBox, 1)
        ]
    );
    let example = &read.findings.examples(Problem::Malformed)[0];
    assert!(
        example.ends_with("a.xml, line 3: expected an element name"),
        "{example}"
    );
}

#[test]
fn an_annotation_without_image_and_an_image_without_annotation_are_counted_in_voc() {
    let dir = voc(&[("a", &voc_object("cat", ["1", "1", "9", "9"])), ("b", "")]);
    add(dir.path(), "Annotations/gone.xml", "never read");
    fs::remove_file(dir.path().join("Annotations/b.xml")).unwrap();
    fs::remove_file(dir.path().join("JPEGImages/a.png")).unwrap();
    add_picture(dir.path(), "JPEGImages/a.jpg", 100, 50);
    let read = opened(&dir);
    assert_eq!(read.dataset.train.len(), 2);
    assert_eq!(
        problems(&read.findings),
        [(Problem::WithoutLabelFile, 1), (Problem::UnknownImage, 1)]
    );
}
