//! A model as a list of expected tensors, and the names that other projects give them.

use serde::Serialize;

/// Which part of a model a tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// What pretrained weights are worth having for.
    Backbone,
    /// The part after it, which depends on the classes and is often made anew.
    Head,
    /// What the same network has where it serves another purpose: neither loaded nor missed.
    Beyond,
}

/// A tensor that a model has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its native name.
    pub name: String,
    /// Its extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Where it belongs.
    pub part: Part,
    /// Loaded if it is there, not missed and not counted if it is not.
    pub optional: bool,
}

/// Another project's names for the same tensors.
#[derive(Debug, Clone, Copy)]
pub struct Convention {
    /// The project, such as `timm`.
    pub name: &'static str,
    /// The native name of one of its names; `None` if it has none.
    pub to_native: fn(&str) -> Option<String>,
}

/// A model, as far as loading is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its name, such as `mobilenet_v2`.
    pub architecture: &'a str,
    /// Its tensors. Running statistics belong here, batch counters do not.
    pub expected: &'a [Expected],
    /// Conventions besides the native one, which is always tried first.
    pub conventions: &'a [Convention],
}

/// The layer that reads the image: the first convolution of the backbone.
pub(crate) fn first_layer(expected: &[Expected]) -> Option<&str> {
    const CONVOLUTION: usize = 4;
    let mut backbone = expected
        .iter()
        .filter(|tensor| tensor.part == Part::Backbone);
    let first = backbone.find(|tensor| tensor.shape.len() == CONVOLUTION)?;
    Some(&first.name)
}

/// The way from a name in the file to a native one.
pub(super) type ToNative = Option<fn(&str) -> Option<String>>;

/// The native names, and the target's other conventions.
pub(super) fn conventions<'a>(
    target: &'a Target,
) -> impl Iterator<Item = (&'static str, ToNative)> + 'a {
    let others = target
        .conventions
        .iter()
        .map(|c| (c.name, Some(c.to_native)));
    std::iter::once(("native", None)).chain(others)
}

pub(super) fn native(name: &str, to_native: ToNative) -> Option<String> {
    match to_native {
        None => Some(name.to_string()),
        Some(to_native) => to_native(name),
    }
}
