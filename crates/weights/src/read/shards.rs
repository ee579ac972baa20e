//! `model.safetensors.index.json` and `pytorch_model.bin.index.json`, as Hugging Face's libraries write them
//! beside the files of a model that is too large for one.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::Deserialize;
use warmstart_language::{english, message};

use super::content::Content;
use super::read_one;
use super::weight_file::{Format, WeightFile};
use crate::WeightError;
use crate::text::cut_line;

/// Largest index that is read: an index has some hundred bytes per tensor.
pub(super) const MAX_INDEX: u64 = 64 << 20;

#[derive(Deserialize)]
struct Index {
    /// Name of the file by tensor.
    weight_map: BTreeMap<String, String>,
}

/// Reads the tensors of all files that an index names, which have to be in its folder.
pub(super) fn read(path: &Path) -> Result<WeightFile, WeightError> {
    let damaged = |detail: String| WeightError::Damaged {
        path: path.into(),
        detail,
    };
    let bytes = warmstart_files::read(path, MAX_INDEX).map_err(|source| WeightError::Io {
        path: path.into(),
        action: english!("read"),
        source,
    })?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|e| {
        damaged(message!(
            "index of shards: {}",
            cut_line(&e.to_string(), 200)
        ))
    })?;
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, file) in &index.weight_map {
        names.entry(file).or_default().push(tensor);
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut whole = WeightFile {
        path: path.into(),
        format: Format::Sharded,
        stripped: Vec::new(),
        set_aside: Vec::new(),
        ignored_objects: Vec::new(),
        classes: None,
        unreadable: BTreeMap::new(),
        not_finite: Vec::new(),
        tensors: BTreeMap::new(),
        metadata: None,
    };
    for (name, tensors) in names {
        if !is_inside(name) {
            return Err(WeightError::Unsupported {
                path: path.into(),
                found: message!(
                    "it names the shard {}, which is not in its folder",
                    cut_line(name, 100)
                ),
                fix: message!("put the shards beside the index and list them by bare name"),
            });
        }
        let shard = folder.join(name);
        let mut file = read_one(&shard, Content::of(&shard)?)?;
        let prefix: String = file.stripped.iter().map(|key| format!("{key}.")).collect();
        for tensor in tensors {
            // A stripped wrapper may be part of the names in the index.
            let key = tensor.strip_prefix(&prefix).unwrap_or(tensor);
            if let Some(values) = file.tensors.remove(key) {
                whole.tensors.insert(tensor.to_owned(), values);
            } else if let Some(unreadable) = file.unreadable.remove(key) {
                whole.unreadable.insert(tensor.to_owned(), unreadable);
            } else {
                return Err(damaged(message!(
                    "its shard {} has no tensor {}",
                    cut_line(name, 100),
                    cut_line(tensor, 100)
                )));
            }
        }
        whole.ignored_objects.append(&mut file.ignored_objects);
        whole.classes = whole.classes.or(file.classes);
    }
    Ok(whole)
}

fn is_inside(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!(parts.next(), Some(Component::Normal(_)))
        && parts.all(|part| matches!(part, Component::Normal(_)))
}
