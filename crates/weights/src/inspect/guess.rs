//! How well a file fits a model.

use serde::Serialize;
use warmstart_files::Key;
use warmstart_language::message;

use crate::compare::{
    Coverage, Part, RECOGNISED, ResizedPositions, Source, Target, best_match, first_layer,
    parameters_in, strangers_in, strangers_sentence,
};
use crate::read::{FileTensor, WeightFile};
use crate::text::{cut_line, percent};

/// How well a file fits one model.
#[derive(Debug, Clone, Serialize)]
pub struct Guess {
    /// The model.
    pub architecture: String,
    /// Convention of the file's names; `native` for the model's own.
    pub convention: &'static str,
    /// Prefix to remove from the file's names; empty if none.
    pub prefix: String,
    /// Other prefixes under which the file has the same backbone.
    pub other_prefixes: Vec<String>,
    /// Why this prefix was chosen, in English, from the catalogue; empty if there are no others.
    pub reason: &'static str,
    /// True if the layer that reads the image would load.
    pub first_layer_loads: bool,
    /// True if the positions of its tokens would load, or it has none.
    pub positions_load: bool,
    /// How much of the backbone would load.
    pub backbone: Coverage,
    /// How much of the head would load.
    pub head: Coverage,
    /// Positions of the file that would be resized to the model's grid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resized: Vec<ResizedPositions>,
    /// Parameters of the file inside of the model's blocks that the model does not have: the file is of another network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strangers: Vec<String>,
    /// Similarity, 0 to 1: backbone parameters that load, divided by the model's backbone parameters plus the
    /// file's parameters under the same prefix that the model has no place for. It separates a ResNet-34 from
    /// the ResNet-18 contained in it.
    pub likeness: f64,
}

/// Compares a file, or its tensors under `prefix`, with a model.
///
/// # Errors
/// A message, if nothing fits under the wanted prefix.
pub(super) fn guess(
    file: &WeightFile,
    target: &Target,
    prefix: Option<&str>,
) -> Result<Guess, String> {
    let matched = best_match(file, target, prefix)?;
    let first_layer = first_layer(target.expected);
    let mut backbone = Coverage::default();
    let mut head = Coverage::default();
    let mut resized = Vec::new();
    let mut placed_parameters = 0;
    let mut first_layer_loads = first_layer.is_none();
    let mut positions_load = true;
    for expected in target.expected {
        let source = Source::of(expected, &matched);
        let keys = source.keys().into_iter();
        let tensors = keys.filter_map(|key| Some((key, file.tensors.get(key)?)));
        let tensors: Vec<(&str, &FileTensor)> = tensors.collect();
        if expected.optional && tensors.is_empty() {
            continue;
        }
        let coverage = match expected.part {
            Part::Backbone => &mut backbone,
            Part::Head => &mut head,
            Part::Beyond => continue,
        };
        let parameters = parameters_in(&expected.name, &expected.shape);
        coverage.expect(parameters);
        if tensors.is_empty() {
            positions_load &= !expected.is_positions();
            continue;
        }
        let is_first = first_layer == Some(expected.name.as_str());
        let fits = source.fits(expected, is_first, file, false);
        first_layer_loads |= is_first && fits;
        positions_load &= fits || !expected.is_positions();
        if fits {
            coverage.load(parameters);
            if let (Source::Whole(key), [(_, tensor)]) = (&source, &tensors[..]) {
                resized.extend(ResizedPositions::of(expected, key, &tensor.shape));
            }
        }
        // A head for other classes is still this model's head.
        if fits || expected.part == Part::Head {
            // A head may lie beside the prefix of the backbone.
            let tensors = tensors.iter();
            placed_parameters += tensors
                .filter(|(key, _)| key.starts_with(&matched.prefix))
                .map(|(_, tensor)| parameters_in(&expected.name, &tensor.shape))
                .sum::<usize>();
        }
    }
    let again = matched.copies.iter();
    placed_parameters += again
        .filter_map(|(name, key)| Some(parameters_in(name, &file.tensors.get(*key)?.shape)))
        .sum::<usize>();
    let under_prefix = file
        .tensors
        .iter()
        .filter(|(name, _)| name.starts_with(&matched.prefix))
        .map(|(name, tensor)| parameters_in(name, &tensor.shape))
        .sum::<usize>();
    let unplaced = under_prefix.saturating_sub(placed_parameters);
    let union = backbone.expected_parameters + unplaced;
    Ok(Guess {
        architecture: target.architecture.into(),
        convention: matched.convention,
        strangers: strangers_in(file, &matched, target.expected),
        prefix: matched.prefix,
        other_prefixes: matched.rivals,
        reason: matched.reason,
        first_layer_loads,
        positions_load,
        backbone,
        head,
        resized,
        likeness: backbone.loaded_parameters as f64 / union.max(1) as f64,
    })
}

impl Guess {
    pub(super) fn is_nearly_complete(&self) -> bool {
        self.backbone.fraction() >= RECOGNISED
    }

    /// Why a run refuses a file that has nearly all of the model.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.is_nearly_complete() {
            return warnings;
        }
        if !self.first_layer_loads {
            warnings.push(message!(
                "WARNING: the first layer does not load, and a run refuses such a file without {}",
                Key::ALLOW_PARTIAL
            ));
        }
        if !self.positions_load {
            warnings.push(message!(
                "WARNING: the positions do not load, and a run refuses such a file without {}",
                Key::ALLOW_PARTIAL
            ));
        }
        if let Some(sentence) = strangers_sentence(&self.strangers, &self.architecture) {
            warnings.push(message!(
                "WARNING: {sentence}, and a run refuses such a file without {}",
                Key::ALLOW_PARTIAL
            ));
        }
        warnings
    }

    /// How well the file fits, in a line.
    pub(super) fn line(&self) -> String {
        let Self {
            architecture,
            convention,
            ..
        } = self;
        let [share, likeness] = [self.backbone.fraction(), self.likeness].map(percent);
        if self.prefix.is_empty() {
            message!(
                "{architecture} ({convention} names): {share} of the backbone, likeness {likeness}"
            )
        } else {
            message!(
                "{architecture} ({convention} names under `{prefix}`): {share} of the backbone, likeness {likeness}",
                prefix = cut_line(&self.prefix, 100)
            )
        }
    }
}
