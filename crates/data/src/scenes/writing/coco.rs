//! `annotations/instances_<split>.json` beside the images in `<split>/`.

use super::split::{Split, create_folder, place_images, write_file};
use crate::error::DataError;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct Annotations<'a> {
    images: Vec<Image<'a>>,
    annotations: Vec<Annotation>,
    categories: Vec<Category<'a>>,
}

#[derive(Serialize)]
struct Image<'a> {
    id: usize,
    file_name: &'a str,
    width: usize,
    height: usize,
}

#[derive(Serialize)]
struct Annotation {
    id: usize,
    image_id: usize,
    category_id: usize,
    bbox: [f64; 4],
    area: f64,
    iscrowd: u8,
    segmentation: [f64; 0],
}

#[derive(Serialize)]
struct Category<'a> {
    id: usize,
    name: &'a str,
}

/// Writes all splits. Ids count from 1, as tools that take 0 for the background expect.
pub(super) fn write(classes: &[String], splits: &[Split], out: &Path) -> Result<(), DataError> {
    create_folder(&out.join("annotations"))?;
    for split in splits {
        place_images(split, &out.join(split.name))?;
        let categories = (1..).zip(classes);
        let mut file = Annotations {
            images: Vec::new(),
            annotations: Vec::new(),
            categories: categories.map(|(id, name)| Category { id, name }).collect(),
        };
        for (image_id, image) in (1..).zip(&split.images) {
            file.images.push(Image {
                id: image_id,
                file_name: &image.name,
                width: image.scene.width,
                height: image.scene.height,
            });
            for object in &image.objects {
                let bounds = object.bounds;
                file.annotations.push(Annotation {
                    id: file.annotations.len() + 1,
                    image_id,
                    category_id: object.class + 1,
                    bbox: [bounds.left, bounds.top, bounds.width(), bounds.height()],
                    area: object.area,
                    iscrowd: object.crowd.into(),
                    segmentation: [],
                });
            }
        }
        let path = out.join(format!("annotations/instances_{}.json", split.name));
        let json =
            serde_json::to_vec(&file).map_err(|error| DataError::write(&path, error.into()))?;
        write_file(&path, json)?;
    }
    Ok(())
}
