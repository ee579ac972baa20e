//! The data set of pictures whose classes are listed: by text lists, tables or the members of archives.

use crate::error::{DataError, some_of};
use crate::sample::Sample;
use crate::scenes::Findings;
use crate::skipped::Skipped;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// A data set whose classes are listed.
pub(crate) struct ListedImages {
    /// The folder from which paths count.
    pub folder: PathBuf,
    /// Where the pictures of training, validation and test are listed.
    pub sources: [Option<PathBuf>; 3],
    /// Those with a training picture, in the order of their numbers.
    pub classes: Vec<String>,
    /// Sorted by class, then by path, as the others.
    pub train: Vec<Sample>,
    pub validation: Option<Vec<Sample>>,
    pub test: Option<Vec<Sample>>,
    /// Files that are not used.
    pub ignored: Skipped,
    /// Sentences about how they were read.
    pub notes: Vec<String>,
}

/// The pictures of one split.
pub(crate) struct ListedSplit {
    /// The names of all classes.
    pub names: Vec<String>,
    /// Labelled by the places of their classes in `names`.
    pub images: Vec<Sample>,
}

/// The pictures of all splits that are there.
pub(crate) struct Splits {
    /// The names of all classes, also of those without a picture.
    pub names: Vec<String>,
    /// Training, validation and test, each sorted by class, then by path.
    pub images: [Option<Vec<Sample>>; 3],
}

impl ListedImages {
    /// The data set of some splits, of which `data` is what was given and `folder` the folder from which paths count.
    /// The findings become notes.
    ///
    /// # Errors
    /// If fewer than two classes have a training picture, or a class of another split has none.
    pub fn of(
        splits: Splits,
        sources: [Option<PathBuf>; 3],
        (data, folder): (&Path, &Path),
        findings: &Findings,
    ) -> Result<Self, DataError> {
        let Splits { names, images } = splits;
        let [train_images, validation, test] = images;
        let train_images = train_images.unwrap_or_default();
        let train = sources[0].as_deref().unwrap_or(data);
        let (classes, number) = trained_classes(&names, &train_images);
        if let [class] = &classes[..] {
            return Err(DataError::Layout {
                folder: train.to_path_buf(),
                problem: message!(
                    "all its pictures are of one class, {class:?}; classification needs at least two"
                ),
            });
        }
        let renumbered = |images: Vec<Sample>, source: &Option<PathBuf>| {
            let source = source.as_deref().unwrap_or(data);
            images
                .into_iter()
                .map(|image| match number.get(&image.label) {
                    Some(&label) => Ok(Sample { label, ..image }),
                    None => Err(untrained(source, train, &names[image.label])),
                })
                .collect::<Result<Vec<Sample>, DataError>>()
        };
        let mut notes: Vec<String> = findings
            .iter()
            .map(|(problem, found)| {
                let examples = found.examples.join("; ");
                format!("{}: {examples}", problem.counted(found.count))
            })
            .collect();
        let unused: Vec<String> = (names.iter().enumerate())
            .filter(|(class, _)| !number.contains_key(class))
            .map(|(_, name)| name.clone())
            .collect();
        if !unused.is_empty() {
            notes.push(message!(
                "classes without a picture in {} are left out: {}",
                shown(train),
                some_of(&unused)
            ));
        }
        Ok(Self {
            train: renumbered(train_images, &sources[0])?,
            validation: validation
                .map(|images| renumbered(images, &sources[1]))
                .transpose()?,
            test: test
                .map(|images| renumbered(images, &sources[2]))
                .transpose()?,
            folder: folder.to_path_buf(),
            ignored: Skipped::default(),
            sources,
            classes,
            notes,
        })
    }
}

/// The names of the classes that have a picture in `train`, which is sorted by class, and the new number of each.
fn trained_classes(names: &[String], train: &[Sample]) -> (Vec<String>, HashMap<usize, usize>) {
    let mut classes = Vec::new();
    let mut number = HashMap::new();
    let by_class = train.chunk_by(|a, b| a.label == b.label);
    for (place, images) in by_class.enumerate() {
        let class = images[0].label;
        number.insert(class, place);
        classes.push(names[class].clone());
    }
    (classes, number)
}

fn untrained(list: &Path, train: &Path, class: &str) -> DataError {
    DataError::Layout {
        folder: list.to_path_buf(),
        problem: message!(
            "it has pictures of the class {class:?}, and {} has none; add some there or remove these lines",
            shown(train)
        ),
    }
}
