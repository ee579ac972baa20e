//! Recognition of a file by its first bytes, including files that people save by mistake.

use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use warmstart_language::{english, message, translated};

use super::pickle::{PickleError, parse};
use super::safetensors::MAX_HEADER_BYTES;
use crate::WeightError;
use crate::text::cut_line;

/// The containers that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Safetensors,
    PytorchZip,
    PytorchLegacy,
    /// A JSON file that names the file of each tensor.
    Index,
}

/// Enough for every signature below, the last of which sits at byte 257.
const HEAD_BYTES: u64 = 512;

const TAR_SIGNATURE: std::ops::Range<usize> = 257..262;

/// A legacy file begins with a pickle of the number 0x1950a86a20f9469cfc6c: as bytes from
/// pickle protocol 2 on, in decimal digits before that.
const LEGACY_MAGIC: [&[u8]; 2] = [
    &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19],
    b"119547037146038801333356",
];

/// The magic number is within this many bytes, however the first pickle is framed.
const LEGACY_MAGIC_WITHIN: usize = 64;

const DOWNLOAD_AGAIN: &str = english!("download it again, from the address of the file itself");
const UNPACK: &str = english!("unpack it and give the file inside");
const EXPORT: &str =
    english!("save the weights from PyTorch, with torch.save(model.state_dict(), ...)");

/// First bytes, what they mean, and the fix.
const OTHER_FILES: &[(&[u8], &str, &str)] = &[
    (
        b"version https://git-lfs",
        english!("a git-lfs pointer (the weights themselves were not fetched)"),
        english!("run `git lfs pull` where it came from"),
    ),
    (
        b"PK\x05\x06",
        english!("an empty zip archive"),
        DOWNLOAD_AGAIN,
    ),
    (b"\x1f\x8b", english!("a gzip archive"), UNPACK),
    (b"BZh", english!("a bzip2 archive"), UNPACK),
    (b"\xfd7zXZ", english!("an xz archive"), UNPACK),
    (b"\x28\xb5\x2f\xfd", english!("a zstandard archive"), UNPACK),
    (b"7z\xbc\xaf", english!("a 7z archive"), UNPACK),
    (b"Rar!", english!("a rar archive"), UNPACK),
    (b"\x89HDF", english!("an HDF5 file (Keras?)"), EXPORT),
    (b"\x93NUMPY", english!("a NumPy array"), EXPORT),
    (b"GGUF", english!("a GGUF model"), EXPORT),
    (
        b"\x89PNG",
        english!("a PNG image"),
        english!("give the weights file"),
    ),
    (
        b"\xff\xd8\xff",
        english!("a JPEG image"),
        english!("give the weights file"),
    ),
    (
        b"%PDF",
        english!("a PDF document"),
        english!("give the weights file"),
    ),
    (
        b"\x7fELF",
        english!("a program"),
        english!("give the weights file"),
    ),
];

impl Content {
    /// Looks at the first bytes of a file.
    pub(super) fn of(path: &Path) -> Result<Self, WeightError> {
        let io = |source| WeightError::Io {
            path: path.into(),
            action: english!("read"),
            source,
        };
        let file = match warmstart_files::open(path) {
            Err(error) if error.kind() == ErrorKind::IsADirectory => {
                return Err(other(
                    path,
                    message!("a folder"),
                    &message!("give the file inside it"),
                ));
            }
            opened => opened.map_err(io)?,
        };
        let mut head = Vec::new();
        file.take(HEAD_BYTES).read_to_end(&mut head).map_err(io)?;

        if head.is_empty() {
            return Err(other(
                path,
                message!("an empty file"),
                translated(DOWNLOAD_AGAIN),
            ));
        }
        if head.starts_with(b"PK\x03\x04") {
            return Ok(Content::PytorchZip);
        }
        if starts_like_safetensors(&head) {
            return Ok(Content::Safetensors);
        }
        let start = &head[..head.len().min(LEGACY_MAGIC_WITHIN)];
        if LEGACY_MAGIC
            .iter()
            .any(|magic| start.windows(magic.len()).any(|window| window == *magic))
        {
            return Ok(Content::PytorchLegacy);
        }
        if is_index(path, &head) {
            return Ok(Content::Index);
        }
        Err(explain(path, &head))
    }
}

/// Whether a file is a JSON object that is an index by its name, or names its `weight_map` near the start.
fn is_index(path: &Path, head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let is_named = path
        .file_name()
        .is_some_and(|name| name.as_encoded_bytes().ends_with(b".index.json"));
    text.trim_start().starts_with('{') && (is_named || text.contains("\"weight_map\""))
}

/// Whether a file starts with a little-endian header length that the format allows, and the header's brace.
fn starts_like_safetensors(head: &[u8]) -> bool {
    head.first_chunk::<8>()
        .is_some_and(|length| u64::from_le_bytes(*length) <= MAX_HEADER_BYTES)
        && head.get(8) == Some(&b'{')
}

/// The error for a file that is not a weights file.
fn explain(path: &Path, head: &[u8]) -> WeightError {
    if let Some((_, found, fix)) = OTHER_FILES
        .iter()
        .find(|(start, ..)| head.starts_with(start))
    {
        return other(path, translated(found).to_owned(), translated(fix));
    }
    if head.get(TAR_SIGNATURE) == Some(b"ustar") {
        return WeightError::Unsupported {
            path: path.into(),
            found: message!("a tar archive, or a PyTorch file from before 2017"),
            fix: message!("unpack it, or load it with PyTorch and save it again"),
        };
    }
    if let Some(error) = explain_pickle(path, head) {
        return error;
    }

    let text = String::from_utf8_lossy(head);
    let lower = text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .to_lowercase();
    if lower.starts_with("<!doctype html") || lower.contains("<html") {
        return other(
            path,
            message!("an HTML page (an error or a download page)"),
            translated(DOWNLOAD_AGAIN),
        );
    }
    if lower.starts_with("<?xml") || lower.starts_with("<error") {
        return other(
            path,
            message!("an XML page (a server's error message?)"),
            translated(DOWNLOAD_AGAIN),
        );
    }
    // Lossy decoding marks bytes that are not text; the last may be a character cut in two.
    let readable = text.trim_end_matches('\u{fffd}');
    if !readable.contains(['\u{fffd}', '\0']) {
        let line = cut_line(readable.trim().lines().next().unwrap_or_default(), 60);
        return other(
            path,
            message!("a text file (\"{line}\")"),
            translated(DOWNLOAD_AGAIN),
        );
    }
    let bytes: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    let found = message!(
        "neither PyTorch nor safetensors (it begins with {})",
        bytes.join(" ")
    );
    other(
        path,
        found,
        &message!("give a .pth, .pt or .safetensors file"),
    )
}

/// The error for a pickle outside a PyTorch container: it has no tensors, but it may run code.
fn explain_pickle(path: &Path, head: &[u8]) -> Option<WeightError> {
    // Calls of code come first; a plain pickle of any size is refused anyway.
    const MOST: u64 = 100 << 20;
    let mut reader = BufReader::new(warmstart_files::open(path).ok()?.take(MOST));
    match parse(&mut reader) {
        Err(PickleError::RunsCode(call)) => Some(WeightError::RunsCode {
            path: path.into(),
            call,
        }),
        Ok(_) => Some(WeightError::Unsupported {
            path: path.into(),
            found: message!("a plain pickle, without tensors in PyTorch's form"),
            fix: translated(EXPORT).into(),
        }),
        // Protocols from 2 on open with this byte and a version.
        Err(PickleError::Malformed(detail)) if matches!(head, [0x80, 2..=5, ..]) => {
            Some(WeightError::Damaged {
                path: path.into(),
                detail,
            })
        }
        Err(_) => None,
    }
}

fn other(path: &Path, found: String, fix: &str) -> WeightError {
    WeightError::NotWeights {
        path: path.into(),
        found,
        fix: fix.into(),
    }
}
