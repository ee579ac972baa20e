//! `warmstart weights inspect`: the content of a file of weights, compared with every network.

use std::path::Path;

use warmstart_language::{message, translated};
use warmstart_models::Architecture;
use warmstart_models::coco::COCO_CLASSES;
use warmstart_recipe::{Error, architecture, model_names};
use warmstart_tasks::classify::{BESIDE, is_beside};
use warmstart_tasks::detect::Detection;
use warmstart_tasks::expectations::of_detector;
use warmstart_tasks::model_file::ModelInfo;
use warmstart_tasks::published::note_on_file;
use warmstart_tasks::task::Task as _;
use warmstart_train::{IMAGENET_CLASSES, conventions, expectations, record_line};
use warmstart_weights::{Inspection, Target, WeightFile};

use crate::twins::{convention_record, told_by_names};

/// Contents of a file of weights, or of its tensors under `prefix`, compared with every architecture.
///
/// # Errors
/// If it cannot be read, or has nothing under that prefix.
pub fn inspect(path: &Path, prefix: Option<&str>) -> Result<Inspection, Error> {
    let mut file = warmstart_weights::read(path)?;
    let info = ModelInfo::of(&file)?;
    let is_ours = info.is_some();
    if let Some(info) = info {
        // A copy of upper stages would look like a second network.
        let beside = set_aside(&mut file);
        file.set_aside.extend(beside);
        file.classes = Some(Ok(info.classes));
    }
    let mut inspection = guesses(&file, None, prefix)?;
    let best = inspection.guesses.first();
    if let (Some(known), Some(best)) = (&inspection.architecture, best) {
        let network = architecture(known.trim_end_matches(" detector"))?;
        // A file of ours tells which network it is.
        let (network, note) = if is_ours {
            let told = convention_record(&network, best.convention);
            (told.map_or(Ok(network), architecture)?, None)
        } else {
            told_by_names(network, best.convention, path)?
        };
        let mut record = record_line(&network);
        // A fault of the names themselves has a line of its own.
        if network.is_detector && inspection.classes_fault.is_none() {
            // What cannot be compared whole is refused with its reason where it is loaded.
            let note = note_on_file(&file, &network, prefix).ok().flatten();
            if let Some(note) = note {
                record = message!("{record}; {note}");
            }
        }
        if let Some(note) = note {
            record = message!("{record}; {note}");
        }
        if network.name != known.trim_end_matches(" detector") {
            inspection.architecture = Some(network.name.to_owned());
        }
        inspection.record = Some(record);
    }
    Ok(inspection)
}

/// Takes the tensors that lie beside the ordinary model out of a file that warmstart wrote: how many there are of each
/// kind, in words.
fn set_aside(file: &mut WeightFile) -> Vec<String> {
    let counted = BESIDE.iter().filter_map(|(prefix, what)| {
        let names = file.tensors.keys().filter(|name| name.starts_with(prefix));
        let count = names.count();
        let what = translated(what);
        (count > 0).then(|| message!("{prefix} ({what}, {count} tensors)"))
    });
    let counted = counted.collect();
    file.tensors.retain(|name, _| !is_beside(name));
    counted
}

/// How a file fits every network, or one alone.
pub(crate) fn guesses(
    file: &WeightFile,
    only: Option<&Architecture>,
    prefix: Option<&str>,
) -> Result<Inspection, Error> {
    let architectures: Vec<Architecture> = match only {
        Some(only) => vec![only.clone()],
        None => model_names()
            .filter_map(warmstart_models::by_name)
            .collect(),
    };
    let (whole, backbones): (Vec<_>, Vec<_>) = architectures
        .iter()
        .partition(|architecture| architecture.is_detector);
    let classifiers = backbones.iter().map(|architecture| {
        let head = architecture.classifier_parameters(IMAGENET_CLASSES);
        let expected = expectations(&architecture.backbone_parameters(), &head);
        let name = architecture.name.to_owned();
        (name, expected, conventions(architecture))
    });
    let light = backbones.iter().filter_map(|architecture| {
        let backbone = Detection::backbone((*architecture).clone()).ok()?;
        let expected = of_detector(&backbone, COCO_CLASSES.len());
        let name = format!("{} detector", architecture.name);
        Some((name, expected, conventions(architecture)))
    });
    let whole = whole.iter().map(|detector| {
        let expected = of_detector(detector, COCO_CLASSES.len());
        (detector.name.to_owned(), expected, conventions(detector))
    });
    let parts: Vec<_> = classifiers.chain(light).chain(whole).collect();
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
