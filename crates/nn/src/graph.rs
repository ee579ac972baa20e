//! Layers and the paths between them.

use burn::tensor::Tensor;

use crate::forward::Forward;
use crate::layers::{Branch, Layer, Shape, Shortcut};
use crate::parameter_info::ParameterInfo;

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
        self.order.push(self.nodes.len());
        self.nodes.push(Node {
            layer,
            inputs: inputs.into(),
        });
        Value::Node(self.nodes.len() - 1)
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
        for node in &mut self.nodes {
            match &mut node.layer {
                Layer::Branch(branch) if branch.shortcut != Shortcut::None => {
                    branch.left_out = share
                }
                Layer::Branch(_)
                | Layer::MaxPool(_)
                | Layer::AveragePool(_)
                | Layer::GlobalAverage(_)
                | Layer::SqueezeExcite(_)
                | Layer::Linear(_)
                | Layer::Upsample(_)
                | Layer::Concatenate(_) => {}
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
        let mut values = Values::new(self, inputs);
        for &index in &self.order {
            let node = &self.nodes[index];
            let of_node = node.inputs.iter().map(|&value| values.take(value));
            let of_node = of_node.collect();
            let result = node.layer.kind().forward(of_node, forward);
            values.nodes[index].0 = Some(result);
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
            let parts: Vec<Layer> = match &node.layer {
                Layer::Branch(branch) => {
                    let parts = branch.cut(&before).into_iter();
                    parts.map(Layer::Branch).collect()
                }
                Layer::MaxPool(_)
                | Layer::AveragePool(_)
                | Layer::GlobalAverage(_)
                | Layer::SqueezeExcite(_)
                | Layer::Linear(_)
                | Layer::Upsample(_)
                | Layer::Concatenate(_) => vec![node.layer.clone()],
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
    matches!(layer, Layer::Branch(branch) if branch.shortcut == Shortcut::Second)
}

fn shape_of(value: Value, inputs: &[Shape], nodes: &[Shape]) -> Shape {
    match value {
        Value::Input(index) => inputs[index],
        Value::Node(index) => nodes[index],
    }
}

/// The values of a pass so far, each with the number of its later uses.
struct Values {
    inputs: Vec<(Option<Tensor<4>>, usize)>,
    nodes: Vec<(Option<Tensor<4>>, usize)>,
}

impl Values {
    fn new(graph: &Graph, inputs: Vec<Tensor<4>>) -> Self {
        let inputs = inputs.into_iter().map(|input| (Some(input), 0)).collect();
        let nodes = graph.nodes.iter().map(|_| (None, 0)).collect();
        let mut values = Self { inputs, nodes };
        let of_nodes = graph.nodes.iter().flat_map(|node| &node.inputs);
        for &value in of_nodes.chain(&graph.outputs) {
            values.entry(value).1 += 1;
        }
        values
    }

    fn entry(&mut self, value: Value) -> &mut (Option<Tensor<4>>, usize) {
        match value {
            Value::Input(index) => &mut self.inputs[index],
            Value::Node(index) => &mut self.nodes[index],
        }
    }

    /// A value for one of its uses; the last takes it out of memory.
    fn take(&mut self, value: Value) -> Tensor<4> {
        let (tensor, uses) = self.entry(value);
        *uses -= 1;
        let tensor = if *uses == 0 {
            tensor.take()
        } else {
            tensor.clone()
        };
        tensor.expect("a value is used after its layer has run")
    }
}
