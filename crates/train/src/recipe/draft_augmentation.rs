use serde::Deserialize;
use warmstart_data::{Augmentation as ImageAugmentation, SceneAugmentation};

use super::{Augmentation, Task};
use crate::Error;

/// What a user says of a phase's augmentation: the keys of either task.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DraftAugmentation {
    scale: Option<[f64; 2]>,
    flip: Option<f64>,
    hue: Option<f64>,
    saturation: Option<f64>,
    brightness: Option<f64>,
    ratio: Option<[f64; 2]>,
    contrast: Option<f64>,
    mosaic: Option<f64>,
    mosaic_closing: Option<f64>,
}

impl DraftAugmentation {
    /// Puts the defaults of the task where nothing was said; `mosaic_closing` is that of the phase.
    ///
    /// # Errors
    /// If something was said that is the other task's.
    pub(super) fn resolve(self, task: Task, mosaic_closing: f64) -> Result<Augmentation, Error> {
        let foreign = match task {
            Task::Classify => [
                ("mosaic", self.mosaic.is_some()),
                ("mosaic_closing", self.mosaic_closing.is_some()),
            ],
            Task::Detect => [
                ("ratio", self.ratio.is_some()),
                ("contrast", self.contrast.is_some()),
            ],
        };
        if let Some((key, _)) = foreign.into_iter().find(|(_, given)| *given) {
            let other = match task {
                Task::Classify => "detection",
                Task::Detect => "classification",
            };
            return Err(Error::usage(format!(
                "augmentation.{key} is an augmentation of {other}: remove it"
            )));
        }
        Ok(match task {
            Task::Classify => {
                let usual = ImageAugmentation::default();
                Augmentation::Images(ImageAugmentation {
                    scale: self.scale.unwrap_or(usual.scale),
                    ratio: self.ratio.unwrap_or(usual.ratio),
                    flip: self.flip.unwrap_or(usual.flip),
                    brightness: self.brightness.unwrap_or(usual.brightness),
                    contrast: self.contrast.unwrap_or(usual.contrast),
                    saturation: self.saturation.unwrap_or(usual.saturation),
                    hue: self.hue.unwrap_or(usual.hue),
                })
            }
            Task::Detect => {
                let usual = SceneAugmentation::default();
                Augmentation::Scenes(SceneAugmentation {
                    scale: self.scale.unwrap_or(usual.scale),
                    flip: self.flip.unwrap_or(usual.flip),
                    hue: self.hue.unwrap_or(usual.hue),
                    saturation: self.saturation.unwrap_or(usual.saturation),
                    brightness: self.brightness.unwrap_or(usual.brightness),
                    mosaic: self.mosaic.unwrap_or(usual.mosaic),
                    mosaic_closing: self.mosaic_closing.unwrap_or(mosaic_closing),
                })
            }
        })
    }
}
