//! The file of `eval --coco-json`: what a detector finds, as COCO's results.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use warmstart_data::scenes::{CocoIds, coco_ids};
use warmstart_data::{Sample, Scene, SplitKind};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::{Key, Problem};
use warmstart_run::replace_file;
use warmstart_tasks::class_names::places_in;
use warmstart_tasks::detect::found_object::JudgedScene;

use super::Failure;
use super::eval_files::require_folder;
use crate::printing::print_to_stderr;

/// Most bytes at the beginning of a file that are looked at to see whether it holds results.
const LOOKED_AT: u64 = 256;

/// Names of an object's values, any of which may come first.
const KEYS: [&str; 4] = ["image_id", "category_id", "bbox", "score"];

/// An object as COCO's results have it: <https://cocodataset.org/#format-results>.
#[derive(Serialize)]
struct CocoResult<'a> {
    image_id: &'a Value,
    category_id: &'a Value,
    /// Left, top, width and height in pixels.
    bbox: [f32; 4],
    score: f32,
}

/// What a detector finds, object by object; kept in memory until all images are judged, so that the file is never half
/// written.
pub struct CocoResults<'a> {
    path: &'a Path,
    /// Id of each image.
    images: HashMap<PathBuf, Value>,
    /// Id of each of the model's classes; `None` of one that the data set does not have.
    categories: Vec<Option<Value>>,
    /// The objects so far, separated by commas.
    objects: Vec<u8>,
}

impl<'a> CocoResults<'a> {
    /// Results for images of a split of a data set; `classes` are the model's.
    ///
    /// # Errors
    /// If the file cannot be written or holds something else, or the images cannot be told apart, which is told before
    /// any is judged.
    pub fn new(
        path: &'a Path,
        (data, split): (&Path, SplitKind),
        samples: &[Sample<Scene>],
        classes: &[String],
    ) -> Result<Self, Failure> {
        require_folder(path)?;
        require_results(path)?;
        let (images, categories) = match coco_ids(data, split)? {
            Some(ids) => {
                let categories = categories(&ids, classes);
                (ids.images, categories)
            }
            None => {
                let numbers = (1..=classes.len()).map(|number| Some(Value::from(number)));
                (numbered(samples)?, numbers.collect())
            }
        };
        if let Some(sample) = samples.iter().find(|it| !images.contains_key(&it.path)) {
            let what = message!("no file of annotations has its id, which COCO's results need");
            return Err(Problem::new(what)
                .of_file(&sample.path)
                .of_key(Key("coco_json"))
                .fix(message!("add it, or leave --coco-json out"))
                .into());
        }
        Ok(Self {
            path,
            images,
            categories,
            objects: Vec::new(),
        })
    }

    /// Adds the objects of an image.
    pub fn add(&mut self, scene: &JudgedScene) {
        let image_id = &self.images[&scene.path];
        for object in &scene.objects {
            let found = &object.found;
            let Some(category_id) = &self.categories[found.class] else {
                continue;
            };
            let [left, top, ..] = found.bounds.corners();
            let [width, height] = [found.bounds.width(), found.bounds.height()];
            let result = CocoResult {
                image_id,
                category_id,
                bbox: [left, top, width, height].map(|at| at as f32),
                score: found.score,
            };
            let separator: &[u8] = if self.objects.is_empty() {
                b"\n"
            } else {
                b",\n"
            };
            self.objects.extend_from_slice(separator);
            let written = serde_json::to_writer(&mut self.objects, &result);
            written.expect("memory takes every object");
        }
    }

    /// Writes the file, and says so.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(self) -> Result<(), Failure> {
        let text = [&b"["[..], &self.objects, &b"\n]\n"[..]].concat();
        replace_file(self.path, &text)?;
        print_to_stderr(message!("wrote {}", shown(self.path)));
        Ok(())
    }
}

/// The id of each of the model's classes in a data set, which may spell them in another way; `None` of one that it does
/// not have.
fn categories(ids: &CocoIds, classes: &[String]) -> Vec<Option<Value>> {
    let mut names: Vec<String> = ids.categories.keys().cloned().collect();
    names.sort();
    let places = places_in(classes, &names);
    let category = |(place, class): (usize, &String)| {
        let own = names.iter().zip(&places);
        let own = own.filter(|(_, of)| **of == Some(place));
        // Of two spellings, the model's own.
        let (name, _) = own.min_by_key(|(name, _)| *name != class)?;
        ids.categories.get(name).cloned()
    };
    classes.iter().enumerate().map(category).collect()
}

/// Ids for images of a data set without any: their names without the extension, as numbers where they are some.
fn numbered(samples: &[Sample<Scene>]) -> Result<HashMap<PathBuf, Value>, Failure> {
    let mut ids = HashMap::new();
    let mut taken: HashMap<String, &Path> = HashMap::new();
    for sample in samples {
        let stem = sample.path.file_stem().unwrap_or_default();
        let stem = warmstart_files::text(Path::new(stem)).into_owned();
        let is_number = stem.bytes().all(|byte| byte.is_ascii_digit());
        let number = stem.parse::<u64>().ok().filter(|_| is_number);
        let id = number.map_or_else(|| Value::from(stem), Value::from);
        if let Some(other) = taken.insert(id.to_string(), &sample.path) {
            let what = message!(
                "{} has the same name, and COCO's results could not tell the two apart",
                shown(other)
            );
            return Err(Problem::new(what)
                .of_file(&sample.path)
                .of_key(Key("coco_json"))
                .fix(message!(
                    "convert the data set (warmstart data convert --to coco), which gives each image an id"
                ))
                .into());
        }
        ids.insert(sample.path.clone(), id);
    }
    Ok(ids)
}

/// Refuses a file that holds something else than COCO's results, such as annotations or a file of a run.
fn require_results(path: &Path) -> Result<(), Failure> {
    let mut begin = Vec::new();
    let file = warmstart_files::open(path);
    let read = file.and_then(|file| file.take(LOOKED_AT).read_to_end(&mut begin));
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(0) => Ok(()),
        Ok(_) if are_results(&begin) => Ok(()),
        Ok(_) | Err(_) => Err(Problem::new(message!(
            "it exists, and does not hold COCO's results"
        ))
        .of_file(path)
        .of_key(Key("coco_json"))
        .fix(message!("give another name"))
        .into()),
    }
}

/// Whether a file that begins so holds a list of COCO's results, which may be empty.
fn are_results(begin: &[u8]) -> bool {
    let Some(list) = begin.trim_ascii().strip_prefix(b"[") else {
        return false;
    };
    let list = list.trim_ascii_start();
    if matches!(list, b"" | b"]") {
        return true;
    }
    let object = list.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    object.is_some_and(|object| {
        let mut keys = KEYS.iter().map(|key| format!("\"{key}\""));
        keys.any(|key| object.starts_with(key.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use warmstart_data::BoundingBox;
    use warmstart_tasks::detect::found_object::{FoundObject, JudgedObject};

    use super::*;

    fn samples(paths: &[&str]) -> Vec<Sample<Scene>> {
        let sample = |path: &&str| Sample {
            path: PathBuf::from(path),
            label: Scene::default(),
        };
        paths.iter().map(sample).collect()
    }

    fn new<'a>(path: &'a Path, paths: &[&str]) -> Result<CocoResults<'a>, String> {
        let classes = ["cat", "dog"].map(str::to_owned);
        let folder = path.parent().unwrap();
        let data = (folder, SplitKind::Validation);
        let results = CocoResults::new(path, data, &samples(paths), &classes);
        results.map_err(|failure| failure.line())
    }

    #[test]
    fn without_ids_images_have_their_names_and_classes_count_from_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        let mut results = new(&path, &["a/007.jpg", "b/cat.png"]).unwrap();
        let bounds = BoundingBox {
            left: 1.0,
            top: 2.0,
            right: 4.5,
            bottom: 8.0,
        };
        for (path, class) in [("a/007.jpg", 1), ("b/cat.png", 0)] {
            let found = FoundObject {
                class,
                score: 0.5,
                bounds,
            };
            results.add(&JudgedScene {
                path: PathBuf::from(path),
                objects: vec![JudgedObject {
                    found,
                    is_matched: true,
                }],
            });
        }
        assert!(results.write().is_ok());
        let text = fs::read_to_string(&path).unwrap();
        let read: Value = serde_json::from_str(&text).unwrap();
        let object = |image: Value, category: u32| {
            serde_json::json!({
                "image_id": image, "category_id": category, "bbox": [1.0, 2.0, 3.5, 6.0], "score": 0.5
            })
        };
        assert_eq!(
            read,
            Value::from(vec![object(7.into(), 2), object("cat".into(), 1)])
        );
        // Results are written over results.
        assert!(new(&path, &[]).unwrap().write().is_ok());
        assert_eq!(fs::read_to_string(&path).unwrap(), "[\n]\n");
    }

    #[test]
    fn a_class_has_the_id_of_its_name_however_it_is_spelled() {
        let named = [("Traffic_Light", 3), ("sofa", 5), ("couch", 6), ("car", 9)];
        let categories_of = named.map(|(name, id)| (name.to_owned(), Value::from(id)));
        let ids = CocoIds {
            images: HashMap::new(),
            categories: HashMap::from(categories_of),
        };
        let classes = ["couch", "traffic light", "dog"].map(str::to_owned);
        let expected = [Some(Value::from(6)), Some(Value::from(3)), None];
        assert_eq!(categories(&ids, &classes), expected);
    }

    #[test]
    fn images_of_one_name_cannot_be_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("results.json");
        let error = new(&path, &["a/7.jpg", "b/007.png"]).err().unwrap();
        assert!(error.contains("a/7.jpg has the same name"), "{error}");
    }

    #[test]
    fn nothing_but_results_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("instances_val.json");
        for other in [
            "{\"images\": []}",
            "[1, 2]",
            "[[]]",
            "[] and more",
            "[{}]",
            "[{\"id\": 1, \"image_id\": 2}]",
            "[{\"image_ids\": 2}]",
            "[\"image_id\"]",
            "image_id",
            " ",
        ] {
            fs::write(&path, other).unwrap();
            let error = new(&path, &[]).err().unwrap_or_else(|| panic!("{other}"));
            assert!(error.contains("does not hold COCO's results"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
        for results in [
            "[",
            "[ ]\n",
            "[{\"image_id\": 1,",
            "\n[\n  {\n    \"bbox\": [",
            "[{\"category_id\":1}]",
            "[{\"score\" : 1}]",
        ] {
            assert!(are_results(results.as_bytes()), "{results}");
        }
        assert!(new(&dir.path().join("no/folder.json"), &[]).is_err());
    }
}
