//! The key of a part: everything that its bits depend on.

use std::path::Path;
use std::time::UNIX_EPOCH;

use warmstart_recipe::Error;

use crate::atomic_file::file_checksum;

/// Hexadecimal digits of a key.
const KEY_LEN: usize = 16;

/// A name for everything that the result of a command depends on.
pub struct PartKey(blake3::Hasher);

impl PartKey {
    /// That of a command on which nothing else has been said yet.
    pub fn of(command: &str) -> Self {
        let mut key = Self(blake3::Hasher::new());
        key.add(command.as_bytes());
        key.add(env!("CARGO_PKG_VERSION").as_bytes());
        key
    }

    /// Adds something that the result depends on.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds the content of a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let content = file_checksum(path);
        self.add(
            content
                .map_err(|error| Error::io("read", path, error))?
                .as_bytes(),
        );
        Ok(())
    }

    /// Adds some pictures: their paths, sizes and times, so far as they are there.
    pub fn add_pictures<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) {
        for path in paths {
            self.add(path.as_os_str().as_encoded_bytes());
            let Ok(stamp) = warmstart_data::stamp(path) else {
                self.add(b"not there");
                continue;
            };
            let modified = stamp.modified.duration_since(UNIX_EPOCH);
            self.add(&stamp.bytes.to_le_bytes());
            self.add(&modified.unwrap_or_default().as_nanos().to_le_bytes());
        }
    }

    /// The name.
    pub(crate) fn name(&self) -> String {
        self.0.finalize().to_hex()[..KEY_LEN].to_owned()
    }
}
