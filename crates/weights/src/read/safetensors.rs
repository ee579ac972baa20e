//! Reading of `.safetensors` files, one tensor at a time.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, copy, sink};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata};
use serde::Deserialize;
use serde_json::Value;
use warmstart_language::{english, message};

use super::element::ElementType;
use super::weight_file::{FileTensor, Format, MOST_BYTES, Unreadable, WeightFile};
use crate::WeightError;
use crate::save::METADATA_KEY;
use crate::text::{cut_line, grouped};

/// The largest header the format allows.
pub(super) const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The largest header that is read, enough for forty thousand tensors.
const MOST_HEADER_BYTES: u64 = 4 << 20;

const LENGTH_BYTES: u64 = 8;

/// Reads a file. The header is parsed and checked first, and the tensors are read one after another, so that
/// the file is never in memory beside its tensors.
pub(super) fn read(path: &Path) -> Result<WeightFile, WeightError> {
    let io = |source| WeightError::Io {
        path: path.into(),
        action: english!("read"),
        source,
    };
    let damaged = |detail: String| WeightError::Damaged {
        path: path.into(),
        detail,
    };
    let file = warmstart_files::open(path).map_err(io)?;
    let file_bytes = file.metadata().map_err(io)?.len();
    let mut reader = BufReader::new(file);

    let mut length = [0; LENGTH_BYTES as usize];
    reader.read_exact(&mut length).map_err(io)?;
    let header_bytes = u64::from_le_bytes(length);
    let room = file_bytes.saturating_sub(LENGTH_BYTES);
    if header_bytes > room.min(MAX_HEADER_BYTES) {
        return Err(damaged(message!(
            "a header of {} bytes in a file of {}",
            header_bytes,
            file_bytes
        )));
    }
    if header_bytes > MOST_HEADER_BYTES {
        return Err(WeightError::Unsupported {
            path: path.into(),
            found: message!(
                "its header has {header_bytes} bytes, more than the limit of {MOST_HEADER_BYTES}"
            ),
            fix: message!("save the tensors of the wanted model in a separate file"),
        });
    }
    let mut header = vec![0; header_bytes as usize];
    reader.read_exact(&mut header).map_err(io)?;
    let (header, mut unreadable) = parse(&header)
        .map_err(|e| damaged(message!("header: {}", cut_line(&e.to_string(), 200))))?;

    let data_bytes = room - header_bytes;
    if header.data_len() as u64 != data_bytes {
        return Err(damaged(message!(
            "its header describes {} bytes of tensors, the file has {}",
            grouped(header.data_len()),
            data_bytes
        )));
    }

    if data_bytes > MOST_BYTES {
        return Err(WeightError::Unsupported {
            path: path.into(),
            found: message!(
                "it has {data_bytes} bytes of tensors, more than the limit of {MOST_BYTES}"
            ),
            fix: message!("save the tensors of the wanted model in a separate file"),
        });
    }

    let mut tensors = BTreeMap::new();
    // By offset, which is the order of the bytes: the header has been checked for gaps.
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else {
            continue;
        };
        let length = info.data_offsets.1 - info.data_offsets.0;
        let known = element_type(info.dtype).filter(|_| !unreadable.contains_key(&name));
        let Some(kind) = known else {
            copy(&mut reader.by_ref().take(length as u64), &mut sink()).map_err(io)?;
            unreadable.entry(name).or_insert_with(|| {
                let dtype = format!("{:?}", info.dtype);
                Unreadable::of_element_type(&dtype, Some(info.shape.clone()))
            });
            continue;
        };
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes).map_err(io)?;
        let tensor = FileTensor {
            shape: info.shape.clone(),
            dtype: kind.name(),
            data: kind.to_f32(&bytes),
        };
        tensors.insert(name, tensor);
    }

    let metadata = header
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(METADATA_KEY))
        .map(|text| serde_json::from_str(text))
        .transpose()
        .map_err(|e| damaged(message!("metadata {METADATA_KEY} is not JSON: {e}")))?;
    Ok(WeightFile {
        path: path.into(),
        format: Format::Safetensors,
        stripped: Vec::new(),
        set_aside: Vec::new(),
        ignored_objects: Vec::new(),
        classes: None,
        unreadable,
        not_finite: Vec::new(),
        tensors,
        metadata,
    })
}

/// Parses a header. Also returns the tensors of element types that the safetensors library does not know,
/// which the header then describes as bytes.
///
/// # Errors
/// If it is not JSON, or not as the format requires.
fn parse(header: &[u8]) -> Result<(Metadata, BTreeMap<String, Unreadable>), serde_json::Error> {
    let mut unreadable = BTreeMap::new();
    let error = match serde_json::from_slice(header) {
        Ok(metadata) => return Ok((metadata, unreadable)),
        Err(error) => error,
    };
    let Ok(mut entries) = serde_json::from_slice::<BTreeMap<String, Value>>(header) else {
        return Err(error);
    };
    let is_tensor = |name: &str| name != "__metadata__";
    for (name, entry) in entries.iter_mut().filter(|(name, _)| is_tensor(name)) {
        let Some(dtype) = entry["dtype"].as_str() else {
            continue;
        };
        if Dtype::deserialize(&entry["dtype"]).is_ok() {
            continue;
        }
        let range = <[u64; 2]>::deserialize(&entry["data_offsets"]);
        let Some(bytes) = range.ok().and_then(|[start, end]| end.checked_sub(start)) else {
            return Err(error);
        };
        let shape = Vec::deserialize(&entry["shape"]).ok();
        let unread = Unreadable::of_element_type(dtype, shape);
        unreadable.insert(name.clone(), unread);
        entry["dtype"] = "U8".into();
        entry["shape"] = vec![bytes].into();
    }
    if unreadable.is_empty() {
        return Err(error);
    }
    let entries = serde_json::to_vec(&entries)?;
    Ok((serde_json::from_slice(&entries)?, unreadable))
}

fn element_type(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::F64 => ElementType::F64,
        Dtype::F32 => ElementType::F32,
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::Bf16,
        Dtype::F8_E4M3 => ElementType::F8E4m3,
        Dtype::F8_E5M2 => ElementType::F8E5m2,
        Dtype::I64 => ElementType::I64,
        Dtype::I32 => ElementType::I32,
        Dtype::I16 => ElementType::I16,
        Dtype::I8 => ElementType::I8,
        Dtype::U64 => ElementType::U64,
        Dtype::U32 => ElementType::U32,
        Dtype::U16 => ElementType::U16,
        Dtype::U8 => ElementType::U8,
        Dtype::BOOL => ElementType::Bool,
        _ => return None,
    })
}
