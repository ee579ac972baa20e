//! From a file to plain arrays. What the file is, is decided by its content.

mod content;
mod element;
mod pickle;
mod pytorch;
mod safetensors;
mod shards;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::WeightError;
use crate::text::{counted, cut_line};
use content::Content;

/// A tensor in memory, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// One value an element.
    pub data: Vec<f32>,
}

/// Tensors by name, in the order of their names.
pub type TensorMap = BTreeMap<String, HostTensor>;

/// The container a file was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `torch.save` since PyTorch 1.6: a zip archive.
    PthZip,
    /// `torch.save` before PyTorch 1.6: pickles, then the raw numbers.
    PthLegacy,
    /// <https://huggingface.co/docs/safetensors>
    Safetensors,
    /// An `index.json` that says which file beside it holds which tensor.
    Sharded,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::PthZip => "PyTorch, zip",
            Format::PthLegacy => "PyTorch, legacy pickle",
            Format::Safetensors => "safetensors",
            Format::Sharded => "index of shards",
        })
    }
}

/// A tensor as a file holds it, with its values cast to `f32`.
#[derive(Debug, Clone, Serialize)]
pub struct FileTensor {
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// The stored element type: `f32`, `f16`, `bf16`, `f64`, `i64`, `u8`, `bool`, ...
    pub dtype: &'static str,
    /// Row-major values. Integers above 2^24 and `f64` values are rounded.
    #[serde(skip)]
    pub data: Vec<f32>,
}

/// A tensor of a file with NaN or infinite values in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotFinite {
    /// The key in the file.
    pub name: String,
    /// How many of its values are NaN or infinite.
    pub count: usize,
}

/// A tensor of a file whose values cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Extents, outermost first; `None` where the file does not say.
    pub shape: Option<Vec<usize>>,
    /// The element type, where it is the reason.
    pub dtype: Option<String>,
    /// Why, as the end of a sentence that begins with the tensor's name.
    pub what: String,
}

impl Unreadable {
    fn of_element_type(name: &str, shape: Option<Vec<usize>>) -> Self {
        let name = cut_line(name, 40);
        Self {
            shape,
            what: format!(
                "it has the element type {name}, which is not read: convert it to f32, f16 or bf16"
            ),
            dtype: Some(name),
        }
    }
}

/// A weights file, read whole.
#[derive(Debug, Clone, Serialize)]
pub struct WeightFile {
    /// Where it was read from.
    #[serde(serialize_with = "crate::text::as_shown")]
    pub path: PathBuf,
    /// The container.
    pub format: Format,
    /// Wrappers that were removed to reach the tensors, outermost first: the key of an outer
    /// dictionary (`state_dict`) or a prefix that every key carried (`module.`).
    pub stripped: Vec<String>,
    /// States of optimizers, which were left alone: where they lie, and how many tensors they have.
    pub set_aside: Vec<String>,
    /// Python classes and functions that the pickle mentions beside the tensors. They were
    /// neither imported nor called.
    pub ignored_objects: Vec<String>,
    /// Tensors whose values cannot be read, by key: no harm unless a model needs one.
    pub unreadable: BTreeMap<String, Unreadable>,
    /// Tensors with NaN or infinite values.
    pub not_finite: Vec<NotFinite>,
    /// Tensors by key, wrappers removed.
    pub tensors: BTreeMap<String, FileTensor>,
    /// What warmstart itself wrote beside the tensors: the JSON under the safetensors
    /// metadata key `warmstart`.
    pub metadata: Option<serde_json::Value>,
}

/// Most bytes of numbers that are read from a file: a hundred times those of the largest network here, and less
/// than a sparse file can claim.
const MOST_BYTES: u64 = 8 << 30;

/// Reads a `.pth`, `.pt` or `.safetensors` file, or the `.index.json` of several.
///
/// # Errors
/// If the file cannot be opened, is something other than weights, is damaged, has no tensor that
/// can be read, or would run code when loaded with Python.
pub fn read(path: &Path) -> Result<WeightFile, WeightError> {
    let content = Content::of(path)?;
    let mut file = match content {
        Content::Index => shards::read(path)?,
        Content::Safetensors | Content::PytorchZip | Content::PytorchLegacy => {
            read_one(path, content)?
        }
    };
    set_moments_aside(&mut file);
    if file.tensors.is_empty() {
        let found = match file.unreadable.iter().next() {
            Some((name, unreadable)) => format!("{}: {}", cut_line(name, 100), unreadable.what),
            None if !file.set_aside.is_empty() => "the state of an optimizer alone".into(),
            None => "no tensors in this file".into(),
        };
        return Err(WeightError::Unsupported {
            path: path.into(),
            found,
            fix: "save the weights with torch.save(model.state_dict(), ...)".into(),
        });
    }
    strip_parallel_prefixes(&mut file);
    file.not_finite = file
        .tensors
        .iter()
        .map(|(name, tensor)| NotFinite {
            name: name.clone(),
            count: tensor.data.iter().filter(|v| !v.is_finite()).count(),
        })
        .filter(|found| found.count > 0)
        .collect();
    Ok(file)
}

/// A file that is no index.
fn read_one(path: &Path, content: Content) -> Result<WeightFile, WeightError> {
    match content {
        Content::Safetensors => safetensors::read(path),
        Content::PytorchZip => pytorch::read(path, Format::PthZip),
        Content::PytorchLegacy => pytorch::read(path, Format::PthLegacy),
        Content::Index => Err(WeightError::Unsupported {
            path: path.into(),
            found: "an index that another one names".into(),
            fix: "give that one".into(),
        }),
    }
}

/// Segments before the names of parameters under which optimizers of PyTorch keep something of each parameter's shape.
const MOMENTS: [&str; 6] = [
    "exp_avg",
    "exp_avg_sq",
    "exp_inf",
    "max_exp_avg_sq",
    "momentum_buffer",
    "square_avg",
];

/// Takes an optimizer's tensors out, which have the names and the shapes of a network and are none.
fn set_moments_aside(file: &mut WeightFile) {
    let prefix_of = |key: &str| {
        let mut end = 0;
        key.split('.')
            .find_map(|segment| {
                end += segment.len() + 1;
                (end < key.len() && MOMENTS.contains(&segment)).then_some(end - 1)
            })
            .map(|end| key[..end].to_owned())
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut is_kept = |key: &String| match prefix_of(key) {
        Some(prefix) => {
            *counts.entry(prefix).or_default() += 1;
            false
        }
        None => true,
    };
    file.tensors.retain(|key, _| is_kept(key));
    file.unreadable.retain(|key, _| is_kept(key));
    let lines = counts.iter().map(|(prefix, count)| {
        let prefix = cut_line(prefix, 60);
        format!("{prefix} ({})", counted(*count, "tensor"))
    });
    file.set_aside.extend(lines);
}

/// Prefixes that only `DataParallel` and `torch.compile` put before a name. Any other prefix
/// may be part of a model's own names, so it is the comparison that tries without it.
const PARALLEL_PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

fn strip_parallel_prefixes(file: &mut WeightFile) {
    while let Some(prefix) = PARALLEL_PREFIXES.into_iter().find(|prefix| {
        let mut keys = file.tensors.keys().chain(file.unreadable.keys());
        keys.all(|key| key.starts_with(prefix))
    }) {
        file.tensors = without_prefix(&mut file.tensors, prefix);
        file.unreadable = without_prefix(&mut file.unreadable, prefix);
        file.stripped.push(prefix.to_string());
    }
}

fn without_prefix<T>(of: &mut BTreeMap<String, T>, prefix: &str) -> BTreeMap<String, T> {
    std::mem::take(of)
        .into_iter()
        .map(|(key, value)| (key[prefix.len()..].to_string(), value))
        .collect()
}
