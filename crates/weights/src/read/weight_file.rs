//! A weights file as plain arrays, whatever its container.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use warmstart_language::{english, message, translated};

use crate::text::cut_line;

/// A tensor in memory, in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct HostTensor {
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// One value per element.
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
    /// The format of <https://huggingface.co/docs/safetensors>.
    Safetensors,
    /// An `index.json` that names the file of each tensor.
    Sharded,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::PthZip => translated(english!("PyTorch, zip")),
            Format::PthLegacy => translated(english!("PyTorch, legacy pickle")),
            Format::Safetensors => "safetensors",
            Format::Sharded => translated(english!("index of shards")),
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
    /// Number of its values that are NaN or infinite.
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
    pub(super) fn of_element_type(name: &str, shape: Option<Vec<usize>>) -> Self {
        let name = cut_line(name, 40);
        Self {
            shape,
            what: message!(
                "it has the unsupported element type {name}: convert it to f32, f16 or bf16"
            ),
            dtype: Some(name),
        }
    }
}

/// The contents of a weights file.
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
    /// Optimizer states that were left out: their paths and numbers of tensors.
    pub set_aside: Vec<String>,
    /// Python classes and functions that the pickle names beside the tensors. They were neither imported nor
    /// called.
    pub ignored_objects: Vec<String>,
    /// Names of the classes, in the order of the logits, where a training tool keeps them beside the tensors; or why
    /// what it keeps there cannot be used.
    pub classes: Option<Result<Vec<String>, String>>,
    /// Tensors whose values cannot be read, by key: harmless unless a model needs one.
    pub unreadable: BTreeMap<String, Unreadable>,
    /// Tensors with NaN or infinite values.
    pub not_finite: Vec<NotFinite>,
    /// Tensors by key, wrappers removed.
    pub tensors: BTreeMap<String, FileTensor>,
    /// Metadata that warmstart wrote: the JSON under the safetensors metadata key `warmstart`.
    pub metadata: Option<serde_json::Value>,
}

/// Most bytes of tensors that are read from a file: a hundred times the largest network here, and less than a
/// sparse file can claim.
pub(super) const MOST_BYTES: u64 = 8 << 30;
