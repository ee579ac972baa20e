//! Networks that have the same tensors, which no file of weights tells apart, and what the names in a file tell.

use std::path::Path;

use warmstart_language::message;
use warmstart_models::{Architecture, all_records, full_name, records, with_record};
use warmstart_recipe::{Error, Key, architecture, model_names};

/// The network and the constants of the record whose published file has the name of this one, where several networks
/// have the tensors of `network`; `None` if there is one network of these tensors, or no such record.
pub(crate) fn named_by_file(network: &Architecture, file: &Path) -> Option<Architecture> {
    let name = file.file_name()?.to_str()?;
    let twins = twins_of(network);
    if twins.is_empty() {
        return None;
    }
    let is_of_these = |of: &str| of == network.name || twins.contains(&of);
    let mut records = all_records().iter();
    let record = records.find(|record| {
        record.file.name.as_deref() == Some(name) && is_of_these(&record.architecture)
    })?;
    with_record(&record.architecture, record)
}

/// A network with the constants of the record that a file's names tell: those of its tensors, or its own where several
/// networks have the same tensors. With a note on these, where nothing tells them apart.
///
/// # Errors
/// If there is no record of the name that the convention has.
pub(crate) fn told_by_names(
    network: Architecture,
    convention: &str,
    file: &Path,
) -> Result<(Architecture, Option<String>), Error> {
    if let Some(named) = named_by_file(&network, file) {
        return Ok((named, None));
    }
    let record = convention_record(&network, convention);
    let network = record.map_or(Ok(network), architecture)?;
    let note = note_on_twins(&network);
    Ok((network, note))
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
    let twins = twins_of(network);
    if twins.is_empty() {
        return None;
    }
    // Of its own records, those for other pixels are meant as well.
    let own = records(network.name).filter(|record| {
        let (other, own) = (&record.pretrained, network.pretrained());
        (other.mean, other.deviation) != (own.mean, own.deviation)
    });
    let own = own.filter_map(|record| with_record(network.name, record));
    let own: Vec<String> = own.map(|other| full_name(&other).to_owned()).collect();
    let others = twins.into_iter().map(str::to_owned).chain(own);
    Some(message!(
        "tensors of the same names and shapes, but other means of pixels, belong to {}: {} NAME chooses",
        others.collect::<Vec<_>>().join(", "),
        Key::MODEL
    ))
}

/// The other networks of the same tensors.
fn twins_of(network: &Architecture) -> Vec<&'static str> {
    let own = network.backbone_parameters();
    let has_same = |name: &&str| {
        let other = warmstart_models::by_name(name);
        *name != network.name && other.is_some_and(|other| other.backbone_parameters() == own)
    };
    model_names().filter(has_same).collect()
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
            "tensors of the same names and shapes, but other means of pixels, belong to deit_tiny_patch16_224: \
             model NAME chooses"
        );
        for (name, others) in [
            (
                "vit_small_patch16_224",
                "deit_small_patch16_224, vit_small_patch16_224.dino: ",
            ),
            ("deit_small_patch16_224", "to vit_small_patch16_224: "),
        ] {
            let note = note(name).unwrap();
            assert!(note.contains(others), "{name}: {note}");
        }
        for own in [
            "deit_tiny_distilled_patch16_224",
            "vit_small_patch14_dinov2",
            "convnext_tiny",
            "resnet18",
        ] {
            assert_eq!(note(own), None, "{own}");
        }
    }

    #[test]
    fn a_published_file_s_name_tells_networks_of_equal_tensors_apart() {
        let record = |network: &str, file: &str| {
            let network = by_name(network).unwrap();
            let named = named_by_file(&network, Path::new(file))?;
            Some((named.name, named.record.name.as_str()))
        };
        assert_eq!(
            record(
                "vit_tiny_patch16_224",
                "weights/deit_tiny_patch16_224-a1311bcf.pth"
            ),
            Some(("deit_tiny_patch16_224", "deit_tiny_patch16_224.fb_in1k"))
        );
        assert_eq!(
            record("vit_small_patch16_224", "dino_deitsmall16_pretrain.pth"),
            Some(("vit_small_patch16_224", "vit_small_patch16_224.dino"))
        );
        // Another size's file, an unknown one, and a network of its own tensors.
        for (network, file) in [
            (
                "vit_small_patch16_224",
                "deit_tiny_patch16_224-a1311bcf.pth",
            ),
            ("vit_tiny_patch16_224", "best.pth"),
            ("resnet18", "resnet18-f37072fd.pth"),
        ] {
            assert_eq!(record(network, file), None, "{network}, {file}");
        }
    }
}
