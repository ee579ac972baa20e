//! From a file to plain arrays. What the file is, is decided by its content.

mod allowed;
mod content;
mod opcode_walk;
mod pytorch;
mod safetensors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use serde::Serialize;

use crate::WeightError;
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
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::PthZip => "PyTorch, zip",
            Format::PthLegacy => "PyTorch, legacy pickle",
            Format::Safetensors => "safetensors",
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

/// A weights file, read whole.
#[derive(Debug, Clone, Serialize)]
pub struct WeightFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// The container.
    pub format: Format,
    /// Wrappers that were removed to reach the tensors, outermost first: the key of an outer
    /// dictionary (`state_dict`) or a prefix that every key carried (`module.`).
    pub stripped: Vec<String>,
    /// Other entries of the outer dictionary that hold tensors and were left alone, such as
    /// `optimizer`.
    pub set_aside: Vec<String>,
    /// Python classes and functions that the pickle mentions beside the tensors. They were
    /// neither imported nor called.
    pub ignored_objects: Vec<String>,
    /// Tensors with NaN or infinite values.
    pub not_finite: Vec<NotFinite>,
    /// Tensors by key, wrappers removed.
    pub tensors: BTreeMap<String, FileTensor>,
    /// What warmstart itself wrote beside the tensors: the JSON under the safetensors
    /// metadata key `warmstart`.
    pub metadata: Option<serde_json::Value>,
}

/// Reads a `.pth`, `.pt` or `.safetensors` file.
///
/// # Errors
/// If the file cannot be opened, is something other than weights, is damaged, holds what
/// cannot be read as plain tensors, or would run code when loaded with Python.
pub fn read(path: &Path) -> Result<WeightFile, WeightError> {
    let mut file = match Content::of(path)? {
        Content::Safetensors => safetensors::read(path)?,
        Content::PytorchZip => pytorch::read(path, Format::PthZip)?,
        Content::PytorchLegacy => pytorch::read(path, Format::PthLegacy)?,
    };
    if file.tensors.is_empty() {
        return Err(WeightError::Unsupported {
            path: path.into(),
            found: "no tensors in this file".into(),
            mend: "save the weights with torch.save(model.state_dict(), ...)".into(),
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

/// Prefixes that only `DataParallel` and `torch.compile` put before a name. Any other prefix
/// may be part of a model's own names, so it is the comparison that tries without it.
const PARALLEL_PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

fn strip_parallel_prefixes(file: &mut WeightFile) {
    while let Some(prefix) = PARALLEL_PREFIXES
        .into_iter()
        .find(|prefix| file.tensors.keys().all(|key| key.starts_with(prefix)))
    {
        file.tensors = std::mem::take(&mut file.tensors)
            .into_iter()
            .map(|(key, tensor)| (key[prefix.len()..].to_string(), tensor))
            .collect();
        file.stripped.push(prefix.to_string());
    }
}

/// The element types that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ElementType {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
}

impl ElementType {
    fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }

    /// Little-endian `bytes` as `f32`; a trailing part of an element is left out.
    fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F64 => cast(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::F32 => cast(bytes, f32::from_le_bytes),
            Self::F16 => cast(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => cast(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::I64 => cast(bytes, |b| i64::from_le_bytes(b) as f32),
            Self::I32 => cast(bytes, |b| i32::from_le_bytes(b) as f32),
            Self::I16 => cast(bytes, |b| f32::from(i16::from_le_bytes(b))),
            Self::I8 => cast(bytes, |b| f32::from(i8::from_le_bytes(b))),
            Self::U64 => cast(bytes, |b| u64::from_le_bytes(b) as f32),
            Self::U32 => cast(bytes, |b| u32::from_le_bytes(b) as f32),
            Self::U16 => cast(bytes, |b| f32::from(u16::from_le_bytes(b))),
            Self::U8 | Self::Bool => cast(bytes, |b: [u8; 1]| f32::from(b[0])),
        }
    }
}

fn cast<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|b| convert(*b))
        .collect()
}
