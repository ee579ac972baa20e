//! Fit of a tensor's values into a model's shape.

use super::channels;
use crate::FileTensor;

/// How a tensor's values fit into a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Same,
    /// The values are the same, with trailing extents of one added or dropped.
    Reshaped,
    /// The values are converted to another number of input channels.
    Spread {
        from: usize,
        to: usize,
    },
    No,
}

impl Fit {
    pub(crate) fn of(expected: &[usize], tensor: &FileTensor, is_first_layer: bool) -> Self {
        if expected == tensor.shape {
            Fit::Same
        } else if without_trailing_ones(expected) == without_trailing_ones(&tensor.shape) {
            Fit::Reshaped
        } else if is_first_layer && channels::is_convertible(&tensor.shape, expected) {
            Fit::Spread {
                from: tensor.shape[1],
                to: expected[1],
            }
        } else {
            Fit::No
        }
    }
}

/// A shape without the extents of one at its end.
pub(super) fn without_trailing_ones(mut shape: &[usize]) -> &[usize] {
    while let [rest @ .., 1] = shape {
        shape = rest;
    }
    shape
}
