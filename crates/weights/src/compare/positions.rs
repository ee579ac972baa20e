//! Positions of a file that become those of a model: with one more, of a token, which the model has in the token; or of
//! another grid.

use serde::Serialize;
use warmstart_language::message;

use super::target::{Expected, Grid};
use crate::text::shape;

/// How the positions of a file become those of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conversion {
    /// Whether the first position in the file is that of a token, which has none in the model.
    pub has_token: bool,
    /// Edges of the grids in the file and in the model, if they differ.
    pub resized: Option<[usize; 2]>,
}

impl Conversion {
    /// The one for a tensor of that shape in the file; `None` if its positions cannot become the model's.
    pub(crate) fn of(expected: &Expected, found: &[usize]) -> Option<Self> {
        let (&[1, own, channels], &[1, all, same_channels]) = (expected.shape.as_slice(), found)
        else {
            return None;
        };
        if channels != same_channels {
            return None;
        }
        let conversion = |has_token: bool| {
            let positions = all.checked_sub(usize::from(has_token))?;
            let resized = if positions == own {
                None
            } else {
                let grid = expected.grid?;
                Some([grid.edge(positions)?, grid.edge(own)?])
            };
            Some(Self { has_token, resized })
        };
        // Their number tells which: no square is one more than another.
        let with_token = expected.position_of.is_some();
        conversion(false).or_else(|| with_token.then(|| conversion(true)).flatten())
    }

    /// The model's positions, from the file's.
    pub(super) fn converted(self, expected: &Expected, values: &[f32]) -> Vec<f32> {
        let channels: usize = expected.shape.iter().skip(2).product();
        let tokens = usize::from(self.has_token);
        let own = values.get(tokens * channels..).unwrap_or_default();
        let (Some([from, to]), Some(grid)) = (self.resized, expected.grid) else {
            return own.to_vec();
        };
        let (prefix, patches) = own.split_at(grid.prefix * channels);
        let resized = (grid.resize)(patches, [from; 2], [to; 2]);
        [prefix, resized.as_slice()].concat()
    }
}

impl Grid {
    /// Edge of the grid of that many positions; `None` if they are no square behind the prefix.
    fn edge(self, positions: usize) -> Option<usize> {
        let patches = positions.checked_sub(self.prefix)?;
        let edge = patches.isqrt();
        (edge > 0 && edge * edge == patches).then_some(edge)
    }
}

/// Positions of a file whose grid is not the model's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResizedPositions {
    /// Native name of the positions.
    pub name: String,
    /// Their key in the file.
    pub file_name: String,
    /// Their shape in the model.
    pub expected: Vec<usize>,
    /// Their shape in the file.
    pub found: Vec<usize>,
    /// Edge of the square grid in the file.
    pub from: usize,
    /// Edge of the square grid in the model.
    pub to: usize,
}

impl ResizedPositions {
    /// Positions of that key and shape in the file, if they are resized.
    pub(crate) fn of(expected: &Expected, key: &str, found: &[usize]) -> Option<Self> {
        let [from, to] = Conversion::of(expected, found)?.resized?;
        Some(Self {
            name: expected.name.clone(),
            file_name: key.to_owned(),
            expected: expected.shape.clone(),
            found: found.to_vec(),
            from,
            to,
        })
    }

    /// What is done with them, in a line.
    pub fn line(&self) -> String {
        let Self { name, from, to, .. } = self;
        let [found, expected] = [&self.found, &self.expected].map(|extents| shape(extents));
        message!("{name} {found} → {expected}: resized from {from} × {from} to {to} × {to}")
    }
}

/// Positions of a file that begin with a token's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenPosition {
    /// Native name of the positions.
    pub name: String,
    /// Their key in the file.
    pub file_name: String,
    /// Their shape in the model.
    pub expected: Vec<usize>,
    /// Their shape in the file.
    pub found: Vec<usize>,
    /// Native name of the token.
    pub token: String,
    /// Whether the position was added to the token: the token loads as well.
    pub is_added: bool,
}
