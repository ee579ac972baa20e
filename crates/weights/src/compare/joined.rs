//! Tensors that a file holds in parts, and a model whole.

use std::collections::BTreeSet;

use super::fit::has_same_values;
use super::naming::Match;
use super::target::{Expected, Part, native};
use super::{Joined, LoadPlan, Missing, ShapeDifference};
use crate::read::{HostTensor, WeightFile};

impl LoadPlan {
    /// Joins the parts of a tensor; `keys` are theirs in the file. If one is not there or has another shape, the whole
    /// tensor does not load.
    pub(super) fn place_parts(
        &mut self,
        expected: &Expected,
        keys: &[Option<&str>],
        matched: &Match,
        file: &WeightFile,
    ) {
        if expected.part == Part::Beyond {
            let keys = keys.iter().flatten();
            self.beyond.extend(keys.map(|key| (*key).to_owned()));
            return;
        }
        let shape = expected.part_shape();
        let mut values = Vec::new();
        let mut file_names = Vec::new();
        for (part, key) in expected.parts.iter().zip(keys) {
            let tensor = key.and_then(|key| Some((key, file.tensors.get(key)?)));
            if let Some((key, tensor)) = tensor
                && has_same_values(&shape, &tensor.shape)
            {
                values.extend_from_slice(&tensor.data);
                file_names.push(key.to_owned());
                continue;
            }
            match key.and_then(|key| Some((key, shape_in(file, key)?))) {
                None => self.missing.push(Missing {
                    name: key_of_part(part, keys, matched, file),
                    shape: shape.clone(),
                    part: expected.part,
                    part_of: Some(expected.name.clone()),
                }),
                Some((key, found)) => self.wrong_shape.push(ShapeDifference {
                    name: expected.name.clone(),
                    file_name: key.to_owned(),
                    expected: shape.clone(),
                    found: found.to_vec(),
                    part: expected.part,
                }),
            }
        }
        if file_names.len() < expected.parts.len() {
            return;
        }
        self.joined.push(Joined {
            name: expected.name.clone(),
            shape: expected.shape.clone(),
            file_names,
        });
        let loaded = HostTensor {
            shape: expected.shape.clone(),
            data: values,
        };
        self.loaded.insert(expected.name.clone(), loaded);
    }
}

/// The extents that a key has in the file, even if its values cannot be read.
fn shape_in<'a>(file: &'a WeightFile, key: &str) -> Option<&'a [usize]> {
    match file.tensors.get(key) {
        Some(tensor) => Some(tensor.shape.as_slice()),
        None => file.unreadable.get(key)?.shape.as_deref(),
    }
}

/// The key that a part would have in the file: that of another part of its tensor with one word exchanged for another
/// of the file's words. The part's native name if the file has no such word.
fn key_of_part(part: &str, keys: &[Option<&str>], matched: &Match, file: &WeightFile) -> String {
    let siblings = keys.iter().flatten();
    let mut inside = siblings.filter_map(|key| key.strip_prefix(matched.prefix.as_str()));
    let Some(sibling) = inside.next() else {
        return part.to_owned();
    };
    let words: Vec<&str> = sibling.split('.').collect();
    let known = file.tensors.keys().chain(file.unreadable.keys());
    let of_equal_length: Vec<Vec<&str>> = known
        .filter_map(|key| key.strip_prefix(matched.prefix.as_str()))
        .map(|name| name.split('.').collect())
        .filter(|name: &Vec<&str>| name.len() == words.len())
        .collect();
    for place in 0..words.len() {
        let others: BTreeSet<&str> = of_equal_length.iter().map(|name| name[place]).collect();
        for other in others {
            let mut words = words.clone();
            words[place] = other;
            let name = words.join(".");
            if native(&name, matched.to_native).as_deref() == Some(part) {
                return format!("{}{name}", matched.prefix);
            }
        }
    }
    part.to_owned()
}
