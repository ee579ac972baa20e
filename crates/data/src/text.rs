//! Text files that other people's tools wrote, in whatever encoding, as Unicode.
//!
//! ```text
//! byte order mark ─▶ UTF-16 by its zeros ─▶ XML's declaration ─▶ UTF-8 ─▶ GBK, with a note
//! ```
//!
//! The first that applies decides. What a file does not say and its bytes do not prove is noted in
//! [`Text::assumed`], so that a person can check the names; what is not clear is refused.

mod evidence;

use crate::error::DataError;
use encoding_rs::{DecoderResult, Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};
use evidence::{is_accident, is_plausible, looks_like_gbk, looks_like_utf_8, utf_16_without_mark};
use std::io::Read as _;
use std::ops::Deref;
use std::path::Path;
use warmstart_language::message;

/// Bytes that a text file may have: several times COCO's largest file, and little enough that a sparse
/// file does not fill the memory.
const MAX_BYTES: u64 = 4 << 30;

/// Bytes at the start of a file in which XML's declaration is looked for.
const DECLARATION: usize = 1024;

/// A text without its byte order mark.
#[derive(Debug)]
pub(crate) struct Text {
    content: String,
    /// The encoding that was assumed, and why, if the file does not say it or says another one.
    pub assumed: Option<String>,
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.content
    }
}

impl Text {
    fn certain(content: String) -> Self {
        Self {
            content,
            assumed: None,
        }
    }

    /// The lines, which may end in the carriage returns alone of old Macs.
    pub fn rows(&self) -> impl Iterator<Item = &str> {
        let end = if self.content.contains('\n') {
            '\n'
        } else {
            '\r'
        };
        let rows = self.content.split_terminator(end);
        rows.map(|row| row.strip_suffix('\r').unwrap_or(row))
    }

    /// The text with other content, which was read in the same encoding.
    pub fn map(self, content: impl FnOnce(&str) -> String) -> Self {
        Self {
            content: content(&self.content),
            assumed: self.assumed,
        }
    }

    fn assumed(content: String, encoding: &str, reason: &str) -> Self {
        let example = beyond_ascii(&content);
        let assumed = message!("{reason}; read as {encoding}, which gives {example:?}");
        Self {
            content,
            assumed: Some(assumed),
        }
    }
}

/// The first few letters together that are not in ASCII.
fn beyond_ascii(text: &str) -> String {
    let mut runs = text.split(|letter: char| letter.is_ascii());
    let first = runs.find(|run| !run.is_empty());
    first.unwrap_or_default().chars().take(12).collect()
}

/// Reads a text file of at most 4 GiB.
///
/// # Errors
/// If it cannot be read, is not a regular file, is too large, or is not text in an encoding that is
/// clear, then with the line.
pub(crate) fn read_text(path: &Path) -> Result<Text, DataError> {
    read_text_within(path, MAX_BYTES)
}

/// Reads a text file as [`read_text`] does, of at most `limit` bytes.
pub(crate) fn read_text_within(path: &Path, limit: u64) -> Result<Text, DataError> {
    read_where(path, limit, is_plausible)
}

/// Reads the text of a JSON file as [`read_text`] does: what is valid UTF-8 is UTF-8, as RFC 8259 has it.
pub(crate) fn read_json_text(path: &Path) -> Result<Text, DataError> {
    read_where(path, MAX_BYTES, |_| true)
}

fn read_where(path: &Path, limit: u64, is_utf_8: impl Fn(&str) -> bool) -> Result<Text, DataError> {
    let bytes =
        warmstart_files::read(path, limit).map_err(|source| DataError::read(path, source))?;
    decoded(bytes, is_utf_8).map_err(|Undecodable { line, problem }| {
        DataError::annotations(path, line, message!("{problem}; save the file as UTF-8"))
    })
}

/// The text of the first bytes of a regular file, at most `limit`, and whether that is all of it; to
/// recognise a file.
///
/// # Errors
/// If it cannot be read or is not a regular file.
pub(crate) fn start_of(path: &Path, limit: u64) -> std::io::Result<(String, bool)> {
    let mut start = Vec::new();
    let read = warmstart_files::open(path)?
        .take(limit)
        .read_to_end(&mut start)?;
    Ok((lossy(&start), (read as u64) < limit))
}

/// The text of bytes without their byte order mark, in UTF-16 if that or their zeros say so and else in
/// UTF-8; what is not valid becomes U+FFFD.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    let marked = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    let unmarked = match bytes[..] {
        [_, 0, _, 0, ..] => Some(UTF_16LE),
        [0, _, 0, _, ..] => Some(UTF_16BE),
        _ => None,
    };
    let encoding = marked.or(unmarked).unwrap_or(UTF_8);
    encoding.decode_with_bom_removal(bytes).0.into_owned()
}

/// The place and the reason.
#[derive(Debug)]
struct Undecodable {
    line: usize,
    problem: String,
}

/// The text of bytes. `is_utf_8` decides about bytes that are valid UTF-8 and declare nothing.
fn decoded(mut bytes: Vec<u8>, is_utf_8: impl Fn(&str) -> bool) -> Result<Text, Undecodable> {
    match bytes[..] {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err(Undecodable {
            line: 1,
            problem: message!("expected text in UTF-8, found UTF-32"),
        }),
        [0xef, 0xbb, 0xbf, ..] => {
            bytes.drain(..3);
            strict(UTF_8, bytes).map(Text::certain)
        }
        [0xff, 0xfe, ..] => strict(UTF_16LE, bytes.split_off(2)).map(Text::certain),
        [0xfe, 0xff, ..] => strict(UTF_16BE, bytes.split_off(2)).map(Text::certain),
        _ => match (utf_16_without_mark(&bytes), declaration(&bytes)) {
            (Some(encoding), _) => strict(encoding, bytes).map(Text::certain),
            (None, Some(label)) => as_declared(bytes, &label),
            (None, None) => {
                undeclared(bytes, || message!("it does not say its encoding"), is_utf_8)
            }
        },
    }
}

/// The text, if every byte is valid.
fn strict(encoding: &'static Encoding, bytes: Vec<u8>) -> Result<String, Undecodable> {
    let (valid, at, found) = if encoding == UTF_8 {
        let error = match String::from_utf8(bytes) {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        let at = error.utf8_error().valid_up_to();
        let found = error.as_bytes()[at];
        (error.into_bytes(), at, found)
    } else {
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let capacity = decoder.max_utf8_buffer_length_without_replacement(bytes.len());
        let mut text = String::with_capacity(capacity.unwrap_or(bytes.len()));
        let (result, read) = decoder.decode_to_string_without_replacement(&bytes, &mut text, true);
        let DecoderResult::Malformed(bad, after) = result else {
            return Ok(text);
        };
        let at = read.saturating_sub(usize::from(bad) + usize::from(after));
        (text.into_bytes(), usize::MAX, bytes[at])
    };
    let before = valid.iter().take(at);
    Err(Undecodable {
        line: 1 + before.filter(|byte| **byte == b'\n').count(),
        problem: message!(
            "expected text in {}, found the byte 0x{found:02x}",
            encoding.name()
        ),
    })
}

/// The encoding that XML's first line declares.
fn declaration(bytes: &[u8]) -> Option<String> {
    let start = bytes.trim_ascii_start();
    let start = &start[..start.len().min(DECLARATION)];
    let end = start.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(&start[..end]).ok()?;
    let (_, rest) = declaration.strip_prefix("<?xml")?.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|quote| "\"'".contains(*quote))?;
    let (label, _) = rest[1..].split_once(quote)?;
    Some(label.trim().to_owned())
}

/// The encoding of a label of the WHATWG's list, of Python's spellings and of Windows' code pages.
fn encoding(label: &str) -> Option<&'static Encoding> {
    let label = label.to_ascii_lowercase().replace('_', "-");
    let page = label.strip_prefix("cp").or(label.strip_prefix("ms"));
    let known = match page.unwrap_or(&label) {
        "936" | "54936" => "gbk",
        "932" => "shift-jis",
        "949" => "euc-kr",
        "950" => "big5",
        "65001" => "utf-8",
        _ => &label,
    };
    let joined = known.replace('-', "");
    Encoding::for_label_no_replacement(known.as_bytes())
        .or_else(|| Encoding::for_label_no_replacement(joined.as_bytes()))
}

/// Reads bytes in the encoding that they declare, unless they are proof of another.
fn as_declared(bytes: Vec<u8>, label: &str) -> Result<Text, Undecodable> {
    let encoding = match encoding(label) {
        // A declaration that can be read byte by byte is not in UTF-16.
        Some(found) if found != UTF_8 && found != UTF_16LE && found != UTF_16BE => found,
        Some(_) => {
            let reason =
                || message!("it declares the encoding {label:?}, which its bytes do not look like");
            return undeclared(bytes, reason, |text| !is_accident(text));
        }
        None if bytes.is_ascii() => return strict(UTF_8, bytes).map(Text::certain),
        None => {
            let content = strict(UTF_8, bytes)?;
            let reason = message!("it declares the encoding {label:?}, which is not known");
            return Ok(Text::assumed(content, "UTF-8", &reason));
        }
    };
    let is_utf_8 = match std::str::from_utf8(&bytes) {
        Ok(text) if text.is_ascii() => return strict(UTF_8, bytes).map(Text::certain),
        Ok(text) => looks_like_utf_8(text, encoding),
        Err(_) => false,
    };
    if is_utf_8 {
        let reason = message!("it declares the encoding {label:?} and its bytes are UTF-8");
        return strict(UTF_8, bytes).map(|content| Text::assumed(content, "UTF-8", &reason));
    }
    strict(encoding, bytes).map(Text::certain)
}

/// Reads bytes as UTF-8, or as GBK where they are no UTF-8 or, as `is_utf_8` says, only by accident.
fn undeclared(
    bytes: Vec<u8>,
    reason: impl FnOnce() -> String,
    is_utf_8: impl Fn(&str) -> bool,
) -> Result<Text, Undecodable> {
    let is_utf_8 = std::str::from_utf8(&bytes).is_ok_and(is_utf_8);
    if !is_utf_8
        && looks_like_gbk(&bytes)
        && let Ok(content) = strict(GB18030, bytes.clone())
    {
        return Ok(Text::assumed(content, "GBK", &reason()));
    }
    strict(UTF_8, bytes).map(Text::certain)
}

#[cfg(test)]
mod tests;
