//! `warmstart weights inspect`: the content of a file of weights, compared with every network.

use std::path::Path;

use warmstart_language::{message, translated};
use warmstart_models::Architecture;
use warmstart_models::coco::COCO_CLASSES;
use warmstart_recipe::{Error, Key, architecture, model_names};
use warmstart_tasks::classify::{BESIDE, is_beside};
use warmstart_tasks::detect::Detection;
use warmstart_tasks::expectations::of_detector;
use warmstart_tasks::model_file::ModelInfo;
use warmstart_tasks::published::note_on_file;
use warmstart_tasks::task::Task as _;
use warmstart_train::{IMAGENET_CLASSES, conventions, expectations, record_line};
use warmstart_weights::{Inspection, Target, WeightFile};

/// Contents of a file of weights, or of its tensors under `prefix`, compared with every architecture.
///
/// # Errors
/// If it cannot be read, or has nothing under that prefix.
pub fn inspect(path: &Path, prefix: Option<&str>) -> Result<Inspection, Error> {
    let mut file = warmstart_weights::read(path)?;
    if let Some(info) = ModelInfo::of(&file)? {
        // A copy of upper stages would look like a second network.
        let beside = set_aside(&mut file);
        file.set_aside.extend(beside);
        file.classes = Some(Ok(info.classes));
    }
    let mut inspection = guesses(&file, None, prefix)?;
    let best = inspection.guesses.first();
    if let (Some(known), Some(best)) = (&inspection.architecture, best) {
        let network = architecture(known.trim_end_matches(" detector"))?;
        let told = convention_record(&network, best.convention);
        let network = told.map_or(Ok(network), architecture)?;
        let mut record = record_line(&network);
        // A fault of the names themselves has a line of its own.
        if network.is_detector && inspection.classes_fault.is_none() {
            // What cannot be compared whole is refused with its reason where it is loaded.
            let note = note_on_file(&file, &network, prefix).ok().flatten();
            if let Some(note) = note {
                record = message!("{record}; {note}");
            }
        }
        // A file of ours tells which one it is.
        if file.metadata.is_none()
            && let Some(note) = note_on_twins(&network)
        {
            record = message!("{record}; {note}");
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

/// The record that a file of that convention's names is taken for.
pub(crate) fn convention_record(
    architecture: &Architecture,
    convention: &str,
) -> Option<&'static str> {
    let mut known = architecture.conventions.iter();
    known.find(|known| known.name == convention)?.record
}

/// What is to be said of a network that a file was recognised as, and that others share all their tensors with; nothing
/// of one that has its own.
pub(crate) fn note_on_twins(network: &Architecture) -> Option<String> {
    let own = network.backbone_parameters();
    let has_same = |name: &&str| {
        let other = warmstart_models::by_name(name);
        *name != network.name && other.is_some_and(|other| other.backbone_parameters() == own)
    };
    let twins: Vec<&str> = model_names().filter(has_same).collect();
    (!twins.is_empty()).then(|| {
        message!(
            "{} has tensors of the same names and shapes: {} NAME chooses it",
            twins.join(", "),
            Key::MODEL
        )
    })
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

#[cfg(test)]
mod tests {
    use warmstart_models::by_name;

    use super::*;

    #[test]
    fn networks_of_equal_tensors_are_named_with_each_other() {
        let note = |name: &str| note_on_twins(&by_name(name).unwrap());
        let of_vit = warmstart_recipe::plain(&note("vit_tiny_patch16_224").unwrap());
        assert_eq!(
            of_vit,
            "deit_tiny_patch16_224 has tensors of the same names and shapes: model NAME chooses it"
        );
        assert!(
            note("deit_small_patch16_224")
                .unwrap()
                .contains("vit_small_patch16_224")
        );
        for own in [
            "deit_tiny_distilled_patch16_224",
            "vit_small_patch14_dinov2",
            "convnext_tiny",
            "resnet18",
        ] {
            assert_eq!(note(own), None, "{own}");
        }
    }
}
