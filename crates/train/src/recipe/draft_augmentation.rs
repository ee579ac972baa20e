use serde::Deserialize;
use warmstart_data::{Augmentation as ImageAugmentation, SceneAugmentation};

use super::scaling::Strength;
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
    pub(super) rand_augment: Option<f64>,
    pub(super) erase: Option<f64>,
    mixup: Option<f64>,
    cutmix: Option<f64>,
    mosaic: Option<f64>,
    mosaic_closing: Option<f64>,
}

impl DraftAugmentation {
    /// Puts the defaults of the task where nothing was said; `strength` and `mosaic_closing` are those of the phase.
    ///
    /// # Errors
    /// If something was said that is the other task's.
    pub(super) fn resolve(
        self,
        task: Task,
        strength: Strength,
        mosaic_closing: f64,
    ) -> Result<Augmentation, Error> {
        let foreign = match task {
            Task::Classify => vec![
                ("mosaic", self.mosaic.is_some()),
                ("mosaic_closing", self.mosaic_closing.is_some()),
            ],
            Task::Detect => vec![
                ("ratio", self.ratio.is_some()),
                ("contrast", self.contrast.is_some()),
                ("rand_augment", self.rand_augment.is_some()),
                ("erase", self.erase.is_some()),
                ("mixup", self.mixup.is_some()),
                ("cutmix", self.cutmix.is_some()),
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
                let usual = gentle();
                Augmentation::Images(ImageAugmentation {
                    scale: self.scale.unwrap_or(usual.scale),
                    ratio: self.ratio.unwrap_or(usual.ratio),
                    flip: self.flip.unwrap_or(usual.flip),
                    brightness: self.brightness.unwrap_or(usual.brightness),
                    contrast: self.contrast.unwrap_or(usual.contrast),
                    saturation: self.saturation.unwrap_or(usual.saturation),
                    hue: self.hue.unwrap_or(usual.hue),
                    rand_augment: self.rand_augment.unwrap_or(strength.rand_augment),
                    erase: self.erase.unwrap_or(strength.erase),
                    mixup: self.mixup.unwrap_or(usual.mixup),
                    cutmix: self.cutmix.unwrap_or(usual.cutmix),
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

/// Smaller changes than ImageNet's training makes: pretrained features need fewer, and in a small
/// data set a crop of a tenth of the image is often not the object any more.
fn gentle() -> ImageAugmentation {
    ImageAugmentation {
        scale: [0.35, 1.0],
        brightness: 0.1,
        contrast: 0.1,
        saturation: 0.1,
        ..ImageAugmentation::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::course;
    use crate::recipe::{Augmentation, Draft, Phase, TrainingImages};

    fn phases(text: &str) -> Result<Vec<Phase>, String> {
        let text = format!("data = 'd'\nmodel = 'm'\nweights = 'w.pth'\n{text}");
        let draft: Draft = toml::from_str(&text).unwrap();
        let recipe = draft
            .resolve(320, None)
            .map_err(|error| error.to_string())?;
        Ok(recipe.phases)
    }

    #[test]
    fn an_augmentation_of_the_other_task_is_refused() {
        let phase = "[[phase]]\ntrain = 'all'\nepochs = 2\n[phase.augmentation]\n";
        let error = phases(&format!("{phase}mosaic = 0.5\n")).unwrap_err();
        assert!(error.contains("augmentation.mosaic is an augmentation of detection"));
        let error = phases(&format!("task = 'detect'\n{phase}ratio = [1.0, 1.0]\n")).unwrap_err();
        assert!(error.contains("augmentation.ratio is an augmentation of classification"));
        assert!(phases(&format!("task = 'detect'\n{phase}mosaic = 1.0\n")).is_ok());
    }

    #[test]
    fn strength_follows_images_and_epochs_unless_the_recipe_says_it() {
        let strength = |weights: &str, said: &str| {
            let text = format!(
                "data = 'd'\nmodel = 'm'\nweights = '{weights}'\n[[phase]]\ntrain = 'all'\nepochs = 100\n\
                 [phase.augmentation]\nscale = [0.5, 1.0]\n{said}"
            );
            let draft: Draft = toml::from_str(&text).unwrap();
            let images = TrainingImages::new(400, &[], &[]);
            let recipe = draft.resolve(48, Some(images)).unwrap();
            let Augmentation::Images(found) = &recipe.phases[0].augmentation else {
                panic!("a classifier's")
            };
            (found.rand_augment, found.erase)
        };
        assert_eq!(strength("none", ""), (1.8, 0.15));
        assert_eq!(strength("none", "rand_augment = 0\n"), (0.0, 0.15));
        assert_eq!(strength("w.pth", ""), (0.0, 0.0));
    }

    #[test]
    fn a_detection_run_closes_without_mosaics_and_its_frozen_phase_does_not() {
        let phases = phases("task = 'detect'\n").unwrap();
        assert_eq!([phases[0].epochs, phases[1].epochs], [4, 16]);
        let closing = |phase: &Phase, epoch| phase.view(0, epoch).closing;
        assert!((0..4).all(|epoch| !closing(&phases[0], epoch)));
        let without: Vec<usize> = (0..16)
            .filter(|&epoch| closing(&phases[1], epoch))
            .collect();
        assert_eq!(without, [13, 14, 15], "15% of 20 epochs");
    }

    #[test]
    fn kept_views_of_a_phase_that_closes_are_twice_as_many() {
        let text = "task = 'detect'\n[[phase]]\ntrain = 'head'\nepochs = 10\nviews = 3\n";
        let phase = phases(text).unwrap().remove(0);
        assert_eq!(phase.kept_views(), Some(6));
        let places: Vec<usize> = (0..10)
            .map(|epoch| phase.place_of(phase.view(epoch, epoch)))
            .collect();
        assert_eq!(places, [0, 1, 2, 0, 1, 2, 0, 1, 5, 3]);
    }

    #[test]
    fn a_run_made_longer_closes_over_the_same_share() {
        let text = "task = 'detect'\ndata = 'd'\nmodel = 'm'\nweights = 'w.pth'\n";
        let recipe = || {
            toml::from_str::<Draft>(text)
                .unwrap()
                .resolve(320, None)
                .unwrap()
        };
        let changed = |total, done| {
            let recipe = recipe();
            let history = course::history(&recipe, done);
            course::with_epochs(recipe, total, &history).unwrap()
        };
        let closing = |phase: &Phase| {
            let epochs = 0..phase.epochs;
            epochs.filter(|&epoch| phase.view(0, epoch).closing).count()
        };
        let longer = changed(40, 10);
        assert_eq!(
            longer.phases.iter().map(closing).collect::<Vec<_>>(),
            [0, 6]
        );
        // A finished run goes on without mosaics where it has had its share of them.
        let extended = changed(22, 20);
        assert_eq!(
            extended.phases.iter().map(closing).collect::<Vec<_>>(),
            [0, 3, 2]
        );
        let extended = changed(60, 20);
        assert_eq!(
            extended.phases.iter().map(closing).collect::<Vec<_>>(),
            [0, 3, 9]
        );
    }

    #[test]
    fn what_a_task_does_not_know_is_refused() {
        let mut recipe = toml::from_str::<Draft>("data = 'd'\nmodel = 'm'\nweights = 'w.pth'\n")
            .unwrap()
            .resolve(320, None)
            .unwrap();
        recipe.task = crate::recipe::Task::Detect;
        recipe.fit = warmstart_data::Fit::Letterbox;
        let error = recipe.check().unwrap_err().to_string();
        assert!(
            error.contains("augmentation of phase \"freeze\" is not that of the recipe's task")
        );
        let smooth =
            "task = 'detect'\n[[phase]]\ntrain = 'all'\nepochs = 1\nlabel_smoothing = 0.1\n";
        assert!(phases(smooth).unwrap_err().contains("0 in detection"));
        let dropout = smooth.replace("label_smoothing", "dropout");
        let error = phases(&dropout).unwrap_err();
        assert!(error.contains("dropout of phase \"phase-1\" is for classification"));
    }
}
