//! Blocks that several families of mobile networks share.

use warmstart_nn::layers::{Branch, Layer, Shortcut, SqueezeExcite};
use warmstart_nn::{Graph, Unit, Value};

/// Expand → depthwise → project, with the input added where shapes allow it: Sandler and others,
/// "MobileNetV2" (arXiv 1801.04381), figure 4.
pub(crate) struct InvertedResidual {
    /// The units before squeeze and excitation.
    pub units: Vec<Unit>,
    /// Squeeze and excitation, where the block has it.
    pub gate: Option<SqueezeExcite>,
    /// The projection, without an activation.
    pub project: Unit,
    /// Whether the input is added.
    pub adds_input: bool,
}

/// Units of the longest branch that is computed as one.
const MOST_UNITS: usize = 3;

impl InvertedResidual {
    /// The block as layers: one branch, unless squeeze and excitation or many units part it.
    pub fn graph(mut self) -> Graph {
        let fits = self.units.len() < MOST_UNITS;
        if self.gate.is_none() && fits {
            let shortcut = if self.adds_input {
                Shortcut::Identity
            } else {
                Shortcut::None
            };
            self.units.push(self.project);
            return Graph::chain([Layer::Branch(Branch::new(self.units, shortcut))]);
        }
        let mut graph = Graph::of_inputs(1);
        let input = Value::Input(0);
        let mut value = input;
        // The last units stay with the projection if nothing parts them.
        let with_projection = if self.gate.is_some() {
            Vec::new()
        } else {
            self.units.split_off(self.units.len() + 1 - MOST_UNITS)
        };
        if !self.units.is_empty() {
            let before = Branch::new(self.units, Shortcut::None);
            value = graph.add(Layer::Branch(before), [value]);
        }
        if let Some(gate) = self.gate {
            value = graph.add(Layer::SqueezeExcite(gate), [value]);
        }
        let units = with_projection.into_iter().chain([self.project]).collect();
        let result = if self.adds_input {
            let branch = Branch::new(units, Shortcut::Second);
            graph.add(Layer::Branch(branch), [value, input])
        } else {
            graph.add(Layer::Branch(Branch::new(units, Shortcut::None)), [value])
        };
        graph.with_outputs([result])
    }
}

/// The multiple of 8 nearest to a number of channels, at least 8 and at least 90% of it.
pub(crate) fn rounded(channels: f64) -> usize {
    const STEP: usize = 8;
    let nearest = ((channels + STEP as f64 / 2.0) as usize / STEP * STEP).max(STEP);
    if (nearest as f64) < 0.9 * channels {
        nearest + STEP
    } else {
        nearest
    }
}
