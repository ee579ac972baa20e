//! Writing of `.safetensors` files: the same contents give the same bytes.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::Value;
use warmstart_language::{english, message};

use crate::WeightError;

/// The only metadata key. The format keeps metadata in an unordered map, and the order of several keys would
/// differ between processes.
pub(crate) const METADATA_KEY: &str = "warmstart";
/// Bytes that are written at a time.
const BUFFER: usize = 1 << 20;

/// The values of a tensor to be saved, in row-major order.
#[derive(Clone, Copy)]
pub enum SavedData<'a> {
    /// Weights and statistics.
    F32(&'a [f32]),
    /// Number of weights or statistics, and the function that fetches them by name when they are written.
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

    fn dtype(&self) -> Dtype {
        match self {
            SavedData::F32(_) | SavedData::Fetched(..) => Dtype::F32,
            SavedData::I64(_) => Dtype::I64,
        }
    }
}

impl SavedTensor<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self.data {
            SavedData::F32(values) => bytes(values),
            SavedData::Fetched(_, values) => bytes(&values(self.name)),
            SavedData::I64(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
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
    let contents = Contents::of(tensors, metadata)?;
    let mut bytes = Vec::new();
    contents
        .write(&mut bytes)
        .expect("writing to memory cannot fail");
    Ok(bytes)
}

/// Writes a safetensors file, a tensor at a time. See [`to_bytes`] for the contents.
///
/// # Errors
/// Those of [`to_bytes`], and the operating system's. The file may then be incomplete.
pub fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = SavedTensor<'a>>,
    metadata: &Value,
) -> Result<(), WeightError> {
    let contents = Contents::of(tensors, metadata)?;
    let written = File::create(path).and_then(|mut file| contents.write_buffered(&mut file));
    written.map_err(|source| refused(path, source))
}

fn refused(path: &Path, source: io::Error) -> WeightError {
    WeightError::Io {
        path: path.into(),
        action: english!("written"),
        source,
    }
}

/// The contents of a file to be written: the header, and the tensors in the order of their data.
struct Contents<'a> {
    header: Vec<u8>,
    tensors: Vec<SavedTensor<'a>>,
}

impl<'a> Contents<'a> {
    fn of(
        tensors: impl IntoIterator<Item = SavedTensor<'a>>,
        metadata: &Value,
    ) -> Result<Self, WeightError> {
        let mut tensors = checked(tensors)?;
        // As the safetensors library orders them: by falling alignment, then by name.
        tensors.sort_by(|left, right| {
            let alignment = right.data.dtype().cmp(&left.data.dtype());
            alignment.then(left.name.cmp(right.name))
        });
        let mut end = 0;
        let infos = tensors.iter().map(|tensor| {
            let start = end;
            end += tensor.data.len() * tensor.data.dtype().bitsize() / 8;
            let info = TensorInfo {
                dtype: tensor.data.dtype(),
                shape: tensor.shape.to_vec(),
                data_offsets: (start, end),
            };
            (tensor.name.to_owned(), info)
        });
        let infos = infos.collect();
        let not_savable = |detail: String| WeightError::NotSavable {
            name: message!("(all)"),
            detail,
        };
        let index = Metadata::new(entries(metadata), infos)
            .map_err(|error| not_savable(error.to_string()))?;
        let mut text =
            serde_json::to_vec(&index).map_err(|error| not_savable(error.to_string()))?;
        // The data begin at a multiple of eight bytes.
        text.resize(text.len().next_multiple_of(size_of::<u64>()), b' ');
        let mut header = (text.len() as u64).to_le_bytes().to_vec();
        header.extend(text);
        Ok(Self { header, tensors })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.header)?;
        for tensor in &self.tensors {
            out.write_all(&tensor.bytes())?;
        }
        Ok(())
    }

    fn write_buffered(&self, file: &mut File) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(BUFFER, file);
        self.write(&mut out)?;
        out.flush()
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

/// The tensors, checked for unique names and as many values as their shapes say.
fn checked<'a>(
    tensors: impl IntoIterator<Item = SavedTensor<'a>>,
) -> Result<Vec<SavedTensor<'a>>, WeightError> {
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
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
            return Err(refuse(message!(
                "its shape {:?} does not hold its {} values",
                tensor.shape,
                tensor.data.len()
            )));
        }
        // The format keeps its metadata under this name.
        if tensor.name == "__metadata__" {
            return Err(refuse(message!(
                "the safetensors format reserves this name"
            )));
        }
        if !names.insert(tensor.name) {
            return Err(refuse(message!("its name occurs twice")));
        }
        found.push(tensor);
    }
    Ok(found)
}

/// Writes a safetensors file whole or not at all, by [`replace`](warmstart_files::replace). See [`to_bytes`]
/// for the contents.
///
/// # Errors
/// Those of [`to_bytes`], and the operating system's. A file that was at `path` before then stays.
pub fn save<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = SavedTensor<'a>>,
    metadata: &Value,
) -> Result<(), WeightError> {
    let contents = Contents::of(tensors, metadata)?;
    warmstart_files::replace(path, |file| contents.write_buffered(file))
        .map_err(|source| refused(path, source))
}
