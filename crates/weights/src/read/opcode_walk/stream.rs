//! What follows an opcode: numbers, counted texts and lines. No length is trusted with memory.

use std::io::{self, BufRead, Read};

use super::{WalkError, malformed};

/// Longer texts cannot be names of globals, and are skipped without being kept.
const MAX_NAME_BYTES: u64 = 1024;

/// Longest line of the text opcodes (protocol 0 writes strings as lines).
const MAX_LINE_BYTES: u64 = 1 << 20;

/// The bytes of a pickle.
pub(super) struct Stream<'a, R>(pub(super) &'a mut R);

impl<R: BufRead> Stream<'_, R> {
    /// The next `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], WalkError> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).map_err(ended)?;
        Ok(bytes)
    }

    /// A little-endian number of `N` bytes.
    pub(super) fn number<const N: usize>(&mut self) -> Result<u64, WalkError> {
        let bytes: [u8; N] = self.bytes()?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |sum, b| sum << 8 | u64::from(*b)))
    }

    /// Passes over `count` bytes without keeping them.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), WalkError> {
        let skipped = io::copy(&mut self.0.by_ref().take(count), &mut io::sink());
        match skipped.map_err(ended)? {
            n if n == count => Ok(()),
            _ => Err(ended(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// A text behind its length of `WIDTH` bytes; `None` if it is too long for a name.
    pub(super) fn counted_text<const WIDTH: usize>(&mut self) -> Result<Option<String>, WalkError> {
        let length = self.number::<WIDTH>()?;
        if length > MAX_NAME_BYTES {
            self.skip(length)?;
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        self.0.read_exact(&mut bytes).map_err(ended)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The rest of the line, without its end.
    pub(super) fn line(&mut self) -> Result<String, WalkError> {
        let mut bytes = Vec::new();
        let mut limited = self.0.by_ref().take(MAX_LINE_BYTES);
        limited.read_until(b'\n', &mut bytes).map_err(ended)?;
        if bytes.pop() != Some(b'\n') {
            return Err(malformed("its pickle has a line without an end"));
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A line with a number on it.
    pub(super) fn index_line(&mut self) -> Result<u64, WalkError> {
        let line = self.line()?;
        line.parse()
            .map_err(|_| malformed("its pickle has a reference that is no number"))
    }
}

fn ended(error: io::Error) -> WalkError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => malformed("its pickle ends too early"),
        _ => WalkError::Malformed(format!("its pickle cannot be read: {error}")),
    }
}
