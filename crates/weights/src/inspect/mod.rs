//! What is in a file, before anyone asks to load it.

mod families;

use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;

use crate::compare::{Coverage, Fit, Part, Target, best_match, parameters_in};
use crate::read::{Format, NotFinite, WeightFile};
use crate::text::{counted, cut_list, grouped, percent, shape};
use families::family_of;

/// From this share of the backbone on, a file is taken to be the model's.
const SURE: f64 = 0.95;

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
    /// Whose names the file would be using; `native` for the model's own.
    pub convention: &'static str,
    /// A prefix that would have to go; empty if none.
    pub prefix: String,
    /// How much of the backbone would load.
    pub backbone: Coverage,
    /// How much of the head would load.
    pub head: Coverage,
    /// What both have, as a share of what either has, from 0 to 1: parameters of the
    /// backbone, and parameters of the file that the model has no place for. It tells a ResNet-34 from
    /// the ResNet-18 that is contained in it.
    pub likeness: f64,
}

/// A file's contents and what they seem to be.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The file.
    pub path: PathBuf,
    /// Its container.
    pub format: Format,
    /// Wrappers that were removed from its keys, outermost first.
    pub stripped: Vec<String>,
    /// Entries with other tensors, such as an optimizer's.
    pub set_aside: Vec<String>,
    /// Python classes that it mentions beside the tensors; they were not loaded.
    pub ignored_objects: Vec<String>,
    /// Every tensor, by name.
    pub tensors: Vec<TensorLine>,
    /// The number of parameters in all tensors: without running statistics and counters.
    pub parameters: usize,
    /// Tensors with NaN or infinite values.
    pub not_finite: Vec<NotFinite>,
    /// The candidates that share a tensor with the file, the likeliest first.
    pub guesses: Vec<Guess>,
    /// The candidate that the file is for, if one is nearly whole.
    pub architecture: Option<String>,
    /// The family its names point to, also where no candidate fits.
    pub family: Option<&'static str>,
}

/// Lists a file's tensors and compares it with the models that are supported.
pub fn inspect(file: &WeightFile, candidates: &[Target]) -> Inspection {
    let mut guesses: Vec<Guess> = candidates
        .iter()
        .map(|target| guess(file, target))
        .filter(|guess| guess.backbone.loaded_tensors > 0)
        .collect();
    // Stable, so that of equals the candidate given first stays first.
    guesses.sort_by(|a, b| b.likeness.total_cmp(&a.likeness));
    let architecture = guesses
        .first()
        .filter(|best| best.backbone.fraction() >= SURE)
        .map(|best| best.architecture.clone());
    Inspection {
        path: file.path.clone(),
        format: file.format,
        stripped: file.stripped.clone(),
        set_aside: file.set_aside.clone(),
        ignored_objects: file.ignored_objects.clone(),
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
    }
}

fn guess(file: &WeightFile, target: &Target) -> Guess {
    let matched = best_match(file, target);
    let mut backbone = Coverage::default();
    let mut head = Coverage::default();
    let mut placed_parameters = 0;
    for expected in target.expected {
        let tensor = matched
            .file_keys
            .get(expected.name.as_str())
            .and_then(|key| file.tensors.get(*key));
        if expected.optional && tensor.is_none() {
            continue;
        }
        let coverage = match expected.part {
            Part::Backbone => &mut backbone,
            Part::Head => &mut head,
            Part::Beyond => continue,
        };
        let parameters = parameters_in(&expected.name, &expected.shape);
        coverage.expect(parameters);
        let Some(tensor) = tensor else { continue };
        let fits = Fit::of(&expected.shape, tensor) != Fit::No;
        if fits {
            coverage.load(parameters);
        }
        // A head for other classes is still this model's head.
        if fits || expected.part == Part::Head {
            placed_parameters += parameters_in(&expected.name, &tensor.shape);
        }
    }
    let unplaced = all_parameters(file).saturating_sub(placed_parameters);
    let union = backbone.expected_parameters + unplaced;
    Guess {
        architecture: target.architecture.into(),
        convention: matched.convention,
        prefix: matched.prefix,
        backbone,
        head,
        likeness: backbone.loaded_parameters as f64 / union.max(1) as f64,
    }
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
        let width = self.tensors.iter().map(|t| t.name.len()).max().unwrap_or(0);
        for tensor in &self.tensors {
            let _ = writeln!(
                text,
                "{:width$}  {:5} {}",
                tensor.name,
                tensor.dtype,
                shape(&tensor.shape)
            );
        }
        let _ = writeln!(
            text,
            "\nfile: {} ({}), {}, {} parameters",
            self.path.display(),
            self.format,
            counted(self.tensors.len(), "tensor"),
            grouped(self.parameters)
        );
        for (label, items) in [
            ("stripped", &self.stripped),
            ("set aside", &self.set_aside),
            ("Python objects not loaded", &self.ignored_objects),
        ] {
            if !items.is_empty() {
                let _ = writeln!(text, "{label}: {}", cut_list(items, 10));
            }
        }
        for found in &self.not_finite {
            let _ = writeln!(
                text,
                "WARNING: {} has {} NaN or infinite values",
                found.name,
                grouped(found.count)
            );
        }
        for guess in self.guesses.iter().take(5) {
            let _ = writeln!(
                text,
                "{} ({} names): {} of the backbone, likeness {}",
                guess.architecture,
                guess.convention,
                percent(guess.backbone.fraction()),
                percent(guess.likeness)
            );
        }
        let _ = writeln!(text, "{}", self.verdict());
        text
    }

    /// What the file is, in one line.
    pub fn verdict(&self) -> String {
        match (&self.architecture, self.family) {
            (Some(architecture), _) => format!("this is {architecture}"),
            (None, Some(family)) => format!("recognised as {family}, not supported yet"),
            (None, None) => "not recognised".into(),
        }
    }
}
