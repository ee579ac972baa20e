//! `warmstart weights inspect`: the content of a file of weights, compared with every network.

use std::path::Path;

use warmstart_models::Architecture;
use warmstart_recipe::{Error, architecture};
use warmstart_tasks::classify::{BESIDE, is_beside};
use warmstart_tasks::detect::{Detection, Head};
use warmstart_tasks::model_file::ModelInfo;
use warmstart_tasks::task::Task as _;
use warmstart_train::{IMAGENET_CLASSES, conventions, expectations, record_line};
use warmstart_weights::{Inspection, Target, WeightFile};

/// Classes of the usual detector.
const COCO_CLASSES: usize = 80;

/// Contents of a file of weights, or of its tensors under `prefix`, compared with every architecture.
///
/// # Errors
/// If it cannot be read, or has nothing under that prefix.
pub fn inspect(path: &Path, prefix: Option<&str>) -> Result<Inspection, Error> {
    let mut file = warmstart_weights::read(path)?;
    if ModelInfo::of(&file)?.is_some() {
        // A copy of upper stages would look like a second network.
        let beside = set_aside(&mut file);
        file.set_aside.extend(beside);
    }
    let mut inspection = guesses(&file, None, prefix)?;
    let best = inspection.guesses.first();
    if let (Some(known), Some(best)) = (&inspection.architecture, best) {
        let network = architecture(known.trim_end_matches(" detector"))?;
        let told = convention_record(&network, best.convention);
        let network = told.map_or(Ok(network), architecture)?;
        inspection.record = Some(record_line(&network));
    }
    Ok(inspection)
}

/// Takes the tensors that lie beside the ordinary model out of a file that warmstart wrote: how many there are of each
/// kind, in words.
fn set_aside(file: &mut WeightFile) -> Vec<String> {
    let counted = BESIDE.iter().filter_map(|(prefix, what)| {
        let names = file.tensors.keys().filter(|name| name.starts_with(prefix));
        let count = names.count();
        (count > 0).then(|| format!("{prefix} ({what}, {count} tensors)"))
    });
    let counted = counted.collect();
    file.tensors.retain(|name, _| !is_beside(name));
    counted
}

/// The record that a file of that convention's names is taken for.
pub(crate) fn convention_record(
    architecture: &Architecture,
    convention: &str,
) -> Option<&'static str> {
    let mut known = architecture.conventions.iter();
    known.find(|known| known.name == convention)?.record
}

/// How a file fits every network, or one alone.
pub(crate) fn guesses(
    file: &WeightFile,
    only: Option<&Architecture>,
    prefix: Option<&str>,
) -> Result<Inspection, Error> {
    let architectures: Vec<Architecture> = match only {
        Some(only) => vec![only.clone()],
        None => warmstart_models::names()
            .filter_map(warmstart_models::by_name)
            .collect(),
    };
    let classifiers = architectures.iter().map(|architecture| {
        let head = architecture.classifier_parameters(IMAGENET_CLASSES);
        let expected = expectations(&architecture.backbone_parameters(), &head);
        let name = architecture.name.to_owned();
        (name, expected, conventions(architecture))
    });
    let detectors = architectures.iter().map(|architecture| {
        let backbone = Detection::backbone(architecture.clone());
        let head = Head::new(&backbone, COCO_CLASSES, 0).parameters();
        let expected = expectations(&backbone.backbone_parameters(), &head);
        let name = format!("{} detector", architecture.name);
        (name, expected, conventions(architecture))
    });
    let parts: Vec<_> = classifiers.chain(detectors).collect();
    let candidates: Vec<Target> = parts
        .iter()
        .map(|(architecture, expected, conventions)| Target {
            architecture,
            expected,
            conventions,
        })
        .collect();
    Ok(warmstart_weights::inspect(file, &candidates, prefix)?)
}
