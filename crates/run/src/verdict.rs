//! The choice of the model that a run keeps. Thawing may harm: with few images, or wrong labels, the frozen backbone with a
//! new head is the better model, and a difference of a few images says nothing. So the thawed model has to
//! beat it on the same images, in a test that is fixed in advance.

use serde::{Deserialize, Serialize};

use warmstart_language::{english, message, translated};
use warmstart_recipe::{Key, Recipe};

use crate::record::{EpochFigure, EpochRecord, ModelKind};

/// The p-value below which a thaw is kept. The highest of the thaw's epochs is compared, so a thaw that is no better is
/// kept more often than that.
pub const LEVEL: f64 = 0.05;

/// The epoch with the highest metric of each of a run's two parts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// The highest epoch of the phases at the beginning that train the head alone.
    pub frozen: Option<EpochFigure>,
    /// The highest epoch of the phases after them.
    pub thawed: Option<EpochFigure>,
}

/// The parameters of an epoch that may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptWeights {
    /// The parameters that the steps updated.
    Trained,
    /// Their moving average.
    Average,
}

/// The comparison at the end of a run, and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The highest epoch with a frozen backbone; `null` if there was none. In JSON it is `probe`.
    #[serde(rename = "probe")]
    pub frozen: Option<EpochFigure>,
    /// The highest epoch after it; `null` if there was none.
    pub thawed: Option<EpochFigure>,
    /// The better of its parameters, where the phase had a moving average.
    pub weights: Option<KeptWeights>,
    /// p-value: the chance of a gain as large as the thaw's if the thaw were no better; `null` if there is nothing to
    /// compare.
    pub p_value: Option<f64>,
    /// The p-value below which the thawed model is kept.
    pub level: f64,
    /// The mean of the frozen and the thawed model, where the head of the frozen one was solved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<EpochFigure>,
    /// The kept one of three candidates; `None` where there are two, and the p-value decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ModelKind>,
}

impl Candidates {
    /// The candidates of a run so far.
    pub fn of(recipe: &Recipe, history: &[EpochRecord], metric: &str) -> Self {
        let heads = recipe
            .phases
            .iter()
            .take_while(|phase| phase.train.freezes_backbone());
        let heads: Vec<&str> = heads.map(|phase| phase.name.as_str()).collect();
        let is_frozen = |record: &&EpochRecord| heads.contains(&record.phase.as_str());
        let (frozen, thawed): (Vec<_>, Vec<_>) = history.iter().partition(is_frozen);
        Self {
            frozen: EpochFigure::highest(frozen, metric),
            thawed: EpochFigure::highest(thawed, metric),
        }
    }

    /// The candidates that exist.
    pub fn iter(&self) -> impl Iterator<Item = &EpochFigure> {
        self.frozen.iter().chain(&self.thawed)
    }
}

impl Verdict {
    /// The kept epoch; `None` if the run had no epoch.
    pub fn kept(&self) -> Option<&EpochFigure> {
        match self.kind {
            Some(ModelKind::Probe) => return self.frozen.as_ref(),
            Some(ModelKind::Thaw) => return self.thawed.as_ref(),
            Some(ModelKind::Mean) => return self.mean.as_ref(),
            None => {}
        }
        match (&self.frozen, &self.thawed) {
            (Some(frozen), Some(_)) if !self.thaw_is_better() => Some(frozen),
            (frozen, thawed) => thawed.as_ref().or(frozen.as_ref()),
        }
    }

    /// The parameters of the kept epoch that are kept, if its phase had a moving average.
    pub fn kept_weights(&self) -> Option<KeptWeights> {
        self.weights.filter(|_| self.kept() == self.thawed.as_ref())
    }

    fn thaw_is_better(&self) -> bool {
        self.p_value.is_none_or(|p_value| p_value < self.level)
    }

    /// The p-value that was found and the one that was needed, in words; `None` where the thawed model is kept, or
    /// nothing was compared.
    pub fn reason_against_thaw(&self) -> Option<String> {
        if let Some(kind) = self.kind {
            return Some(message!(
                "the {} is kept (docs/small-data.md has the rule)",
                kind.words()
            ));
        }
        let p_value = self.p_value.filter(|_| !self.thaw_is_better())?;
        Some(message!("{}, needs p < {}", chance(p_value), self.level))
    }

    /// The verdict in a sentence; `None` where nothing was compared.
    pub fn sentence(&self) -> Option<String> {
        let (frozen, thawed, p_value) =
            (self.frozen.as_ref()?, self.thawed.as_ref()?, self.p_value?);
        let chance = chance(p_value);
        if let (Some(kind), Some(mean)) = (self.kind, &self.mean) {
            return Some(message!(
                "on the same validation images: thawed {thawed}, with its head solved again; frozen {frozen}; their \
                 mean {mean}; the thaw's gain has {chance}; by their losses, the {} is kept",
                kind.words()
            ));
        }
        let figures = message!("thawed {thawed}, frozen {frozen}; {chance}");
        if self.thaw_is_better() {
            return Some(message!(
                "the thaw beats the frozen model on the same validation images ({figures}): the thawed model is kept"
            ));
        }
        let frozen_is_kept = message!(
            "the thaw does not beat the frozen model on the same validation images ({figures}, needs p < {}): the \
             frozen model is kept",
            self.level
        );
        Some(if thawed.value > frozen.value {
            message!(
                "{frozen_is_kept}; more validation images could settle it; {} keeps the higher metric",
                Key::NO_GUARD
            )
        } else {
            frozen_is_kept
        })
    }
}

impl ModelKind {
    fn words(self) -> &'static str {
        translated(match self {
            Self::Probe => english!("frozen model"),
            Self::Thaw => english!("thawed model"),
            Self::Mean => english!("mean of the frozen and the thawed model"),
        })
    }
}

fn chance(p_value: f64) -> String {
    if p_value < 0.001 {
        "p < 0.001".to_owned()
    } else {
        format!("p = {p_value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position;
    use warmstart_recipe::{Draft, HeadKind};

    fn verdict(p_value: f64) -> Verdict {
        let figure = |epoch, value| {
            EpochFigure::highest(&[EpochRecord::example(epoch, value)], "top-1 accuracy")
        };
        Verdict {
            frozen: figure(2, 0.6),
            thawed: figure(5, 0.65),
            weights: None,
            p_value: Some(p_value),
            level: LEVEL,
            mean: None,
            kind: None,
        }
    }

    #[test]
    fn the_thaw_is_kept_only_if_it_is_surely_better() {
        assert_eq!(verdict(0.01).kept().unwrap().epoch, 5);
        assert_eq!(verdict(0.05).kept().unwrap().epoch, 2);
        assert!(
            verdict(0.3)
                .sentence()
                .unwrap()
                .contains("the frozen model is kept")
        );
    }

    #[test]
    fn the_reason_against_a_thaw_has_both_p_values() {
        let reason = verdict(0.0734).reason_against_thaw();
        assert_eq!(reason.as_deref(), Some("p = 0.073, needs p < 0.05"));
        assert_eq!(verdict(0.01).reason_against_thaw(), None);
    }

    #[test]
    fn alone_either_is_kept() {
        let alone = Verdict {
            frozen: None,
            p_value: None,
            ..verdict(1.0)
        };
        assert_eq!(alone.kept().unwrap().epoch, 5);
        assert_eq!(alone.sentence(), None);
    }

    #[test]
    fn a_run_has_a_candidate_before_and_one_after_the_thaw() {
        let mut draft: Draft = toml::from_str("data = 'd'\nmodel = 'm'\nweights = 'w'").unwrap();
        draft.frozen.head = Some(HeadKind::Linear);
        let recipe = draft.resolve(224, None).unwrap();
        let mut history = position::history(&recipe, 14);
        history[3].metric = 0.7;
        history[9].metric = 0.9;
        let candidates = Candidates::of(&recipe, &history, "");
        let epochs = candidates.iter().map(|figure| figure.epoch);
        assert_eq!(epochs.collect::<Vec<_>>(), [4, 10]);
        let frozen = Candidates::of(&recipe, &history[..8], "");
        assert_eq!(frozen.thawed, None);
    }
}
