//! The architectures: their layers, the names of their parameters, and the records of their pretrained
//! weights.
//!
//! One file an architecture family; each builds an [`Architecture`], which is plain data. Names are
//! torchvision's, or timm's where torchvision does not have the network. A [`detector`] works on the features of
//! any of them.

mod architecture;
mod blocks;
pub mod detector;
mod efficientnet;
mod efficientnet_lite;
mod mobilenet_v2;
mod mobilenet_v3;
mod mobilenet_v4;
mod record;
mod resnet;
mod strides;

pub use architecture::{Architecture, Convention, Stage, StageError};
pub use record::{Interpolation, Numerics, Pretrained, Record};

/// An architecture: its name, its records, the recommended one first, and its builder.
struct Entry {
    name: &'static str,
    records: &'static [Record],
    build: fn(&'static Record) -> Architecture,
}

const fn entry(
    name: &'static str,
    records: &'static [Record],
    build: fn(&'static Record) -> Architecture,
) -> Entry {
    Entry {
        name,
        records,
        build,
    }
}

#[rustfmt::skip]
const MODELS: [Entry; 19] = [
    entry("mobilenet_v2", &mobilenet_v2::RECORDS, mobilenet_v2::mobilenet_v2),
    entry("mobilenet_v3_small", &mobilenet_v3::SMALL_RECORDS, mobilenet_v3::small),
    entry("mobilenet_v3_large", &mobilenet_v3::LARGE_RECORDS, mobilenet_v3::large),
    entry("mobilenetv4_conv_small", &mobilenet_v4::SMALL_RECORDS, mobilenet_v4::small),
    entry("mobilenetv4_conv_medium", &mobilenet_v4::MEDIUM_RECORDS, mobilenet_v4::medium),
    entry("efficientnet_b0", &efficientnet::B0_RECORDS, efficientnet::b0),
    entry("efficientnet_b1", &efficientnet::B1_RECORDS, efficientnet::b1),
    entry("efficientnet_b2", &efficientnet::B2_RECORDS, efficientnet::b2),
    entry("efficientnet_lite0", &efficientnet_lite::LITE0_RECORDS, efficientnet_lite::lite0),
    entry("efficientnet_lite1", &efficientnet_lite::LITE1_RECORDS, efficientnet_lite::lite1),
    entry("efficientnet_lite2", &efficientnet_lite::LITE2_RECORDS, efficientnet_lite::lite2),
    entry("resnet18", &resnet::RESNET18_RECORDS, resnet::resnet18),
    entry("resnet34", &resnet::RESNET34_RECORDS, resnet::resnet34),
    entry("resnet50", &resnet::RESNET50_RECORDS, resnet::resnet50),
    entry("resnet101", &resnet::RESNET101_RECORDS, resnet::resnet101),
    entry("resnet18d", &resnet::RESNET18D_RECORDS, resnet::resnet18d),
    entry("resnet34d", &resnet::RESNET34D_RECORDS, resnet::resnet34d),
    entry("resnet50d", &resnet::RESNET50D_RECORDS, resnet::resnet50d),
    entry("resnet101d", &resnet::RESNET101D_RECORDS, resnet::resnet101d),
];

/// The names of the architectures.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|entry| entry.name)
}

/// The records of an architecture, the recommended one first; none if there is no such architecture.
pub fn records(name: &str) -> &'static [Record] {
    let entry = MODELS.iter().find(|entry| entry.name == name);
    entry.map_or(&[], |entry| entry.records)
}

/// The architecture of that name, with the constants of its first record, or, for `architecture.tag`, of the
/// record of that tag; `None` if there is none.
pub fn by_name(name: &str) -> Option<Architecture> {
    let (name, tag) = match name.split_once('.') {
        Some((name, tag)) => (name, Some(tag)),
        None => (name, None),
    };
    let entry = MODELS.iter().find(|entry| entry.name == name)?;
    let mut records = entry.records.iter();
    let record = match tag {
        Some(tag) => records.find(|record| record.tag == tag),
        None => records.next(),
    };
    record.map(entry.build)
}
