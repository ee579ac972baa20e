//! Folders of labelled images: one subfolder per class.

use crate::class_folders::ClassFolders;
use crate::class_layout::ClassLayout;
use crate::class_list;
use crate::class_shards;
use crate::class_table;
use crate::error::{DataError, some_of};
use crate::from_the_end::from_the_end;
use crate::held_out::drawn;
use crate::listed_images::{ListedImages, ListedSplit};
use crate::sample::Sample;
use crate::scenes::{self, Layout};
use crate::skipped::Skipped;
use crate::split_kind::{SplitKind, split_named};
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::Path;
use unicode_normalization::UnicodeNormalization as _;
use warmstart_files::{one_line, shown};
use warmstart_language::message;

/// A data set. Every list is in an order of its own (by class, then by path), whatever order the file
/// system has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset<L = usize> {
    /// Class names, in the order of their indices.
    pub classes: Vec<String>,
    /// Samples that the network learns from.
    pub train: Vec<Sample<L>>,
    /// Samples that the epoch is chosen by.
    pub validation: Vec<Sample<L>>,
    /// Samples that the final figure is measured on, if there is a test split.
    pub test: Option<Vec<Sample<L>>>,
    /// Files and folders that are not used, by reason.
    pub ignored: Skipped,
    /// Classes without a validation image: too small to give one, or not in the validation folder.
    pub without_validation: Vec<String>,
    /// Sentences about how the folder was read, where another way is possible.
    pub notes: Vec<String>,
}

/// The images of one folder of class folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The images, sorted by class, then by path.
    pub samples: Vec<Sample>,
    /// Files and folders that are not used, by reason.
    pub ignored: Skipped,
}

/// Opens a classification data set.
///
/// `dir` holds either a folder of class folders for each split (`train/<class>/…`, `val/<class>/…` and
/// perhaps `test/<class>/…`, or other usual names of splits in any case), or the class folders themselves.
/// Without a validation folder, each class gives the share `val_split` (0 or more, below 1) of its images to
/// validation, rounded, and keeps at least one; 0 gives none. The choice is a function of `seed` and the path
/// below `dir`, so another place or a few more images move no other image. Folders inside a class folder are
/// searched.
///
/// Or `dir` is a text list of pictures with their classes, such as `cls_train.txt`, or holds one; then the lists
/// beside it of the same name but for the split are read, too, and nothing else in the folder.
///
/// Or `dir` is a TAR archive of pictures or holds some, or is a table with the path and the class of each picture or
/// holds one. Beside class folders with pictures, archives and tables are not used.
///
/// The classes are those of the training images, compared in Unicode's normal form C.
///
/// # Errors
/// If the layout is missing, empty or ambiguous, the folders look like splits, data sets or the labels of
/// detection data instead of classes, there are fewer than two classes, a class has no training image,
/// validation or test has an unknown class, or no image validates; with the folder and the fix.
pub fn open(dir: &Path, val_split: f64, seed: u64) -> Result<Dataset, DataError> {
    if let Some(listed) = listed_images(dir)? {
        return of_lists(listed, val_split, seed);
    }
    let mut dataset = match ClassLayout::read(dir)? {
        ClassLayout::Classes(classes) => share_out(classes, dir, val_split, seed)?,
        ClassLayout::Splits {
            train,
            validation,
            test,
            beside,
        } => {
            let folders = [Some(&train), validation.as_ref(), test.as_ref()];
            let note = note_on_splits(folders.map(|folders| Some(&*folders?.path)), val_split);
            let mut dataset = match validation {
                Some(validation) => {
                    let (classes, train) = training_images(train)?;
                    let mut validation = labelled(validation, &classes)?;
                    validation.ignored += train.ignored;
                    with_validation(classes, train.samples, validation)
                }
                None => share_out(train, dir, val_split, seed)?,
            };
            dataset.ignored += beside;
            dataset.notes.extend(note);
            match test {
                // Unlabelled test images are common, and training can do without.
                Some(test) if test.classes.is_empty() => dataset.ignored += test.ignored,
                Some(test) => {
                    let test = labelled(test, &dataset.classes)?;
                    dataset.ignored += test.ignored;
                    dataset.test = Some(test.samples);
                }
                None => {}
            }
            dataset
        }
    };
    let like_splits = dataset
        .classes
        .iter()
        .filter(|class| SplitKind::of(class).is_some());
    let notes = like_splits.map(|class| {
        message!(
            "{} is taken for a class, as its images lie beside those of other classes; if it is a split, put the class folders into it",
            one_line(class)
        )
    });
    dataset.notes.extend(notes);
    Ok(dataset)
}

/// The data set whose pictures text lists, archives or tables give; none for folders of classes.
fn listed_images(dir: &Path) -> Result<Option<ListedImages>, DataError> {
    for read in [class_list::read, class_shards::read, class_table::read] {
        if let Some(listed) = read(dir)? {
            return Ok(Some(listed));
        }
    }
    Ok(None)
}

/// Returns whether text lists, archives or tables say which images belong to a data set, so that others in its folder
/// are no part of it.
pub fn is_listed(data: &Path) -> bool {
    // Lists that are refused are lists.
    if !matches!(class_list::find(data), Ok(None)) {
        return true;
    }
    match scenes::layout(data) {
        // An archive beside them is no part of detection data.
        Some(layout) => layout == Layout::Lists,
        None => class_shards::are_at(data) || class_table::are_at(data),
    }
}

/// The data set of lists.
fn of_lists(listed: ListedImages, val_split: f64, seed: u64) -> Result<Dataset, DataError> {
    let lists = listed.sources.each_ref().map(Option::as_deref);
    let note = note_on_splits(lists, val_split);
    let split = |samples| Split {
        samples,
        ignored: Skipped::default(),
    };
    let mut dataset = match listed.validation {
        Some(validation) => with_validation(listed.classes, listed.train, split(validation)),
        None => {
            let from = lists[0].unwrap_or(&listed.folder);
            let all = (listed.classes, split(listed.train));
            drawn_apart(all, from, &listed.folder, val_split, seed)?
        }
    };
    dataset.test = listed.test;
    dataset.ignored = listed.ignored;
    dataset.notes = note.into_iter().chain(listed.notes).collect();
    Ok(dataset)
}

/// Opens one folder of class folders, or a list, a table or archives of pictures with their classes, to be measured by
/// a model that knows `classes`.
///
/// A class may be missing; a class folder that is not in `classes`, and a folder without any image,
/// are errors, as is a row of a list or a table that cannot be used and a picture of an archive without a class.
pub fn open_split(dir: &Path, classes: &[String]) -> Result<Split, DataError> {
    for read_one in [
        class_list::read_one,
        class_shards::read_one,
        class_table::read_one,
    ] {
        if let Some(ListedSplit { names, images }) = read_one(dir)? {
            return known(dir, &names, images, classes);
        }
    }
    labelled(ClassFolders::read(dir)?, classes)
}

/// The images of a list, labelled by the places of their `names` in `classes`.
fn known(
    list: &Path,
    names: &[String],
    samples: Vec<Sample>,
    classes: &[String],
) -> Result<Split, DataError> {
    let labels = places_of(classes);
    let known = samples.into_iter().map(|sample| {
        let name = &names[sample.label];
        let label = labels.get(name).ok_or_else(|| DataError::Layout {
            folder: list.to_path_buf(),
            problem: message!(
                "it has pictures of the class {name:?}, which is not one of the {} classes ({}); remove these lines, or give the list of classes the model's names",
                classes.len(),
                some_of(classes)
            ),
        })?;
        Ok::<_, DataError>(Sample {
            label: *label,
            ..sample
        })
    });
    let mut samples: Vec<Sample> = known.collect::<Result<_, _>>()?;
    samples.sort_by(|a, b| (a.label, &a.path).cmp(&(b.label, &b.path)));
    Ok(Split {
        samples,
        ignored: Skipped::default(),
    })
}

/// The place of each class in a list, by its name in Unicode's normal form C.
fn places_of(classes: &[String]) -> HashMap<String, usize> {
    let normal = classes.iter().map(|class| class.nfc().collect::<String>());
    normal.zip(0..).collect()
}

/// The images of class folders, labelled by their places in `classes`. A folder of another name is an
/// error if it has images.
fn labelled(folders: ClassFolders, classes: &[String]) -> Result<Split, DataError> {
    if folders.classes.is_empty() {
        return Err(folders.no_classes());
    }
    let labels = places_of(classes);
    let mut split = Split {
        samples: folders.images,
        ignored: folders.ignored,
    };
    for class in folders.classes {
        match labels.get(&class.name) {
            Some(&label) => {
                let images = &mut split.samples[class.images];
                images.iter_mut().for_each(|image| image.label = label);
            }
            None if class.images.is_empty() => split.ignored.add_unused(&class.path, 0),
            None => return Err(unknown_class(&folders.path, &class.path, classes)),
        }
    }
    // The model's classes may be in another order than the folders.
    split
        .samples
        .sort_unstable_by(|a, b| (a.label, &a.path).cmp(&(b.label, &b.path)));
    if split.samples.is_empty() {
        Err(DataError::EmptySplit(folders.path))
    } else {
        Ok(split)
    }
}

fn unknown_class(dir: &Path, folder: &Path, classes: &[String]) -> DataError {
    if split_named(folder).is_some() {
        let problem = message!(
            "holds the splits of a data set, expected class folders; give one of them, such as {}",
            shown(folder)
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

/// Says which folders or lists the images of training, validation and test come from, unless that is what
/// anyone expects.
fn note_on_splits(sources: [Option<&Path>; 3], val_split: f64) -> Option<String> {
    let validation = sources[1];
    let names = sources.map(|source| Some(shown(Path::new(source?.file_name()?))));
    let usual = [&["train"][..], &["val", "valid", "validation"], &["test"]];
    let expected = names
        .iter()
        .zip(usual)
        .all(|(name, usual)| name.as_ref().is_none_or(|name| usual.contains(&&**name)));
    if expected && validation.is_some() {
        return None;
    }
    let [train, validation, test] = names;
    let validation = match validation {
        Some(validation) => message!("validation images come from {validation}"),
        None if val_split == 0.0 => message!("no image is held out for validation (val_split 0)"),
        None => message!("validation images are drawn from them (val_split {val_split})"),
    };
    let test = test.map_or(String::new(), |test| {
        message!(", test images come from {test}")
    });
    Some(message!(
        "training images come from {}, {validation}{test}",
        train.unwrap_or_default()
    ))
}

fn with_validation(classes: Vec<String>, train: Vec<Sample>, validation: Split) -> Dataset {
    let mut has = vec![false; classes.len()];
    for sample in &validation.samples {
        has[sample.label] = true;
    }
    let without = classes.iter().zip(has).filter(|(_, has)| !has);
    Dataset {
        without_validation: without.map(|(class, _)| class.clone()).collect(),
        ignored: validation.ignored,
        train,
        validation: validation.samples,
        test: None,
        notes: Vec::new(),
        classes,
    }
}

/// The classes of a training folder and their images, at least one each.
fn training_images(folders: ClassFolders) -> Result<(Vec<String>, Split), DataError> {
    folders.require_classes()?;
    let classes = folders.classes.into_iter().map(|class| class.name);
    let split = Split {
        samples: folders.images,
        ignored: folders.ignored,
    };
    Ok((classes.collect(), split))
}

/// Takes the validation images out of class folders; draws by the path below `root`.
fn share_out(
    folders: ClassFolders,
    root: &Path,
    val_split: f64,
    seed: u64,
) -> Result<Dataset, DataError> {
    let dir = folders.path.clone();
    drawn_apart(training_images(folders)?, &dir, root, val_split, seed)
}

/// Takes the validation images out of all, which are sorted by class and come `from` a folder or a list; draws by
/// the path below `root`.
fn drawn_apart(
    (classes, all): (Vec<String>, Split),
    from: &Path,
    root: &Path,
    val_split: f64,
    seed: u64,
) -> Result<Dataset, DataError> {
    let mut dataset = Dataset {
        classes,
        train: Vec::new(),
        validation: Vec::new(),
        test: None,
        ignored: all.ignored,
        without_validation: Vec::new(),
        notes: Vec::new(),
    };
    if val_split == 0.0 {
        dataset.train = all.samples;
        return Ok(dataset);
    }
    let of_one_class = |a: &Sample, b: &Sample| a.label == b.label;
    let chosen = all.samples.par_chunk_by(of_one_class).map(|class| {
        let paths = class.iter().map(|sample| &*sample.path);
        drawn(paths, root, val_split, seed)
    });
    let chosen: Vec<Vec<bool>> = chosen.collect::<Result<_, _>>()?;
    for (class, chosen) in all.samples.chunk_by(of_one_class).zip(&chosen) {
        if !chosen.contains(&true) {
            let name = &dataset.classes[class[0].label];
            dataset.without_validation.push(name.clone());
        }
    }
    let images = chosen.iter().flatten().filter(|chosen| **chosen).count();
    dataset.train.reserve_exact(all.samples.len() - images);
    dataset.validation.reserve_exact(images);
    let chosen = chosen.into_iter().flatten().rev();
    for (sample, validates) in from_the_end(all.samples).zip(chosen) {
        if validates {
            dataset.validation.push(sample);
        } else {
            dataset.train.push(sample);
        }
    }
    dataset.train.reverse();
    dataset.validation.reverse();
    if dataset.validation.is_empty() {
        return Err(DataError::NoValidation {
            folder: from.to_path_buf(),
            val_split,
        });
    }
    Ok(dataset)
}
