//! The augmentation of a phase as a user gives it.

use serde::Deserialize;
use warmstart_language::{message, translated};

use crate::error::Error;

/// The keys of either task's augmentation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    missing_docs,
    reason = "the augmentations of the data crate document their keys"
)]
pub struct DraftAugmentation {
    pub scale: Option<[f64; 2]>,
    pub flip: Option<f64>,
    pub hue: Option<f64>,
    pub saturation: Option<f64>,
    pub brightness: Option<f64>,
    pub ratio: Option<[f64; 2]>,
    pub contrast: Option<f64>,
    pub rand_augment: Option<f64>,
    pub erase: Option<f64>,
    pub mixup: Option<f64>,
    pub cutmix: Option<f64>,
    pub mosaic: Option<f64>,
    pub mosaic_closing: Option<f64>,
}

impl DraftAugmentation {
    /// The keys that the user leaves open, and whose defaults depend on the training images.
    pub(crate) fn left_open(&self) -> Vec<&'static str> {
        let Self {
            rand_augment,
            erase,
            // The defaults of the others depend on the recipe alone.
            scale: _,
            flip: _,
            hue: _,
            saturation: _,
            brightness: _,
            ratio: _,
            contrast: _,
            mixup: _,
            cutmix: _,
            mosaic: _,
            mosaic_closing: _,
        } = self;
        let keys = [("rand_augment", rand_augment), ("erase", erase)];
        let open = keys.into_iter().filter(|(_, given)| given.is_none());
        open.map(|(key, _)| key).collect()
    }
}

/// Refuses the keys of another task, named by its English noun, that are given.
pub(crate) fn refuse_foreign(keys: &[(&str, bool)], task: &'static str) -> Result<(), Error> {
    match keys.iter().find(|(_, is_given)| *is_given) {
        Some((key, _)) => {
            let what = message!(
                "augmentation.{key} exists only in {task}",
                task = translated(task)
            );
            Err(Error::usage(what).fix(message!("remove it")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Augmentation, Draft, HeadKind, Phase, TaskKind, TrainingImages};

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
        assert!(error.contains("augmentation.mosaic exists only in detection"));
        let error = phases(&format!("task = 'detect'\n{phase}ratio = [1.0, 1.0]\n")).unwrap_err();
        assert!(error.contains("augmentation.ratio exists only in classification"));
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
    fn what_a_task_does_not_know_is_refused() {
        let mut recipe = toml::from_str::<Draft>("data = 'd'\nmodel = 'm'\nweights = 'w.pth'\n")
            .unwrap()
            .resolve(320, None)
            .unwrap();
        recipe.task = TaskKind::Detect;
        recipe.phases[0].head = HeadKind::Linear;
        recipe.fit = warmstart_data::Fit::Letterbox;
        let error = recipe.check().unwrap_err().to_string();
        assert!(
            error.contains("augmentation of phase \"freeze\" is not that of the recipe's task")
        );
        let smooth =
            "task = 'detect'\n[[phase]]\ntrain = 'all'\nepochs = 1\nlabel_smoothing = 0.1\n";
        assert!(
            phases(smooth)
                .unwrap_err()
                .contains("left out in detection, whose labels are soft")
        );
        let dropout = smooth.replace("label_smoothing", "dropout");
        let error = phases(&dropout).unwrap_err();
        assert!(
            error.contains("dropout of phase \"phase-1\" is 0.1; it must be left out in detection")
        );
    }
}
