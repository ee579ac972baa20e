//! Fit of a tensor's values into a model's shape.

use super::channels;
use super::positions::Conversion;
use super::target::Expected;
use crate::FileTensor;

/// How a tensor's values fit into a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Same,
    /// The values are the same, with extents of one added or dropped at the beginning or the end.
    Reshaped,
    /// The values are those of positions, and become the model's.
    Positions(Conversion),
    /// The values are converted to another number of input channels.
    Spread {
        from: usize,
        to: usize,
    },
    No,
}

impl Fit {
    pub(crate) fn of(expected: &Expected, tensor: &FileTensor, is_first_layer: bool) -> Self {
        let shape = expected.shape.as_slice();
        if shape == tensor.shape {
            Fit::Same
        } else if has_same_values(shape, &tensor.shape) {
            Fit::Reshaped
        } else if let Some(conversion) = Conversion::of(expected, &tensor.shape) {
            Fit::Positions(conversion)
        } else if is_first_layer && channels::is_convertible(&tensor.shape, shape) {
            Fit::Spread {
                from: tensor.shape[1],
                to: shape[1],
            }
        } else {
            Fit::No
        }
    }
}

/// Whether two shapes differ in nothing but extents of one at their ends.
pub(super) fn has_same_values(one: &[usize], other: &[usize]) -> bool {
    let without_ones = |shape| without_leading_ones(without_trailing_ones(shape));
    without_ones(one) == without_ones(other)
}

/// A shape without the extents of one at its end.
pub(super) fn without_trailing_ones(mut shape: &[usize]) -> &[usize] {
    while let [rest @ .., 1] = shape {
        shape = rest;
    }
    shape
}

/// A shape without the extents of one at its beginning.
fn without_leading_ones(mut shape: &[usize]) -> &[usize] {
    while let [1, rest @ ..] = shape {
        shape = rest;
    }
    shape
}
