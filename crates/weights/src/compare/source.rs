//! The tensors of a file that a tensor of a model is read from.

use super::fit::{Fit, has_same_values};
use super::naming::Match;
use super::target::Expected;
use crate::read::WeightFile;

/// What a file has for a tensor of a model, by its keys.
pub(crate) enum Source<'a> {
    Nothing,
    /// The tensor itself.
    Whole(&'a str),
    /// Its parts, in their order, of which at least one is there.
    Parts(Vec<Option<&'a str>>),
}

impl<'a> Source<'a> {
    pub(crate) fn of(expected: &Expected, matched: &Match<'a>) -> Self {
        let key = |name: &String| matched.file_keys.get(name).copied();
        if let Some(key) = key(&expected.name) {
            return Self::Whole(key);
        }
        let parts: Vec<Option<&str>> = expected.parts.iter().map(key).collect();
        if parts.iter().all(Option::is_none) {
            Self::Nothing
        } else {
            Self::Parts(parts)
        }
    }

    /// The keys that are there.
    pub(crate) fn keys(&self) -> Vec<&'a str> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Whole(key) => vec![*key],
            Self::Parts(parts) => parts.iter().copied().flatten().collect(),
        }
    }

    /// Whether all of it is there and fits; `unreadable` says so of a tensor that cannot be read.
    pub(crate) fn fits(
        &self,
        expected: &Expected,
        is_first_layer: bool,
        file: &WeightFile,
        unreadable: bool,
    ) -> bool {
        match self {
            Self::Nothing => false,
            Self::Whole(key) => file.tensors.get(*key).map_or(unreadable, |tensor| {
                Fit::of(expected, tensor, is_first_layer) != Fit::No
            }),
            Self::Parts(parts) => {
                let shape = expected.part_shape();
                let fits = |key: &str| {
                    let tensor = file.tensors.get(key);
                    tensor.map_or(unreadable, |tensor| has_same_values(&shape, &tensor.shape))
                };
                parts.iter().all(|part| part.is_some_and(fits))
            }
        }
    }
}
