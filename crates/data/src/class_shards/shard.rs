//! The archives of a data set, and the split of each.

use crate::class_folder_search::has_class_folders;
use crate::error::DataError;
use crate::file_types::is_archive;
use crate::folder::entries;
use crate::split_kind::{SplitKind, split_named};
use std::path::{Path, PathBuf};
use warmstart_language::message;

/// Ends of the names of archives that would have to be unpacked to read a picture.
const COMPRESSED: [&str; 6] = [".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".txz", ".tar.bz2"];

/// An archive of pictures.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub path: PathBuf,
    /// The split that its folder or its name says.
    pub split: Option<SplitKind>,
}

/// The archives that `data` is or holds, directly or in the folders of splits, sorted. None for anything else, and
/// where there are class folders with pictures beside them.
///
/// # Errors
/// If `data` is a compressed archive, or a folder that cannot be listed.
pub(super) fn shards_of(data: &Path) -> Result<Vec<Shard>, DataError> {
    if !data.is_dir() {
        return of_file(data);
    }
    let here = entries(data)?;
    let mut shards = archives_among(here.others, None);
    for folder in here.folders {
        if let Some(kind) = split_named(&folder) {
            let files = entries(&folder)?.others;
            shards.extend(archives_among(files, Some(kind)));
        }
    }
    if !shards.is_empty() && has_class_folders(data) {
        return Ok(Vec::new());
    }
    shards.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(shards)
}

fn of_file(data: &Path) -> Result<Vec<Shard>, DataError> {
    if !data.is_file() {
        return Ok(Vec::new());
    }
    let name = data.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    if COMPRESSED.iter().any(|end| name.ends_with(end)) {
        return Err(DataError::Layout {
            folder: data.to_path_buf(),
            problem: message!("it is compressed, and pictures are read in place; decompress it"),
        });
    }
    Ok(archives_among(vec![data.to_path_buf()], None))
}

/// The archives among files, of a split or of those that their names say.
fn archives_among(files: Vec<PathBuf>, split: Option<SplitKind>) -> Vec<Shard> {
    let archives = files.into_iter().filter(|file| is_archive(file));
    let shards = archives.map(|path| Shard {
        split: split.or_else(|| split_of(&path)),
        path,
    });
    shards.collect()
}

/// The split that the name of an archive says: `imagenet-val-000003.tar` is for validation.
fn split_of(archive: &Path) -> Option<SplitKind> {
    let stem = archive.file_stem()?.to_str()?;
    SplitKind::within(stem).map(|(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use SplitKind::{Test, Train, Validation};

    fn found(files: &[&str]) -> Vec<(String, Option<SplitKind>)> {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let shards = shards_of(dir.path()).unwrap().into_iter();
        let name = |shard: &Shard| {
            let below = shard.path.strip_prefix(dir.path()).unwrap();
            below.to_str().unwrap().replace('\\', "/")
        };
        shards.map(|shard| (name(&shard), shard.split)).collect()
    }

    #[test]
    fn a_split_is_a_word_of_the_name_or_the_folder() {
        for (name, expected) in [
            ("train-00000.tar", Some(Train)),
            ("imagenet-val-000003.tar", Some(Validation)),
            ("imagenet1k-validation-00.tar", Some(Validation)),
            ("test.tar", Some(Test)),
            ("val/000.tar", Some(Validation)),
            ("Test/train-7.tar", Some(Test)),
            ("pets-000.tar", None),
        ] {
            assert_eq!(found(&[name]), [(name.to_owned(), expected)], "{name}");
        }
    }

    #[test]
    fn class_folders_with_pictures_win() {
        assert!(found(&["train.tar", "train/cat/1.jpg", "train/dog/1.jpg"]).is_empty());
        assert_eq!(found(&["a.tar", "notes/1.txt"]).len(), 1);
        assert!(found(&["other/a.tar", ".a.tar", "a.zip"]).is_empty());
    }

    #[test]
    fn a_compressed_archive_is_refused_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("pets.TAR.GZ");
        std::fs::write(&archive, "").unwrap();
        let refusal = shards_of(&archive).unwrap_err().to_string();
        assert!(refusal.ends_with("; decompress it"), "{refusal}");
    }
}
