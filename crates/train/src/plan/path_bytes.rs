//! Paths in JSON, byte for byte: a text where they are UTF-8, the list of their bytes where they are not.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Encoded {
    Text(PathBuf),
    Bytes(Vec<u8>),
}

/// Writes a path.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => text.serialize(serializer),
        None => path.as_os_str().as_encoded_bytes().serialize(serializer),
    }
}

/// Reads what [`serialize`] wrote.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    match Encoded::deserialize(deserializer)? {
        Encoded::Text(path) => Ok(path),
        Encoded::Bytes(bytes) => from_bytes(bytes).map_err(serde::de::Error::custom),
    }
}

#[cfg(unix)]
fn from_bytes(bytes: Vec<u8>) -> Result<PathBuf, &'static str> {
    use std::os::unix::ffi::OsStringExt as _;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn from_bytes(_: Vec<u8>) -> Result<PathBuf, &'static str> {
    Err(warmstart_language::translated(
        warmstart_language::english!("the path is not valid Unicode: rename the file"),
    ))
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct File(#[serde(with = "super")] PathBuf);

    #[test]
    fn a_path_keeps_every_byte() {
        for bytes in [&b"a/b.png"[..], b"\xff\xfe\n\".png", "图.png".as_bytes()] {
            let path = PathBuf::from(OsStr::from_bytes(bytes));
            let json = serde_json::to_string(&File(path.clone())).unwrap();
            let File(read) = serde_json::from_str(&json).unwrap();
            assert_eq!(read, path, "{json}");
        }
    }
}
