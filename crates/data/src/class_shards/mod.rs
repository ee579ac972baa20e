//! A data set of TAR archives, in WebDataset's form or with a folder for each class inside.
//!
//! ```text
//! train-00000.tar     1.jpg  1.cls  2.jpg  2.cls  …     1.cls holds a class, or a number into classes.txt
//! val/000.tar         cat/1.jpg  dog/1.jpg  …           a folder for each class
//! ```

mod contents;
mod folder_labels;
mod shard;

use crate::error::DataError;
use crate::folder::data_folder;
use crate::labelled_pictures::LabelledPictures;
use crate::listed_images::{ListedImages, ListedSplit, Splits};
use crate::scenes::{Findings, Problem};
use crate::skipped::Skipped;
use crate::split_kind::SplitKind;
use contents::Contents;
use folder_labels::FolderLabels;
use rayon::prelude::*;
use shard::{Shard, shards_of};
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// The pictures of some archives.
struct ShardedPictures {
    pictures: LabelledPictures,
    findings: Findings,
    ignored: Skipped,
}

/// Returns whether the archives that `data` names or holds are a data set.
pub(crate) fn are_at(data: &Path) -> bool {
    // Archives that are refused are archives.
    !matches!(shards_of(data).as_deref(), Ok([]))
}

/// Reads the data set of the archives that `data` names or holds; none if there is none.
///
/// # Errors
/// If an archive cannot be read, is cut short or compressed, or has no picture with a label; if none is for training;
/// if fewer than two classes have a training picture, or a class of another split has none.
pub(crate) fn read(data: &Path) -> Result<Option<ListedImages>, DataError> {
    let shards = shards_of(data)?;
    if shards.is_empty() {
        return Ok(None);
    }
    let folder = data_folder(data);
    let ShardedPictures {
        pictures,
        mut findings,
        ignored,
    } = ShardedPictures::read(&shards)?;
    let kinds = [SplitKind::Train, SplitKind::Validation, SplitKind::Test];
    if pictures.count(SplitKind::Train) == 0 {
        let problem = message!(
            "no archive is for training: by their names or folders all are for validation or testing; put those for training beside them, such as train-000.tar"
        );
        return Err(layout(data, problem));
    }
    let is_split = kinds.map(|kind| pictures.count(kind) > 0);
    let has_several = is_split.iter().filter(|is_split| **is_split).count() > 1;
    let sources = kinds.map(|kind| {
        let source = if has_several {
            data.join(kind.folder())
        } else {
            data.to_path_buf()
        };
        is_split[kind as usize].then_some(source)
    });
    let splits = pictures.finish(folder, &|_| String::new(), &mut findings)?;
    let listed = ListedImages::of(splits, sources, (data, folder), &findings)?;
    Ok(Some(ListedImages { ignored, ..listed }))
}

/// The pictures of the archives that `data` names or holds, all of one split; none if there are no archives.
///
/// # Errors
/// As of [`read`]; and if they are of several splits, or a picture has no label: a measure of fewer pictures is
/// another one.
pub(crate) fn read_one(data: &Path) -> Result<Option<ListedSplit>, DataError> {
    let shards = shards_of(data)?;
    if shards.is_empty() {
        return Ok(None);
    }
    let ShardedPictures {
        pictures,
        mut findings,
        ..
    } = ShardedPictures::read(&shards)?;
    let kinds = [SplitKind::Train, SplitKind::Validation, SplitKind::Test];
    if kinds
        .iter()
        .filter(|kind| pictures.count(**kind) > 0)
        .count()
        > 1
    {
        let problem = message!(
            "it holds several splits; give an archive, or a folder with the archives, of one split"
        );
        return Err(layout(data, problem));
    }
    let Splits { names, images } =
        pictures.finish(data_folder(data), &|_| String::new(), &mut findings)?;
    for problem in [Problem::Unlabelled, Problem::Malformed] {
        if let Some(example) = findings.examples(problem).first() {
            let problem = message!(
                "{}, such as {example}; label or remove them, since the metric of some of its pictures is another one",
                problem.counted(findings.count(problem))
            );
            return Err(layout(data, problem));
        }
    }
    let images = images.into_iter().flatten().flatten().collect();
    Ok(Some(ListedSplit { names, images }))
}

impl ShardedPictures {
    fn read(shards: &[Shard]) -> Result<Self, DataError> {
        let read = shards.par_iter().map(|shard| Contents::read(&shard.path));
        // All are read before the first error is told, so that it is the same one whenever they are read.
        let read: Vec<Result<Contents, DataError>> = read.collect();
        let contents: Vec<Contents> = read.into_iter().collect::<Result<_, _>>()?;
        let folders = if contents.iter().all(|shard| shard.labels.is_empty()) {
            let names = contents.iter().flat_map(|shard| &shard.pictures);
            Some(FolderLabels::of(names.map(|picture| &*picture.name)))
        } else {
            None
        };
        let mut found = Self {
            pictures: match &folders {
                Some(_) => LabelledPictures::of_names(),
                None => LabelledPictures::default(),
            },
            findings: Findings::default(),
            ignored: Skipped::default(),
        };
        for (shard, contents) in shards.iter().zip(contents) {
            found.add(shard, contents, folders.as_ref())?;
        }
        Ok(found)
    }

    /// Adds the pictures of an archive, labelled by their members or else by their `folders`.
    fn add(
        &mut self,
        shard: &Shard,
        contents: Contents,
        folders: Option<&FolderLabels>,
    ) -> Result<(), DataError> {
        let count = contents.pictures.len();
        let mut unlabelled: Vec<PathBuf> = Vec::new();
        for picture in contents.pictures {
            let path = shard.path.join(&picture.name);
            let of_folder = folders.and_then(|folders| folders.label(&picture.name));
            let of_member = picture.label.map(|label| &*contents.labels[label]);
            let (inner, label) = match (of_member, of_folder) {
                (Some(label), _) => (None, label),
                (None, Some((split, label))) => (split, label),
                (None, None) => {
                    unlabelled.push(path);
                    continue;
                }
            };
            // What lies nearer to the picture says more.
            let split = inner.or(shard.split).unwrap_or(SplitKind::Train);
            self.pictures.add(split, path, label, 0);
        }
        self.ignored += contents.ignored;
        for path in contents.beside {
            self.findings
                .add(Problem::NotUsed, || shown(&shard.path.join(&path)));
        }
        if unlabelled.len() < count {
            for path in unlabelled {
                self.findings.add(Problem::Unlabelled, || shown(&path));
            }
            return Ok(());
        }
        if shard.split == Some(SplitKind::Test) {
            // Unlabelled test images are common, and training can do without.
            self.ignored.add_unused(&shard.path, count);
            return Ok(());
        }
        Err(layout(
            &shard.path,
            message!(
                "none of its {count} pictures has a label; expected 1.cls or 1.json beside 1.jpg in it, or a folder for each class, as in cat/1.jpg"
            ),
        ))
    }
}

fn layout(data: &Path, problem: String) -> DataError {
    DataError::Layout {
        folder: data.to_path_buf(),
        problem,
    }
}

#[cfg(test)]
mod tests;
