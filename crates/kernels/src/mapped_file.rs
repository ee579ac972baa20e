//! A file that is read where the system keeps it, in memory.
#![allow(unsafe_code, reason = "mapped bytes are behind a raw pointer")]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// Bytes that may count as the process's memory before they are given back.
const HELD: usize = 4 << 20;
/// Linux maps the neighbours of a page that is touched, 64 KiB in all (`fault_around_bytes`).
const AROUND: usize = 64 << 10;

/// A file of unchanging size, mapped into memory to be read from and written beside the mapping.
///
/// Others may write to the file meanwhile, so its bytes are copied out and never borrowed: a copy that a write overtook
/// is a mixture, which the reader must be able to tell by a checksum. Pages are given back after every few megabytes:
/// the system keeps them as long as it has room, but they do not count as this process's memory, whose peak is
/// measured and planned.
#[derive(Debug)]
pub struct MappedFile {
    file: File,
    map: MmapRaw,
    /// At least the bytes that were touched since pages were last given back.
    touched: AtomicUsize,
}

impl MappedFile {
    /// Maps the whole of `file`, which must not be empty.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn new(file: File) -> io::Result<Self> {
        let map = MmapOptions::new().map_raw_read_only(&file)?;
        Ok(Self {
            file,
            map,
            touched: AtomicUsize::new(0),
        })
    }

    /// The file itself, to write to, and to look at a place where nothing may have been written: in a file system in
    /// memory that is full, a read finds zeros there, and a look through the mapping is a signal that ends the process.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Copies what was written at `place` into all of `bytes`.
    ///
    /// # Errors
    /// If that is beyond the end of what was mapped, or the file was cut short since: the pages behind its end are gone,
    /// and to touch them would end the process.
    pub fn read(&self, place: usize, bytes: &mut [u8]) -> io::Result<()> {
        let end = place.checked_add(bytes.len());
        let is_mapped = end.is_some_and(|end| end <= self.map.len());
        if !is_mapped || self.file.metadata()?.len() < self.map.len() as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: the range is within the map, which lives as long as `self`, and `bytes` is no part of it: no
        // reference to the map is ever made. Who writes meanwhile does so through the system, not in this program's
        // memory.
        unsafe {
            let source = self.map.as_ptr().add(place);
            source.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len());
        }
        let touched = bytes.len() + AROUND;
        if self.touched.fetch_add(touched, Ordering::Relaxed) + touched > HELD {
            self.touched.store(0, Ordering::Relaxed);
            self.give_back()?;
        }
        Ok(())
    }

    #[cfg(unix)]
    fn give_back(&self) -> io::Result<()> {
        // SAFETY: the pages are the file's, so what they hold is there when they are next touched, by this thread or
        // by one that is copying now.
        unsafe {
            self.map
                .unchecked_advise(memmap2::UncheckedAdvice::DontNeed)
        }
    }

    /// Where memory is not measured, pages stay until the system wants them.
    #[cfg(not(unix))]
    #[allow(clippy::unnecessary_wraps, reason = "as where it can fail")]
    fn give_back(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn mapped(bytes: &[u8]) -> MappedFile {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        MappedFile::new(file).unwrap()
    }

    proptest! {
        #[test]
        fn a_range_is_what_the_file_has_there_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 1..10_000),
            place in 0_usize..12_000,
            len in 0_usize..12_000,
        ) {
            let mut read = vec![0; len];
            let outcome = mapped(&bytes).read(place, &mut read);
            match bytes.get(place..place + len) {
                Some(expected) => {
                    outcome.unwrap();
                    prop_assert_eq!(read, expected);
                }
                None => prop_assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::UnexpectedEof),
            }
        }
    }

    #[test]
    fn what_is_written_later_is_read() {
        let mapped = mapped(&[1; 5000]);
        let mut read = [0; 2];
        mapped.read(0, &mut read).unwrap();
        let mut file = mapped.file();
        io::Seek::rewind(&mut file).unwrap();
        file.write_all(&[7]).unwrap();
        mapped.read(0, &mut read).unwrap();
        assert_eq!(read, [7, 1]);
    }

    #[test]
    fn a_file_that_was_cut_short_is_an_error_and_no_signal() {
        let mapped = mapped(&[1; 10_000]);
        mapped.file().set_len(1).unwrap();
        let error = mapped.read(9_000, &mut [0; 10]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(mapped.read(usize::MAX, &mut [0; 10]).is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_read_does_not_stay_in_the_memory_of_the_process() {
        let len = 64 << 20;
        let mapped = mapped(&vec![1; len]);
        let mut bytes = [0; 5000];
        for place in (0..len - bytes.len()).step_by(bytes.len()) {
            mapped.read(place, &mut bytes).unwrap();
            assert_eq!(std::hint::black_box(&bytes), &[1; 5000]);
        }
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let start = format!("{:x}-", mapped.map.as_ptr().addr());
        let mut lines = maps.lines().skip_while(|line| !line.starts_with(&start));
        let resident = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        let kibibytes = resident.trim().trim_end_matches(" kB").parse::<usize>();
        assert!(kibibytes.unwrap() * 1024 <= HELD, "{resident}");
    }
}
