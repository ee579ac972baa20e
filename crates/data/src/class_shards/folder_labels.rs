//! Labels by the folders inside archives: `cat/1.jpg`, `train/cat/1.jpg`, `pets/cat/1.jpg`.

use crate::split_kind::{SplitKind, split_named};
use std::path::{Path, PathBuf};

/// Most folders around all pictures that are left out: a name may have hundreds of thousands.
const MOST_ABOVE: usize = 16;

/// Which folder of a picture's name is its class.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FolderLabels {
    /// The folders that all pictures lie in and that hold nothing else.
    above: PathBuf,
    /// Whether the folders below are splits.
    has_splits: bool,
}

impl FolderLabels {
    /// Finds out by the names of all pictures: folders that all lie in are left out as long as each picture is in two
    /// folders more, or one where that is a split.
    pub fn of<'a>(names: impl Iterator<Item = &'a Path> + Clone) -> Self {
        let mut above = PathBuf::new();
        for _ in 0..MOST_ABOVE {
            let Some(common) = common_folder(names.clone(), &above) else {
                break;
            };
            above.push(common);
        }
        let has_splits = names.clone().next().is_some()
            && names
                .map(|name| name.strip_prefix(&above))
                .all(|name| name.is_ok_and(|name| split_of(name).is_some()));
        Self { above, has_splits }
    }

    /// The split, if folders of splits are above those of classes, and the class of a picture; none for a picture in
    /// no folder of a class, or in one whose name is not UTF-8.
    pub fn label<'a>(&self, name: &'a Path) -> Option<(Option<SplitKind>, &'a str)> {
        let below = name.strip_prefix(&self.above).ok()?;
        let split = split_of(below).filter(|_| self.has_splits);
        let class = usize::from(self.has_splits);
        let folder = below.iter().nth(class)?.to_str()?;
        (depth(below) > class + 1).then_some((split, folder))
    }
}

/// The folder below `above` that all names lie in, each with a folder more below it; none if it is a split.
fn common_folder<'a>(names: impl Iterator<Item = &'a Path>, above: &Path) -> Option<&'a Path> {
    let mut common = None;
    for name in names {
        let below = name.strip_prefix(above).ok()?;
        let first = below.iter().next().map(Path::new)?;
        let is_common = *common.get_or_insert(first) == first;
        if !is_common || depth(below) < 3 || split_named(first).is_some() {
            return None;
        }
    }
    common
}

fn depth(name: &Path) -> usize {
    name.iter().count()
}

/// The split that the first folder of a name says.
fn split_of(name: &Path) -> Option<SplitKind> {
    let folder = name.iter().next().filter(|_| depth(name) > 1)?;
    split_named(Path::new(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use SplitKind::{Test, Train};

    /// The split and the class of each name; none for a picture without a class.
    fn labels<'a>(names: &[&'a str]) -> Vec<Option<(Option<SplitKind>, &'a str)>> {
        let labels = FolderLabels::of(names.iter().map(Path::new));
        let names = names.iter().map(|name| Path::new(*name));
        names.map(|name| labels.label(name)).collect()
    }

    #[test]
    fn the_folder_is_the_class() {
        let found = labels(&["cat/1.jpg", "dog/young/1.jpg", "1.jpg"]);
        assert_eq!(found, [Some((None, "cat")), Some((None, "dog")), None]);
    }

    #[test]
    fn splits_may_lie_above_the_classes() {
        let found = labels(&["train/cat/1.jpg", "test/dog/1.jpg", "test/2.jpg"]);
        let expected = [Some((Some(Train), "cat")), Some((Some(Test), "dog")), None];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_folder_around_all_is_no_class() {
        let found = labels(&["pets/cat/1.jpg", "pets/dog/1.jpg"]);
        assert_eq!(found, [Some((None, "cat")), Some((None, "dog"))]);
        let found = labels(&["pets/train/cat/1.jpg", "pets/train/dog/1.jpg"]);
        let expected = [Some((Some(Train), "cat")), Some((Some(Train), "dog"))];
        assert_eq!(found, expected);
        assert_eq!(labels(&["cat/1.jpg", "cat/2.jpg"])[0], Some((None, "cat")));
        assert!(labels(&[]).is_empty());
    }

    #[test]
    fn so_many_folders_around_all_are_left_out_and_no_more() {
        for (above, expected) in [(MOST_ABOVE, ["cat", "dog"]), (MOST_ABOVE + 1, ["a", "a"])] {
            let around = "a/".repeat(above);
            let [cat, dog] = ["cat", "dog"].map(|class| format!("{around}{class}/1.jpg"));
            let found = labels(&[&cat, &dog]);
            assert_eq!(found, expected.map(|class| Some((None, class))), "{above}");
        }
    }
}
