//! The architectures: their layers, the names of their parameters, and the records of their pretrained
//! weights.
//!
//! One file an architecture family; each builds an [`Architecture`], which is plain data. Names are
//! torchvision's, or timm's where torchvision does not have the network; a detector's are its publisher's. A light
//! [`detector`] works on the features of any classification network that has them at strides 8, 16 and 32.

mod architecture;
mod blocks;
pub mod coco;
mod convnext;
mod convnext_names;
mod csp;
mod csp_darknet;
mod cspnext;
pub mod detector;
mod dinov2;
mod efficientnet;
mod efficientnet_lite;
mod head_layers;
mod initialization;
mod library_names;
mod mobilenet_v2;
mod mobilenet_v3;
mod mobilenet_v4;
mod record;
mod resnet;
mod rtmdet;
mod stage;
mod strides;
mod tapped;
mod taps;
mod transformer;
mod transformer_names;
mod vit;
mod yolox;

pub use architecture::{Architecture, Convention, Prefix};
pub use head_layers::head_layers;
pub use library_names::{LibraryNetwork, LibraryParameter, in_library, second_classifier};
pub use record::{Interpolation, Numerics, Pretrained, PublishedFile, Record};
pub use stage::{Stage, StageError};
pub use tapped::Tapped;
pub use taps::NoTaps;
pub use transformer_names::{other_tensors, parts_of, prefix_of_positions, token_of_positions};

/// An architecture: its name, its record where nothing else is known, and its builder.
struct Entry {
    name: &'static str,
    record: &'static str,
    build: fn(&'static Record) -> Architecture,
}

const fn entry(
    name: &'static str,
    record: &'static str,
    build: fn(&'static Record) -> Architecture,
) -> Entry {
    Entry {
        name,
        record,
        build,
    }
}

#[rustfmt::skip]
const MODELS: [Entry; 39] = [
    entry("mobilenet_v2", "mobilenet_v2.imagenet1k_v1", mobilenet_v2::mobilenet_v2),
    entry("mobilenet_v3_small", "mobilenet_v3_small.imagenet1k_v1", mobilenet_v3::small),
    entry("mobilenet_v3_large", "mobilenet_v3_large.imagenet1k_v2", mobilenet_v3::large),
    entry("mobilenetv4_conv_small", "mobilenetv4_conv_small.e2400_r224_in1k", mobilenet_v4::small),
    entry("mobilenetv4_conv_medium", "mobilenetv4_conv_medium.e500_r224_in1k", mobilenet_v4::medium),
    entry("efficientnet_b0", "efficientnet_b0.imagenet1k_v1", efficientnet::b0),
    entry("efficientnet_b1", "efficientnet_b1.imagenet1k_v2", efficientnet::b1),
    entry("efficientnet_b2", "efficientnet_b2.imagenet1k_v1", efficientnet::b2),
    entry("efficientnet_lite0", "efficientnet_lite0.ra_in1k", efficientnet_lite::lite0),
    entry("efficientnet_lite1", "tf_efficientnet_lite1.in1k", efficientnet_lite::lite1),
    entry("efficientnet_lite2", "tf_efficientnet_lite2.in1k", efficientnet_lite::lite2),
    entry("resnet18", "resnet18.imagenet1k_v1", resnet::resnet18),
    entry("resnet34", "resnet34.imagenet1k_v1", resnet::resnet34),
    entry("resnet50", "resnet50.imagenet1k_v1", resnet::resnet50),
    entry("resnet101", "resnet101.imagenet1k_v1", resnet::resnet101),
    entry("resnet18d", "resnet18d.ra2_in1k", resnet::resnet18d),
    entry("resnet34d", "resnet34d.ra2_in1k", resnet::resnet34d),
    entry("resnet50d", "resnet50d.ra2_in1k", resnet::resnet50d),
    entry("resnet101d", "resnet101d.ra2_in1k", resnet::resnet101d),
    entry("cspnext_tiny", "cspnext_tiny.imagenet_600e", cspnext::tiny),
    entry("cspnext_s", "cspnext_s.imagenet_600e", cspnext::small),
    entry("convnext_atto", "convnext_atto.d2_in1k", convnext::convnext_atto),
    entry("convnext_femto", "convnext_femto.d1_in1k", convnext::convnext_femto),
    entry("convnext_pico", "convnext_pico.d1_in1k", convnext::convnext_pico),
    entry("convnext_nano", "convnext_nano.in12k_ft_in1k", convnext::convnext_nano),
    entry("convnext_tiny", "convnext_tiny.in12k_ft_in1k", convnext::convnext_tiny),
    entry("convnextv2_atto", "convnextv2_atto.fcmae_ft_in1k", convnext::convnextv2_atto),
    entry("convnextv2_femto", "convnextv2_femto.fcmae_ft_in1k", convnext::convnextv2_femto),
    entry("convnextv2_pico", "convnextv2_pico.fcmae_ft_in1k", convnext::convnextv2_pico),
    entry("convnextv2_nano", "convnextv2_nano.fcmae_ft_in22k_in1k", convnext::convnextv2_nano),
    entry("convnextv2_tiny", "convnextv2_tiny.fcmae_ft_in22k_in1k", convnext::convnextv2_tiny),
    entry("vit_tiny_patch16_224", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", vit::vit_tiny_patch16_224),
    entry("vit_small_patch16_224", "vit_small_patch16_224.augreg_in21k_ft_in1k", vit::vit_small_patch16_224),
    entry("deit_tiny_patch16_224", "deit_tiny_patch16_224.fb_in1k", vit::deit_tiny_patch16_224),
    entry("deit_small_patch16_224", "deit_small_patch16_224.fb_in1k", vit::deit_small_patch16_224),
    entry(
        "deit_tiny_distilled_patch16_224", "deit_tiny_distilled_patch16_224.fb_in1k",
        vit::deit_tiny_distilled_patch16_224,
    ),
    entry(
        "deit_small_distilled_patch16_224", "deit_small_distilled_patch16_224.fb_in1k",
        vit::deit_small_distilled_patch16_224,
    ),
    entry("vit_small_patch14_dinov2", "dinov2_vits14.pretrain", dinov2::small),
    entry("vit_small_patch14_reg4_dinov2", "dinov2_vits14.reg4_pretrain", dinov2::small_with_registers),
];

/// The networks that are detectors from the start.
const DETECTORS: [Entry; 4] = [
    entry("rtmdet_tiny", "rtmdet_tiny.300e_coco", rtmdet::tiny),
    entry("rtmdet_s", "rtmdet_s.300e_coco", rtmdet::small),
    entry("yolox_nano", "yolox_nano.coco", yolox::nano),
    entry("yolox_tiny", "yolox_tiny.coco", yolox::tiny),
];

/// The names of the architectures that classify images.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|entry| entry.name)
}

/// The names of the architectures that are detectors from the start.
pub fn detector_names() -> impl Iterator<Item = &'static str> {
    DETECTORS.iter().map(|entry| entry.name)
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    MODELS.iter().chain(&DETECTORS)
}

/// The records of an architecture; none if there is no such architecture.
pub fn records(architecture: &str) -> impl Iterator<Item = &'static Record> {
    let records = record::all().iter();
    records.filter(move |record| record.architecture == architecture)
}

/// Every record; those of an architecture are neighbours.
pub fn all_records() -> &'static [Record] {
    record::all()
}

/// The record of that name; `None` if there is none.
pub fn record(name: &str) -> Option<&'static Record> {
    record::all().iter().find(|record| record.name == name)
}

/// The record of an architecture where nothing else is known; `None` if there is no such architecture.
pub fn usual_record(architecture: &str) -> Option<&'static Record> {
    let entry = entries().find(|entry| entry.name == architecture)?;
    record(entry.record)
}

/// An architecture by its name, with the constants of its usual record, or by the name of a record; `None` if
/// there is none of that name.
pub fn by_name(name: &str) -> Option<Architecture> {
    let of_architecture = entries().find(|entry| entry.name == name);
    let record = of_architecture.map_or(name, |entry| entry.record);
    let record = crate::record(record)?;
    with_record(&record.architecture, record)
}

/// The architecture of that name with the constants of any record; `None` if there is none of that name.
pub fn with_record(architecture: &str, record: &'static Record) -> Option<Architecture> {
    let entry = entries().find(|entry| entry.name == architecture)?;
    Some((entry.build)(record))
}

/// The name that [`by_name`] knows an architecture with its record by: its own if the record is the usual one.
pub fn full_name(architecture: &Architecture) -> &str {
    let Architecture { name, record, .. } = architecture;
    let is_usual = |entry: &Entry| entry.name == *name && entry.record == record.name;
    if entries().any(is_usual) {
        name
    } else {
        &record.name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_record_is_found_by_the_name_of_its_architecture() {
        let all: HashSet<_> = record::all().iter().map(|record| &record.name).collect();
        assert_eq!(all.len(), record::all().len());
        for name in names().chain(detector_names()) {
            assert_eq!(full_name(&by_name(name).unwrap()), name);
            assert!(records(name).count() > 0);
        }
        for record in record::all() {
            let built = by_name(&record.name).unwrap();
            assert_eq!(built.record, record);
            assert_eq!(by_name(full_name(&built)).unwrap().record, record);
        }
        assert!(by_name("mobilenet_v2.other").is_none());
    }

    #[test]
    fn every_record_says_where_its_file_is_from() {
        for record in all_records() {
            let PublishedFile {
                name,
                url,
                hub,
                package,
                sha256,
                ..
            } = &record.file;
            let place = url.as_ref().or(hub.as_ref()).or(package.as_ref());
            assert!(place.is_some(), "{}", record.name);
            // Where there is an address, it ends in the file's name, which holds the beginning of its hash; YOLOX
            // states none, and Meta does of DeiT alone.
            if let Some(url) = url {
                let name = name.as_ref().unwrap();
                assert!(url.starts_with("https://") && url.ends_with(name), "{url}");
                match sha256 {
                    Some(sha256) => assert!(name.contains(sha256), "{name}"),
                    None => assert!(
                        record.library == "yolox" || url.contains("//dl.fbaipublicfiles.com/"),
                        "{url}"
                    ),
                }
            }
        }
        let usual = usual_record("mobilenet_v2").unwrap();
        assert_eq!(usual.file.bytes, Some(14_213_448));
        let mut all = names().chain(detector_names());
        assert!(all.all(|name| usual_record(name).is_some()));
    }

    #[test]
    fn detectors_state_their_precision_and_classifiers_their_accuracy() {
        for name in detector_names() {
            let record = usual_record(name).unwrap();
            assert!(record.ap.is_some() && record.top1.is_none(), "{name}");
            assert_eq!(record.license.as_deref(), Some("apache-2.0"), "{name}");
        }
        assert!(records("mobilenet_v2").all(|record| record.ap.is_none()));
        let [tiny, nano] = ["rtmdet_tiny", "yolox_nano"].map(|name| usual_record(name).unwrap());
        assert_eq!(tiny.pretrained.image_size, 640);
        // Batch norms of MMDetection's configurations have PyTorch's constants, YOLOX's have its own.
        assert_eq!((tiny.numerics.epsilon, tiny.numerics.momentum), (1e-5, 0.1));
        assert_eq!(
            (nano.numerics.epsilon, nano.numerics.momentum),
            (1e-3, 0.03)
        );
        // YOLOX takes bytes as they are.
        assert_eq!(nano.pretrained.image_size, 416);
        assert_eq!(nano.pretrained.mean, [0.0; 3]);
        assert!((255.0 * nano.pretrained.deviation[0] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn dinov2_is_published_at_two_sizes_by_two_publishers() {
        for (network, meta) in [
            ("vit_small_patch14_dinov2", "dinov2_vits14_pretrain.pth"),
            (
                "vit_small_patch14_reg4_dinov2",
                "dinov2_vits14_reg4_pretrain.pth",
            ),
        ] {
            let usual = usual_record(network).unwrap();
            assert_eq!(usual.library, "facebookresearch");
            assert_eq!(usual.file.name.as_deref(), Some(meta));
            assert_eq!(usual.pretrained.image_size, 224);
            assert_eq!(usual.pretrained.resized(224), 256);
            assert_eq!(usual.classes, 0);
            let of_timm = record(&format!("{network}.lvd142m")).unwrap();
            assert_eq!(of_timm.pretrained.image_size, 518);
        }
    }

    #[test]
    fn a_network_is_published_in_sizes_that_its_patches_fill() {
        for record in record::all() {
            let patch = by_name(&record.name).unwrap().patch.unwrap_or(1);
            let size = record.pretrained.image_size;
            assert!(size.is_multiple_of(patch), "{}: {size}", record.name);
        }
    }

    #[test]
    fn only_detectors_have_a_neck() {
        for name in names() {
            let network = by_name(name).unwrap();
            assert!(!network.is_detector && network.stage("neck").is_err());
        }
        for name in detector_names() {
            let network = by_name(name).unwrap();
            let tapped = network.with_taps().unwrap();
            assert!(tapped.is_detector && tapped.stage("neck").is_ok());
        }
    }

    #[test]
    fn conventions_name_records_that_there_are() {
        for name in names().chain(detector_names()) {
            for convention in by_name(name).unwrap().conventions {
                let known = |wanted| records(name).any(|record| record.name == wanted);
                assert!(
                    convention.record.is_none_or(known),
                    "{name}: {convention:?}"
                );
            }
        }
    }
}
