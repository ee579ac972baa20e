//! Detection data written in another layout, and the report on a data set.

#[path = "common/detection.rs"]
#[allow(dead_code)]
mod detection;

use detection::{add, add_picture, boxes, coco, opened, problems, voc, voc_object, yolo};
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use warmstart_data::scenes::{Layout, OpenedScenes, Problem, Report, layout, open, write};
use warmstart_data::{BoundingBox, Dataset, Object, Sample, Scene, Skipped, decode};

const LAYOUTS: [Layout; 3] = [Layout::Coco, Layout::Yolo, Layout::Voc];

/// Writes a data set and opens what was written.
fn through(dataset: &Dataset<Scene>, kind: Layout) -> (TempDir, OpenedScenes) {
    let out = tempfile::tempdir().unwrap();
    write(dataset, out.path(), kind).unwrap();
    assert_eq!(layout(out.path()), Some(kind));
    let read = open(out.path(), 0.5, 0).unwrap();
    (out, read)
}

fn scenes(dataset: &Dataset<Scene>) -> Vec<&Scene> {
    let splits = [&dataset.train, &dataset.validation];
    let splits = splits.into_iter().chain(&dataset.test);
    splits.flatten().map(|sample| &sample.label).collect()
}

fn object(class: usize, left: f64, top: f64, width: f64, height: f64) -> Object {
    Object {
        class,
        bounds: BoundingBox {
            left,
            top,
            right: left + width,
            bottom: top + height,
        },
        area: width * height,
        crowd: false,
        difficult: false,
    }
}

/// Some pictures that lie in a folder, all of 100×50.
fn pictures(dir: &Path, count: usize) -> Vec<Sample<Scene>> {
    let picture = |index: usize| {
        let name = format!("{index:02}.png");
        add_picture(dir, &name, 100, 50);
        Sample {
            path: dir.join(name),
            label: Scene {
                width: 100,
                height: 50,
                objects: vec![object(0, 1.0, 2.0, 3.0, 4.0)],
            },
        }
    };
    (0..count).map(picture).collect()
}

fn dataset(train: Vec<Sample<Scene>>, validation: Vec<Sample<Scene>>) -> Dataset<Scene> {
    Dataset {
        classes: vec!["zebra".into(), "a \"b\": <c> & d".into(), "ñ, no".into()],
        train,
        validation,
        test: None,
        ignored: Skipped::default(),
        without_validation: vec![],
        notes: Vec::new(),
    }
}

fn any_object() -> impl Strategy<Value = Object> {
    let side = 0.01..1.0f64;
    (0..3usize, 0.0..1.0f64, 0.0..1.0f64, side.clone(), side).prop_map(|(class, x, y, w, h)| {
        let (w, h) = (w * 100.0, h * 50.0);
        object(class, x * (100.0 - w), y * (50.0 - h), w, h)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn boxes_come_back_from_every_layout(
        objects in proptest::collection::vec(proptest::collection::vec(any_object(), 0..6), 4)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut images = pictures(dir.path(), 4);
        for (image, objects) in images.iter_mut().zip(objects) {
            image.label.objects.extend(objects);
        }
        let validation = images.split_off(3);
        let test = images.split_off(2);
        let dataset = Dataset { test: Some(test), ..dataset(images, validation) };
        for kind in LAYOUTS {
            let (_out, read) = through(&dataset, kind);
            prop_assert_eq!(&read.dataset.classes, &dataset.classes);
            let known = [Problem::UntrainedClass];
            prop_assert!(read.findings.iter().all(|(problem, _)| known.contains(&problem)));
            let (found, expected) = (scenes(&read.dataset), scenes(&dataset));
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.into_iter().zip(expected) {
                prop_assert_eq!(found.objects.len(), expected.objects.len());
                for (a, b) in found.objects.iter().zip(&expected.objects) {
                    prop_assert_eq!(a.class, b.class);
                    let (a, b) = (a.bounds, b.bounds);
                    for (a, b) in [(a.left, b.left), (a.top, b.top), (a.right, b.right), (a.bottom, b.bottom)] {
                        prop_assert!((a - b).abs() < 1e-6, "{kind:?}: {a} is not {b}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_layout_becomes_every_other() {
    let objects =
        voc_object("dog", ["11", "21", "40", "30"]) + &voc_object("cat", ["1", "1", "1", "1"]);
    let sources = [
        coco(
            r#"{"id": 5, "file_name": "a.png"}"#,
            r#"{"image_id": 5, "category_id": 7, "bbox": [10, 20, 30, 10]},
               {"image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1]}"#,
        ),
        yolo(&[("a", b"1 0.25 0.5 0.3 0.2\n0 0.005 0.01 0.01 0.02\n")]),
        voc(&[("a", &objects)]),
    ];
    for source in &sources {
        let source = opened(source).dataset;
        for kind in LAYOUTS {
            let (_out, read) = through(&source, kind);
            assert_eq!(read.dataset.classes, ["cat", "dog"]);
            assert_eq!(problems(&read.findings), []);
            let rounded: Vec<(usize, [f64; 4])> = boxes(&read.dataset.train[0].label)
                .into_iter()
                .map(|(class, corners)| (class, corners.map(|v| (v * 1e4).round() / 1e4)))
                .collect();
            assert_eq!(
                rounded,
                [(1, [10.0, 20.0, 40.0, 30.0]), (0, [0.0, 0.0, 1.0, 1.0])]
            );
        }
    }
}

#[test]
fn coco_keeps_areas_and_crowds_and_voc_difficult_marks() {
    let dir = tempfile::tempdir().unwrap();
    let mut images = pictures(dir.path(), 2);
    let objects = &mut images[0].label.objects;
    objects.push(Object {
        area: 7.0,
        crowd: true,
        ..object(1, 5.0, 5.0, 20.0, 20.0)
    });
    objects.push(Object {
        difficult: true,
        ..object(2, 5.0, 5.0, 10.0, 10.0)
    });
    let validation = images.split_off(1);
    let dataset = dataset(images, validation);
    let written = |kind| {
        let out = tempfile::tempdir().unwrap();
        let written = write(&dataset, out.path(), kind).unwrap();
        let read = open(out.path(), 0.5, 0).unwrap().dataset;
        (written, read.train[0].label.objects.clone())
    };
    let (coco, objects) = written(Layout::Coco);
    assert_eq!(
        (
            coco.images,
            coco.objects,
            coco.crowds_left_out,
            coco.difficult_lost
        ),
        (2, 4, 0, 1)
    );
    assert_eq!((objects[1].area, objects[1].crowd), (7.0, true));
    let (voc, objects) = written(Layout::Voc);
    assert_eq!(
        (voc.objects, voc.crowds_left_out, voc.difficult_lost),
        (3, 1, 0)
    );
    assert_eq!(
        objects.iter().map(|o| o.difficult).collect::<Vec<_>>(),
        [false, true]
    );
    let (yolo, objects) = written(Layout::Yolo);
    assert_eq!(
        (yolo.objects, yolo.crowds_left_out, yolo.difficult_lost),
        (3, 1, 1)
    );
    assert_eq!(objects.len(), 2);
}

#[test]
fn images_of_one_name_get_different_ones() {
    let dir = tempfile::tempdir().unwrap();
    let names = [
        "x/a.png",
        "y/a.png",
        "w/A.PNG",
        "y/a.webp",
        "z/.b.png",
        "z/no_extension",
        "z/a_2.png",
    ];
    let mut images = pictures(dir.path(), names.len() + 1);
    for (image, name) in images.iter_mut().zip(names) {
        add(dir.path(), name, fs::read(&image.path).unwrap());
        image.path = dir.path().join(name);
    }
    let validation = images.split_off(names.len());
    for kind in LAYOUTS {
        let dataset = dataset(images.clone(), validation.clone());
        let out = tempfile::tempdir().unwrap();
        let written = write(&dataset, out.path(), kind).unwrap();
        assert_eq!(written.renamed, 6);
        let read = open(out.path(), 0.5, 0).unwrap();
        let mut found: Vec<String> = read
            .dataset
            .train
            .iter()
            .map(|sample| {
                assert_eq!(sample.label.objects.len(), 1);
                assert!(decode(&sample.path).is_ok());
                sample
                    .path
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        found.sort();
        let expected = [
            "A_3.PNG",
            "_b.png",
            "a.png",
            "a_2.png",
            "a_2_2.png",
            "a_4.webp",
            "no_extension.jpg",
        ];
        assert_eq!(found, expected, "{kind:?}");
    }
}

#[test]
fn a_folder_that_is_not_empty_is_not_written_to() {
    let source = opened(&yolo(&[("a", b"1 0.25 0.5 0.3 0.2")]));
    let out = tempfile::tempdir().unwrap();
    add(out.path(), "thesis.txt", "");
    let message = write(&source.dataset, out.path(), Layout::Coco)
        .unwrap_err()
        .to_string();
    assert!(
        message.ends_with("it is not empty; give a new folder, so that nothing is overwritten")
    );
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
    let message = write(
        &source.dataset,
        &out.path().join("thesis.txt"),
        Layout::Coco,
    );
    assert!(message.unwrap_err().to_string().starts_with("cannot write"));
}

#[test]
fn a_class_that_voc_cannot_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut images = pictures(dir.path(), 2);
    let validation = images.split_off(1);
    let mut dataset = dataset(images, validation);
    dataset.classes[0] = "two\nlines".into();
    let (_out, read) = through(&dataset, Layout::Yolo);
    assert_eq!(read.dataset.classes[0], "two\nlines");
    let out = tempfile::tempdir().unwrap();
    let message = write(&dataset, out.path(), Layout::Voc)
        .unwrap_err()
        .to_string();
    assert!(message.ends_with(
        "VOC has a class name a line, which \"two\\nlines\" does not fit; rename the class"
    ));
}

#[test]
fn the_report_counts_what_is_there() {
    let dir = yolo(&[
        (
            "a",
            b"0 0.5 0.5 1 1\n1 0.5 0.5 0.01 0.01\n1 0.1 0.1 0.1 0.1\n9 0.5 0.5 0.1 0.1\n",
        ),
        ("b", b""),
    ]);
    add(dir.path(), "images/train/c.png", "no picture");
    let cut = fs::read(dir.path().join("images/train/b.png")).unwrap();
    add(dir.path(), "images/train/d.png", &cut[..cut.len() - 20]);
    let read = opened(&dir);
    let mut report = Report::new(&read);
    let train = &report.splits[0];
    assert_eq!(
        (train.images, train.without_boxes, train.objects),
        (3, 2, 3)
    );
    let classes: Vec<(&str, usize)> = train
        .by_class
        .iter()
        .map(|c| (&c.class[..], c.objects))
        .collect();
    assert_eq!(classes, [("cat", 1), ("dog", 2)]);
    let sides: Vec<usize> = train.by_side.iter().map(|side| side.objects).collect();
    assert_eq!(sides.iter().sum::<usize>(), 3);
    assert_eq!((sides[0], sides[8]), (1, 1));
    assert_eq!(
        (
            train.by_area.small,
            train.by_area.medium,
            train.by_area.large
        ),
        (2, 1, 0)
    );
    assert_eq!(report.unreadable.len(), 1);
    report.decode_images(&read, |_, _| {});
    assert_eq!(report.unreadable.len(), 2);

    let json = serde_json::to_string(&report).unwrap();
    assert!(
        json.contains(r#""unknown_class":{"count":1,"examples":["#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let text = report.to_string();
    assert!(
        text.contains("train: 3 images (2 without objects), 3 objects (at most 3 in an image)\n"),
        "{text}"
    );
    assert!(
        text.contains("      1 object is of an unknown class (dropped)\n"),
        "{text}"
    );
    assert!(text.contains("decoding every image: 2 damaged\n"), "{text}");
}
