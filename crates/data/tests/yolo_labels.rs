//! Lines of YOLO's label files: boxes, outlines, poses, predictions, and what is none of these.

#[path = "common/detection.rs"]
#[allow(dead_code)]
mod detection;

use detection::{add, boxes, opened, problems, refusal, yolo};
use std::fs;
use tempfile::TempDir;
use warmstart_data::scenes::Problem;

/// The box of every label here, in a picture of 100×50: x 40 to 60, y 20 to 30.
const BOX: &str = "0 0.5 0.5 0.2 0.2";

/// A data set of one label file with a cat and a dog in validation, and more lines in its `data.yaml`.
fn labelled(lines: &str, yaml: &str) -> TempDir {
    let dir = yolo(&[("a", lines.as_bytes())]);
    add(
        dir.path(),
        "labels/val/v.txt",
        "0 0.5 0.5 0.2 0.2\n1 0.2 0.2 0.2 0.2\n",
    );
    let keys = "train: images/train\nval: images/val\nnames: [cat, dog]\n";
    add(dir.path(), "data.yaml", format!("{keys}{yaml}"));
    dir
}

fn assert_boxes(dir: &TempDir, count: usize) {
    let read = opened(dir);
    let found = boxes(&read.dataset.train[0].label);
    assert_eq!(found.len(), count, "{}", read.findings);
    for (class, corners) in found {
        assert_eq!(class, 0);
        for (found, expected) in corners.iter().zip([40.0, 20.0, 60.0, 30.0]) {
            assert!((found - expected).abs() < 1e-9, "{corners:?}");
        }
    }
}

fn without_untrained(dir: &TempDir) -> Vec<(Problem, usize)> {
    let mut found = problems(&opened(dir).findings);
    found.retain(|(problem, _)| *problem != Problem::UntrainedClass);
    found
}

#[test]
fn the_box_of_a_pose_is_in_its_columns_2_to_5() {
    for (shape, keypoints) in [
        ("[4, 2]", " 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9".to_owned()),
        ("[17, 3]", " 0.1 0.9 2".repeat(17)),
        ("\n  - 5\n  - 3", " 0.1 0.9 0.5".repeat(5)),
        ("[2, 2]", " 0.1 0.9 0.9 0.1".to_owned()),
    ] {
        let yaml = format!("kpt_shape: {shape}\nflip_idx: [0, 1]\n");
        let dir = labelled(&format!("{BOX}{keypoints}\n"), &yaml);
        assert_boxes(&dir, 1);
        assert_eq!(without_untrained(&dir), [], "{shape}");
    }
}

#[test]
fn flip_idx_without_kpt_shape_is_refused() {
    let dir = labelled(BOX, "flip_idx: [1, 0]\n");
    assert_eq!(
        refusal(&dir),
        "DIR/data.yaml, line 4: flip_idx says that the labels have keypoints, and there is no key kpt_shape; add kpt_shape: [keypoints, 2 or 3]"
    );
    assert_boxes(&labelled(BOX, "flip_idx: []\n"), 1);
}

#[test]
fn a_line_that_contradicts_kpt_shape_is_malformed() {
    let lines = format!("{BOX} 0.1 0.1\n{BOX} 0.1 0.1 0.9 0.9\n{BOX} 0.5\n");
    let dir = labelled(&lines, "kpt_shape: [2, 2]\n");
    assert_boxes(&dir, 1);
    let findings = opened(&dir).findings;
    assert_eq!(findings.count(Problem::Malformed), 2);
    let example = &findings.examples(Problem::Malformed)[0];
    assert!(
        example.ends_with("a.txt, line 1: expected class x y width height, with 4 numbers of keypoints as kpt_shape say or with none, found 7 numbers"),
        "{example}"
    );
}

#[test]
fn kpt_shape_of_another_form_names_its_line() {
    for (shape, found) in [
        ("[17]", "found [17]"),
        ("[17, 4]", "found [17, 4]"),
        ("[0, 2]", "found [0, 2]"),
        ("[a, 3]", "found [a, 3]"),
        ("[99999999, 3]", "found [99999999, 3]"),
        ("17", "found the text \"17\""),
        ("{a: b}", "found a mapping"),
    ] {
        let message = refusal(&labelled(BOX, &format!("kpt_shape: {shape}\n")));
        assert_eq!(
            message,
            format!(
                "DIR/data.yaml, line 4: expected kpt_shape: to be [keypoints, 2 or 3], {found}; fix the line"
            )
        );
    }
}

#[test]
fn keypoints_that_nothing_declares_are_known_by_their_flags() {
    let pose = format!("{BOX}{}\n", " 0.1 0.9 2 0.3 0.3 0".repeat(8) + " 0.2 0.2 1");
    let dir = labelled(&pose, "");
    assert_boxes(&dir, 1);
    assert_eq!(without_untrained(&dir), [(Problem::UndeclaredKeypoints, 1)]);
}

#[test]
fn outlines_stay_outlines_whatever_their_number_of_points() {
    let rectangle = "0 0.4 0.4 0.6 0.4 0.6 0.6 0.4 0.6\n";
    let dir = labelled(rectangle, "");
    assert_boxes(&dir, 1);
    assert_eq!(without_untrained(&dir), []);
    let five = "0 0.4 0.4 0.6 0.4 0.6 0.6 0.5 0.6 0.4 0.5\n";
    let other = "1 0.1 0.1 0.2 0.1 0.2 0.2 0.15 0.2 0.1 0.15\n1 0.3 0.1 0.4 0.1 0.4 0.2 0.35 0.2 0.3 0.15\n";
    let dir = labelled(&format!("{five}{other}"), "");
    let read = opened(&dir);
    assert_eq!(read.dataset.train[0].label.objects.len(), 3);
    assert_eq!(problems(&read.findings), [(Problem::EqualOutlines, 1)]);
}

#[test]
fn predictions_that_were_saved_as_labels_give_their_box() {
    let dir = labelled(&format!("{BOX} 0.87\n"), "");
    assert_boxes(&dir, 1);
    assert_eq!(without_untrained(&dir), [(Problem::ExtraNumbers, 1)]);
    let track = format!("{BOX} 12\n");
    assert_boxes(&labelled(&track, ""), 1);
    let dir = labelled(&format!("{BOX} 0.87 1\n1 0.2 0.2 0.1 0.1 0.5 2\n"), "");
    let read = opened(&dir);
    assert_eq!(read.dataset.train[0].label.objects.len(), 2);
    assert_eq!(problems(&read.findings), [(Problem::ExtraNumbers, 2)]);
    let turned = labelled(&format!("{BOX}\n0 0.5 0.5 0.3 0.2 -0.7\n"), "");
    assert_eq!(without_untrained(&turned), [(Problem::Malformed, 1)]);
}

#[test]
fn labels_in_pixels_are_refused() {
    let lines = "0 50 25 20 10\n1 20 12 8 8\n";
    let dir = yolo(&[("a", lines.as_bytes())]);
    add(dir.path(), "labels/val/v.txt", "0 50 25 20 10\n");
    assert_eq!(
        refusal(&dir),
        "DIR: 3 of 3 labels are not fractions of the image, such as DIR/labels/train/a.txt, line 1: the box x 4000 to 6000, y 1000 to 1500 in a picture of 100×50; they look like pixels or percent: divide x and width by the image's width, y and height by its height"
    );
    // One bad line among good ones costs that line.
    let dir = labelled(&format!("{BOX}\n0 50 25 20 10\n"), "");
    assert_boxes(&dir, 1);
    assert_eq!(without_untrained(&dir), [(Problem::OutsideBox, 1)]);
}

#[test]
fn labels_with_two_corners_are_refused() {
    let corners = [
        [0.1, 0.2, 0.6, 0.8],
        [0.7, 0.5, 0.9, 0.8],
        [0.5, 0.7, 0.8, 0.9],
        [0.4, 0.4, 0.5, 0.5],
    ];
    let line = |[a, b, c, d]: [f64; 4]| format!("0 {a} {b} {c} {d}\n");
    let lines: String = corners.into_iter().map(line).collect();
    let dir = yolo(&[("a", lines.as_bytes())]);
    add(dir.path(), "labels/val/v.txt", line([0.1, 0.1, 0.7, 0.3]));
    let message = refusal(&dir);
    let start = "DIR: 4 of 5 boxes reach out of their image, such as DIR/labels/train/a.txt, line 1: the box x ";
    assert!(message.starts_with(start), "{message}");
    assert!(message.ends_with("they look like two corners (left, top, right, bottom): write class, centre x, centre y, width and height"), "{message}");
    // Large boxes with a true centre are what they are.
    let dir = labelled(&"0 0.5 0.5 0.9 0.9\n0 0.4 0.4 0.7 0.7\n".repeat(3), "");
    assert_eq!(opened(&dir).dataset.train[0].label.objects.len(), 2);
}

#[test]
fn lines_that_end_as_on_an_old_mac_are_lines() {
    let dir = labelled(
        "0 0.5 0.5 0.2 0.2\r1 0.2 0.2 0.1 0.1\r1 0.3 0.3 0.1 0.1\r",
        "",
    );
    let read = opened(&dir);
    assert_eq!(read.dataset.train[0].label.objects.len(), 3);
    assert_eq!(problems(&read.findings), []);
}

#[test]
fn classes_that_are_counted_from_1_are_refused() {
    let dir = yolo(&[("a", b"1 0.5 0.5 0.2 0.2\n2 0.2 0.2 0.1 0.1\n")]);
    add(dir.path(), "labels/val/v.txt", "1 0.5 0.5 0.2 0.2\n");
    assert_eq!(
        refusal(&dir),
        "DIR: no label has the class 0, and 1 have the class 2, where the 2 classes have the numbers 0 to 1, such as DIR/labels/train/a.txt, line 2: expected a class from 0 to 1, found 2; they look counted from 1: subtract 1 from every class, or add the class 0 to names"
    );
    // With a class 0 anywhere they are counted from 0, and the line is wrong.
    add(dir.path(), "labels/val/v.txt", "0 0.5 0.5 0.2 0.2\n");
    assert_eq!(opened(&dir).findings.count(Problem::UnknownClass), 1);
}

#[test]
fn label_files_are_read_in_any_encoding() {
    let utf_16 = |order: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "0 0.5 0.5 0.2 0.2\r\n"
            .encode_utf16()
            .flat_map(order)
            .collect()
    };
    let marked = [&b"\xff\xfe"[..], &utf_16(u16::to_le_bytes)].concat();
    let gbk = b"0 0.5 0.5 0.2 0.2\n\xcd\xbc\xc6\xac\n".to_vec();
    for (bytes, bad) in [
        (marked, 0),
        (utf_16(u16::to_le_bytes), 0),
        (utf_16(u16::to_be_bytes), 0),
        (gbk, 1),
    ] {
        let dir = labelled("", "");
        add(dir.path(), "labels/train/a.txt", &bytes);
        assert_boxes(&dir, 1);
        assert_eq!(opened(&dir).findings.count(Problem::Malformed), bad);
    }
}

#[cfg(unix)]
#[test]
fn label_files_that_are_pipes_or_huge_are_refused_without_reading() {
    let dir = labelled(BOX, "");
    let file = dir.path().join("labels/train/a.txt");
    fs::remove_file(&file).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&file).status();
    assert!(made.unwrap().success());
    let pipe = "cannot read DIR/labels/train/a.txt: it is a pipe, not a file";
    assert!(refusal(&dir).starts_with(pipe), "{}", refusal(&dir));
    fs::remove_file(&file).unwrap();
    fs::File::create(&file).unwrap().set_len(100 << 30).unwrap();
    let huge = "cannot read DIR/labels/train/a.txt: it has 107374182400 bytes, more than the limit";
    assert!(refusal(&dir).starts_with(huge), "{}", refusal(&dir));
}
