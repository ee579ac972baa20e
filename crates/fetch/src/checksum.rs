//! SHA-256 of files.

use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Hexadecimal digits of a whole SHA-256.
const DIGITS: usize = 64;
/// Bytes that are hashed at a time.
const CHUNK: usize = 1 << 16;

/// A SHA-256, or the beginning of one, as torchvision's and timm's file names end in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum(String);

impl Checksum {
    /// A checksum in hexadecimal digits; `None` if the text is not one, or is shorter than eight digits.
    pub fn new(digits: &str) -> Option<Self> {
        let is_one = (8..=DIGITS).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_one.then(|| Self(digits.to_ascii_lowercase()))
    }

    /// A whole SHA-256; `None` if the text is anything else, such as Git's SHA-1.
    pub fn whole(digits: &str) -> Option<Self> {
        Self::new(digits).filter(Self::is_whole)
    }

    /// The SHA-256 of a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = warmstart_files::open(path)?;
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                read => hasher.update(&chunk[..read]),
            }
        }
        let digits = hasher.finalize();
        Ok(Self(digits.iter().map(|b| format!("{b:02x}")).collect()))
    }

    /// Whether all digits are known.
    pub fn is_whole(&self) -> bool {
        self.0.len() == DIGITS
    }

    /// Whether a file with that SHA-256 is the one that is meant.
    pub fn fits(&self, found: &Self) -> bool {
        found.is_whole() && found.0.starts_with(&self.0)
    }

    /// The digits.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let rest = if self.is_whole() { "" } else { "…" };
        write!(f, "{}{rest}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_checksum_that_others_compute() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let found = Checksum::of_file(&path).unwrap();
        // FIPS 180-4, appendix B.1.
        let whole = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(found.digits(), whole);
        assert!(Checksum::new("BA7816BF").unwrap().fits(&found));
        assert!(!Checksum::new("ba7816b0").unwrap().fits(&found));
        assert!(!found.fits(&Checksum::new("ba7816bf").unwrap()));
        assert_eq!(Checksum::whole("ba7816bf"), None);
        assert_eq!(Checksum::new("ba7816"), None);
        assert_eq!(Checksum::new("not hexadecimal"), None);
    }
}
