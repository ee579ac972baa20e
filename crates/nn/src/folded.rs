use std::collections::HashMap;

use crate::ops::InferenceUnit;

/// Layers prepared for inference: a convolution and the batch norm behind it are one convolution, and weights
/// are packed once, for all later batches.
#[derive(Default)]
pub struct Folded {
    parts: HashMap<String, InferenceUnit>,
}

impl Folded {
    /// The part of that name: that of a unit or of a linear layer.
    ///
    /// # Panics
    /// If it was not prepared: a trunk uses only its own layers.
    pub(crate) fn part(&self, name: &str) -> InferenceUnit {
        self.parts
            .get(name)
            .unwrap_or_else(|| panic!("{name} was not prepared for inference"))
            .clone()
    }
}

impl FromIterator<(String, InferenceUnit)> for Folded {
    fn from_iter<I: IntoIterator<Item = (String, InferenceUnit)>>(parts: I) -> Self {
        Self {
            parts: parts.into_iter().collect(),
        }
    }
}
