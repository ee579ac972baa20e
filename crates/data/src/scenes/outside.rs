//! Images that lie outside of their data set's folder.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// The folders and lists of splits that are in none of `bases`, sorted; `used` are all. The target of
/// a link in a base counts as in the base.
pub(crate) fn outside<'a>(
    bases: &[PathBuf],
    used: impl Iterator<Item = &'a PathBuf>,
) -> BTreeSet<PathBuf> {
    let bases: Vec<[PathBuf; 2]> = bases.iter().map(|base| both(base)).collect();
    let is_outside = |path: &&PathBuf| {
        let places = both(path);
        let is_in = |base: &PathBuf| places.iter().any(|place| place.starts_with(base));
        path.exists() && !bases.iter().flatten().any(is_in)
    };
    used.filter(is_outside).cloned().collect()
}

/// A path as it is written, without its `..`, and as its links lead.
fn both(path: &Path) -> [PathBuf; 2] {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    let led = path.canonicalize().unwrap_or_else(|_| plain.clone());
    [plain, led]
}
