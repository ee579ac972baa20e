//! Writing `.safetensors` files: the same contents give the same bytes, or no file at all.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, View};
use serde_json::Value;

use crate::WeightError;

/// The one metadata key. The format keeps metadata in an unordered map, and several keys
/// would come out in another order in every process.
pub(crate) const METADATA_KEY: &str = "warmstart";

/// The values of a tensor to be saved, in row-major order.
#[derive(Clone, Copy)]
pub enum SavedData<'a> {
    /// Weights and statistics.
    F32(&'a [f32]),
    /// So many of them, which are elsewhere until they are written.
    Fetched(usize, &'a dyn Fn(&str) -> Vec<f32>),
    /// `num_batches_tracked`, which PyTorch's strict loading insists on.
    I64(&'a [i64]),
}

/// A tensor to be saved.
#[derive(Clone, Copy)]
pub struct SavedTensor<'a> {
    /// Its key in the file.
    pub name: &'a str,
    /// Extents, outermost first; empty for a scalar.
    pub shape: &'a [usize],
    /// As many values as the shape says.
    pub data: SavedData<'a>,
}

impl SavedData<'_> {
    fn len(&self) -> usize {
        match self {
            SavedData::F32(values) => values.len(),
            SavedData::Fetched(len, _) => *len,
            SavedData::I64(values) => values.len(),
        }
    }
}

impl View for SavedTensor<'_> {
    fn dtype(&self) -> Dtype {
        match self.data {
            SavedData::F32(_) | SavedData::Fetched(..) => Dtype::F32,
            SavedData::I64(_) => Dtype::I64,
        }
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.data {
            SavedData::F32(values) => bytes(values),
            SavedData::Fetched(_, values) => bytes(&values(self.name)),
            SavedData::I64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    fn data_len(&self) -> usize {
        self.data.len() * self.dtype().bitsize() / 8
    }
}

fn bytes<'a>(values: &[f32]) -> Cow<'a, [u8]> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A safetensors file in memory. `metadata` is stored under the key `warmstart` with its
/// keys sorted. The order of `tensors` does not matter.
///
/// # Errors
/// If a name occurs twice or a shape does not match the number of values.
pub fn to_bytes<'a>(
    tensors: impl IntoIterator<Item = SavedTensor<'a>>,
    metadata: &Value,
) -> Result<Vec<u8>, WeightError> {
    safetensors::serialize(views(tensors)?, entries(metadata)).map_err(not_savable)
}

/// Writes a safetensors file, a tensor at a time. See [`to_bytes`] for the contents.
///
/// # Errors
/// Those of [`to_bytes`], and the operating system's. The file may be there in part then.
pub fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = SavedTensor<'a>>,
    metadata: &Value,
) -> Result<(), WeightError> {
    let written = safetensors::serialize_to_file(views(tensors)?, entries(metadata), path);
    written.map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => WeightError::Io {
            path: path.into(),
            action: "written",
            source,
        },
        other => not_savable(other),
    })
}

fn not_savable(error: safetensors::SafeTensorError) -> WeightError {
    WeightError::NotSavable {
        name: "(all)".into(),
        detail: error.to_string(),
    }
}

fn entries(metadata: &Value) -> Option<HashMap<String, String>> {
    let mut metadata = metadata.clone();
    metadata.sort_all_objects();
    Some(HashMap::from([(
        METADATA_KEY.to_string(),
        metadata.to_string(),
    )]))
}

/// The tensors by name, each once and whole.
fn views<'a>(
    tensors: impl IntoIterator<Item = SavedTensor<'a>>,
) -> Result<Vec<(&'a str, SavedTensor<'a>)>, WeightError> {
    let mut names = BTreeSet::new();
    let mut views = Vec::new();
    for tensor in tensors {
        let refuse = |detail: String| WeightError::NotSavable {
            name: tensor.name.into(),
            detail,
        };
        let values = tensor
            .shape
            .iter()
            .try_fold(1_usize, |product, extent| product.checked_mul(*extent));
        if values != Some(tensor.data.len()) {
            return Err(refuse(format!(
                "its shape {:?} does not hold its {} values",
                tensor.shape,
                tensor.data.len()
            )));
        }
        // The format keeps its metadata under this name.
        if tensor.name == "__metadata__" {
            return Err(refuse("the safetensors format reserves this name".into()));
        }
        if !names.insert(tensor.name) {
            return Err(refuse("its name occurs twice".into()));
        }
        views.push((tensor.name, tensor));
    }
    Ok(views)
}

/// Writes a safetensors file whole or not at all: to a temporary file beside it that is
/// flushed to the disk and renamed. See [`to_bytes`] for the contents.
///
/// # Errors
/// Those of [`to_bytes`], and the operating system's. What was at `path` before then stays.
pub fn save<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = SavedTensor<'a>>,
    metadata: &Value,
) -> Result<(), WeightError> {
    let bytes = to_bytes(tensors, metadata)?;
    let io = |source| WeightError::Io {
        path: path.into(),
        action: "written",
        source,
    };
    let temporary = temporary_beside(path).map_err(io)?;
    let written = write_through(&temporary, &bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_folder_of(path));
    if written.is_err() {
        // The error to report is the first one; after the rename there is nothing to remove.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(io)
}

fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path does not end in a file name",
        )
    })?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.partial", std::process::id()));
    Ok(path.with_file_name(hidden))
}

fn write_through(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A rename lasts through a power cut once its folder has reached the disk.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}
