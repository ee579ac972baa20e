//! The augmentation of a phase.

use serde::{Deserialize, Serialize};
use warmstart_data::{Augmentation as ImageAugmentation, SceneAugmentation};

use crate::choices::TaskKind;

/// Augmentation of training images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Augmentation {
    /// Augmentation in classification.
    Images(ImageAugmentation),
    /// Augmentation in detection.
    Scenes(SceneAugmentation),
}

impl Augmentation {
    /// The task that it is for.
    pub fn task(&self) -> TaskKind {
        match self {
            Self::Images(_) => TaskKind::Classify,
            Self::Scenes(_) => TaskKind::Detect,
        }
    }

    /// Whether it mixes several images into one.
    pub fn mixes(&self) -> bool {
        match self {
            Self::Images(images) => images.mixup > 0.0 || images.cutmix > 0.0,
            Self::Scenes(scenes) => scenes.mosaic > 0.0,
        }
    }

    /// The augmentation of classification.
    ///
    /// # Panics
    /// If it is detection's: a recipe's task and its augmentations agree.
    pub fn of_images(&self) -> &ImageAugmentation {
        match self {
            Self::Images(augmentation) => augmentation,
            Self::Scenes(_) => panic!("these are detection's"),
        }
    }

    /// The augmentation of detection.
    ///
    /// # Panics
    /// If it is classification's.
    pub fn of_scenes(&self) -> &SceneAugmentation {
        match self {
            Self::Scenes(augmentation) => augmentation,
            Self::Images(_) => panic!("these are classification's"),
        }
    }
}
