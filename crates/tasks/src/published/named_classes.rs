//! Names of the classes of a detector's file, and what there is to say of them.

use warmstart_language::{counted, message};
use warmstart_models::coco::COCO_CLASSES;
use warmstart_weights::WeightFile;

/// What the classes of a detector's file are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedClasses {
    /// One name for each; `None` if nothing tells them.
    pub names: Option<Vec<String>>,
    /// What there is to say of them where the file does not name them, or not so that it can be used.
    pub note: Option<String>,
}

impl NamedClasses {
    /// Of a list of names and the number of rows of the class predictors.
    pub fn of_list(names: &[String], classes: usize) -> Self {
        if names.len() == classes {
            return Self {
                names: Some(names.to_vec()),
                note: None,
            };
        }
        let fault = message!(
            "{} and {} in the class predictors",
            counted(names.len(), "name"),
            counted(classes, "row")
        );
        Self::unusable(&fault)
    }

    /// Of a file that has none.
    pub fn unnamed(classes: usize) -> Self {
        Self {
            names: None,
            note: Some(match classes {
                1 => message!("the file does not name its class"),
                classes => message!("the file does not name its {classes} classes"),
            }),
        }
    }

    fn unusable(fault: &str) -> Self {
        Self {
            names: None,
            note: Some(message!("the file's class names cannot be used: {fault}")),
        }
    }

    /// The note for one who uses the file as it is.
    pub(super) fn note_of_use(self) -> Option<String> {
        let note = self.note?;
        Some(match self.names {
            Some(_) => note,
            None => message!("{note}; its classes are called class_0, class_1, …"),
        })
    }
}

/// Names of that many classes of a published detector: those that its file has, or COCO's if it has none at all and as
/// many classes.
pub fn names_of_classes(file: &WeightFile, classes: usize) -> NamedClasses {
    match &file.classes {
        Some(Ok(names)) => NamedClasses::of_list(names, classes),
        Some(Err(fault)) => NamedClasses::unusable(fault),
        None if classes == COCO_CLASSES.len() => NamedClasses {
            names: Some(COCO_CLASSES.map(str::to_owned).to_vec()),
            note: Some(message!(
                "the file does not name its classes, which are taken for COCO's 80"
            )),
        },
        None => NamedClasses::unnamed(classes),
    }
}
