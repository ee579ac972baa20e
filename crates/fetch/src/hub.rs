//! The layout of the Hugging Face Hub's cache, as `huggingface_hub` documents it: blobs by their hash, and snapshots of
//! revisions that link to them.

use std::fs;
#[cfg(feature = "download")]
use std::io;
use std::path::{Path, PathBuf};

#[cfg(feature = "download")]
use warmstart_language::message;

/// The revision that is fetched.
pub const REVISION: &str = "main";
/// Bytes of a file that names a commit.
const REFERENCE: u64 = 256;

/// The part of the hub's cache that holds one repository.
pub struct Repository {
    cache: PathBuf,
    name: String,
}

impl Repository {
    /// The part for a repository of models, `owner/name`.
    pub fn new(cache: &Path, repository: &str) -> Self {
        Self {
            cache: cache.to_owned(),
            name: format!("models--{}", repository.replace('/', "--")),
        }
    }

    fn folder(&self) -> PathBuf {
        self.cache.join(&self.name)
    }

    /// A file of the revision that was fetched last.
    pub fn find(&self, file: &str) -> Option<PathBuf> {
        let reference = self.folder().join("refs").join(REVISION);
        let commit = warmstart_files::read_text(&reference, REFERENCE).ok()?;
        let commit = commit.trim();
        let path = self.snapshot(commit).filter(|_| is_plain(file))?.join(file);
        path.is_file().then_some(path)
    }

    fn snapshot(&self, commit: &str) -> Option<PathBuf> {
        is_plain(commit).then(|| self.folder().join("snapshots").join(commit))
    }

    /// The SHA-256 that a file in it was stored under; `None` if it was stored under something else.
    pub fn hash_of(path: &Path) -> Option<crate::Checksum> {
        let target = fs::canonicalize(path).ok()?;
        crate::Checksum::whole(target.file_name()?.to_str()?)
    }
}

/// Writing.
#[cfg(feature = "download")]
impl Repository {
    /// The place of content with that hash.
    pub fn blob(&self, hash: &str) -> PathBuf {
        self.folder().join("blobs").join(hash)
    }

    /// The file that is locked while content with that hash is downloaded.
    pub fn lock(&self, hash: &str) -> PathBuf {
        let locks = self.cache.join(".locks").join(&self.name);
        locks.join(format!("{hash}.lock"))
    }

    /// Makes a blob a file of a commit, and that commit the revision that was fetched last.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn publish(&self, commit: &str, file: &str, hash: &str) -> io::Result<PathBuf> {
        let snapshot = self
            .snapshot(commit)
            .ok_or_else(|| io::Error::other(message!("the server names no commit")))?;
        warmstart_files::create_folder(&snapshot)?;
        let path = snapshot.join(file);
        if fs::symlink_metadata(&path).is_ok() {
            fs::remove_file(&path)?;
        }
        link(&self.blob(hash), hash, &path)?;
        let refs = self.folder().join("refs");
        warmstart_files::create_folder(&refs)?;
        let write = |file: &mut fs::File| io::Write::write_all(file, commit.as_bytes());
        warmstart_files::replace(&refs.join(REVISION), write)?;
        Ok(path)
    }
}

/// Links to a blob by a relative path, so that the cache can be moved.
#[cfg(all(feature = "download", unix))]
fn link(_: &Path, hash: &str, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(Path::new("../../blobs").join(hash), path)
}

/// Moves a blob: links need rights on Windows, and huggingface_hub does the same without them.
#[cfg(all(feature = "download", not(unix)))]
fn link(blob: &Path, _: &str, path: &Path) -> io::Result<()> {
    fs::rename(blob, path)
}

/// Whether a name from a server or a file names something in its folder, and nothing else.
pub fn is_plain(name: &str) -> bool {
    let is_usual = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(is_usual)
}

#[cfg(all(test, feature = "download", unix))]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_found_where_other_programs_look() {
        let cache = tempfile::tempdir().unwrap();
        let repository = Repository::new(cache.path(), "timm/resnet18.a1_in1k");
        assert_eq!(repository.find("model.safetensors"), None);
        let hash = "ab".repeat(32);
        let blob = repository.blob(&hash);
        fs::create_dir_all(blob.parent().unwrap()).unwrap();
        fs::write(&blob, "content").unwrap();
        let path = repository
            .publish("c0ffee", "model.safetensors", &hash)
            .unwrap();
        let expected = "models--timm--resnet18.a1_in1k/snapshots/c0ffee/model.safetensors";
        assert_eq!(path, cache.path().join(expected));
        assert_eq!(repository.find("model.safetensors"), Some(path.clone()));
        assert_eq!(Repository::hash_of(&path).unwrap().digits(), hash);
        // Again, as after a blob was damaged.
        repository
            .publish("c0ffee", "model.safetensors", &hash)
            .unwrap();
        assert!(repository.publish("../..", "x", &hash).is_err());
        assert_eq!(repository.find("../../../blobs"), None);
    }
}
