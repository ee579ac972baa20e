//! Names that people and tools give to the splits of a data set.

use unicode_normalization::UnicodeNormalization as _;

/// The splits of a data set in the order of their use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SplitKind {
    Train,
    Validation,
    Test,
}

const TRAIN: [&str; 5] = ["train", "training", "trn", "训练", "训练集"];
const VALIDATION: [&str; 10] = [
    "val",
    "valid",
    "validation",
    "validate",
    "validating",
    "dev",
    "eval",
    "evaluation",
    "验证",
    "验证集",
];
const TEST: [&str; 4] = ["test", "testing", "测试", "测试集"];

/// Words that say nothing of which split it is.
const FILLERS: [&str; 19] = [
    "set",
    "split",
    "data",
    "dataset",
    "image",
    "images",
    "img",
    "imgs",
    "picture",
    "pictures",
    "photo",
    "photos",
    "jpeg",
    "jpegs",
    "voc",
    "coco",
    "yolo",
    "instances",
    "instance",
];

impl SplitKind {
    /// The split that a folder, file or key of that name is for, in any case: a known word alone, or with
    /// digits and words such as `set` or `images` around it (`Training`, `val2017`, `images_train`,
    /// `test-set`, `验证集`).
    pub fn of(name: &str) -> Option<Self> {
        let name: String = name.nfkc().collect::<String>().to_lowercase();
        let mut kinds = name
            .split(|letter: char| !letter.is_alphabetic())
            .filter(|word| !word.is_empty() && !FILLERS.contains(word))
            .map(Self::of_word);
        let only = kinds.next()??;
        kinds.next().is_none().then_some(only)
    }

    fn of_word(word: &str) -> Option<Self> {
        let joined = ["set", "data", "images"]
            .iter()
            .filter_map(|filler| word.strip_suffix(filler));
        for word in std::iter::once(word).chain(joined) {
            for (names, kind) in [
                (&TRAIN[..], Self::Train),
                (&VALIDATION, Self::Validation),
                (&TEST, Self::Test),
            ] {
                if names.contains(&word) {
                    return Some(kind);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::SplitKind::{self, Test, Train, Validation};

    #[test]
    fn usual_names_of_splits_are_known() {
        for (kind, names) in [
            (
                Train,
                &[
                    "train",
                    "Train",
                    "TRAINING",
                    "training_set",
                    "trainset",
                    "train2017",
                    "images_train",
                    "VOC2007_train",
                    "训练集",
                ][..],
            ),
            (
                Validation,
                &[
                    "val",
                    "valid",
                    "Validation",
                    "validation-set",
                    "val2017",
                    "dev",
                    "eval",
                    "valset",
                    "验证",
                ],
            ),
            (
                Test,
                &[
                    "test",
                    "Testing",
                    "test set",
                    "test_images",
                    "test1",
                    "测试集",
                ],
            ),
        ] {
            for name in names {
                assert_eq!(SplitKind::of(name), Some(kind), "{name}");
            }
        }
    }

    #[test]
    fn other_names_are_not_splits() {
        for name in [
            "",
            "images",
            "2017",
            "cat",
            "trainer",
            "contest",
            "train_val",
            "trainval",
            "evaluator",
            "train station",
            "set",
        ] {
            assert_eq!(SplitKind::of(name), None, "{name}");
        }
    }
}
