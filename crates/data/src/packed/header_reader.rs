//! Reading the headers of an archive at their places, with a limit on what describes one member.

use super::reading::read_at;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use warmstart_language::message;

/// Bytes that are read at once: a header, the long name before it, and mostly those of a small member's successor.
const AHEAD: usize = 4096;
/// Bytes of headers and long names that may come before one member.
const MOST_BEFORE_A_MEMBER: u64 = 1 << 20;

/// Where a [`HeaderReader`] is.
pub(super) struct Position {
    at: Cell<u64>,
    /// Where the last read began.
    last: Cell<u64>,
    /// Bytes that may still be read before the next member.
    left: Cell<u64>,
    /// Whether a read met the end of the file.
    has_ended: Cell<bool>,
}

impl Position {
    pub fn new() -> Self {
        Self {
            at: Cell::new(0),
            last: Cell::new(0),
            left: Cell::new(MOST_BEFORE_A_MEMBER),
            has_ended: Cell::new(false),
        }
    }

    /// Where the last read began.
    pub fn last(&self) -> u64 {
        self.last.get()
    }

    /// Whether a read met the end of the file.
    pub fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// Counts anew, for the next member.
    pub fn begin_member(&self) {
        self.left.set(MOST_BEFORE_A_MEMBER);
    }
}

/// The headers of an archive; what lies between them is skipped without being read.
pub(super) struct HeaderReader<'a> {
    file: &'a File,
    position: &'a Position,
    /// What was read, and from where.
    buffer: Vec<u8>,
    start: u64,
}

impl<'a> HeaderReader<'a> {
    pub fn new(file: &'a File, position: &'a Position) -> Self {
        Self {
            file,
            position,
            buffer: Vec::new(),
            start: 0,
        }
    }

    /// The bytes from a place on, at most `wanted`; fewer only at the end of the file.
    fn bytes_at(&mut self, at: u64, wanted: usize) -> io::Result<&[u8]> {
        let wanted = wanted.min(AHEAD);
        let skipped = at.checked_sub(self.start);
        let skipped = skipped.and_then(|skipped| usize::try_from(skipped).ok());
        let skipped = skipped.filter(|skipped| {
            let end = skipped.checked_add(wanted);
            end.is_some_and(|end| end <= self.buffer.len())
        });
        if let Some(skipped) = skipped {
            return Ok(&self.buffer[skipped..skipped + wanted]);
        }
        self.buffer.resize(AHEAD, 0);
        let mut read = 0;
        while read < AHEAD {
            match read_at(self.file, &mut self.buffer[read..], at + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        self.buffer.truncate(read);
        self.start = at;
        Ok(&self.buffer[..read.min(wanted)])
    }
}

impl Read for HeaderReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let position = self.position;
        let at = position.at.get();
        position.last.set(at);
        let left = position.left.get();
        if left < into.len() as u64 && left < AHEAD as u64 {
            let problem = message!(
                "the names before a member take more than {limit} bytes",
                limit = MOST_BEFORE_A_MEMBER
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let found = self.bytes_at(at, into.len())?;
        into[..found.len()].copy_from_slice(found);
        let count = found.len();
        if count == 0 && !into.is_empty() {
            position.has_ended.set(true);
        }
        position.at.set(at + count as u64);
        position.left.set(left - count as u64);
        Ok(count)
    }
}

impl Seek for HeaderReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.position.at.get(), by),
            SeekFrom::End(by) => (self.file.metadata()?.len(), by),
        };
        let at = from.checked_add_signed(by);
        let at = at.filter(|at| at.checked_add(AHEAD as u64).is_some());
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        self.position.at.set(at);
        Ok(at)
    }
}
