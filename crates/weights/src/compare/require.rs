//! Refusal of a plan that leaves too much randomly initialised.

use super::strangers::refusal;
use super::{LoadPlan, Part};
use warmstart_files::Key;
use warmstart_language::message;

use crate::WeightError;
use crate::text::{counted, cut_line, cut_names, percent, shape};

impl LoadPlan {
    /// The share of the backbone that loads, from 0 to 1: see
    /// [`Coverage::fraction`](super::Coverage::fraction).
    pub fn backbone_coverage(&self) -> f64 {
        self.backbone.fraction()
    }

    /// Refuses a plan that leaves much of the backbone, the layer that reads the image or the positions of
    /// its parts randomly initialised, or whose file is of another network.
    ///
    /// # Errors
    /// If less than `minimum` (0 to 1) of the backbone loads, if the first layer or the positions do not, or
    /// if blocks of the network have more parameters in the file. The error names a tensor that is missing,
    /// does not fit or is too many, and the closest names in the file.
    pub fn require_backbone(&self, minimum: f64) -> Result<(), WeightError> {
        let coverage = self.backbone_coverage();
        let refused = |detail| {
            Err(WeightError::BackboneNotLoaded {
                path: self.file.clone(),
                detail,
            })
        };
        if coverage < minimum {
            return refused(message!(
                "only {} of {} backbone tensors of {} load ({} of the backbone, at least {} needed): {}; \
                 `warmstart weights inspect` shows what the file is, {} trains anyway",
                self.backbone.loaded_tensors,
                self.backbone.expected_tensors,
                self.architecture,
                percent(coverage),
                percent(minimum),
                self.example(),
                Key::ALLOW_PARTIAL,
            ));
        }
        if let Some(first) = &self.first_layer_missing {
            let problem = self.problem(first);
            return refused(message!(
                "the first layer of {}, {first}, does not load: {problem}, and all other layers depend on it; \
                 use a file that has it, or train anyway with {}",
                self.architecture,
                Key::ALLOW_PARTIAL
            ));
        }
        if let Some(positions) = &self.positions_missing {
            let problem = self.problem(positions);
            return refused(message!(
                "the positions of {}, {positions}, do not load: {problem}, and without them the network does not know \
                 where in the image a patch is; use a file that has them, or train anyway with {}",
                self.architecture,
                Key::ALLOW_PARTIAL
            ));
        }
        refusal(&self.strangers, &self.architecture).map_or(Ok(()), refused)
    }

    /// Why a tensor does not load.
    fn problem(&self, name: &str) -> String {
        match self.wrong_shape.iter().find(|wrong| wrong.name == name) {
            Some(wrong) => message!(
                "it is {} in the file, {} in the model",
                shape(&wrong.found),
                shape(&wrong.expected)
            ),
            None => message!("it is not in the file"),
        }
    }

    /// Example of a backbone tensor that does not load: missing or of another shape, whichever is more
    /// frequent.
    fn example(&self) -> String {
        let mut missing = self.missing.iter().filter(|m| m.part == Part::Backbone);
        let mut wrong = self.wrong_shape.iter().filter(|w| w.part == Part::Backbone);
        if wrong.clone().count() > missing.clone().count()
            && let Some(first) = wrong.next()
        {
            return message!(
                "{} is {} in the file, {} in the model, and so on for {}",
                cut_line(&first.file_name, 100),
                shape(&first.found),
                shape(&first.expected),
                counted(1 + wrong.count(), "tensor"),
            );
        }
        let Some(first) = missing.next() else {
            return message!("nothing fits");
        };
        match self.closest(&first.name) {
            names if names.is_empty() => message!("{} is missing", first.name),
            names => message!(
                "{} is missing; closest in the file: {}",
                first.name,
                cut_names(&names, names.len())
            ),
        }
    }

    /// The unused keys most similar to a name, by edit distance.
    fn closest(&self, name: &str) -> Vec<&str> {
        const SHOWN: usize = 3;
        let mut keys: Vec<(f64, &str)> = self
            .unused
            .iter()
            .map(|key| (strsim::normalized_levenshtein(name, key), key.as_str()))
            .collect();
        keys.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        keys.into_iter().take(SHOWN).map(|(_, key)| key).collect()
    }
}
