//! A model as a list of expected tensors, and the names that other projects give them.

use serde::Serialize;

/// The part of a model that a tensor belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The feature extractor, for which pretrained weights are loaded.
    Backbone,
    /// The layers after the backbone, which depend on the classes and are often re-initialised.
    Head,
    /// Parts of the same network for other purposes: neither loaded nor missing.
    Beyond,
}

/// The rows of a tensor in a file whose tensor has other ones: a row is what belongs to one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Rows of the file's tensor.
    pub of: usize,
    /// The file's row for each of the model's; `None` for one that the file does not have.
    pub from: Vec<Option<usize>>,
}

/// The positions `[height · width, channels]` of a grid as those of another: a function of the values, of the grid and of
/// the other, each `[height, width]`.
pub type Resize = fn(&[f32], [usize; 2], [usize; 2]) -> Vec<f32>;

/// The positions `[1, prefix + edge · edge, channels]` of a model, whose own edge follows from their number.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// Positions in front of those of the square grid: those of class tokens.
    pub prefix: usize,
    /// What makes the positions of a file's grid those of the model's.
    pub resize: Resize,
}

/// A tensor that a model has.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Its native name.
    pub name: String,
    /// Its extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Where it belongs.
    pub part: Part,
    /// If the file lacks it, it is neither missing nor counted.
    pub optional: bool,
    /// Other names under which a file may hold the same values again.
    pub copies: Vec<String>,
    /// Its rows in the file, if they are for other classes there.
    pub rows: Option<Rows>,
    /// Native names of the tensors of equal numbers of rows that a file may hold instead of it, in the order of its
    /// rows: of a projection to queries, keys and values those of each. Empty if there are none.
    pub parts: Vec<String>,
    /// Native name of the token whose own position a file may have in front of these positions `[1, positions,
    /// channels]`, where the model has none: the position is added to the token.
    pub position_of: Option<String>,
    /// How positions of another square grid become these; `None` if they are no positions.
    pub grid: Option<Grid>,
}

impl Expected {
    /// A tensor that is needed, and that a file has once.
    pub fn new(name: impl Into<String>, shape: &[usize], part: Part) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            part,
            optional: false,
            copies: Vec::new(),
            rows: None,
            parts: Vec::new(),
            position_of: None,
            grid: None,
        }
    }

    /// Whether it holds the positions of a backbone's tokens.
    pub(crate) fn is_positions(&self) -> bool {
        self.part == Part::Backbone && self.grid.is_some()
    }

    /// The extents of each of its parts.
    pub(crate) fn part_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows /= self.parts.len().max(1);
        }
        shape
    }
}

/// Another project's naming convention for the same tensors.
#[derive(Debug, Clone, Copy)]
pub struct Convention {
    /// The project, such as `timm`.
    pub name: &'static str,
    /// Native name of one of the project's names, or that of a part of a tensor; `None` if there is none.
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

/// Function from a convention's name to the native one; `None` if the names are native.
pub(super) type ToNative = Option<fn(&str) -> Option<String>>;

/// The native convention, then the target's other ones.
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
