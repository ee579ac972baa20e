//! Comparison of the tensors a model expects with those in a file.

mod channels;
mod copies;
mod coverage;
mod fit;
mod joined;
mod naming;
mod placing;
mod positions;
mod prefixes;
mod quantized;
mod report;
mod require;
mod rows;
mod source;
mod strangers;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::WeightError;
use crate::read::{Format, NotFinite, TensorMap, Unreadable, WeightFile};
pub use copies::Contradiction;
pub use coverage::Coverage;
pub(crate) use coverage::RECOGNISED;
use naming::AVERAGE_UPDATES;
pub(crate) use naming::{best_match, is_batch_counter, parameters_in};
pub use positions::{ResizedPositions, TokenPosition};
pub use rows::KeptRows;
pub(crate) use source::Source;
pub(crate) use strangers::{sentence as strangers_sentence, strangers_in};
pub(crate) use target::first_layer;
pub use target::{Convention, Expected, Grid, Part, Rows, Target};

/// A tensor that the file does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its native name. One of several parts has the key that it would have in the file.
    pub name: String,
    /// Its shape in the model.
    pub shape: Vec<usize>,
    /// Where it belongs.
    pub part: Part,
    /// Native name of the tensor that it is a part of, if the file has others of its parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
}

/// A tensor whose shape in the file is not the model's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShapeDifference {
    /// Its native name.
    pub name: String,
    /// Its key in the file.
    pub file_name: String,
    /// Its shape in the model.
    pub expected: Vec<usize>,
    /// Its shape in the file.
    pub found: Vec<usize>,
    /// Where it belongs.
    pub part: Part,
}

/// A tensor that is joined of its parts in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Joined {
    /// Its native name.
    pub name: String,
    /// Its shape in the model.
    pub shape: Vec<usize>,
    /// The keys of its parts in the file, in the order of its rows.
    pub file_names: Vec<String>,
}

/// The tensors of a file that load into a model, those that do not, and why.
#[derive(Debug, Clone, Serialize)]
pub struct LoadPlan {
    /// The file.
    #[serde(serialize_with = "crate::text::as_shown")]
    pub file: PathBuf,
    /// Its container.
    pub format: Format,
    /// Wrappers and prefixes that were removed from its keys, outermost first.
    pub stripped: Vec<String>,
    /// True if the last of them is the prefix of the chosen copy of the network.
    #[serde(skip)]
    has_prefix: bool,
    /// Optimizer states in the file, which are not loaded.
    pub set_aside: Vec<String>,
    /// Other prefixes under which the file has the same backbone, such as those of a student or a moving
    /// average.
    pub rivals: Vec<String>,
    /// Why this prefix was chosen, in English, from the catalogue; empty if there are no rivals.
    pub reason: &'static str,
    /// The model.
    pub architecture: String,
    /// Convention of the file's names; `native` for the model's own.
    pub convention: &'static str,
    /// Tensors that load, by native name, in the model's shapes.
    #[serde(skip)]
    pub loaded: TensorMap,
    /// How much of the backbone loads.
    pub backbone: Coverage,
    /// How much of the head loads.
    pub head: Coverage,
    /// Tensors that the model has and the file does not.
    pub missing: Vec<Missing>,
    /// Keys of the file that the model has no place for, without batch counters.
    pub unused: Vec<String>,
    /// The number of parameters under those keys.
    pub unused_parameters: usize,
    /// Those of them that are parameters inside of the model's blocks: the file is of another network.
    pub strangers: Vec<String>,
    /// Keys of the file for parts of the same network that the model does not use.
    pub beyond: Vec<String>,
    /// Keys of the file under which it has tensors again that load.
    pub copies: Vec<String>,
    /// Tensors of the file that should have the values of another one, and do not.
    pub contradictions: Vec<Contradiction>,
    /// Tensors of which only some rows load, because the file's are for other classes.
    pub rows: Vec<KeptRows>,
    /// Tensors that are in both but do not load, because their shapes do not fit.
    pub wrong_shape: Vec<ShapeDifference>,
    /// Tensors that load with extents of one added or dropped at the beginning or the end of their shape, as between a
    /// linear layer and a 1×1 convolution.
    pub reshaped: Vec<ShapeDifference>,
    /// Tensors that are joined of several in the file.
    pub joined: Vec<Joined>,
    /// Positions of the file that begin with that of a token.
    pub token_positions: Vec<TokenPosition>,
    /// Positions of the file that are resized to the model's grid.
    pub resized: Vec<ResizedPositions>,
    /// The first layer, if it loads with converted input channels.
    pub spread: Vec<ShapeDifference>,
    /// Name of the first layer, if it does not load.
    pub first_layer_missing: Option<String>,
    /// Name of the positions of the backbone, if they do not load.
    pub positions_missing: Option<String>,
    /// Tensors of the file, by key, that cannot be read and that the model does not need.
    pub unreadable: BTreeMap<String, Unreadable>,
    /// Tensors of the file with NaN or infinite values.
    pub not_finite: Vec<NotFinite>,
    /// Number of `num_batches_tracked` in the file. Only PyTorch's own layers use them.
    pub batch_counters: usize,
}

/// Finds the names that fit best and lists which tensors load and which do not.
///
/// Tries the native names and each of the target's conventions, with every prefix under which names fit, so
/// that `backbone.conv1.weight` is found as well. If the file has several copies of the network, the one with
/// the most tensors is taken; among equals, a trained copy comes before its moving average, and a teacher
/// before its student. `prefix` chooses another.
///
/// # Errors
/// If two keys of the file stand for one tensor of the model, no tensor of the model is under the prefix, or
/// a needed tensor cannot be read.
pub fn compare(
    file: &WeightFile,
    target: &Target,
    prefix: Option<&str>,
) -> Result<LoadPlan, WeightError> {
    let not_there = |detail| WeightError::NotThere {
        path: file.path.clone(),
        detail,
    };
    let matched = best_match(file, target, prefix).map_err(not_there)?;
    if let Some(collision) = matched.collision {
        return Err(WeightError::NameCollision {
            path: file.path.clone(),
            name: collision.name,
            first: collision.first.into(),
            second: collision.second.into(),
        });
    }
    let mut plan = LoadPlan {
        file: file.path.clone(),
        format: file.format,
        stripped: file.stripped.clone(),
        has_prefix: !matched.prefix.is_empty(),
        set_aside: file.set_aside.clone(),
        rivals: matched.rivals.clone(),
        reason: matched.reason,
        architecture: target.architecture.into(),
        convention: matched.convention,
        loaded: TensorMap::new(),
        backbone: Coverage::default(),
        head: Coverage::default(),
        missing: Vec::new(),
        unused: Vec::new(),
        unused_parameters: 0,
        strangers: strangers_in(file, &matched, target.expected),
        beyond: Vec::new(),
        copies: Vec::new(),
        contradictions: Vec::new(),
        rows: Vec::new(),
        wrong_shape: Vec::new(),
        reshaped: Vec::new(),
        joined: Vec::new(),
        token_positions: Vec::new(),
        resized: Vec::new(),
        spread: Vec::new(),
        first_layer_missing: None,
        positions_missing: None,
        unreadable: BTreeMap::new(),
        not_finite: file.not_finite.clone(),
        batch_counters: 0,
    };
    if !matched.prefix.is_empty() {
        plan.stripped.push(matched.prefix.clone());
    }
    let first_layer = first_layer(target.expected);
    for expected in target.expected {
        let is_first = first_layer == Some(expected.name.as_str());
        plan.place(expected, is_first, &matched, file)
            .map_err(not_there)?;
    }
    plan.add_token_positions(file);
    plan.first_layer_missing = first_layer
        .filter(|name| !plan.loaded.contains_key(*name))
        .map(str::to_owned);
    let mut positions = target.expected.iter().filter(|one| one.is_positions());
    plan.positions_missing = positions
        .find(|one| !plan.loaded.contains_key(&one.name))
        .map(|one| one.name.clone());
    plan.place_copies(&matched, file);
    let again = matched.copies.iter().map(|(_, key)| *key);
    let used: BTreeSet<&str> = matched.file_keys.values().copied().chain(again).collect();
    let is_free = |key: &&String| {
        let is_rivals = |rival: &String| {
            let is_apart = rival.len() > matched.prefix.len()
                || !matched.prefix.starts_with(rival.as_str())
                || !key.starts_with(&matched.prefix);
            is_apart && key.starts_with(rival.as_str())
        };
        !used.contains(key.as_str()) && !matched.rivals.iter().any(is_rivals)
    };
    plan.unreadable = file
        .unreadable
        .iter()
        .filter(|(key, _)| is_free(key))
        .map(|(key, unreadable)| (key.clone(), unreadable.clone()))
        .collect();
    for (key, tensor) in &file.tensors {
        if !is_free(&key) {
            continue;
        }
        if key == AVERAGE_UPDATES {
            continue;
        }
        if is_batch_counter(key) {
            plan.batch_counters += 1;
        } else {
            plan.unused.push(key.clone());
            plan.unused_parameters += parameters_in(key, &tensor.shape);
        }
    }
    Ok(plan)
}
