//! Folders in a data folder: splits or classes.

use crate::class_folders::ClassFolders;
use crate::error::{DataError, some_of};
use crate::folder::{Images, entries, images};
use crate::labels_among_pictures::refuse_labels;
use crate::linked::{differing, linked};
use crate::skipped::Skipped;
use crate::split_kind::{SplitKind, split_named};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use warmstart_files::{one_line, shown};
use warmstart_language::message;

/// The layout of a data set of classes in its folder.
#[allow(clippy::large_enum_variant, reason = "there is one of a data set")]
pub(crate) enum ClassLayout {
    /// Class folders.
    Classes(ClassFolders),
    /// A folder of class folders for each split.
    Splits {
        train: ClassFolders,
        validation: Option<ClassFolders>,
        test: Option<ClassFolders>,
        /// All that lies beside them.
        beside: Skipped,
    },
}

/// A folder directly in the data folder.
struct Folder {
    path: PathBuf,
    /// The split that it has the name of.
    kind: Option<SplitKind>,
    found: Images,
}

impl ClassLayout {
    /// Finds out whether the folders in a data folder are splits or classes; class folders are not checked.
    ///
    /// # Errors
    /// If `dir` cannot be read, there are two folders for a split, or none for training beside others.
    pub fn read(dir: &Path) -> Result<Self, DataError> {
        let root = entries(dir)?;
        let kinds = kinds(&root.folders);
        if kinds.iter().any(Option::is_some) {
            let mut folders = Vec::new();
            for (path, kind) in root.folders.into_iter().zip(kinds) {
                let found = images(&path)?;
                folders.push(Folder { path, kind, found });
            }
            if are_splits(&folders) {
                return splits(dir, folders, root.images.len(), root.others);
            }
        }
        // As one tree: a link from one class to another would give both the same images.
        Ok(Self::Classes(ClassFolders::read(dir)?))
    }
}

/// The split that each of some folders beside each other has the name of: its own, or one with the same
/// words around it as another's, such as `pets_train` and `pets_test`; one of those alone may be a class.
fn kinds(folders: &[PathBuf]) -> Vec<Option<SplitKind>> {
    let within = |folder: &PathBuf| SplitKind::within(folder.file_name()?.to_str()?);
    let named: Vec<_> = folders.iter().map(within).collect();
    let mut kinds: HashMap<&str, BTreeSet<SplitKind>> = HashMap::new();
    for (kind, rest) in named.iter().flatten() {
        kinds.entry(rest).or_default().insert(*kind);
    }
    let partnered = |(kind, rest): &(SplitKind, String)| {
        let has_partner = kinds[&**rest].len() > 1;
        has_partner.then_some(*kind)
    };
    let own = folders.iter().map(|folder| split_named(folder));
    own.zip(&named)
        .map(|(own, named)| named.as_ref().and_then(partnered).or(own))
        .collect()
}

/// Returns whether the folders of a split's name are splits. A class may be called `train` or `test`: then most of
/// its images lie directly in it, as they do in another folder beside it.
fn are_splits(folders: &[Folder]) -> bool {
    let direct = |folder: &Folder| {
        let paths = &folder.found.paths;
        let directly = |path: &&PathBuf| path.parent() == Some(&folder.path);
        paths.iter().filter(directly).count()
    };
    let (named, others): (Vec<_>, Vec<_>) = folders.iter().partition(|f| f.kind.is_some());
    let Some(first) = named.first() else {
        return false;
    };
    if others.is_empty() || named.iter().any(|folder| folder.kind != first.kind) {
        return true;
    }
    let class_beside = others.into_iter().any(|folder| direct(folder) > 0);
    named.into_iter().any(|folder| {
        let images = folder.found.paths.len();
        let direct = direct(folder);
        direct < images && !(class_beside && 2 * direct >= images)
    })
}

/// The class folders of a split, also where archives were unpacked into a folder of their own name
/// (`train/train/cat`).
fn unwrapped(mut folder: Folder) -> Result<ClassFolders, DataError> {
    while let [only] = &folder.found.folders[..] {
        let is_same = only.file_name() == folder.path.file_name();
        let is_split = split_named(only) == folder.kind;
        let mut images_inside = folder.found.paths.iter();
        if !(is_same || is_split) || !images_inside.all(|path| path.starts_with(only)) {
            break;
        }
        let path = only.clone();
        folder.found = images(&path)?;
        folder.path = path;
    }
    ClassFolders::of(&folder.path, folder.found)
}

/// The folders of splits among `folders`; `loose` images and the files `others` lie beside them.
fn splits(
    dir: &Path,
    folders: Vec<Folder>,
    loose: usize,
    mut others: Vec<PathBuf>,
) -> Result<ClassLayout, DataError> {
    let mut beside = Skipped::default();
    beside.add_loose(dir, loose);
    let (mut folders, unused): (Vec<_>, Vec<_>) =
        folders.into_iter().partition(|f| f.kind.is_some());
    for folder in unused {
        beside.add_unused(&folder.path, folder.found.paths.len());
        others.extend(folder.found.others);
    }
    let names: Vec<String> = folders.iter().map(|folder| shown(&folder.path)).collect();
    let mut split = |kind: SplitKind| -> Result<Option<ClassFolders>, DataError> {
        let of_kind: Vec<Folder> = folders.extract_if(.., |f| f.kind == Some(kind)).collect();
        let (full, mut empty): (Vec<_>, Vec<_>) =
            of_kind.into_iter().partition(|f| !f.found.paths.is_empty());
        if let [first, second, ..] = &full[..] {
            return Err(two_of_a_split(dir, kind, &first.path, &second.path));
        }
        let taken = full.into_iter().next();
        let taken = taken.or_else(|| (!empty.is_empty()).then(|| empty.remove(0)));
        for folder in empty {
            beside.add_unused(&folder.path, 0);
        }
        taken.map(unwrapped).transpose()
    };
    let train = split(SplitKind::Train)?;
    let validation = split(SplitKind::Validation)?;
    let test = split(SplitKind::Test)?;
    if let Some(train) = &train {
        for (folders, is_test) in [(&validation, false), (&test, true)] {
            let Some(folders) = folders else { continue };
            if let Some((path, target)) = linked(dir, train.paths(), folders.paths()) {
                let (split, train) = differing(path, target);
                let (split, train) = (shown(&split), shown(&train));
                let problem = if is_test {
                    message!(
                        "{split} is a link to {train}, or holds links to it: it tests on what it learns; give it pictures of its own or remove it"
                    )
                } else {
                    message!(
                        "{split} is a link to {train}, or holds links to it: it validates on what it learns; give it pictures of its own or remove it"
                    )
                };
                return Err(DataError::Layout {
                    folder: dir.to_path_buf(),
                    problem,
                });
            }
        }
    }
    let Some(train) = train else {
        let problem = message!(
            "there is {} but no train folder beside it; add train/<class>/ or give the folder of class folders",
            some_of(&names)
        );
        return Err(DataError::Layout {
            folder: dir.to_path_buf(),
            problem,
        });
    };
    if train.classes.is_empty() {
        // Pictures directly in the splits have their labels elsewhere.
        refuse_labels(dir, std::iter::empty(), &others)?;
    }
    Ok(ClassLayout::Splits {
        train,
        validation,
        test,
        beside,
    })
}

/// The error of two folders for one split.
fn two_of_a_split(dir: &Path, kind: SplitKind, first: &Path, second: &Path) -> DataError {
    let rest = |folder: &Path| {
        let name = folder.file_name()?.to_str()?;
        let (_, rest) = SplitKind::within(name)?;
        (!rest.is_empty()).then(|| rest.replace(' ', "_"))
    };
    let advice = match (rest(first), rest(second)) {
        (Some(a), Some(b)) if a != b => {
            let split = kind.folder();
            message!(
                "they look like class and split in one name; move their images to {split}/{}/ and {split}/{}/",
                one_line(&a),
                one_line(&b)
            )
        }
        (Some(_) | None, Some(_) | None) => message!("merge them into one"),
    };
    let problem = message!(
        "there are two {} folders, {} and {}; {advice}",
        kind.adjective(),
        shown(first),
        shown(second)
    );
    DataError::Layout {
        folder: dir.to_path_buf(),
        problem,
    }
}
