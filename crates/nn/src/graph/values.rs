//! The values of a pass through a graph.

use burn::tensor::Tensor;

use super::{Graph, Value};
use crate::ops;

/// The values of a pass so far.
pub(super) struct Values {
    inputs: Vec<Uses>,
    nodes: Vec<Uses>,
    is_training: bool,
}

/// The uses of a value.
#[derive(Clone, Default)]
struct Uses {
    count: usize,
    /// A tensor for each later use, once the value is there.
    later: Vec<Tensor<4>>,
}

impl Values {
    pub fn new(graph: &Graph, is_training: bool) -> Self {
        let mut values = Self {
            inputs: vec![Uses::default(); graph.inputs],
            nodes: vec![Uses::default(); graph.nodes.len()],
            is_training,
        };
        let of_nodes = graph.nodes.iter().flat_map(|node| &node.inputs);
        for &value in of_nodes.chain(&graph.outputs) {
            values.uses(value).count += 1;
        }
        values
    }

    fn uses(&mut self, value: Value) -> &mut Uses {
        match value {
            Value::Input(index) => &mut self.inputs[index],
            Value::Node(index) => &mut self.nodes[index],
        }
    }

    /// Keeps a value for all its uses.
    pub fn put(&mut self, value: Value, tensor: Tensor<4>) {
        let is_training = self.is_training;
        let uses = self.uses(value);
        uses.later = match uses.count {
            // A backward pass sums the gradients of several uses.
            count if count > 1 && is_training => ops::fork(tensor, count),
            count => vec![tensor; count],
        };
    }

    /// A value for one of its uses; the last takes it out of memory.
    pub fn take(&mut self, value: Value) -> Tensor<4> {
        let tensor = self.uses(value).later.pop();
        tensor.expect("a value is used after its layer has run")
    }
}
