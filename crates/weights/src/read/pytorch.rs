//! `.pth` and `.pt` files: the pickle is walked for code first, then read as data.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use pytorch_reader::{DType, PickleError, PickleValue, PytorchError, PytorchReader, Tensor};
use zip::ZipArchive;

use super::opcode_walk::{WalkError, Walked, walk};
use super::{ElementType, FileTensor, Format, WeightFile};
use crate::WeightError;
use crate::text::{counted, cut_list, grouped, one_line};

/// Keys under which training scripts keep the weights, the likeliest first. Averaged weights
/// come last: a file that has both was saved in the middle of a training.
const WRAPPERS: [&str; 10] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "weights",
    "net",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
];

/// A tensor may be a view that repeats few stored numbers endlessly, so its size says nothing
/// about the file's. Tied weights double what a file holds; nothing honest goes beyond this.
const MAX_EXPANSION: u64 = 4;
const EXPANSION_ALLOWANCE: u64 = 1 << 20;

/// A legacy file is the pickles of its magic number, version, system, value and storage keys.
const LEGACY_PICKLES: usize = 5;
const LEGACY_VALUE: usize = 3;

const SAVE_STATE_DICT: &str =
    "load it with PyTorch and save it again with torch.save(model.state_dict(), ...)";

pub(super) fn read(path: &Path, format: Format) -> Result<WeightFile, WeightError> {
    let walked = match format {
        Format::PthZip => walk_zip(path)?,
        _ => walk_legacy(path)?,
    };
    let tree = PytorchReader::read_pickle_data(path, None).map_err(|e| unreadable(path, e))?;
    let (wrapper, set_aside) = match (&tree, walked.root_is_instance) {
        // A module's attributes are its children, whatever they are called.
        (PickleValue::Dict(entries), false) => find_wrapper(entries),
        _ => (None, Vec::new()),
    };
    let (reader, inner) = match wrapper {
        Some(key) => (
            PytorchReader::with_top_level_key(path, key),
            match &tree {
                PickleValue::Dict(entries) => entries.get(key),
                _ => None,
            },
        ),
        None => (PytorchReader::new(path), Some(&tree)),
    };
    let tensors = reader.map_err(|e| unreadable(path, e))?.into_tensors();
    if inner.is_some_and(|inner| count_tensors(inner) > tensors.len()) {
        return Err(WeightError::Unsupported {
            path: path.into(),
            found: "two of its tensors have one name once their folders are joined by dots".into(),
            mend: SAVE_STATE_DICT.into(),
        });
    }
    refuse_expansion(path, tensors.values())?;
    let tensors = tensors
        .into_iter()
        .map(|(name, tensor)| Ok((name, read_tensor(path, &tensor)?)))
        .collect::<Result<BTreeMap<_, _>, WeightError>>()?;

    Ok(WeightFile {
        path: path.into(),
        format,
        stripped: wrapper.map(str::to_string).into_iter().collect(),
        set_aside,
        ignored_objects: walked.mentioned.into_iter().collect(),
        not_finite: Vec::new(),
        tensors,
        metadata: None,
    })
}

/// The entry that holds the weights, and the other entries that hold tensors.
fn find_wrapper(
    entries: &std::collections::HashMap<String, PickleValue>,
) -> (Option<&'static str>, Vec<String>) {
    let wrapper = WRAPPERS.into_iter().find(|key| {
        let entry = entries.get(*key);
        entry.is_some_and(|e| matches!(e, PickleValue::Dict(_)) && count_tensors(e) > 0)
    });
    let Some(wrapper) = wrapper else {
        return (None, Vec::new());
    };
    let mut set_aside: Vec<String> = entries
        .iter()
        .filter(|(key, value)| *key != wrapper && count_tensors(value) > 0)
        .map(|(key, value)| {
            let count = counted(count_tensors(value), "tensor");
            format!("{} ({count})", one_line(key, 60))
        })
        .collect();
    set_aside.sort();
    (Some(wrapper), set_aside)
}

fn count_tensors(value: &PickleValue) -> usize {
    match value {
        PickleValue::Unsupported(kind) => usize::from(kind == "torch.Tensor"),
        PickleValue::List(items) => items.iter().map(count_tensors).sum(),
        PickleValue::Dict(entries) => entries.values().map(count_tensors).sum(),
        _ => 0,
    }
}

fn walk_zip(path: &Path) -> Result<Walked, WeightError> {
    let file = File::open(path).map_err(|e| io_error(path, e))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|_| WeightError::Damaged {
        path: path.into(),
        detail: "a zip archive without the directory at its end".into(),
    })?;
    let damaged = |error: &dyn std::fmt::Display| WeightError::Damaged {
        path: path.into(),
        detail: one_line(&error.to_string(), 200),
    };
    let names: Vec<String> = archive
        .file_names()
        .map(|name| name.map(std::borrow::Cow::into_owned))
        .collect::<Result<_, _>>()
        .map_err(|e| damaged(&e))?;
    refuse_other_archives(path, &names)?;

    // Every pickle in the archive, so that it does not matter which one a loader picks.
    let mut all = Walked::default();
    for index in (0..names.len()).filter(|i| names[*i].ends_with(".pkl")) {
        let entry = archive.by_index(index).map_err(|e| damaged(&e))?;
        let limited = entry.take(pytorch_reader::MAX_PICKLE_SIZE);
        let walked = walk(&mut BufReader::new(limited)).map_err(|e| refused(path, e))?;
        all.root_is_instance |= walked.root_is_instance;
        all.mentioned.extend(walked.mentioned);
    }
    Ok(all)
}

fn refuse_other_archives(path: &Path, names: &[String]) -> Result<(), WeightError> {
    if names.iter().any(|name| name.ends_with("constants.pkl")) {
        return Err(WeightError::Unsupported {
            path: path.into(),
            found: "a TorchScript archive (torch.jit.save)".into(),
            mend: "load it with torch.jit.load and save its weights with \
                   torch.save(model.state_dict(), ...)"
                .into(),
        });
    }
    if names
        .iter()
        .any(|name| name == "data.pkl" || name.ends_with("/data.pkl"))
    {
        return Ok(());
    }
    let weights = names.iter().find(|name| {
        [".pth", ".pt", ".safetensors", ".bin"]
            .iter()
            .any(|ending| name.ends_with(ending))
    });
    let names: Vec<String> = names.iter().map(|name| one_line(name, 60)).collect();
    Err(WeightError::NotWeights {
        path: path.into(),
        found: match names.len() {
            0 => "an empty zip archive".into(),
            _ => format!("a zip archive of {}", cut_list(&names, 3)),
        },
        mend: match weights {
            Some(inner) => format!("unpack it and give {}", one_line(inner, 100)),
            None => "give a .pth, .pt or .safetensors file".into(),
        },
    })
}

fn walk_legacy(path: &Path) -> Result<Walked, WeightError> {
    let mut reader = BufReader::new(File::open(path).map_err(|e| io_error(path, e))?);
    let mut all = Walked::default();
    for part in 0..LEGACY_PICKLES {
        let walked = walk(&mut reader).map_err(|e| refused(path, e))?;
        if part == LEGACY_VALUE {
            all.root_is_instance = walked.root_is_instance;
        }
        all.mentioned.extend(walked.mentioned);
    }
    Ok(all)
}

fn refuse_expansion<'a>(
    path: &Path,
    tensors: impl Iterator<Item = &'a Tensor>,
) -> Result<(), WeightError> {
    let file_bytes = std::fs::metadata(path)
        .map_err(|e| io_error(path, e))?
        .len();
    let claimed = tensors.fold(0_u64, |sum, tensor| {
        sum.saturating_add(u64::try_from(tensor.byte_len()).unwrap_or(u64::MAX))
    });
    let limit = file_bytes
        .saturating_mul(MAX_EXPANSION)
        .saturating_add(EXPANSION_ALLOWANCE);
    if claimed > limit {
        return Err(WeightError::Unsupported {
            path: path.into(),
            found: format!(
                "its tensors claim {} bytes of a file of {}",
                grouped(usize::try_from(claimed).unwrap_or(usize::MAX)),
                grouped(usize::try_from(file_bytes).unwrap_or(usize::MAX)),
            ),
            mend: "if that is meant, save them from PyTorch with .contiguous().clone()".into(),
        });
    }
    Ok(())
}

fn read_tensor(path: &Path, tensor: &Tensor) -> Result<FileTensor, WeightError> {
    let bytes = tensor.read().map_err(|e| match e.raw_os_error() {
        Some(_) => io_error(path, e),
        None => WeightError::Damaged {
            path: path.into(),
            detail: one_line(&e.to_string(), 200),
        },
    })?;
    let kind = element_type(tensor.dtype());
    Ok(FileTensor {
        shape: tensor.shape().to_vec(),
        dtype: kind.name(),
        data: kind.to_f32(&little_endian(bytes, tensor.dtype().size())),
    })
}

/// The reader hands out the machine's own byte order; the casts here expect the file's.
fn little_endian(mut bytes: Vec<u8>, element_bytes: usize) -> Vec<u8> {
    if cfg!(target_endian = "big") {
        for element in bytes.chunks_exact_mut(element_bytes) {
            element.reverse();
        }
    }
    bytes
}

fn element_type(dtype: DType) -> ElementType {
    match dtype {
        DType::F64 => ElementType::F64,
        DType::F32 => ElementType::F32,
        DType::F16 => ElementType::F16,
        DType::BF16 => ElementType::Bf16,
        DType::I64 => ElementType::I64,
        DType::I32 => ElementType::I32,
        DType::I16 => ElementType::I16,
        DType::I8 => ElementType::I8,
        DType::U64 => ElementType::U64,
        DType::U32 => ElementType::U32,
        DType::U16 => ElementType::U16,
        DType::U8 => ElementType::U8,
        DType::Bool => ElementType::Bool,
    }
}

fn refused(path: &Path, error: WalkError) -> WeightError {
    match error {
        WalkError::Malformed(detail) => WeightError::Damaged {
            path: path.into(),
            detail,
        },
        WalkError::RunsCode(call) => WeightError::RunsCode {
            path: path.into(),
            call,
        },
    }
}

fn unreadable(path: &Path, error: PytorchError) -> WeightError {
    let found = match error {
        PytorchError::Io(source) if source.raw_os_error().is_some() => {
            return io_error(path, source);
        }
        PytorchError::Pickle(PickleError::UnsupportedType(kind)) => {
            format!(
                "it holds {}, which is no plain tensor",
                one_line(&kind, 100)
            )
        }
        // The walk has followed the whole pickle, so it is not damage: a dictionary of an
        // unknown class was filled, for instance.
        PytorchError::Pickle(PickleError::UnexpectedOpCode(_)) => {
            "it holds objects that only the library they come from can read".into()
        }
        other => {
            return WeightError::Damaged {
                path: path.into(),
                detail: one_line(&other.to_string(), 200),
            };
        }
    };
    WeightError::Unsupported {
        path: path.into(),
        found,
        mend: SAVE_STATE_DICT.into(),
    }
}

fn io_error(path: &Path, source: std::io::Error) -> WeightError {
    WeightError::Io {
        path: path.into(),
        action: "read",
        source,
    }
}
