//! Small detection data sets.

use std::fs;
use std::path::Path;
use tempfile::TempDir;
use warmstart_data::Scene;
use warmstart_data::scenes::{Findings, OpenedScenes, Problem, open};

/// Writes a file and the folders that it lies in.
pub fn add(dir: &Path, file: &str, content: impl AsRef<[u8]>) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Writes a grey picture of that size.
pub fn add_picture(dir: &Path, file: &str, width: u32, height: u32) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(width, height, image::Rgb([128; 3]))
        .save(path)
        .unwrap();
}

/// A YOLO data set of the classes cat and dog, with pictures of 100×50 and these label files in
/// training; the one image in validation has a cat.
pub fn yolo(labels: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "train: images/train\nval: images/val\nnames: [cat, dog]\n";
    add(dir.path(), "data.yaml", yaml);
    add_picture(dir.path(), "images/val/v.png", 100, 50);
    add(dir.path(), "labels/val/v.txt", "0 0.5 0.5 0.2 0.2\n");
    for (name, label) in labels {
        add_picture(dir.path(), &format!("images/train/{name}.png"), 100, 50);
        add(dir.path(), &format!("labels/train/{name}.txt"), label);
    }
    dir
}

/// A COCO data set of the classes cat (id 1) and dog (id 7) with one picture of 100×50, id 5, in
/// training and one in validation.
pub fn coco(images: &str, annotations: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let categories = r#""categories": [{"id": 7, "name": "dog"}, {"id": 1, "name": "cat"}]"#;
    let train =
        format!(r#"{{"images": [{images}], "annotations": [{annotations}], {categories}}}"#);
    add(dir.path(), "annotations/instances_train.json", train);
    let val = format!(
        r#"{{"images": [{{"id": 1, "file_name": "v.png"}}],
            "annotations": [{{"image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5]}}], {categories}}}"#
    );
    add(dir.path(), "annotations/instances_val.json", val);
    add_picture(dir.path(), "train/a.png", 100, 50);
    add_picture(dir.path(), "val/v.png", 100, 50);
    dir
}

/// A VOC data set with pictures of 100×50 and these objects in training; the one image in validation
/// has a cat.
pub fn voc(annotations: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut names = String::new();
    for (name, objects) in annotations {
        add_picture(dir.path(), &format!("JPEGImages/{name}.png"), 100, 50);
        let xml = format!("<annotation>\n{objects}\n</annotation>");
        add(dir.path(), &format!("Annotations/{name}.xml"), xml);
        names += &format!("{name}\n");
    }
    add_picture(dir.path(), "JPEGImages/v.png", 100, 50);
    let object = voc_object("cat", ["1", "1", "9", "9"]);
    let xml = format!("<annotation>{object}</annotation>");
    add(dir.path(), "Annotations/v.xml", xml);
    add(dir.path(), "ImageSets/Main/train.txt", names);
    add(dir.path(), "ImageSets/Main/val.txt", "v\n");
    dir
}

/// An object in VOC's XML.
pub fn voc_object(class: &str, [xmin, ymin, xmax, ymax]: [&str; 4]) -> String {
    format!(
        "<object><name>{class}</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
    )
}

/// Opens a data set that must be usable.
pub fn opened(dir: &TempDir) -> OpenedScenes {
    open(dir.path(), 0.2, 0).unwrap()
}

/// The one-line message for a data set that is refused, with the folder written as DIR.
pub fn refusal(dir: &TempDir) -> String {
    let message = open(dir.path(), 0.2, 0).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    warmstart_files::plain(&message).replace(&dir.path().display().to_string(), "DIR")
}

/// Class, left, top, right and bottom of every object.
pub fn boxes(scene: &Scene) -> Vec<(usize, [f64; 4])> {
    let bounds = scene.objects.iter().map(|object| {
        let b = object.bounds;
        (object.class, [b.left, b.top, b.right, b.bottom])
    });
    bounds.collect()
}

/// The problems that were met and how often.
pub fn problems(findings: &Findings) -> Vec<(Problem, usize)> {
    findings.iter().map(|(p, found)| (p, found.count)).collect()
}
