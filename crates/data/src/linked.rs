//! Splits that are other splits by links.

use crate::folder::identity;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Pictures of a split that are looked at.
const LOOKED_AT: usize = 64;

/// A picture of a split and the training picture that is the same file, if all pictures of the split that
/// are looked at are training pictures by symbolic or hard links. Both lists are of paths below `dir`.
pub(crate) fn linked<'a>(
    dir: &Path,
    train: impl Iterator<Item = &'a Path>,
    split: impl ExactSizeIterator<Item = &'a Path>,
) -> Option<(&'a Path, &'a Path)> {
    let step = split.len().div_ceil(LOOKED_AT).max(1);
    let looked_at: Vec<&Path> = split.step_by(step).collect();
    let root = std::fs::canonicalize(dir).ok()?;
    // Asking for every training picture takes time, which data sets without links need not spend.
    if looked_at.is_empty() || !looked_at.iter().all(|path| may_be_linked(dir, &root, path)) {
        return None;
    }
    let of = |path: &Path| Some(identity(path, &std::fs::metadata(path).ok()?));
    let train: HashMap<_, &Path> = train.filter_map(|path| Some((of(path)?, path))).collect();
    let targets = looked_at.iter().map(|path| train.get(&of(path)?).copied());
    let targets: Option<Vec<&Path>> = targets.collect();
    Some((looked_at[0], *targets?.first()?)).filter(|(path, target)| path != target)
}

/// Returns whether a path leads through a link below `dir`, which is `root` without links, or its file has two names.
fn may_be_linked(dir: &Path, root: &Path, path: &Path) -> bool {
    let Ok(below) = path.strip_prefix(dir) else {
        return true;
    };
    let real = std::fs::canonicalize(path).ok();
    real != Some(root.join(below)) || has_two_names(path)
}

#[cfg(unix)]
fn has_two_names(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.nlink() > 1)
}

#[cfg(not(unix))]
fn has_two_names(_: &Path) -> bool {
    false
}

/// The shortest folders of two paths of one file in which they differ: `val` and `train` of
/// `val/cat/0.png` and `train/cat/0.png`.
pub(crate) fn differing(a: &Path, b: &Path) -> (PathBuf, PathBuf) {
    let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let start = |path: &Path| path.iter().take(common + 1).collect();
    (start(a), start(b))
}
