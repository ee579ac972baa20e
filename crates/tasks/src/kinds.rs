//! The types of each kind of task: the one place that matches it.

use std::path::Path;

use warmstart_data::Preprocessing;
use warmstart_models::by_name;
use warmstart_recipe::run_files::resolve_path;
use warmstart_recipe::{Error, TaskKind};

use crate::classify::classifier::Classifier;
use crate::detect::detector::Detector;
use crate::model_file::ModelInfo;

/// Evaluates an expression with a name for the type of the task of a kind:
/// `with_task!(recipe.task, T => train_task::<T>(recipe))`.
#[macro_export]
macro_rules! with_task {
    ($kind:expr, $task:ident => $work:expr) => {
        match $kind {
            $crate::TaskKind::Classify => {
                type $task = $crate::classify::Classification;
                $work
            }
            $crate::TaskKind::Detect => {
                type $task = $crate::detect::Detection;
                $work
            }
        }
    };
}

/// A trained model of either task.
pub enum Trained {
    /// A classifier.
    Classifier(Box<Classifier>),
    /// A detector.
    Detector(Box<Detector>),
}

impl Trained {
    /// What the model is, in a line: the record whose constants it has, and the pictures that it takes.
    pub fn line(&self) -> String {
        let info = match self {
            Self::Classifier(classifier) => &classifier.info,
            Self::Detector(detector) => &detector.info,
        };
        let Preprocessing { crop, fit, .. } = info.preprocessing;
        let network = by_name(&info.model).map_or("", |network| network.name);
        format!(
            "model: {network} with the constants of {}, {} classes, {crop} × {crop} pixels ({fit})",
            info.model,
            info.classes.len()
        )
    }

    /// Loads a model file, or the kept model of a run's folder.
    ///
    /// # Errors
    /// If it isn't a model that warmstart wrote.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let path = resolve_path(path)?;
        let mut file = warmstart_weights::read(&path)?;
        let Some(info) = ModelInfo::of(&file)? else {
            return Err(
                Error::model(&path, "it carries no class names and preprocessing").fix(
                    "give a model that warmstart trained (best.safetensors), or train one from these weights",
                ),
            );
        };
        Ok(match info.task {
            TaskKind::Classify => Self::Classifier(Box::new(Classifier::new(info, &mut file)?)),
            TaskKind::Detect => Self::Detector(Box::new(Detector::new(info, &mut file)?)),
        })
    }
}
