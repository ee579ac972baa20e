//! Names that people and tools give to the splits of a data set.

use std::ffi::OsStr;
use std::path::Path;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use warmstart_language::{english, translated};

/// The splits of a data set in the order of their use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SplitKind {
    /// What a model learns from.
    Train,
    /// Images whose figure picks the epoch.
    Validation,
    /// Images that had no part in either.
    Test,
}

/// In English, Chinese, Japanese, Korean, German, French, Spanish, Portuguese, Italian and Russian.
const TRAIN: [&str; 19] = [
    "train",
    "training",
    "trainings",
    "trn",
    "训练",
    "训练集",
    "訓練",
    "訓練集",
    "学習",
    "훈련",
    "학습",
    "entrainement",
    "entraînement",
    "entrenamiento",
    "treino",
    "treinamento",
    "addestramento",
    "обучение",
    "обучающая",
];
const VALIDATION: [&str; 22] = [
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
    "驗證",
    "驗證集",
    "検証",
    "검증",
    "validierung",
    "validierungs",
    "validacion",
    "validación",
    "validação",
    "validacao",
    "validazione",
    "валидация",
];
const TEST: [&str; 12] = [
    "test",
    "testing",
    "测试",
    "测试集",
    "測試",
    "測試集",
    "テスト",
    "테스트",
    "teste",
    "prueba",
    "тест",
    "тестовая",
];

/// Words that say nothing about the split.
const FILLERS: [&str; 22] = [
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
    "jpg",
    "jpgs",
    "png",
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
        let (kind, rest) = Self::within(name)?;
        rest.is_empty().then_some(kind)
    }

    /// The split of the one word of a name that says one, and the other words, without those that are
    /// often around it: `pets_train` is training, with the rest `pets`. None for names with two such words.
    pub fn within(name: &str) -> Option<(Self, String)> {
        let name = name.nfkc().collect::<String>().to_lowercase();
        // Decomposed marks are parts of words in some scripts.
        let words =
            name.split(|letter: char| !letter.is_alphabetic() && !is_combining_mark(letter));
        let words = words.filter(|word| !word.is_empty() && !FILLERS.contains(word));
        let (kinds, rest): (Vec<_>, Vec<_>) = words
            .map(|word| (Self::of_word(word), word))
            .partition(|(kind, _)| kind.is_some());
        let [(Some(kind), _)] = kinds[..] else {
            return None;
        };
        let rest: Vec<&str> = rest.into_iter().map(|(_, word)| word).collect();
        Some((kind, rest.join(" ")))
    }

    /// The split and the letter of a name such as `trainA` or `test_b`. A plural (`trains`) is none.
    pub fn lettered(name: &str) -> Option<(Self, char)> {
        let letter = name.chars().last().filter(char::is_ascii_alphabetic)?;
        let split = name.strip_suffix(letter)?;
        let is_plural = letter.eq_ignore_ascii_case(&'s') && split.ends_with(char::is_alphabetic);
        let kind = Self::of(split)?;
        (!is_plural && Self::of(name).is_none()).then_some((kind, letter))
    }

    /// The usual name of the split's folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "val",
            Self::Test => "test",
        }
    }

    /// The split's name before a noun, in the user's language.
    pub fn adjective(self) -> &'static str {
        translated(match self {
            Self::Train => english!("training"),
            Self::Validation => english!("validation"),
            Self::Test => english!("test"),
        })
    }

    fn of_word(word: &str) -> Option<Self> {
        let joined = [
            "set",
            "satz",
            "data",
            "daten",
            "datensatz",
            "images",
            "bilder",
        ]
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

/// The split that a folder has the name of.
pub(crate) fn split_named(folder: &Path) -> Option<SplitKind> {
    folder
        .file_name()
        .and_then(OsStr::to_str)
        .and_then(SplitKind::of)
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
                    "train-jpg",
                    "TrainingImages",
                    "Entra\u{ee}nement",
                    "entrai\u{302}nement",
                    "обучение",
                    "VOC2007_train",
                    "训练集",
                    "Trainingsdaten",
                    "Trainingsdatensatz",
                    "Trainingsbilder",
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
                    "Validierungsdaten",
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
                    "Testdaten",
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
    fn a_split_may_be_part_of_a_name() {
        let within = |name| SplitKind::within(name);
        assert_eq!(within("seg_train"), Some((Train, "seg".to_owned())));
        assert_eq!(
            within("cats-vs-dogs_Test_v2"),
            Some((Test, "cats vs dogs v".to_owned()))
        );
        assert_eq!(within("val"), Some((Validation, String::new())));
        for name in ["cat", "train_val", "test_train", ""] {
            assert_eq!(within(name), None, "{name}");
        }
    }

    #[test]
    fn a_letter_after_a_split_is_recognised() {
        for (name, expected) in [
            ("trainA", Some((Train, 'A'))),
            ("test_b", Some((Test, 'b'))),
            ("val-S", Some((Validation, 'S'))),
            ("trains", None),
            ("train", None),
            ("teste", None),
            ("A", None),
            ("", None),
        ] {
            assert_eq!(SplitKind::lettered(name), expected, "{name}");
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
