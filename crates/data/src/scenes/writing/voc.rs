//! `Annotations/`, `JPEGImages/`, `ImageSets/Main/<split>.txt` and `classes.txt`.

use super::split::{Image, Split, create_folder, place_images, write_file};
use crate::error::DataError;
use std::fmt::Write;
use std::path::Path;
use warmstart_language::message;

/// Writes all splits into one folder of images with a list each.
pub(super) fn write(classes: &[String], splits: &[Split], out: &Path) -> Result<(), DataError> {
    let unfit = |class: &&String| {
        class.is_empty() || class.contains(char::is_control) || class.trim() != *class
    };
    if let Some(class) = classes.iter().find(unfit) {
        let problem =
            message!("VOC has a class name a line, which {class:?} does not fit; rename the class");
        return Err(DataError::Layout {
            folder: out.to_path_buf(),
            problem,
        });
    }
    let (annotations, sets) = (out.join("Annotations"), out.join("ImageSets/Main"));
    create_folder(&annotations)?;
    create_folder(&sets)?;
    for split in splits {
        place_images(split, &out.join("JPEGImages"))?;
        let mut list = String::new();
        for image in &split.images {
            let _ = writeln!(list, "{}", image.stem());
            let file = annotations.join(format!("{}.xml", image.stem()));
            write_file(&file, annotation(image, classes))?;
        }
        write_file(&sets.join(format!("{}.txt", split.name)), list)?;
    }
    let classes = classes.iter().map(|class| format!("{class}\n"));
    write_file(&out.join("classes.txt"), classes.collect::<String>())
}

fn annotation(image: &Image, classes: &[String]) -> String {
    let (name, width, height) = (escaped(&image.name), image.scene.width, image.scene.height);
    let mut xml = format!(
        "<annotation>\n  <folder>JPEGImages</folder>\n  <filename>{name}</filename>\n  <size>\n    <width>{width}</width>\n    <height>{height}</height>\n    <depth>3</depth>\n  </size>\n  <segmented>0</segmented>\n"
    );
    for object in &image.objects {
        let class = escaped(&classes[object.class]);
        let difficult = u8::from(object.difficult);
        let bounds = object.bounds;
        let (xmin, ymin) = (bounds.left + 1.0, bounds.top + 1.0);
        let (xmax, ymax) = (bounds.right, bounds.bottom);
        let _ = writeln!(
            xml,
            "  <object>\n    <name>{class}</name>\n    <pose>Unspecified</pose>\n    <truncated>0</truncated>\n    <difficult>{difficult}</difficult>\n    <bndbox>\n      <xmin>{xmin}</xmin>\n      <ymin>{ymin}</ymin>\n      <xmax>{xmax}</xmax>\n      <ymax>{ymax}</ymax>\n    </bndbox>\n  </object>"
        );
    }
    xml + "</annotation>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
