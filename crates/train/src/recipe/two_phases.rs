//! The usual two phases, a freeze and a thaw, and the flags that change them.

use super::{Batch, Draft, DraftPhase, Task, Train};
use crate::Error;

/// Epochs of a run that names none, and those of them with a frozen backbone. Neck and head of a detector
/// are much, and find little in features that were made for classes: they learn with the backbone.
fn usual_epochs(task: Task) -> [usize; 2] {
    match task {
        Task::Classify => [14, 8],
        Task::Detect => [20, 4],
    }
}

impl Draft {
    /// The flags of the usual two phases, with whether they were given.
    fn two_phase_flags(&self) -> [(&'static str, bool); 7] {
        [
            ("--freeze-epochs", self.freeze_epochs.is_some()),
            ("--epochs", self.epochs.is_some()),
            ("--freeze-batch", self.freeze_batch.is_some()),
            ("--batch", self.batch.is_some()),
            ("--freeze-lr", self.freeze_lr.is_some()),
            ("--lr", self.lr.is_some()),
            ("--views", self.views.is_some()),
        ]
    }

    /// The phases of a recipe; if they are a freeze and a thaw, flags override them.
    pub(super) fn override_phases(
        &self,
        mut drafts: Vec<DraftPhase>,
    ) -> Result<Vec<DraftPhase>, Error> {
        let given = self.two_phase_flags().into_iter().find(|(_, given)| *given);
        let Some((flag, _)) = given else {
            return Ok(drafts);
        };
        let [freeze, thaw] = &mut drafts[..] else {
            return Err(other_phases(flag));
        };
        if freeze.train != Some(Train::Head) || thaw.train != Some(Train::All) {
            return Err(other_phases(flag));
        }
        if let Some(epochs) = self.freeze_epochs {
            freeze.epochs = Some(epochs);
        }
        if let Some(total) = self.epochs {
            let frozen = freeze.epochs.unwrap_or(0);
            thaw.epochs = Some(thawed_epochs(total, frozen)?);
        }
        freeze.batch = self.freeze_batch.map_or(freeze.batch, Batch::images);
        freeze.lr = self.freeze_lr.or(freeze.lr);
        freeze.views = self.views.or(freeze.views);
        thaw.batch = self.batch.map_or(thaw.batch, Batch::images);
        thaw.lr = self.lr.or(thaw.lr);
        drafts.retain(|phase| phase.epochs != Some(0));
        Ok(drafts)
    }

    /// The phases of a draft that names none.
    pub(super) fn usual_phases(&self, pretrained: bool) -> Result<Vec<DraftPhase>, Error> {
        let [usual, usual_frozen] = usual_epochs(self.task());
        let epochs = self.epochs.unwrap_or(usual);
        let frozen = match (self.freeze_epochs, pretrained) {
            (Some(frozen), _) => frozen,
            (None, false) => 0,
            // In the proportion of the defaults, with an epoch left to thaw.
            (None, true) => (epochs * usual_frozen / usual).min(epochs.saturating_sub(1)),
        };
        let thawed = thawed_epochs(epochs, frozen)?;
        for (flag, given) in self.two_phase_flags() {
            let without = match flag {
                "--freeze-batch" | "--freeze-lr" | "--views" => frozen == 0,
                "--batch" | "--lr" => thawed == 0,
                _ => false,
            };
            if given && without {
                return Err(Error::usage(format!(
                    "{flag}: there is no such phase, {frozen} epochs are frozen and {thawed} thawed"
                )));
            }
        }
        let phase = |name: &str, epochs, train, batch: Option<Batch>, lr| DraftPhase {
            name: Some(name.to_owned()),
            epochs: Some(epochs),
            train: Some(train),
            batch: batch.and_then(Batch::images),
            lr,
            ..DraftPhase::default()
        };
        let last = if pretrained { "thaw" } else { "train" };
        let mut phases = vec![
            phase(
                "freeze",
                frozen,
                Train::Head,
                self.freeze_batch,
                self.freeze_lr,
            ),
            phase(last, thawed, Train::All, self.batch, self.lr),
        ];
        phases[0].views = self.views;
        phases.retain(|phase| phase.epochs != Some(0));
        Ok(phases)
    }
}

fn thawed_epochs(total: usize, frozen: usize) -> Result<usize, Error> {
    total.checked_sub(frozen).ok_or_else(|| {
        Error::usage(format!(
            "{frozen} frozen epochs are more than --epochs {total}, which is the total of both phases"
        ))
    })
}

fn other_phases(flag: &str) -> Error {
    Error::usage(format!(
        "{flag} belongs to a freeze and a thaw, but the recipe has phases of its own: change them there"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(text: &str) -> Draft {
        toml::from_str(text).unwrap()
    }

    const MINIMAL: &str = "data = 'd'\nmodel = 'm'\nweights = 'w.pth'\n";

    #[test]
    fn a_file_with_weights_gives_a_freeze_and_a_thaw() {
        let recipe = draft(MINIMAL).resolve(224, None).unwrap();
        let [freeze, thaw] = &recipe.phases[..] else {
            panic!()
        };
        assert_eq!((freeze.train.clone(), freeze.epochs), (Train::Head, 8));
        assert_eq!(
            (thaw.train.clone(), thaw.epochs, thaw.warmup),
            (Train::All, 6, 0.1)
        );
        assert_eq!(recipe.image_size, 224);
    }

    #[test]
    fn without_weights_everything_trains_from_the_start() {
        let recipe = Draft {
            weights: Some("none".into()),
            ..draft(MINIMAL)
        };
        let recipe = recipe.resolve(224, None).unwrap();
        assert_eq!(recipe.phases.len(), 1);
        assert_eq!(
            (recipe.phases[0].epochs, recipe.phases[0].layer_decay),
            (14, 1.0)
        );
    }

    #[test]
    fn epochs_is_a_total() {
        let flags = Draft {
            freeze_epochs: Some(3),
            epochs: Some(5),
            ..draft(MINIMAL)
        };
        let recipe = flags.resolve(224, None).unwrap();
        assert_eq!([recipe.phases[0].epochs, recipe.phases[1].epochs], [3, 2]);
        let flags = Draft {
            freeze_epochs: Some(6),
            epochs: Some(5),
            ..draft(MINIMAL)
        };
        assert!(
            flags
                .resolve(224, None)
                .unwrap_err()
                .to_string()
                .contains("more than --epochs 5")
        );
    }

    #[test]
    fn a_flag_leaves_open_what_a_recipe_says() {
        let text = format!(
            "{MINIMAL}[[phase]]\ntrain = 'head'\nepochs = 1\nbatch = 7\n[[phase]]\ntrain = 'all'\nepochs = 1\nbatch = 7\n"
        );
        let flags = Draft {
            batch: Some("auto".parse().unwrap()),
            freeze_batch: Some("9".parse().unwrap()),
            ..draft(&text)
        };
        let open = flags.open().unwrap();
        assert_eq!([open.phases[0].batch, open.phases[1].batch], [false, true]);
        let recipe = flags.resolve(224, None).unwrap();
        assert_eq!([recipe.phases[0].batch, recipe.phases[1].batch], [9, 16]);
        assert!("many".parse::<Batch>().unwrap_err().contains("or auto"));
    }

    #[test]
    fn two_phase_flags_do_not_go_with_own_phases() {
        let own = draft(&format!("{MINIMAL}[[phase]]\ntrain = 'all'\nepochs = 1\n"));
        let error = Draft {
            lr: Some(0.1),
            ..own
        }
        .resolve(224, None)
        .unwrap_err();
        assert!(error.is_usage() && error.to_string().starts_with("--lr belongs to a freeze"));
    }
}
