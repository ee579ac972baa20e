//! Annotations in XML that is large, nested, hostile or in another encoding than UTF-8.

#[path = "common/detection.rs"]
#[allow(dead_code)]
mod detection;

use detection::{add, boxes, coco, opened, problems, refusal, voc, voc_object, yolo};
use std::time::{Duration, Instant};
use warmstart_data::scenes::Problem;

/// Reads a data set whose one training image has this file; with the time it took.
fn timed(xml: &str) -> (usize, Duration) {
    let dir = voc(&[("a", "")]);
    add(dir.path(), "Annotations/a.xml", xml);
    let start = Instant::now();
    let objects = opened(&dir).dataset.train[0].label.objects.len();
    (objects, start.elapsed())
}

#[test]
fn many_objects_take_time_in_proportion_to_their_number() {
    let objects: String = (0..40_000)
        .map(|index| {
            let (x, y) = (index % 95 + 1, index / 95 % 45 + 1);
            let (width, height) = (1 + index / 4275, 1);
            let corners = [x, y, x + width.min(4), y + height].map(|corner| corner.to_string());
            voc_object("cat", corners.each_ref().map(|corner| &corner[..]))
        })
        .collect();
    let (kept, time) = timed(&format!("<annotation>{objects}</annotation>"));
    assert!(kept > 10_000, "{kept}");
    assert!(time < Duration::from_secs(5), "{time:?}");
}

#[test]
fn nested_elements_and_namespaces_cost_no_more_than_their_bytes() {
    let object = voc_object("cat", ["1", "1", "9", "9"]);
    let nested: String = (0..50_000)
        .map(|index| format!("<n{index}:a xmlns:n{index}='u{index}' xmlns='d{index}'>"))
        .collect();
    let ends: String = (0..50_000)
        .rev()
        .map(|index| format!("</n{index}:a>"))
        .collect();
    let (objects, time) = timed(&format!("<annotation>{object}{nested}{ends}</annotation>"));
    assert_eq!(objects, 1);
    assert!(time < Duration::from_secs(5), "{time:?}");

    let attributes: String = (0..100_000).map(|index| format!(" a{index}=''")).collect();
    let (objects, time) = timed(&format!("<annotation{attributes}>{object}</annotation>"));
    assert_eq!(objects, 1);
    assert!(time < Duration::from_secs(5), "{time:?}");
}

#[test]
fn prefixes_comments_references_and_cdata_are_read() {
    let xml = "<?xml version='1.0'?><!DOCTYPE annotation [<!ELEMENT annotation ANY>]>
        <v:annotation xmlns:v='urn:voc' verified='yes'><!-- <object/> -->
        <v:object><name>a &amp; b<!-- c --><![CDATA[ <d>]]>&#33;&#x56FE;</name><empty/>
        <bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></v:object>
        </v:annotation>
        <!-- the end -->";
    let dir = voc(&[("a", "")]);
    add(dir.path(), "Annotations/a.xml", xml);
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["a & b <d>!图", "cat"]);
}

#[test]
fn broken_xml_names_its_line_on_one_line() {
    let message = |xml: &str| {
        let dir = voc(&[("a", "")]);
        add(dir.path(), "Annotations/a.xml", xml);
        let message = refusal(&dir);
        assert!(message.len() < 600, "{message}");
        let rest = message.strip_prefix("DIR/Annotations/a.xml, line ");
        rest.expect(&message).to_owned()
    };
    let long = format!("<annotation>\n<{0}>\n</b>", "x".repeat(100_000));
    let escape = "<annotation>\n</\u{1b}[2J\n>";
    let bomb = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>]>\n<annotation>\n&b;</annotation>";
    let external = "<!DOCTYPE a [<!ENTITY a SYSTEM 'file:///etc/hostname'>]><annotation><object><name>&a;</name></object></annotation>";
    for (xml, start) in [
        (
            "<annotation>\n<object>\n<name>cat",
            "3: expected XML; the file ends before its elements do",
        ),
        ("<annotation>\n<object>\n<name", "3: expected XML; "),
        (
            "<annotation/>\n<annotation/>",
            "2: expected XML; there is a second outermost element",
        ),
        (
            "<annotation/>\nmore",
            "1: expected XML; text outside of the elements",
        ),
        (
            "cat 1 2 3 4",
            "1: expected XML; text outside of the elements",
        ),
        (
            "{\"shapes\": []}",
            "1: expected XML; text outside of the elements",
        ),
        (
            "\n<annotations>",
            "2: expected VOC's element annotation, found annotations",
        ),
        (
            "<annotation>&#xD800;</annotation>",
            "1: expected XML; the entity",
        ),
        (&long, "3: expected XML; "),
        (escape, "2: expected XML; "),
        (bomb, "3: expected XML; the entity \"b\" is not known"),
        (external, "1: expected XML; the entity \"a\" is not known"),
    ] {
        let message = message(xml);
        assert!(message.starts_with(start), "{message}");
    }
}

/// Text in GBK, with 图片 and 汽车.
fn gbk(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for letter in text.chars() {
        match letter {
            '图' => bytes.extend(b"\xcd\xbc"),
            '片' => bytes.extend(b"\xc6\xac"),
            '汽' => bytes.extend(b"\xc6\xfb"),
            '车' => bytes.extend(b"\xb3\xb5"),
            _ => {
                assert!(letter.is_ascii());
                bytes.push(letter as u8);
            }
        }
    }
    bytes
}

fn utf_16(text: &str) -> Vec<u8> {
    let units = [0xfeff].into_iter().chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

#[test]
fn classes_are_those_of_the_declared_encoding() {
    let xml = |declaration: &str, class: &str| {
        let object = voc_object(class, ["1", "1", "9", "9"]);
        format!("{declaration}<annotation>{object}</annotation>")
    };
    let declared = |label: &str| format!("<?xml version=\"1.0\" encoding=\"{label}\"?>\n");
    let latin: Vec<u8> = xml(&declared("ISO-8859-1"), "café")
        .chars()
        .map(|letter| letter as u8)
        .collect();
    for (bytes, class, is_assumed) in [
        (gbk(&xml(&declared("GBK"), "图片")), "图片", false),
        (gbk(&xml(&declared("gb2312"), "汽车")), "汽车", false),
        (latin, "café", false),
        (utf_16(&xml(&declared("utf-16"), "图片")), "图片", false),
        (utf_16(&xml("", "图片")), "图片", false),
        (xml(&declared("GBK"), "图片").into_bytes(), "图片", true),
        (gbk(&xml(&declared("utf-8"), "汽车")), "汽车", true),
        (gbk(&xml("", "图片")), "图片", true),
    ] {
        let dir = voc(&[("a", "")]);
        add(dir.path(), "Annotations/a.xml", &bytes);
        let read = opened(&dir);
        let mut classes = ["cat", class];
        classes.sort();
        assert_eq!(read.dataset.classes, classes);
        assert_eq!(boxes(&read.dataset.train[0].label).len(), 1);
        let mut expected = vec![(Problem::UntrainedClass, 1)];
        if is_assumed {
            expected.insert(0, (Problem::AssumedEncoding, 1));
        }
        assert_eq!(problems(&read.findings), expected, "{class}");
    }
}

#[test]
fn lists_of_voc_in_gbk_and_utf_16_name_their_images() {
    for (list, classes, is_assumed) in [
        (gbk("图片\r\n"), gbk("汽车\r\ncat\r\n"), true),
        (utf_16("图片\r\n"), utf_16("汽车\r\ncat\r\n"), false),
    ] {
        let dir = voc(&[("图片", &voc_object("汽车", ["1", "1", "9", "9"]))]);
        add(dir.path(), "ImageSets/Main/train.txt", list);
        add(dir.path(), "classes.txt", classes);
        let read = opened(&dir);
        assert_eq!(read.dataset.classes, ["汽车", "cat"]);
        assert_eq!(read.dataset.train.len(), 1);
        let count = read.findings.count(Problem::AssumedEncoding);
        assert_eq!(count, if is_assumed { 2 } else { 0 });
    }
}

#[test]
fn names_of_yolo_and_coco_may_be_in_gbk_and_utf_16() {
    let yaml = "train: images/train\nval: images/val\nnames: [汽车, 图片]\n";
    let json = |dir: &std::path::Path, split: &str| {
        let file = dir.join(format!("annotations/instances_{split}.json"));
        std::fs::read_to_string(file)
            .unwrap()
            .replace("\"cat\"", "\"汽车\"")
            .replace("\"dog\"", "\"图片\"")
    };
    type Write = fn(&str) -> Vec<u8>;
    for (write, assumed) in [(gbk as Write, true), (utf_16 as Write, false)] {
        let dir = yolo(&[("a", b"1 0.5 0.5 0.2 0.2")]);
        add(dir.path(), "data.yaml", write(yaml));
        let read = opened(&dir);
        assert_eq!(read.dataset.classes, ["汽车", "图片"]);
        assert_eq!(read.findings.count(Problem::AssumedEncoding) > 0, assumed);

        let dir = coco(
            r#"{"id": 5, "file_name": "a.png"}"#,
            r#"{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]}"#,
        );
        for split in ["train", "val"] {
            let text = json(dir.path(), split);
            add(
                dir.path(),
                &format!("annotations/instances_{split}.json"),
                write(&text),
            );
        }
        let read = opened(&dir);
        assert_eq!(read.dataset.classes, ["汽车", "图片"]);
        assert_eq!(read.findings.count(Problem::AssumedEncoding) > 0, assumed);
    }
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_no_labels_and_sparse_files_are_refused_at_once() {
    let dir = voc(&[("a", "")]);
    let file = dir.path().join("Annotations/a.xml");
    std::fs::remove_file(&file).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&file)
            .status()
            .unwrap()
            .success()
    );
    let message = refusal(&dir);
    assert!(
        message.contains("Annotations/a.xml") && message.contains("it is a pipe"),
        "{message}"
    );
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    let message = refusal(&dir);
    assert!(
        message.contains("Annotations/a.xml") && message.contains("it is a device"),
        "{message}"
    );
    std::fs::remove_file(&file).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(&file).unwrap();
    let message = refusal(&dir);
    assert!(
        message.contains("Annotations/a.xml") && message.contains("it is a socket"),
        "{message}"
    );
    drop(socket);
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("gone.xml", &file).unwrap();
    let message = refusal(&dir);
    assert!(
        message.contains("Annotations/a.xml") && message.contains("No such file"),
        "{message}"
    );
    std::fs::remove_file(&file).unwrap();
    std::fs::File::create(&file)
        .unwrap()
        .set_len(100 << 30)
        .unwrap();
    assert!(
        refusal(&dir).contains("more than the limit"),
        "{}",
        refusal(&dir)
    );
}

#[test]
fn boxes_in_fractions_are_read_as_such() {
    let half = voc_object("cat", ["0.25", "0.2", "0.75", "0.6"]);
    let whole = voc_object("dog", ["0", "0", "1", "1"]);
    let dir = voc(&[("a", &half), ("b", &whole)]);
    let v = voc_object("cat", ["0.1", "0.1", "0.5", "0.5"]);
    add(
        dir.path(),
        "Annotations/v.xml",
        format!("<annotation>{v}</annotation>"),
    );
    let read = opened(&dir);
    let train = &read.dataset.train;
    assert_eq!(boxes(&train[0].label), [(0, [25.0, 10.0, 75.0, 30.0])]);
    assert_eq!(boxes(&train[1].label), [(1, [0.0, 0.0, 100.0, 50.0])]);
    assert_eq!(problems(&read.findings), [(Problem::FractionBox, 3)]);
}

#[test]
fn the_first_pixel_among_boxes_in_pixels_is_no_fraction() {
    let pixel = voc_object("cat", ["1", "1", "1", "1"]);
    let large = voc_object("cat", ["0.5", "0.5", "20.5", "10.5"]);
    let read = opened(&voc(&[("a", &pixel), ("b", &large)]));
    let train = &read.dataset.train;
    assert_eq!(boxes(&train[0].label), [(0, [0.0, 0.0, 1.0, 1.0])]);
    assert_eq!(read.findings.count(Problem::FractionBox), 0);
}

#[test]
fn a_class_in_two_forms_of_unicode_is_one() {
    let corners = ["1", "1", "9", "9"];
    let (composed, decomposed) = (
        voc_object("caf\u{e9}", corners),
        voc_object("cafe\u{301}", corners),
    );
    let dir = voc(&[("a", &composed), ("b", &decomposed)]);
    assert_eq!(opened(&dir).dataset.classes, ["caf\u{e9}", "cat"]);
    add(dir.path(), "classes.txt", "cafe\u{301}\ncat\n");
    let read = opened(&dir);
    assert_eq!(read.dataset.classes, ["caf\u{e9}", "cat"]);
    assert_eq!(read.findings.count(Problem::UnknownClass), 0);
}
