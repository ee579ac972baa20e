//! Layers and the paths between them.

mod values;

use burn::tensor::Tensor;

use crate::forward::Forward;
use crate::layers::{Branch, Layer, Shape, Shortcut};
use crate::parameter_info::ParameterInfo;
use values::Values;

/// A value in a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// The graph's input of that index.
    Input(usize),
    /// The result of the node of that index.
    Node(usize),
}

/// A layer, and where its inputs come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The layer.
    pub layer: Layer,
    /// Its inputs, in the order in which the layer takes them.
    pub inputs: Vec<Value>,
}

/// The place of a layer in the order of a [`Graph`]'s parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a layer runs only where it is connected"]
pub struct Place(usize);

/// Layers and the paths between them: a network, or a part of one, as data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    inputs: usize,
    /// In the order of their parameters.
    nodes: Vec<Node>,
    outputs: Vec<Value>,
    /// Indices of the nodes, each after those that its inputs come from.
    order: Vec<usize>,
}

impl Graph {
    /// A graph without nodes, to which [`add`](Self::add) adds them.
    pub fn of_inputs(inputs: usize) -> Self {
        Self {
            inputs,
            ..Self::default()
        }
    }

    /// Layers one after the other.
    pub fn chain(layers: impl IntoIterator<Item = Layer>) -> Self {
        let mut graph = Self::of_inputs(1);
        let mut last = Value::Input(0);
        for layer in layers {
            last = graph.add(layer, [last]);
        }
        graph.with_outputs([last])
    }

    /// Adds a layer on earlier values, and returns its result.
    pub fn add(&mut self, layer: Layer, inputs: impl Into<Vec<Value>>) -> Value {
        let place = self.place(layer);
        self.connect(place, inputs)
    }

    /// Gives a layer's parameters the next place in their order, for a layer that runs later than those whose
    /// parameters come after its own. It is no part of the paths before it is [connected](Self::connect).
    pub fn place(&mut self, layer: Layer) -> Place {
        self.nodes.push(Node {
            layer,
            inputs: Vec::new(),
        });
        Place(self.nodes.len() - 1)
    }

    /// Puts a layer that has its place, and is not connected yet, on earlier values, and returns its result.
    pub fn connect(&mut self, Place(index): Place, inputs: impl Into<Vec<Value>>) -> Value {
        debug_assert!(!self.order.contains(&index), "a layer runs once");
        self.nodes[index].inputs = inputs.into();
        self.order.push(index);
        Value::Node(index)
    }

    /// The same graph with these results.
    pub fn with_outputs(mut self, outputs: impl Into<Vec<Value>>) -> Self {
        self.outputs = outputs.into();
        self
    }

    /// A residual block: a branch, and the layers that its input takes to be added before its last
    /// activation; none is the input itself. The branch's parameters come first, as in torchvision.
    pub fn residual(units: Vec<crate::Unit>, projection: Vec<Layer>) -> Self {
        if projection.is_empty() {
            return Self::chain([Layer::Branch(Branch::new(units, Shortcut::Identity))]);
        }
        let last = projection.len();
        let branch = Node {
            layer: Layer::Branch(Branch::new(units, Shortcut::Second)),
            inputs: vec![Value::Input(0), Value::Node(last)],
        };
        let mut before = Value::Input(0);
        let mut nodes = vec![branch];
        for layer in projection {
            nodes.push(Node {
                layer,
                inputs: vec![before],
            });
            before = Value::Node(nodes.len() - 1);
        }
        Self {
            inputs: 1,
            nodes,
            outputs: vec![Value::Node(0)],
            order: (1..=last).chain([0]).collect(),
        }
    }

    /// The same graph, in which training leaves out each branch with a shortcut with that share of the probability
    /// of the network's last branch; see [`StochasticDepth`](crate::StochasticDepth).
    pub fn with_left_out(mut self, share: f64) -> Self {
        let layers = self.nodes.iter_mut().map(|node| &mut node.layer);
        for branch in layers.filter_map(Layer::branch_mut) {
            if branch.shortcut != Shortcut::None {
                branch.left_out = share;
            }
        }
        self
    }

    /// Number of its inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Its layers with their inputs, in the order of their parameters.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Its results.
    pub fn outputs(&self) -> &[Value] {
        &self.outputs
    }

    /// Indices of its nodes, each after those that its inputs come from.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Its layers, in the order of their parameters.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.nodes.iter().map(|node| &node.layer)
    }

    /// Its parameters, in the order of PyTorch's `state_dict`; one that several layers share is there once.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        let mut seen = std::collections::HashSet::new();
        let all = self.layers().flat_map(|layer| layer.kind().parameters());
        all.filter(|info| seen.insert(info.name.clone())).collect()
    }

    /// The shape of every node's result for inputs of these shapes.
    pub fn shapes(&self, inputs: &[Shape]) -> Vec<Shape> {
        let mut shapes = vec![[0; 3]; self.nodes.len()];
        for &index in &self.order {
            let node = &self.nodes[index];
            let of_node = self.input_shapes(node, inputs, &shapes);
            shapes[index] = node.layer.kind().output_shape(&of_node);
        }
        shapes
    }

    /// Multiplications of one image for inputs of these shapes.
    pub fn multiply_adds(&self, inputs: &[Shape]) -> usize {
        let shapes = self.shapes(inputs);
        let nodes = self.nodes.iter();
        nodes
            .map(|node| {
                let of_node = self.input_shapes(node, inputs, &shapes);
                node.layer.kind().multiply_adds(&of_node)
            })
            .sum()
    }

    /// The shapes of its results for inputs of these shapes.
    pub fn output_shapes(&self, inputs: &[Shape]) -> Vec<Shape> {
        let shapes = self.shapes(inputs);
        let outputs = self.outputs.iter();
        outputs
            .map(|&value| shape_of(value, inputs, &shapes))
            .collect()
    }

    fn input_shapes(&self, node: &Node, inputs: &[Shape], shapes: &[Shape]) -> Vec<Shape> {
        let values = node.inputs.iter();
        values
            .map(|&value| shape_of(value, inputs, shapes))
            .collect()
    }

    /// Sends a batch through the layers. Inputs and results are `[batch, height, width, channels]`; a value is
    /// kept in memory until its last use.
    pub fn forward(&self, inputs: Vec<Tensor<4>>, forward: &mut Forward) -> Vec<Tensor<4>> {
        assert_eq!(inputs.len(), self.inputs, "the graph has that many inputs");
        let is_training = matches!(forward, Forward::Training { .. });
        let mut values = Values::new(self, is_training);
        for (index, input) in inputs.into_iter().enumerate() {
            values.put(Value::Input(index), input);
        }
        for &index in &self.order {
            let node = &self.nodes[index];
            let of_node = node.inputs.iter().map(|&value| values.take(value));
            let of_node = of_node.collect();
            let result = node.layer.kind().forward(of_node, forward);
            values.put(Value::Node(index), result);
        }
        self.outputs
            .iter()
            .map(|&value| values.take(value))
            .collect()
    }

    /// The same graph, in which branches are cut before the units whose convolutions `before` picks, so that
    /// the inputs of these units are results of nodes.
    pub fn cut(&self, before: impl Fn(&str) -> bool) -> Self {
        let mut cut = Self::of_inputs(self.inputs);
        let mut results: Vec<Option<Value>> = vec![None; self.nodes.len()];
        for &index in &self.order {
            let node = &self.nodes[index];
            let inputs = node.inputs.iter().map(|&value| match value {
                Value::Input(_) => value,
                Value::Node(index) => results[index].expect("an earlier node has a result"),
            });
            let inputs: Vec<_> = inputs.collect();
            let parts: Vec<Layer> = match node.layer.branch() {
                Some(branch) => {
                    let parts = branch.cut(&before).into_iter();
                    parts.map(Layer::Branch).collect()
                }
                None => vec![node.layer.clone()],
            };
            let last = parts.len() - 1;
            let mut result = inputs[0];
            for (place, part) in parts.into_iter().enumerate() {
                let of_part = match (place, last) {
                    (_, 0) => inputs.clone(),
                    (place, last) if place == last && has_second_input(&part) => {
                        vec![result, inputs.get(1).copied().unwrap_or(inputs[0])]
                    }
                    _ => vec![result],
                };
                result = cut.add(part, of_part);
            }
            results[index] = Some(result);
        }
        let outputs = self.outputs.iter().map(|&value| match value {
            Value::Input(_) => value,
            Value::Node(index) => results[index].expect("every node has a result"),
        });
        cut.with_outputs(outputs.collect::<Vec<_>>())
    }
}

fn has_second_input(layer: &Layer) -> bool {
    let branch = layer.branch();
    branch.is_some_and(|branch| branch.shortcut == Shortcut::Second)
}

fn shape_of(value: Value, inputs: &[Shape], nodes: &[Shape]) -> Shape {
    match value {
        Value::Input(index) => inputs[index],
        Value::Node(index) => nodes[index],
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::layers::{Add, MaxPool, fold};
    use crate::ops::{self, PoolSpec};
    use crate::{Activation, Parameters, Unit};

    /// A 1×1 convolution of one channel.
    fn unit(name: &str) -> Layer {
        Unit::with_bias(name, [1, 1], 1, 1, 1, Activation::Identity).into()
    }

    fn pool() -> Layer {
        Layer::MaxPool(MaxPool(PoolSpec {
            size: [2; 2],
            stride: [2; 2],
            padding: [0; 2],
            ceil: false,
        }))
    }

    #[test]
    fn parameters_have_the_order_of_their_places_and_layers_run_in_that_of_their_paths() {
        let mut graph = Graph::of_inputs(1);
        let last = graph.place(unit("first"));
        let between = graph.add(unit("second"), [Value::Input(0)]);
        let last = graph.connect(last, [between]);
        let sum = graph.add(Layer::Add(Add), [last, between]);
        let graph = graph.with_outputs([sum]);
        let names = graph.parameters().into_iter().map(|info| info.name);
        let names: Vec<_> = names.filter(|name| name.ends_with("weight")).collect();
        assert_eq!(names, ["first.weight", "second.weight"]);
        assert_eq!(graph.order(), [1, 0, 2]);

        let device = crate::device();
        let mut parameters = Parameters::new();
        for (name, factor) in [("first", 3.0), ("second", 2.0)] {
            let weight = format!("{name}.weight");
            parameters.insert_values(&weight, &[1; 4], vec![factor], &device);
            parameters.insert_values(&format!("{name}.bias"), &[1], vec![1.0], &device);
        }
        let folded = fold(&parameters, graph.layers(), &device);
        let x = Tensor::from_data(TensorData::new(vec![5f32], [1; 4]), &device);
        let y = graph.forward(vec![x], &mut Forward::Inference(&folded));
        let y: Vec<f32> = y[0].clone().into_data().try_into_vec().unwrap();
        let between = 2.0 * 5.0 + 1.0;
        assert_eq!(y, [3.0 * between + 1.0 + between]);
    }

    #[test]
    fn the_gradients_of_all_uses_of_a_value_add_up() {
        // A value with three uses, of which the result of one is no part of what is learned from.
        let mut graph = Graph::of_inputs(1);
        let first = graph.add(unit("first"), [Value::Input(0)]);
        let second = graph.add(unit("second"), [first]);
        let sum = graph.add(Layer::Add(Add), [second, first]);
        let graph = graph.with_outputs([sum, first, Value::Input(0)]);
        let device = crate::device();
        let mut parameters = Parameters::new();
        for (name, factor) in [("first", 3.0), ("second", 2.0)] {
            let weight = format!("{name}.weight");
            parameters.insert_values(&weight, &[1; 4], vec![factor], &device);
            parameters.insert_values(&format!("{name}.bias"), &[1], vec![1.0], &device);
        }
        let tracked = parameters.tracked(|_| true);
        let mut statistics = Vec::new();
        let mut forward = Forward::Training {
            parameters: &tracked,
            frozen_statistics: false,
            statistics: &mut statistics,
            stochastic_depth: None,
        };
        let pixels = TensorData::new(vec![5f32, -1.0], [1, 1, 2, 1]);
        let x = Tensor::<4>::from_data(pixels, &device);
        let x = x.autodiff().require_grad();
        let results = graph.forward(vec![x.clone()], &mut forward);
        let [sum, _, _]: [Tensor<4>; 3] = results.try_into().unwrap();
        let mut gradients = sum.sum().backward();
        // The sum is 2 · (3 · x + 1) + 1 + (3 · x + 1).
        let by_x = ops::values(x.grad(&gradients).unwrap());
        let gradients = tracked.take_gradients(&mut gradients);
        for (found, expected) in [
            (by_x, vec![9.0, 9.0]),
            (gradients.values("first.weight"), vec![3.0 * 4.0]),
            (gradients.values("first.bias"), vec![3.0 * 2.0]),
            (gradients.values("second.weight"), vec![16.0 - 2.0]),
            (gradients.values("second.bias"), vec![2.0]),
        ] {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn a_graph_of_several_inputs_states_the_shapes_of_several_results() {
        let mut graph = Graph::of_inputs(2);
        let small = graph.add(pool(), [Value::Input(0)]);
        let sum = graph.add(Layer::Add(Add), [small, Value::Input(1)]);
        let graph = graph.with_outputs([sum, Value::Input(0)]);
        let shapes = graph.output_shapes(&[[8, 6, 5], [4, 3, 5]]);
        assert_eq!(shapes, [[4, 3, 5], [8, 6, 5]]);
    }
}
