//! The architectures: their layers, the names of their parameters, and the preprocessing that their
//! pretrained weights expect.
//!
//! One file an architecture family; each builds an [`Architecture`], which is plain data. Names and
//! numerics are torchvision's. A [`detector`] works on the features of any of them.

mod architecture;
pub mod detector;
mod mobilenet_v2;
mod resnet;

pub use architecture::{Architecture, Convention, Pretrained, Stage, StageError};

/// An architecture's name and builder.
type Entry = (&'static str, fn() -> Architecture);

const MODELS: [Entry; 4] = [
    ("mobilenet_v2", mobilenet_v2::mobilenet_v2),
    ("resnet18", resnet::resnet18),
    ("resnet34", resnet::resnet34),
    ("resnet50", resnet::resnet50),
];

/// The names that [`by_name`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

/// The architecture of that name, or `None`.
pub fn by_name(name: &str) -> Option<Architecture> {
    let (_, build) = MODELS.iter().find(|(known, _)| *known == name)?;
    Some(build())
}
