use std::collections::HashMap;

use burn::tensor::Tensor;

use crate::ops::InferenceUnit;

/// A part of a layer, prepared for inference.
#[derive(Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "most parts are units, and there are few parts"
)]
pub enum Part {
    /// A convolution or linear layer.
    Unit(InferenceUnit),
    /// The values of parameters, in an order that the layer knows.
    Values(Vec<Tensor<1>>),
}

/// Layers prepared for inference: a convolution and the batch norm behind it are one convolution, and weights
/// are packed once, for all later batches.
#[derive(Default)]
pub struct Folded {
    parts: HashMap<String, Part>,
}

impl Folded {
    /// The part of that name: that of a unit or of a linear layer.
    ///
    /// # Panics
    /// If it was not prepared: a trunk uses only its own layers.
    pub(crate) fn part(&self, name: &str) -> InferenceUnit {
        match self.prepared(name) {
            Part::Unit(unit) => unit.clone(),
            Part::Values(_) => panic!("{name} was prepared as values"),
        }
    }

    /// The values of the layer of that name.
    ///
    /// # Panics
    /// As [`part`](Self::part) does.
    pub(crate) fn values(&self, name: &str) -> Vec<Tensor<1>> {
        match self.prepared(name) {
            Part::Values(values) => values.clone(),
            Part::Unit(_) => panic!("{name} was prepared as a unit"),
        }
    }

    fn prepared(&self, name: &str) -> &Part {
        let part = self.parts.get(name);
        part.unwrap_or_else(|| panic!("{name} was not prepared for inference"))
    }
}

impl FromIterator<(String, Part)> for Folded {
    fn from_iter<I: IntoIterator<Item = (String, Part)>>(parts: I) -> Self {
        Self {
            parts: parts.into_iter().collect(),
        }
    }
}
