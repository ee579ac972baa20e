//! The bytes after an opcode: numbers, counted texts and lines. No length is trusted with memory.

use std::io::{self, BufRead, Read};

use warmstart_language::message;

use super::{PickleError, malformed};

/// Longest text that is kept: longer ones cannot be names of globals and are skipped.
const MAX_NAME_BYTES: u64 = 1024;

/// Longest line of the text opcodes (protocol 0 writes strings as lines).
const MAX_LINE_BYTES: u64 = 1 << 20;

/// A text of known length.
pub(super) enum Counted {
    Text(String),
    /// Longer than a name, and skipped.
    TooLong,
}

/// The bytes of a pickle.
pub(super) struct Stream<'a, R>(pub(super) &'a mut R);

impl<R: BufRead> Stream<'_, R> {
    /// The next `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).map_err(ended)?;
        Ok(bytes)
    }

    /// A little-endian number of `N` bytes.
    pub(super) fn number<const N: usize>(&mut self) -> Result<u64, PickleError> {
        let bytes: [u8; N] = self.bytes()?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |sum, b| sum << 8 | u64::from(*b)))
    }

    /// Skips `count` bytes without keeping them.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), PickleError> {
        let skipped = io::copy(&mut self.0.by_ref().take(count), &mut io::sink());
        match skipped.map_err(ended)? {
            n if n == count => Ok(()),
            _ => Err(ended(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// The next `count` bytes, which the caller has limited.
    pub(super) fn some(&mut self, count: u64) -> Result<Vec<u8>, PickleError> {
        let mut bytes = vec![0; count as usize];
        self.0.read_exact(&mut bytes).map_err(ended)?;
        Ok(bytes)
    }

    /// The text after its length, a number of `WIDTH` bytes.
    pub(super) fn counted_text<const WIDTH: usize>(&mut self) -> Result<Counted, PickleError> {
        let length = self.number::<WIDTH>()?;
        if length > MAX_NAME_BYTES {
            self.skip(length)?;
            return Ok(Counted::TooLong);
        }
        let bytes = self.some(length)?;
        Ok(Counted::Text(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The rest of the line, without its end.
    pub(super) fn line(&mut self) -> Result<String, PickleError> {
        let mut bytes = Vec::new();
        let mut limited = self.0.by_ref().take(MAX_LINE_BYTES);
        limited.read_until(b'\n', &mut bytes).map_err(ended)?;
        if bytes.pop() != Some(b'\n') {
            return Err(malformed(message!("its pickle has a line without an end")));
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A line with a number on it.
    pub(super) fn index_line(&mut self) -> Result<u64, PickleError> {
        let line = self.line()?;
        line.parse()
            .map_err(|_| malformed(message!("its pickle has a reference that is not a number")))
    }
}

fn ended(error: io::Error) -> PickleError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => malformed(message!("its pickle ends too early")),
        _ => PickleError::Malformed(message!("its pickle cannot be read: {error}")),
    }
}
