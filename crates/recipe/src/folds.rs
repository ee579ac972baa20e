//! Cross-validation: the images of a data set are split into K folds, and each fold is the validation split of one run.

use serde::{Deserialize, Serialize};
use warmstart_data::random::{Purpose, shuffle, stream};
use warmstart_data::{Sample, stratified};
use warmstart_language::message;

use crate::error::{Error, Problem};
use warmstart_files::Key;

/// Fewest and most folds.
pub const FOLD_COUNTS: std::ops::RangeInclusive<usize> = 2..=100;

/// A fold of a cross-validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldId {
    /// Its number, from 1.
    pub number: usize,
    /// Number of folds.
    pub of: usize,
}

/// The images of one fold's run, as indices into all images. The indices are the same for every fold, so the cached
/// features of an image serve all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldImages {
    /// Training images, rising.
    pub training: Vec<usize>,
    /// Validation images, rising.
    pub validation: Vec<usize>,
}

impl FoldImages {
    /// The images of a fold. Each class is spread evenly over the folds, by the seed; `classes` has the class of each
    /// image.
    pub fn new(fold_id: FoldId, classes: &[usize], seed: u64) -> Self {
        let mut fold = Self {
            training: Vec::new(),
            validation: Vec::new(),
        };
        let number = classes.iter().max().map_or(0, |last| last + 1);
        let mut by_class = vec![Vec::new(); number];
        for (image, &class) in classes.iter().enumerate() {
            by_class[class].push(image);
        }
        let mut dealt = 0;
        for (class, mut images) in by_class.into_iter().enumerate() {
            let mut random = stream(seed, class as u64, 0, Purpose::Folds);
            shuffle(&mut random, &mut images);
            for image in images {
                if dealt % fold_id.of + 1 == fold_id.number {
                    fold.validation.push(image);
                } else {
                    fold.training.push(image);
                }
                dealt += 1;
            }
        }
        fold.training.sort_unstable();
        fold.validation.sort_unstable();
        fold
    }

    /// The images of a fold, where an image has any number of classes: `classes` has those of each. Each class is
    /// spread over the folds as evenly as the others allow, by the seed.
    pub fn of_several(fold_id: FoldId, classes: &[Vec<usize>], seed: u64) -> Self {
        let folds = stratified(classes, fold_id.of, seed);
        let is_own = |image: &usize| folds[*image] + 1 == fold_id.number;
        let (validation, training) = (0..classes.len()).partition(is_own);
        Self {
            training,
            validation,
        }
    }
}

/// The images that a cross-validation splits into folds: those for training and for validation, each file once, in the
/// order of their paths.
///
/// # Errors
/// If there are fewer images than folds.
pub fn all_images<L: Clone>(
    fold_id: FoldId,
    train: &[Sample<L>],
    validation: &[Sample<L>],
) -> Result<Vec<Sample<L>>, Error> {
    let mut all = [train, validation].concat();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all.dedup_by(|a, b| a.path == b.path);
    if all.len() < fold_id.of {
        let what = message!(
            "{} {}: there are {} images, and each fold needs one",
            Key::FOLDS,
            fold_id.of,
            all.len()
        );
        return Err(Problem::new(what)
            .of_key(Key::FOLDS)
            .fix(message!("give fewer folds"))
            .into());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_validates_once_and_every_class_is_spread() {
        let classes: Vec<usize> = (0..53).map(|image| usize::from(image % 5 == 0)).collect();
        let mut seen = vec![0; classes.len()];
        for number in 1..=4 {
            let fold = FoldImages::new(FoldId { number, of: 4 }, &classes, 7);
            assert_eq!(fold.training.len() + fold.validation.len(), 53);
            assert!((13..=14).contains(&fold.validation.len()));
            let rare = fold
                .validation
                .iter()
                .filter(|&&image| classes[image] == 1)
                .count();
            assert!((2..=3).contains(&rare), "{rare} of 11");
            for image in fold.validation {
                assert!(!fold.training.contains(&image));
                seen[image] += 1;
            }
        }
        assert!(seen.iter().all(|&times| times == 1));
    }

    #[test]
    fn images_of_several_classes_validate_once_and_every_class_is_spread() {
        // Every third image shows nothing, every fourth a second class.
        let classes: Vec<Vec<usize>> = (0..48)
            .map(|image| match (image % 3, image % 4) {
                (0, _) => Vec::new(),
                (_, 0) => vec![0, 1, 1],
                (_, _) => vec![0],
            })
            .collect();
        let mut seen = vec![0; classes.len()];
        for number in 1..=4 {
            let fold = FoldImages::of_several(FoldId { number, of: 4 }, &classes, 7);
            assert!(fold.training.is_sorted() && fold.validation.is_sorted());
            let mut images = [&fold.training[..], &fold.validation].concat();
            images.sort_unstable();
            assert_eq!(images, (0..48).collect::<Vec<usize>>());
            let with = |class: usize| {
                let shows = |image: &&usize| classes[**image].contains(&class);
                fold.validation.iter().filter(shows).count()
            };
            assert_eq!((fold.validation.len(), with(0), with(1)), (12, 8, 2));
            fold.validation.iter().for_each(|image| seen[*image] += 1);
        }
        assert!(seen.iter().all(|&times| times == 1));
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let classes = [0, 1, 0, 1, 0, 1, 0, 1];
        let fold_id = FoldId { number: 1, of: 2 };
        assert_eq!(
            FoldImages::new(fold_id, &classes, 1),
            FoldImages::new(fold_id, &classes, 1)
        );
        assert_ne!(
            FoldImages::new(fold_id, &classes, 1),
            FoldImages::new(fold_id, &classes, 2)
        );
    }
}
