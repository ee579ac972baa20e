//! Folders of class folders, and the signs that they are not classes.

use crate::error::{DataError, some_of};
use crate::folder::{Images, images};
use crate::folder_names::{is_labels, is_masks, is_pictures};
use crate::from_the_end::from_the_end;
use crate::labels_among_pictures::refuse_labels;
use crate::sample::Sample;
use crate::scenes;
use crate::skipped::Skipped;
use crate::split_kind::SplitKind;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization as _;
use warmstart_files::{Key, one_line, shown};
use warmstart_language::message;

/// A class folder with what is in it and in the folders inside it.
pub(crate) struct ClassFolder {
    /// The folder's name in Unicode's normal form C, as macOS and some archives decompose letters.
    pub name: String,
    pub path: PathBuf,
    /// Where its images lie among those of all classes.
    pub images: Range<usize>,
    /// Files that are not images.
    others: Vec<PathBuf>,
}

/// A folder of class folders.
pub(crate) struct ClassFolders {
    pub path: PathBuf,
    /// In the order of their names, each name once.
    pub classes: Vec<ClassFolder>,
    /// The images of all classes, sorted by class, then by path. A label is the place of the class in `classes`.
    pub images: Vec<Sample>,
    /// Images directly in it.
    pub loose: Vec<PathBuf>,
    /// Files directly in it that are not images.
    others: Vec<PathBuf>,
    /// All that is not used, with the loose images.
    pub ignored: Skipped,
}

impl ClassFolders {
    /// Lists a folder of class folders; they are not checked.
    ///
    /// # Errors
    /// If it is not a folder, cannot be read, or has a folder whose name is not UTF-8.
    pub fn read(dir: &Path) -> Result<Self, DataError> {
        Self::of(dir, images(dir)?)
    }

    /// The class folders among what lies below a folder, in order, those of one name made one.
    ///
    /// # Errors
    /// If the name of one is not UTF-8.
    pub fn of(dir: &Path, found: Images) -> Result<Self, DataError> {
        let (loose_others, mut others) = by_folder(dir, found.others);
        let folders = found.folders.into_iter().map(|path| {
            let name = path.file_name().unwrap_or_default();
            let others = others.remove(name).unwrap_or_default();
            ClassFolder::new(path, others)
        });
        let mut folders: Vec<ClassFolder> = folders.collect::<Result<_, _>>()?;
        folders.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        let mut classes: Vec<ClassFolder> = Vec::new();
        let mut labels: HashMap<OsString, usize> = HashMap::new();
        for mut folder in folders {
            let name = folder.path.file_name().unwrap_or_default().to_owned();
            match classes.last_mut() {
                // One name in two normal forms is one class.
                Some(class) if class.name == folder.name => class.others.append(&mut folder.others),
                Some(_) | None => classes.push(folder),
            }
            labels.insert(name, classes.len() - 1);
        }
        let (images, loose) = labelled(dir, found.paths, &labels);
        let mut start = 0;
        for of_class in images.chunk_by(|a, b| a.label == b.label) {
            let end = start + of_class.len();
            classes[of_class[0].label].images = start..end;
            start = end;
        }
        let mut ignored = found.skipped;
        ignored.add_loose(dir, loose.len());
        Ok(Self {
            path: dir.to_path_buf(),
            classes,
            images,
            loose,
            others: loose_others,
            ignored,
        })
    }

    /// Refuses folders that are not the classes of a training split.
    ///
    /// # Errors
    /// If there are fewer than two, one has no image, or they look like splits, data sets, or the
    /// pictures and labels of detection data; with what they look like, and the fix.
    pub fn require_classes(&self) -> Result<(), DataError> {
        self.refuse_scenes()?;
        self.refuse_labels()?;
        self.refuse_lettered_splits()?;
        self.refuse_same_subfolders()?;
        match &self.classes[..] {
            [] => return Err(self.no_classes()),
            [class] => return Err(self.one_class(class)),
            _ => {}
        }
        let empty = self.classes.iter().find(|class| class.images.is_empty());
        empty.map_or(Ok(()), |class| Err(class.empty()))
    }

    /// The paths of the images of all classes.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.images.iter().map(|image| &*image.path)
    }

    fn images_of(&self, class: &ClassFolder) -> &[Sample] {
        &self.images[class.images.clone()]
    }

    /// The error of a folder without class folders.
    pub fn no_classes(&self) -> DataError {
        let others = self.ignored.unsupported();
        let others = others.filter(|_| self.loose.is_empty());
        DataError::NoClasses {
            folder: self.path.clone(),
            images: self.loose.len(),
            instead: others.map_or(String::new(), |files| message!(", but {files}")),
        }
    }

    fn one_class(&self, class: &ClassFolder) -> DataError {
        let (base, inside) = subfolders(class, self.images_of(class));
        if inside.len() < 2 {
            return DataError::OneClass {
                folder: self.path.clone(),
                class: class.name.clone(),
            };
        }
        self.layout(message!(
            "it has one folder, {}, with {} folders of images in it ({}); if they are the classes or the splits, give {} {}",
            one_line(&class.name),
            inside.len(),
            some_of(&inside.into_keys().collect::<Vec<_>>()),
            Key::DATA,
            shown(&base)
        ))
    }

    fn refuse_scenes(&self) -> Result<(), DataError> {
        // Every layout has files that are not images.
        let mut may_be = self.classes.iter().filter(|class| !class.others.is_empty());
        let scenes = may_be.find(|class| scenes::layout(&class.path).is_some());
        scenes.map_or(Ok(()), |class| {
            let path = shown(&class.path);
            Err(self.layout(message!(
                "{path} is a detection data set of its own, not a class; give {} {path}",
                Key::DATA
            )))
        })
    }

    fn refuse_labels(&self) -> Result<(), DataError> {
        let classes = &self.classes;
        // What lies beside class folders may be a table of them.
        if classes.is_empty() {
            let loose = self.loose.iter().map(PathBuf::as_path);
            refuse_labels(&self.path, loose, &self.others)?;
        }
        for class in classes {
            let images = self.images_of(class).iter().map(|image| &*image.path);
            refuse_labels(&class.path, images, &class.others)?;
        }
        let named = |is: fn(&str) -> bool| classes.iter().find(|class| is(&class.name));
        let labels = named(|name| is_labels(name) || is_masks(name));
        if let (Some(pictures), Some(labels)) = (named(is_pictures), labels) {
            return Err(self.layout(message!(
                "its folders {} and {} look like pictures and their labels, not like classes; for detection it needs data.yaml (YOLO), annotations/instances_train.json (COCO), or Annotations/ and JPEGImages/ (VOC)",
                pictures.name, labels.name
            )));
        }
        Ok(())
    }

    /// Refuses folders with the name of a split and a letter, such as `trainA` and `trainB`.
    fn refuse_lettered_splits(&self) -> Result<(), DataError> {
        let lettered = self.classes.iter().filter_map(|class| {
            let (kind, letter) = SplitKind::lettered(&class.name)?;
            Some((&class.name, kind, letter))
        });
        let lettered: Vec<_> = lettered.collect();
        let [(first, kind, letter), (second, ..), ..] = &lettered[..] else {
            return Ok(());
        };
        Err(self.layout(message!(
            "its folders {} and {} look like splits with a letter for each class; put the classes into the splits, as in {}/{letter}/",
            one_line(first),
            one_line(second),
            kind.folder()
        )))
    }

    /// Refuses folders that have most of their images in subfolders that others have too, or that
    /// have the name of a folder beside them.
    fn refuse_same_subfolders(&self) -> Result<(), DataError> {
        let used = || self.classes.iter().filter(|class| !class.images.is_empty());
        let inside = used().map(|class| (class, subfolder_names(class, self.images_of(class))));
        // Where most images lie directly in a class, folders of its others may have any name.
        let nested: Vec<(&ClassFolder, BTreeSet<String>)> = inside
            .filter_map(|(class, (names, images))| {
                (2 * images > class.images.len()).then_some((class, names))
            })
            .collect();
        let lower: BTreeMap<String, &ClassFolder> = used()
            .map(|class| (class.name.to_lowercase(), class))
            .collect();
        for (class, names) in &nested {
            let mut beside = names.iter().filter_map(|name| lower.get(name));
            if let Some(other) = beside.find(|other| other.name != class.name) {
                let (class, other) = (one_line(&class.name), one_line(&other.name));
                return Err(self.layout(message!(
                    "its folder {class} holds a folder {other} and there is another {other} beside it, so {class} looks like a data set or a split, not like a class; move its classes up, joining those of one name, or take it out"
                )));
            }
        }
        let mut owners: HashMap<&str, usize> = HashMap::new();
        for name in nested.iter().flat_map(|(_, names)| names) {
            *owners.entry(name).or_default() += 1;
        }
        let shared = owners.iter().filter(|(_, owners)| **owners > 1);
        let shared: BTreeSet<&str> = shared.map(|(name, _)| *name).collect();
        if shared.is_empty() || 2 * nested.len() < used().count() {
            return Ok(());
        }
        let splits_inside = shared.iter().all(|name| SplitKind::of(name).is_some());
        let shared: Vec<String> = shared.into_iter().map(String::from).collect();
        let names = nested.iter().map(|(class, _)| class.name.clone());
        let names: Vec<String> = names.collect();
        let advice = if splits_inside {
            message!(
                "if they are classes, put the splits above them, as in {}/{}/",
                one_line(&shared[0]),
                one_line(&names[0])
            )
        } else {
            message!(
                "rename them to train, val and test, give one of them as {}, or put the images of a class directly into its folder",
                Key::DATA
            )
        };
        Err(self.layout(message!(
            "its folders ({}) hold folders of the same names ({}), so they look like splits or data sets, not like classes; {advice}",
            some_of(&names),
            some_of(&shared)
        )))
    }

    fn layout(&self, problem: String) -> DataError {
        DataError::Layout {
            folder: self.path.clone(),
            problem,
        }
    }
}

impl ClassFolder {
    /// A class of the name of its folder, as yet without images.
    ///
    /// # Errors
    /// If the name is not UTF-8.
    fn new(path: PathBuf, others: Vec<PathBuf>) -> Result<Self, DataError> {
        let name = path.file_name().and_then(OsStr::to_str);
        let Some(name) = name.map(|name| name.nfc().collect()) else {
            let problem = message!("the name of the class folder is not valid UTF-8; rename it");
            return Err(DataError::Layout {
                folder: path,
                problem,
            });
        };
        Ok(Self {
            name,
            path,
            images: 0..0,
            others,
        })
    }

    fn empty(&self) -> DataError {
        let mut skipped = Skipped::default();
        self.others.iter().for_each(|path| skipped.add_type(path));
        let instead = match skipped.unsupported() {
            _ if self.path.is_symlink() => {
                message!("; it is a link: perhaps to a folder that is listed already")
            }
            Some(files) => message!(", but {files}"),
            None => String::new(),
        };
        DataError::EmptyClass {
            folder: self.path.clone(),
            instead,
        }
    }
}

/// The folders with images beside each other in a class folder, by their names in lower case and one normal
/// form, with the number of images in each; and the folder that holds them: the class folder, or one below
/// it where each folder holds only one other.
fn subfolders(class: &ClassFolder, images: &[Sample]) -> (PathBuf, BTreeMap<String, usize>) {
    let mut base = class.path.clone();
    loop {
        let mut folders: BTreeMap<&OsStr, (usize, bool)> = BTreeMap::new();
        for Sample { path, .. } in images {
            if let Some(name) = first_folder(&base, path) {
                let (inside, any_direct) = folders.entry(name).or_default();
                *inside += 1;
                *any_direct |= path.parent() == Some(&base.join(name));
            }
        }
        let mut all = folders.iter();
        if let (Some((name, (inside, false))), None) = (all.next(), all.next())
            && *inside == images.len()
        {
            base.push(name);
            continue;
        }
        let mut named = BTreeMap::new();
        for (name, (inside, _)) in folders {
            *named.entry(lowercase(name)).or_default() += inside;
        }
        return (base, named);
    }
}

/// The names of the [`subfolders`] and of the folders that hold nothing but them, and how many images all
/// have.
fn subfolder_names(class: &ClassFolder, images: &[Sample]) -> (BTreeSet<String>, usize) {
    let (base, folders) = subfolders(class, images);
    let inside = folders.values().sum();
    let above = base.strip_prefix(&class.path).unwrap_or(Path::new(""));
    let above = above.iter().map(lowercase);
    (above.chain(folders.into_keys()).collect(), inside)
}

fn lowercase(name: &OsStr) -> String {
    let name: String = name.to_string_lossy().nfc().collect();
    name.to_lowercase()
}

/// The folder directly in `dir` that a path below `dir` goes through; none for what lies directly in it.
fn first_folder<'a>(dir: &Path, path: &'a Path) -> Option<&'a OsStr> {
    let mut parts = path.strip_prefix(dir).ok()?.components();
    let first = parts.next()?.as_os_str();
    parts.next().map(|_| first)
}

/// Images by their classes, then by their paths, in which order they are given, and those that lie directly in `dir`.
/// `labels` are those of the folders in it.
fn labelled(
    dir: &Path,
    paths: Vec<PathBuf>,
    labels: &HashMap<OsString, usize>,
) -> (Vec<Sample>, Vec<PathBuf>) {
    let (mut images, mut loose) = (Vec::with_capacity(paths.len()), Vec::new());
    for path in from_the_end(paths) {
        let label = first_folder(dir, &path).and_then(|folder| labels.get(folder));
        match label {
            Some(&label) => images.push(Sample { path, label }),
            None => loose.push(path),
        }
    }
    images.reverse();
    loose.reverse();
    // Normal forms of names may have another order than the names.
    if !images.is_sorted_by_key(|image| image.label) {
        images.sort_by_key(|image| image.label);
    }
    (images, loose)
}

/// Paths directly in `dir`, and the others by the folder in it that they go through. The paths are sorted, so those of
/// a folder lie together.
fn by_folder(
    dir: &Path,
    mut paths: Vec<PathBuf>,
) -> (Vec<PathBuf>, HashMap<OsString, Vec<PathBuf>>) {
    let (mut loose, mut inside) = (Vec::new(), HashMap::new());
    while let Some(last) = paths.pop() {
        let Some(name) = first_folder(dir, &last).map(OsStr::to_owned) else {
            loose.push(last);
            continue;
        };
        paths.push(last);
        let is_other = |path: &PathBuf| first_folder(dir, path) != Some(&*name);
        let first = paths
            .iter()
            .rposition(is_other)
            .map_or(0, |other| other + 1);
        // From the end, so that no list of all paths is there twice.
        let mut of_folder = paths.split_off(first);
        of_folder.shrink_to_fit();
        inside.insert(name, of_folder);
    }
    loose.reverse();
    (loose, inside)
}
