//! A network forward and back, cut between its units: each is a graph of its own, so that the gradient by every result
//! can be read, and not only that by the parameters.

use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::layers::{Layer, Shortcut};
use warmstart_nn::{Forward, Graph, Node, Parameters, Value};
use warmstart_tasks::classify::Head;
use warmstart_tasks::classify::loss::cross_entropy;

use super::passes::{Pass, Passes, values};

/// A layer in the forward pass, cut off from those before it.
struct Ran {
    /// Its name, if it is reported.
    name: Option<String>,
    /// See [`Pass::on_main_path`].
    on_main_path: bool,
    /// Its inputs, each with the index of the value that it is.
    inputs: Vec<(usize, Tensor<4>)>,
    output: Tensor<4>,
}

/// The layers of a forward pass so far. The value of index 0 is the images, that of `index + 1` the result of the layer
/// of that index.
struct Run<'a> {
    parameters: &'a Parameters,
    values: Vec<Tensor<4>>,
    layers: Vec<Ran>,
}

/// Sends images through a network and its head, forward, and the gradient of the loss back.
pub(super) fn pass(
    architecture: &Architecture,
    head: &Head,
    parameters: &Parameters,
    images: Tensor<4>,
    labels: &[usize],
) -> Passes {
    let untracked = parameters.tracked(|_| false);
    let mut run = Run {
        parameters: &untracked,
        values: vec![images],
        layers: Vec::new(),
    };
    for stage in &architecture.stages {
        // Every unit is a layer of its own.
        let graph = stage.graph().cut(|_| true);
        let input = run.values.len() - 1;
        let main_path = main_path(&graph);
        let mut results = vec![input; graph.nodes().len()];
        for &index in graph.order() {
            let node = &graph.nodes()[index];
            let of_node = node.inputs.iter().map(|&value| match value {
                Value::Input(_) => input,
                Value::Node(index) => results[index],
            });
            results[index] = run.layer(node, of_node.collect(), main_path[index]);
        }
        debug_assert_eq!(
            graph.order().last().map(|&last| Value::Node(last)),
            graph.outputs().first().copied(),
            "the result of a stage is that of its last layer"
        );
    }
    let Run {
        values: results,
        layers,
        ..
    } = run;
    let x = results
        .into_iter()
        .next_back()
        .expect("the images are a value");
    let features = x.autodiff().require_grad();
    let logits = head.logits(features.clone(), &untracked, None);
    let outputs = logits.clone().inner().autodiff().require_grad();
    let gradients = cross_entropy(outputs.clone(), labels, 0.0).backward();
    let by_logits = outputs.grad(&gradients).expect("the logits are tracked");
    let gradients = (logits * by_logits.clone().autodiff()).sum().backward();
    Passes {
        layers: backward(
            layers,
            features.grad(&gradients).expect("the features are tracked"),
        ),
        head: Some(Pass {
            name: architecture.classifier.to_owned(),
            output: values(outputs.inner()),
            gradient: values(by_logits),
            on_main_path: false,
        }),
    }
}

impl Run<'_> {
    /// Runs a layer on the values of these indices, and returns the index of its result.
    fn layer(&mut self, node: &Node, inputs: Vec<usize>, on_main_path: bool) -> usize {
        let mut statistics = Vec::new();
        let mut forward = Forward::Training {
            parameters: self.parameters,
            frozen_statistics: false,
            statistics: &mut statistics,
            stochastic_depth: None,
        };
        let inputs = inputs.into_iter().map(|index| {
            let value = self.values[index].clone();
            (index, value.autodiff().require_grad())
        });
        let inputs: Vec<_> = inputs.collect();
        let tensors = inputs.iter().map(|(_, tensor)| tensor.clone()).collect();
        let output = node.layer.kind().forward(tensors, &mut forward);
        self.values.push(output.clone().inner());
        self.layers.push(Ran {
            name: name(&node.layer),
            on_main_path,
            inputs,
            output,
        });
        self.values.len() - 1
    }
}

/// Whether each node of a stage's graph lies on the main path: its result goes out of the stage, or into another node on
/// that path, and there neither through a layer scale nor into a row of tokens.
fn main_path(graph: &Graph) -> Vec<bool> {
    let nodes = graph.nodes();
    let mut on_it = vec![false; nodes.len()];
    for output in graph.outputs() {
        if let Value::Node(index) = output {
            on_it[*index] = true;
        }
    }
    for &index in graph.order().iter().rev() {
        let node = &nodes[index];
        let (first, others) = match &node.layer {
            Layer::Branch(branch) => {
                let is_scaled = branch.units.iter().any(|unit| unit.layer_scale.is_some());
                (!is_scaled || branch.shortcut == Shortcut::Identity, true)
            }
            Layer::Tokens(_) => (false, false),
            Layer::Linear(_)
            | Layer::MaxPool(_)
            | Layer::AveragePool(_)
            | Layer::GlobalAverage(_)
            | Layer::SqueezeExcite(_)
            | Layer::ChannelAttention(_)
            | Layer::Upsample(_)
            | Layer::Concatenate(_)
            | Layer::Add(_)
            | Layer::SpaceToDepth(_)
            | Layer::ReverseChannels(_)
            | Layer::LayerNorm(_)
            | Layer::Attention(_)
            | Layer::ResponseNorm(_)
            | Layer::TokenPool(_) => (true, true),
        };
        for (place, input) in node.inputs.iter().enumerate() {
            if let Value::Node(input) = input {
                on_it[*input] |= on_it[index] && if place == 0 { first } else { others };
            }
        }
    }
    on_it
}

/// The name of a layer that is reported: one with weights whose results are a signal, not a gate.
fn name(layer: &Layer) -> Option<String> {
    match layer {
        Layer::Branch(branch) => branch.units.first().map(|unit| unit.conv.clone()),
        Layer::Linear(linear) => Some(linear.name.clone()),
        Layer::MaxPool(_)
        | Layer::AveragePool(_)
        | Layer::GlobalAverage(_)
        | Layer::SqueezeExcite(_)
        | Layer::ChannelAttention(_)
        | Layer::Upsample(_)
        | Layer::Concatenate(_)
        | Layer::Add(_)
        | Layer::SpaceToDepth(_)
        | Layer::ReverseChannels(_)
        | Layer::LayerNorm(_)
        | Layer::Attention(_)
        | Layer::ResponseNorm(_)
        | Layer::Tokens(_)
        | Layer::TokenPool(_) => None,
    }
}

/// Sends the gradient of the last layer's result back, layer by layer.
fn backward(layers: Vec<Ran>, gradient: Tensor<4>) -> Vec<Pass> {
    let mut by_value: Vec<Option<Tensor<4>>> = vec![None; layers.len()];
    by_value.push(Some(gradient));
    let mut passes = Vec::new();
    for (index, layer) in layers.into_iter().enumerate().rev() {
        let by_output = by_value[index + 1].take();
        let by_output = by_output.expect("a later layer uses each result");
        let root = (layer.output.clone() * by_output.clone().autodiff()).sum();
        let gradients = root.backward();
        for (value, input) in layer.inputs {
            let by_input = input.grad(&gradients).expect("the input is tracked");
            by_value[value] = Some(match by_value[value].take() {
                None => by_input,
                Some(others) => by_input + others,
            });
        }
        if let Some(name) = layer.name {
            passes.push(Pass {
                name,
                output: values(layer.output.inner()),
                gradient: values(by_output),
                on_main_path: layer.on_main_path,
            });
        }
    }
    passes.reverse();
    passes
}
