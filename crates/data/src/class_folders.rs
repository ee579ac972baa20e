//! Folders of class folders, and what speaks against their being classes.

use crate::error::{DataError, some_of};
use crate::folder::{Images, images};
use crate::folder_names::{is_labels, is_masks, is_pictures};
use crate::labels_among_pictures::refuse_labels;
use crate::scenes;
use crate::skipped::Skipped;
use crate::split_kind::SplitKind;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization as _;
use warmstart_files::{one_line, shown};

/// A class folder with what is in it and in the folders inside it.
pub(crate) struct ClassFolder {
    /// The folder's name in Unicode's normal form C, as macOS and some archives decompose letters.
    pub name: String,
    pub path: PathBuf,
    /// Sorted.
    pub images: Vec<PathBuf>,
    /// Files that are not images.
    others: Vec<PathBuf>,
}

/// A folder of class folders.
pub(crate) struct ClassFolders {
    pub path: PathBuf,
    /// In the order of their names, each name once.
    pub classes: Vec<ClassFolder>,
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
        let (loose, mut images) = by_folder(dir, found.paths);
        let (loose_others, mut others) = by_folder(dir, found.others);
        let classes = found.folders.into_iter().map(|path| {
            let name = path.file_name().unwrap_or_default();
            let images = images.remove(name).unwrap_or_default();
            let others = others.remove(name).unwrap_or_default();
            ClassFolder::new(path, images, others)
        });
        let mut classes: Vec<ClassFolder> = classes.collect::<Result<_, _>>()?;
        classes.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        // One name in two normal forms is one class.
        classes.dedup_by(|again, first| {
            let same = again.name == first.name;
            if same {
                first.images.append(&mut again.images);
                first.images.sort();
                first.others.append(&mut again.others);
            }
            same
        });
        let mut ignored = found.skipped;
        ignored.add_loose(dir, loose.len());
        Ok(Self {
            path: dir.to_path_buf(),
            classes,
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
        self.refuse_same_subfolders()?;
        match &self.classes[..] {
            [] => return Err(self.no_classes()),
            [class] => return Err(self.one_class(class)),
            _ => {}
        }
        let empty = self.classes.iter().find(|class| class.images.is_empty());
        empty.map_or(Ok(()), |class| Err(class.empty()))
    }

    /// The error of a folder without class folders.
    pub fn no_classes(&self) -> DataError {
        let others = self.ignored.unsupported();
        let others = others.filter(|_| self.loose.is_empty());
        DataError::NoClasses {
            folder: self.path.clone(),
            images: self.loose.len(),
            instead: others.map_or(String::new(), |files| format!(", but {files}")),
        }
    }

    fn one_class(&self, class: &ClassFolder) -> DataError {
        let inside = subfolders(class);
        if inside.len() < 2 {
            return DataError::OneClass {
                folder: self.path.clone(),
                class: class.name.clone(),
            };
        }
        self.layout(format!(
            "it has one folder, {}, with {} folders of images in it ({}); if they are the classes or the splits, give --data {}",
            one_line(&class.name),
            inside.len(),
            some_of(&inside.into_keys().collect::<Vec<_>>()),
            shown(&class.path)
        ))
    }

    fn refuse_scenes(&self) -> Result<(), DataError> {
        // Every layout has files that are not images.
        let mut may_be = self.classes.iter().filter(|class| !class.others.is_empty());
        let scenes = may_be.find(|class| scenes::layout(&class.path).is_some());
        scenes.map_or(Ok(()), |class| {
            let path = shown(&class.path);
            Err(self.layout(format!(
                "{path} is a detection data set of its own, not a class; give --data {path}"
            )))
        })
    }

    fn refuse_labels(&self) -> Result<(), DataError> {
        let own = (&self.path, &self.loose, &self.others);
        // What lies beside class folders may be a table of them.
        let own = self.classes.is_empty().then_some(own);
        let classes = &self.classes;
        let inside = classes.iter().map(|c| (&c.path, &c.images, &c.others));
        for (folder, images, others) in own.into_iter().chain(inside) {
            refuse_labels(folder, images, others)?;
        }
        let named = |is: fn(&str) -> bool| classes.iter().find(|class| is(&class.name));
        let labels = named(|name| is_labels(name) || is_masks(name));
        if let (Some(pictures), Some(labels)) = (named(is_pictures), labels) {
            return Err(self.layout(format!(
                "its folders {} and {} look like pictures and their labels, not like classes; for detection it needs data.yaml (YOLO), annotations/instances_train.json (COCO), or Annotations/ and JPEGImages/ (VOC)",
                pictures.name, labels.name
            )));
        }
        Ok(())
    }

    /// Refuses folders of which each has most of its images in subfolders that others have too.
    fn refuse_same_subfolders(&self) -> Result<(), DataError> {
        let used = || self.classes.iter().filter(|class| !class.images.is_empty());
        let inside: Vec<BTreeMap<String, usize>> = used().map(subfolders).collect();
        let mut owners: HashMap<&str, usize> = HashMap::new();
        for name in inside.iter().flat_map(BTreeMap::keys) {
            *owners.entry(name).or_default() += 1;
        }
        let is_shared = |name: &str| owners[name] > 1;
        let mostly_shared = |(class, inside): (&ClassFolder, &BTreeMap<String, usize>)| {
            let shared = inside.iter().filter(|(name, _)| is_shared(name));
            let images: usize = shared.map(|(_, images)| images).sum();
            2 * images > class.images.len()
        };
        if inside.len() < 2 || !used().zip(&inside).all(mostly_shared) {
            return Ok(());
        }
        let shared = owners.iter().filter(|(_, owners)| **owners > 1);
        let shared: BTreeSet<&str> = shared.map(|(name, _)| *name).collect();
        let splits_inside = shared.iter().all(|name| SplitKind::of(name).is_some());
        let shared: Vec<String> = shared.into_iter().map(String::from).collect();
        let names: Vec<String> = used().map(|class| class.name.clone()).collect();
        let advice = if splits_inside {
            format!(
                "if they are classes, put the splits above them, as in {}/{}/",
                one_line(&shared[0]),
                one_line(&names[0])
            )
        } else {
            "rename them to train, val and test, give one of them as --data, or put the images of a class directly into its folder".to_owned()
        };
        Err(self.layout(format!(
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
    /// A class of the name of its folder.
    ///
    /// # Errors
    /// If the name is not UTF-8.
    fn new(path: PathBuf, images: Vec<PathBuf>, others: Vec<PathBuf>) -> Result<Self, DataError> {
        let name = path.file_name().and_then(OsStr::to_str);
        let Some(name) = name.map(|name| name.nfc().collect()) else {
            let problem = "the name of the class folder is not valid UTF-8; rename it".into();
            return Err(DataError::Layout {
                folder: path,
                problem,
            });
        };
        Ok(Self {
            name,
            path,
            images,
            others,
        })
    }

    fn empty(&self) -> DataError {
        let mut skipped = Skipped::default();
        self.others.iter().for_each(|path| skipped.add_type(path));
        let instead = match skipped.unsupported() {
            _ if self.path.is_symlink() => {
                "; it is a link: perhaps to a folder that is listed already".to_owned()
            }
            Some(files) => format!(", but {files}"),
            None => String::new(),
        };
        DataError::EmptyClass {
            folder: self.path.clone(),
            instead,
        }
    }
}

/// The folders directly in a class folder that have images, in one case and normal form: how many images.
fn subfolders(class: &ClassFolder) -> BTreeMap<String, usize> {
    let mut folders = BTreeMap::new();
    for image in &class.images {
        if let Some(name) = first_folder(&class.path, image) {
            let name = name.to_string_lossy().nfc().collect::<String>();
            *folders.entry(name.to_lowercase()).or_default() += 1;
        }
    }
    folders
}

/// The folder directly in `dir` that a path below `dir` goes through; none for what lies directly in it.
fn first_folder<'a>(dir: &Path, path: &'a Path) -> Option<&'a OsStr> {
    let mut parts = path.strip_prefix(dir).ok()?.components();
    let first = parts.next()?.as_os_str();
    parts.next().map(|_| first)
}

/// Paths directly in `dir`, and the others by the folder in it that they go through.
fn by_folder(dir: &Path, paths: Vec<PathBuf>) -> (Vec<PathBuf>, HashMap<OsString, Vec<PathBuf>>) {
    let (mut loose, mut inside) = (Vec::new(), HashMap::<OsString, Vec<PathBuf>>::new());
    for path in paths {
        match first_folder(dir, &path) {
            // Looked up by reference first: there are many images to a folder.
            Some(name) => match inside.get_mut(name) {
                Some(paths) => paths.push(path),
                None => {
                    inside.insert(name.to_owned(), vec![path]);
                }
            },
            None => loose.push(path),
        }
    }
    (loose, inside)
}
