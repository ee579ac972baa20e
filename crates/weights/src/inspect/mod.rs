//! Inspection of a file without loading it into a model.

mod families;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;

use warmstart_files::{Key, shown};
use warmstart_language::{message, translated};

use crate::WeightError;
use crate::compare::{
    Coverage, Part, RECOGNISED, ResizedPositions, Source, Target, best_match, first_layer,
    parameters_in,
};
use crate::read::{FileTensor, Format, NotFinite, Unreadable, WeightFile};
use crate::text::{counted, cut_line, cut_names, grouped, percent, quoted, shape};
use families::family_of;

/// Least share of a model's backbone in a file that is reported as similar to the model.
const SIMILAR: f64 = 0.3;

/// Least share of a model's backbone in a file with which the model is listed.
const ALIKE: f64 = 0.01;

/// One tensor of a file.
#[derive(Debug, Clone, Serialize)]
pub struct TensorLine {
    /// The key.
    pub name: String,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// The stored element type.
    pub dtype: &'static str,
}

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
    /// How much of the backbone would load.
    pub backbone: Coverage,
    /// How much of the head would load.
    pub head: Coverage,
    /// Positions of the file that would be resized to the model's grid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resized: Vec<ResizedPositions>,
    /// Similarity, 0 to 1: backbone parameters that load, divided by the model's backbone parameters plus the
    /// file's parameters under the same prefix that the model has no place for. It separates a ResNet-34 from
    /// the ResNet-18 contained in it.
    pub likeness: f64,
}

/// A file's contents and what they seem to be.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The file.
    #[serde(serialize_with = "crate::text::as_shown")]
    pub path: PathBuf,
    /// Its container.
    pub format: Format,
    /// Wrappers that were removed from its keys, outermost first.
    pub stripped: Vec<String>,
    /// Optimizer states in the file.
    pub set_aside: Vec<String>,
    /// Python classes that it names beside the tensors; they were not loaded.
    pub ignored_objects: Vec<String>,
    /// Names of the classes, where the file has them.
    pub classes: Option<Vec<String>>,
    /// Why the names of the classes that the file has cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes_fault: Option<String>,
    /// Every tensor, by name.
    pub tensors: Vec<TensorLine>,
    /// Tensors whose values cannot be read.
    pub unreadable: BTreeMap<String, Unreadable>,
    /// The number of parameters in all tensors: without running statistics and counters.
    pub parameters: usize,
    /// Tensors with NaN or infinite values.
    pub not_finite: Vec<NotFinite>,
    /// The candidates that share a tensor with the file, the likeliest first.
    pub guesses: Vec<Guess>,
    /// The candidate whose backbone is nearly complete, if there is one.
    pub architecture: Option<String>,
    /// Family of its names, in English, from the catalogue, even if no candidate fits.
    pub family: Option<&'static str>,
    /// The published weights whose constants a network takes for this file, with these constants; for the caller to
    /// say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
}

/// Lists a file's tensors and compares them, or only those under `prefix`, with the supported models.
///
/// # Errors
/// If no model has a tensor under that prefix.
pub fn inspect(
    file: &WeightFile,
    candidates: &[Target],
    prefix: Option<&str>,
) -> Result<Inspection, WeightError> {
    let mut guesses = Vec::new();
    let mut is_refused = false;
    for target in candidates {
        match guess(file, target, prefix) {
            Ok(guess) if guess.backbone.loaded_tensors > 0 => guesses.push(guess),
            Ok(_) => {}
            Err(_) => is_refused = true,
        }
    }
    if guesses.is_empty()
        && is_refused
        && let Some(prefix) = prefix
    {
        return Err(WeightError::NotThere {
            path: file.path.clone(),
            detail: message!(
                "no tensor of a known model is under the prefix `{}`",
                cut_line(prefix, 100)
            ),
        });
    }
    // A stable sort keeps equal candidates in the order given.
    guesses.sort_by(|a, b| b.likeness.total_cmp(&a.likeness));
    let architecture = guesses
        .first()
        .filter(|best| best.backbone.fraction() >= RECOGNISED)
        .map(|best| best.architecture.clone());
    Ok(Inspection {
        path: file.path.clone(),
        format: file.format,
        stripped: file.stripped.clone(),
        set_aside: file.set_aside.clone(),
        ignored_objects: file.ignored_objects.clone(),
        classes: file.classes.clone().and_then(Result::ok),
        classes_fault: file.classes.clone().and_then(Result::err),
        tensors: file
            .tensors
            .iter()
            .map(|(name, tensor)| TensorLine {
                name: name.clone(),
                shape: tensor.shape.clone(),
                dtype: tensor.dtype,
            })
            .collect(),
        parameters: all_parameters(file),
        not_finite: file.not_finite.clone(),
        guesses,
        architecture,
        family: family_of(file.tensors.keys().map(String::as_str)),
        unreadable: file.unreadable.clone(),
        record: None,
    })
}

fn guess(file: &WeightFile, target: &Target, prefix: Option<&str>) -> Result<Guess, String> {
    let matched = best_match(file, target, prefix)?;
    let first_layer = first_layer(target.expected);
    let mut backbone = Coverage::default();
    let mut head = Coverage::default();
    let mut resized = Vec::new();
    let mut placed_parameters = 0;
    let mut first_layer_loads = first_layer.is_none();
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
            continue;
        }
        let is_first = first_layer == Some(expected.name.as_str());
        let fits = source.fits(expected, is_first, file, false);
        first_layer_loads |= is_first && fits;
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
        prefix: matched.prefix,
        other_prefixes: matched.rivals,
        reason: matched.reason,
        first_layer_loads,
        backbone,
        head,
        resized,
        likeness: backbone.loaded_parameters as f64 / union.max(1) as f64,
    })
}

fn all_parameters(file: &WeightFile) -> usize {
    file.tensors
        .iter()
        .map(|(name, tensor)| parameters_in(name, &tensor.shape))
        .sum()
}

impl Inspection {
    /// The tensors, the totals and the guess as text.
    pub fn report(&self) -> String {
        let mut text = String::new();
        let names: Vec<String> = self
            .tensors
            .iter()
            .map(|tensor| cut_line(&tensor.name, 200))
            .collect();
        let width = names.iter().map(String::len).max().unwrap_or(0);
        for (name, tensor) in names.iter().zip(&self.tensors) {
            let _ = writeln!(
                text,
                "{name:width$}  {:5} {}",
                tensor.dtype,
                shape(&tensor.shape)
            );
        }
        text.push('\n');
        let mut push = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        push(message!(
            "file: {} ({}), {}, {} parameters",
            shown(&self.path),
            self.format,
            counted(self.tensors.len(), "tensor"),
            grouped(self.parameters)
        ));
        if !self.stripped.is_empty() {
            push(message!("stripped: {}", cut_names(&self.stripped, 10)));
        }
        if !self.set_aside.is_empty() {
            push(message!("set aside: {}", cut_names(&self.set_aside, 10)));
        }
        if !self.ignored_objects.is_empty() {
            push(message!(
                "Python objects not loaded: {}",
                cut_names(&self.ignored_objects, 10)
            ));
        }
        if let Some(classes) = &self.classes {
            push(message!(
                "classes: {}: {}",
                classes.len(),
                cut_names(classes, 10)
            ));
        }
        if let Some(fault) = &self.classes_fault {
            push(message!(
                "classes: the file's names cannot be used: {fault}"
            ));
        }
        for (name, unreadable) in &self.unreadable {
            push(message!(
                "cannot be read: {}: {}",
                cut_line(name, 200),
                unreadable.what
            ));
        }
        for found in &self.not_finite {
            push(message!(
                "WARNING: {} has {} NaN or infinite values",
                cut_line(&found.name, 200),
                grouped(found.count)
            ));
        }
        let alike = |guess: &&Guess| guess.backbone.fraction() >= ALIKE;
        for guess in self.guesses.iter().filter(alike).take(5) {
            push(guess.line());
        }
        if let Some(best) = self
            .guesses
            .first()
            .filter(|best| !best.other_prefixes.is_empty())
        {
            push(message!(
                "it fits under {} as well; `{}` is taken ({}); choose with {}",
                quoted(best.other_prefixes.iter().map(String::as_str)),
                cut_line(&best.prefix, 100),
                translated(best.reason),
                Key::WEIGHTS_PREFIX
            ));
        }
        if self.architecture.is_some()
            && self
                .guesses
                .first()
                .is_some_and(|best| !best.first_layer_loads)
        {
            push(message!(
                "WARNING: the first layer does not load, and a run refuses such a file without {}",
                Key::ALLOW_PARTIAL
            ));
        }
        push(self.verdict());
        if self.architecture.is_some()
            && let Some(best) = self.guesses.first()
        {
            for positions in &best.resized {
                push(positions.line());
            }
        }
        if let Some(record) = &self.record {
            push(record.clone());
        }
        text
    }

    /// What the file is, in one line.
    pub fn verdict(&self) -> String {
        let closest = self
            .guesses
            .iter()
            .find(|guess| guess.backbone.fraction() >= SIMILAR);
        match (&self.architecture, closest, self.family) {
            (Some(architecture), ..) => message!("this is {architecture}"),
            (None, Some(closest), _) => message!(
                "closest to {}, with {} of its backbone",
                closest.architecture,
                percent(closest.backbone.fraction())
            ),
            (None, None, Some(family)) => message!(
                "recognised as {family}, not supported yet",
                family = translated(family)
            ),
            (None, None, None) => message!("not recognised"),
        }
    }
}

impl Guess {
    fn line(&self) -> String {
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
