//! Inspection of a file without loading it into a model.

mod families;
mod guess;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;

use warmstart_files::{Key, shown};
use warmstart_language::{message, translated};

use crate::WeightError;
use crate::compare::{Target, parameters_in};
use crate::read::{Format, NotFinite, Unreadable, WeightFile};
use crate::text::{counted, cut_line, cut_names, grouped, percent, quoted, shape};
use families::family_of;
pub use guess::Guess;
use guess::guess;

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
    /// The candidate whose backbone is nearly complete, and has all parameters of its blocks, if there is one.
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
        .filter(|best| best.is_nearly_complete() && best.strangers.is_empty())
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
        if let Some(best) = self.guesses.first() {
            best.warnings().into_iter().for_each(&mut push);
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
                "recognised as {family}, in a size or form that is not supported (warmstart models lists those that are)",
                family = translated(family)
            ),
            (None, None, None) => message!("not recognised"),
        }
    }
}
