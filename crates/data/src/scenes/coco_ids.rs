//! The ids that a COCO data set gives to its images and classes in its files of annotations.

use super::coco_json::key;
use super::json::{parse_json, read_json};
use super::json_kind::JsonKind;
use super::label_listing::LabelListing;
use super::layout::{Layout, layout};
use super::pictures::{Name, Pictures};
use super::reading::class_name;
use super::splitting::by_split;
use crate::error::DataError;
use crate::split_kind::SplitKind;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use warmstart_language::english;

/// Ids as they are in a data set's files of annotations, numbers or texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CocoIds {
    /// Id of each image, by its path in the data set that [`open`](super::open()) gives.
    pub images: HashMap<PathBuf, Value>,
    /// Id of each class, by its name.
    pub categories: HashMap<String, Value>,
}

/// The two lists of a file of annotations that ids are in.
#[derive(Deserialize)]
struct Lists {
    images: Vec<Value>,
    categories: Vec<Value>,
}

/// The ids of the images and classes of a COCO data set; none of a data set of another layout. `split` is the split
/// that they are for: where an image or a class is in several files, the id is that of the split's own.
///
/// # Errors
/// If a file of annotations cannot be read or is not of its format, or two are for one split.
pub fn coco_ids(dir: &Path, split: SplitKind) -> Result<Option<CocoIds>, DataError> {
    if layout(dir) != Some(Layout::Coco) {
        return Ok(None);
    }
    let labels = LabelListing::of(dir);
    let files: Vec<PathBuf> = labels.of_kind(JsonKind::Coco).cloned().collect();
    let mut files = by_split(dir, &files)?.files;
    files.sort_by_key(|(kind, _)| *kind != split);
    let pictures = Pictures::below(dir)?;
    let mut ids = CocoIds::default();
    for (kind, file) in &files {
        let others = files.iter().map(|(other, _)| *other);
        let others: Vec<SplitKind> = others.filter(|other| other != kind).collect();
        ids.add(&pictures, (*kind, file.as_path()), &others)?;
    }
    Ok(Some(ids))
}

impl CocoIds {
    /// Adds the ids of a file for what has none yet. `others` are the splits with files of their own.
    fn add(
        &mut self,
        pictures: &Pictures,
        (kind, file): (SplitKind, &Path),
        others: &[SplitKind],
    ) -> Result<(), DataError> {
        let text = read_json(file)?;
        let expected = english!("COCO's JSON with images and categories");
        let lists: Lists = parse_json(file, &text, expected)?;
        for category in &lists.categories {
            if let (Some(_), Some(name)) = (key(&category["id"]), key(&category["name"])) {
                let own = self.categories.entry(class_name(&name));
                own.or_insert_with(|| category["id"].clone());
            }
        }
        let named = lists.images.iter().filter_map(|image| {
            let name = Name::new(image["file_name"].as_str()?)?;
            key(&image["id"]).is_some().then_some((name, &image["id"]))
        });
        let named: Vec<(Name, &Value)> = named.collect();
        let names: Vec<&Name> = named.iter().map(|(name, _)| name).collect();
        let Some(base) = pictures.base(&names, kind, others) else {
            return Ok(());
        };
        for (name, id) in &named {
            if let Some(path) = pictures.of_name(&base, name) {
                self.images.entry(path).or_insert_with(|| (*id).clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn write(path: &Path, content: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn annotations(images: Value, categories: Value) -> String {
        json!({"images": images, "annotations": [], "categories": categories}).to_string()
    }

    #[test]
    fn ids_are_those_of_the_split_s_own_file() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for picture in ["train/a.png", "train/b.png", "val/a.png"] {
            write(&dir.join(picture), "");
        }
        let train = annotations(
            json!([
                {"id": 7, "file_name": "a.png"}, {"id": "b", "file_name": "b.png"},
                {"file_name": "without.png"}, 3,
            ]),
            json!([{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}]),
        );
        let val = annotations(
            json!([{"id": 7, "file_name": "a.png"}]),
            json!([{"id": 2, "name": "dog"}]),
        );
        write(&dir.join("annotations/instances_train.json"), &train);
        write(&dir.join("annotations/instances_val.json"), &val);
        let ids = coco_ids(dir, SplitKind::Validation).unwrap().unwrap();
        let images = [
            ("train/a.png", json!(7)),
            ("train/b.png", json!("b")),
            ("val/a.png", json!(7)),
        ];
        let images = images.map(|(path, id)| (dir.join(path), id));
        assert_eq!(ids.images, HashMap::from(images));
        let categories = [("cat", json!(17)), ("dog", json!(2))];
        let categories = categories.map(|(name, id)| (name.to_owned(), id));
        assert_eq!(ids.categories, HashMap::from(categories));
        let ids = coco_ids(dir, SplitKind::Train).unwrap().unwrap();
        assert_eq!(ids.categories["dog"], 18);
    }

    #[test]
    fn another_layout_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(coco_ids(dir.path(), SplitKind::Test).unwrap(), None);
    }
}
