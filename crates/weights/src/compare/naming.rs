//! Whose names a file uses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Expected, Fit, Part, Target};
use crate::read::WeightFile;

/// The convention and prefix under which most of a file's tensors fit a model.
pub(crate) struct Match<'a> {
    pub(crate) convention: &'static str,
    /// Removed from the keys that carry it; empty if none.
    pub(crate) prefix: String,
    /// From native name to key in the file, for the names that the model expects.
    pub(crate) file_keys: BTreeMap<String, &'a str>,
    pub(crate) collision: Option<Collision<'a>>,
}

/// Two keys for one name.
pub(crate) struct Collision<'a> {
    pub(crate) name: String,
    pub(crate) first: &'a str,
    pub(crate) second: &'a str,
}

/// PyTorch's batch norm counts its updates in a scalar that nothing here needs.
pub(crate) fn is_batch_counter(key: &str) -> bool {
    key.rsplit('.').next() == Some("num_batches_tracked")
}

/// How many parameters a tensor of this name and shape has: none, if it is a batch norm's
/// running statistic or counter.
pub(crate) fn parameters_in(key: &str, shape: &[usize]) -> usize {
    match key.rsplit('.').next() {
        Some("running_mean" | "running_var" | "num_batches_tracked") => 0,
        _ => shape.iter().product(),
    }
}

/// Tries every prefix and convention; of equals, the one with the least done to the names.
pub(crate) fn best_match<'a>(file: &'a WeightFile, target: &Target) -> Match<'a> {
    let expected: HashMap<&str, &Expected> = target
        .expected
        .iter()
        .map(|expected| (expected.name.as_str(), expected))
        .collect();
    let mut best = None;
    for prefix in shared_prefixes(file) {
        let native = ("native", None);
        let others = target
            .conventions
            .iter()
            .map(|c| (c.name, Some(c.to_native)));
        for (convention, to_native) in std::iter::once(native).chain(others) {
            let matched = match_names(file, &expected, &prefix, convention, to_native);
            let score = score(&matched, &expected, file);
            if best.as_ref().is_none_or(|(top, _)| score > *top) {
                best = Some((score, matched));
            }
        }
    }
    // The empty prefix with the native names is always among them.
    best.map_or_else(
        || match_names(file, &expected, "", "native", None),
        |(_, matched)| matched,
    )
}

fn match_names<'a>(
    file: &'a WeightFile,
    expected: &HashMap<&str, &Expected>,
    prefix: &str,
    convention: &'static str,
    to_native: Option<fn(&str) -> Option<String>>,
) -> Match<'a> {
    let mut matched = Match {
        convention,
        prefix: prefix.to_string(),
        file_keys: BTreeMap::new(),
        collision: None,
    };
    for key in file.tensors.keys() {
        let inner = key.strip_prefix(prefix).unwrap_or(key);
        let name = match to_native {
            None => Some(inner.to_string()),
            Some(to_native) => to_native(inner),
        };
        let Some(name) = name.filter(|name| expected.contains_key(name.as_str())) else {
            continue;
        };
        if let Some(first) = matched.file_keys.get(&name) {
            matched.collision.get_or_insert(Collision {
                name,
                first,
                second: key,
            });
        } else {
            matched.file_keys.insert(name, key);
        }
    }
    matched
}

/// Tensors that fit, of the backbone and of both parts; then names that are there at all.
fn score(
    matched: &Match,
    expected: &HashMap<&str, &Expected>,
    file: &WeightFile,
) -> (usize, usize, usize) {
    let mut backbone = 0;
    let mut both = 0;
    for (name, key) in &matched.file_keys {
        let (Some(expected), Some(tensor)) = (expected.get(name.as_str()), file.tensors.get(*key))
        else {
            continue;
        };
        if Fit::of(&expected.shape, tensor) != Fit::No {
            both += 1;
            backbone += usize::from(expected.part == Part::Backbone);
        }
    }
    (backbone, both, matched.file_keys.len())
}

/// Prefixes of up to three path segments that at least half of the keys carry, the shortest
/// first; the empty one always.
fn shared_prefixes(file: &WeightFile) -> BTreeSet<String> {
    const DEPTH: usize = 3;
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for key in file.tensors.keys() {
        for (end, _) in key.match_indices('.').take(DEPTH) {
            *counts.entry(&key[..=end]).or_default() += 1;
        }
    }
    counts
        .into_iter()
        .filter(|(_, count)| count * 2 >= file.tensors.len())
        .map(|(prefix, _)| prefix.to_string())
        .chain([String::new()])
        .collect()
}
