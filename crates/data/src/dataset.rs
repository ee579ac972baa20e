//! Folders of labelled images: one subfolder per class.

use crate::error::{DataError, some_of};
use crate::folder::{Listing, class_folders, images, subfolder};
use crate::random::{Purpose, stream};
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Names of the validation folder, in the order of preference in messages.
const VALIDATION: [&str; 3] = ["val", "valid", "validation"];

/// One labelled image. In classification the label is an index into the class names, in detection a
/// [`Scene`](crate::Scene).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample<L = usize> {
    /// The file.
    pub path: PathBuf,
    /// What is known of it.
    pub label: L,
}

/// A data set. Every list is in an order of its own (by class, then by path), whatever order the file
/// system has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset<L = usize> {
    /// Class names, in the order of their indices.
    pub classes: Vec<String>,
    /// What the network learns from.
    pub train: Vec<Sample<L>>,
    /// What the best epoch is chosen by.
    pub validation: Vec<Sample<L>>,
    /// What the final figure is measured on, if there is a test split.
    pub test: Option<Vec<Sample<L>>>,
    /// Files and folders passed over: hidden, not an image by extension, or without a label.
    pub ignored: usize,
    /// Classes without a validation image: too small to give one, or not in the validation folder.
    pub without_validation: Vec<String>,
}

/// The images of one folder of class folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The images, sorted by class, then by path.
    pub samples: Vec<Sample>,
    /// Files and folders passed over.
    pub ignored: usize,
}

/// Opens a classification data set.
///
/// `dir` holds either `train/<class>/…` with `val/<class>/…` (also `valid`, `validation`) and
/// perhaps `test/<class>/…`, or the class folders themselves. Without a validation folder, each
/// class gives the share `val_split` (above 0, below 1) of its images to validation, rounded, and
/// keeps at least one. Which ones is a function of `seed` and the path below `dir`, so another
/// place or a few more images move no other image. Folders inside a class folder are searched.
///
/// The classes are those of the training images. Fails, naming the folder and the mend, on a
/// missing, empty or ambiguous layout, fewer than two classes, a class without a training image, an
/// unknown class in validation or test, and an empty validation split.
pub fn open(dir: &Path, val_split: f64, seed: u64) -> Result<Dataset, DataError> {
    let validation = validation_folder(dir)?;
    let train = subfolder(dir, "train")?.filter(|train| {
        // A class may be called "train": then there are images in it, not class folders.
        validation.is_some()
            || class_folders(train).is_ok_and(|listing| !listing.folders.is_empty())
    });
    let Some(train) = train else {
        if let Some(validation) = validation {
            let problem = format!(
                "there is {} but no train folder beside it; add train/<class>/ or give the folder of class folders",
                validation.display()
            );
            return Err(DataError::Layout {
                folder: dir.to_path_buf(),
                problem,
            });
        }
        return split(dir, dir, val_split, seed);
    };

    let mut dataset = match validation {
        Some(validation) => {
            let (classes, train) = training_images(&train)?;
            let validation = open_split(&validation, &classes)?;
            let has = |label: usize| {
                validation
                    .samples
                    .iter()
                    .any(|sample| sample.label == label)
            };
            let without = (0..classes.len()).filter(|label| !has(*label));
            Dataset {
                without_validation: without.map(|label| classes[label].clone()).collect(),
                ignored: train.ignored + validation.ignored,
                train: train.samples,
                validation: validation.samples,
                test: None,
                classes,
            }
        }
        None => split(&train, dir, val_split, seed)?,
    };
    if let Some(test) = subfolder(dir, "test")? {
        let listing = class_folders(&test)?;
        if listing.folders.is_empty() {
            dataset.ignored += listing.images + listing.ignored;
        } else {
            let test = open_split(&test, &dataset.classes)?;
            dataset.ignored += test.ignored;
            dataset.test = Some(test.samples);
        }
    }
    Ok(dataset)
}

/// Opens one folder of class folders, to be measured by a model that knows `classes`.
///
/// A class may be missing; a class folder that is not in `classes`, and a folder without any image,
/// are errors.
pub fn open_split(dir: &Path, classes: &[String]) -> Result<Split, DataError> {
    let listing = class_folders(dir)?;
    if listing.folders.is_empty() {
        return Err(no_classes(dir, &listing));
    }
    let mut split = Split {
        samples: Vec::new(),
        ignored: listing.images + listing.ignored,
    };
    for (name, folder) in listing.folders {
        let Some(label) = classes.iter().position(|class| *class == name) else {
            return Err(unknown_class(dir, &folder, &name, classes));
        };
        let found = images(&folder)?;
        split.ignored += found.ignored;
        split
            .samples
            .extend(found.paths.into_iter().map(|path| Sample { path, label }));
    }
    // The model's classes may be in another order than the folders.
    split
        .samples
        .sort_by(|a, b| (a.label, &a.path).cmp(&(b.label, &b.path)));
    match split.samples.is_empty() {
        true => Err(DataError::EmptySplit(dir.to_path_buf())),
        false => Ok(split),
    }
}

fn no_classes(dir: &Path, listing: &Listing) -> DataError {
    DataError::NoClasses {
        folder: dir.to_path_buf(),
        images: listing.images,
    }
}

fn unknown_class(dir: &Path, folder: &Path, name: &str, classes: &[String]) -> DataError {
    if ["train", "test"].contains(&name) || VALIDATION.contains(&name) {
        let problem = format!(
            "holds the splits of a data set, expected class folders; give one of them, such as {}",
            folder.display()
        );
        return DataError::Layout {
            folder: dir.to_path_buf(),
            problem,
        };
    }
    DataError::UnknownClass {
        folder: folder.to_path_buf(),
        known: classes.len(),
        examples: some_of(classes),
    }
}

fn validation_folder(dir: &Path) -> Result<Option<PathBuf>, DataError> {
    let mut found = Vec::new();
    for name in VALIDATION {
        found.extend(subfolder(dir, name)?);
    }
    if let [first, second, ..] = &found[..] {
        let problem = format!(
            "there are two validation folders, {} and {}; keep one",
            first.display(),
            second.display()
        );
        return Err(DataError::Layout {
            folder: dir.to_path_buf(),
            problem,
        });
    }
    Ok(found.pop())
}

/// The classes of a training folder and their images, at least one each.
fn training_images(dir: &Path) -> Result<(Vec<String>, Split), DataError> {
    let listing = class_folders(dir)?;
    if listing.folders.is_empty() {
        return Err(no_classes(dir, &listing));
    }
    if let [(class, _)] = &listing.folders[..] {
        return Err(DataError::OneClass {
            folder: dir.to_path_buf(),
            class: class.clone(),
        });
    }
    let classes: Vec<String> = listing
        .folders
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    let mut split = Split {
        samples: Vec::new(),
        ignored: listing.images + listing.ignored,
    };
    for (label, (_, folder)) in listing.folders.into_iter().enumerate() {
        let found = images(&folder)?;
        if found.paths.is_empty() {
            return Err(DataError::EmptyClass(folder));
        }
        split.ignored += found.ignored;
        split
            .samples
            .extend(found.paths.into_iter().map(|path| Sample { path, label }));
    }
    Ok((classes, split))
}

/// Takes the validation images out of the class folders in `dir`; draws by the path below `root`.
fn split(dir: &Path, root: &Path, val_split: f64, seed: u64) -> Result<Dataset, DataError> {
    check_share(val_split)?;
    let (classes, all) = training_images(dir)?;
    let mut dataset = Dataset {
        classes,
        train: Vec::new(),
        validation: Vec::new(),
        test: None,
        ignored: all.ignored,
        without_validation: Vec::new(),
    };
    for class in all.samples.chunk_by(|a, b| a.label == b.label) {
        let paths: Vec<&Path> = class.iter().map(|sample| &*sample.path).collect();
        let chosen = drawn(&paths, root, val_split, seed)?;
        if !chosen.contains(&true) {
            dataset
                .without_validation
                .push(dataset.classes[class[0].label].clone());
        }
        for (sample, chosen) in class.iter().zip(chosen) {
            let list = if chosen {
                &mut dataset.validation
            } else {
                &mut dataset.train
            };
            list.push(sample.clone());
        }
    }
    match dataset.validation.is_empty() {
        true => Err(DataError::NoValidation {
            folder: dir.to_path_buf(),
            val_split,
        }),
        false => Ok(dataset),
    }
}

fn check_share(val_split: f64) -> Result<(), DataError> {
    if val_split > 0.0 && val_split < 1.0 {
        return Ok(());
    }
    let (name, expected) = ("val_split", "a fraction above 0 and below 1");
    Err(DataError::OutOfRange {
        name,
        expected,
        found: val_split.to_string(),
    })
}

/// Which of some images go to validation: the share `val_split` of them, rounded, and never all. They
/// are drawn by the path below `root`.
pub(crate) fn drawn(
    paths: &[&Path],
    root: &Path,
    val_split: f64,
    seed: u64,
) -> Result<Vec<bool>, DataError> {
    check_share(val_split)?;
    let wanted = (paths.len() as f64 * val_split).round() as usize;
    let count = wanted.min(paths.len().saturating_sub(1));
    let mut order: Vec<(u64, usize)> = (0..paths.len())
        .map(|index| (draw(seed, root, paths[index]), index))
        .collect();
    order.sort_unstable();
    let mut chosen = vec![false; paths.len()];
    for (_, index) in &order[..count] {
        chosen[*index] = true;
    }
    Ok(chosen)
}

/// The number that decides whether an image goes to validation.
fn draw(seed: u64, root: &Path, path: &Path) -> u64 {
    let mut hasher = blake3::Hasher::new();
    // By component, so that the separator of the system does not count.
    for part in path.strip_prefix(root).unwrap_or(path).components() {
        hasher
            .update(part.as_os_str().as_encoded_bytes())
            .update(b"/");
    }
    let mut start = [0; 8];
    start.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    stream(seed, 0, u64::from_le_bytes(start), Purpose::Split).next_u64()
}
