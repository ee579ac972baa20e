//! A classifier as ONNX nodes: every kind of model that training keeps.

use warmstart_nn::Parameters;
use warmstart_tasks::classify::{frozen_top, multi_head};

use super::builder::{Dim, Element, GraphBuilder, Port, Scalar, integer};
use super::network::{global_average, layers};
use super::value::{Map, Scope};
use crate::model::Classifier;

/// Name of the output where probabilities are asked for.
pub const PROBABILITIES: &str = "probabilities";
/// Name of the output where logits are asked for.
pub const LOGITS: &str = "logits";

/// The output.
pub fn port(logits: bool, classes: usize) -> Port {
    let (name, meaning) = if logits {
        (LOGITS, "values whose softmax are the probabilities")
    } else {
        (PROBABILITIES, "probability of each class")
    };
    Port {
        name: name.into(),
        element: Element::Float,
        shape: vec![Dim::Named("batch"), Dim::Fixed(classes)],
        meaning: meaning.into(),
    }
}

/// A mean over the image `[batch, channels]`.
#[derive(Clone)]
struct Mean {
    name: String,
    channels: usize,
}

/// Adds the classifier's nodes from its input to its output.
pub fn nodes(
    builder: &mut GraphBuilder,
    classifier: &Classifier,
    classes: usize,
    input: Map,
    logits: bool,
) {
    let Classifier {
        tapped,
        parameters,
        twin,
        ..
    } = classifier;
    let own = Scope {
        prefix: "",
        parameters,
    };
    let count = tapped.stages().count();
    let taps = tapped.channels().len();
    let shared = twin.as_ref().map_or(count, |twin| twin.shared.min(count));
    let mut means = vec![None; taps];
    let x = run(builder, own, classifier, 0..shared, input, &mut means);
    let mut scopes = vec![own];
    scopes.extend(twin.as_ref().map(|twin| Scope {
        prefix: frozen_top::PREFIX,
        parameters: &twin.parameters,
    }));
    let of_models: Vec<String> = scopes
        .into_iter()
        .map(|scope| {
            let mut means = means.clone();
            let rest = shared..count;
            run(builder, scope, classifier, rest, x.clone(), &mut means);
            let means: Vec<Mean> = means.into_iter().flatten().collect();
            linear(builder, scope, classifier, classes, &means)
        })
        .collect();
    match (of_models.as_slice(), logits) {
        ([alone], true) => {
            builder.named_node("Identity", LOGITS, &[alone], &[LOGITS], Vec::new());
        }
        ([alone], false) => {
            let axis = vec![integer("axis", 1)];
            builder.named_node("Softmax", PROBABILITIES, &[alone], &[PROBABILITIES], axis);
        }
        (both, _) => mean_of_probabilities(builder, both, logits),
    }
}

/// Adds some stages, and the means of what is read in them; returns the last stage's result.
fn run(
    builder: &mut GraphBuilder,
    scope: Scope,
    classifier: &Classifier,
    stages: std::ops::Range<usize>,
    mut x: Map,
    means: &mut [Option<Mean>],
) -> Map {
    let stages = classifier
        .tapped
        .stages()
        .skip(stages.start)
        .take(stages.len());
    for (graph, taps) in stages {
        let mut results = layers(builder, scope, graph, &[x]);
        for (&tap, map) in taps.iter().zip(&results[1..]) {
            means[tap] = Some(mean(builder, map));
        }
        x = results.swap_remove(0);
    }
    x
}

fn mean(builder: &mut GraphBuilder, map: &Map) -> Mean {
    let [height, width, channels] = map.shape;
    let pixel = if [height, width] == [1, 1] {
        map.name.clone()
    } else {
        global_average(builder, map)
    };
    let name = format!("{}/flat", map.name);
    Mean {
        name: builder.node("Flatten", &name, &[&pixel], vec![integer("axis", 1)]),
        channels,
    }
}

/// The linear head `[batch, classes]`: the architecture's own on one mean, or the one on several layers.
fn linear(
    builder: &mut GraphBuilder,
    scope: Scope,
    classifier: &Classifier,
    classes: usize,
    means: &[Mean],
) -> String {
    let parameters = scope.parameters;
    let gemm = |builder: &mut GraphBuilder, name: &str, x: &str, weights: Weights| {
        let Weights {
            inputs,
            weight,
            bias,
        } = weights;
        let name = scope.named(name);
        let [at, bias_at] = ["weight", "bias"].map(|field| format!("{name}.{field}"));
        let weight = builder.weight(&[&at], &[classes, inputs], &weight);
        let bias = builder.floats(&[&bias_at], &[classes], &bias);
        let transposed = vec![integer("transB", 1)];
        builder.node("Gemm", &name, &[x, &weight, &bias], transposed)
    };
    if let [only] = means {
        let layer = classifier.head.layer();
        let values = |field: &str| parameters.values(&format!("{layer}.{field}"));
        let weights = Weights {
            inputs: only.channels,
            weight: values("weight"),
            bias: values("bias"),
        };
        return gemm(builder, layer, &only.name, weights);
    }
    let names: Vec<&str> = means.iter().map(|mean| mean.name.as_str()).collect();
    let all = scope.named("multi_head/means");
    let all = builder.node("Concat", &all, &names, vec![integer("axis", 1)]);
    let weights = Weights::of_layers(parameters, classes, &classifier.layers, means);
    gemm(builder, "multi_head", &all, weights)
}

struct Weights {
    inputs: usize,
    /// `[classes, inputs]`
    weight: Vec<f32>,
    /// `[classes]`
    bias: Vec<f32>,
}

impl Weights {
    /// The head on several layers as one linear layer on their means, one after the other.
    fn of_layers(
        parameters: &Parameters,
        classes: usize,
        layers: &[String],
        means: &[Mean],
    ) -> Self {
        let parts: Vec<Vec<f32>> = layers
            .iter()
            .map(|layer| parameters.values(&multi_head::weight_name(layer)))
            .collect();
        let mut weight = Vec::new();
        for class in 0..classes {
            for (part, mean) in parts.iter().zip(means) {
                weight.extend(&part[class * mean.channels..][..mean.channels]);
            }
        }
        Self {
            inputs: means.iter().map(|mean| mean.channels).sum(),
            weight,
            bias: parameters.values(&multi_head::bias_name()),
        }
    }
}

/// The mean of the probabilities of two models; as logits, its logarithm.
fn mean_of_probabilities(builder: &mut GraphBuilder, logits: &[String], as_logits: bool) {
    let shares: Vec<String> = logits
        .iter()
        .map(|logits| {
            let name = format!("{logits}/softmax");
            builder.node("Softmax", &name, &[logits], vec![integer("axis", 1)])
        })
        .collect();
    let shares: Vec<&str> = shares.iter().map(String::as_str).collect();
    let sum = builder.node("Add", "mean/sum", &shares, Vec::new());
    let half = builder.scalar("half", Scalar::Float(0.5));
    if !as_logits {
        let inputs = [&*sum, &half];
        builder.named_node("Mul", PROBABILITIES, &inputs, &[PROBABILITIES], Vec::new());
        return;
    }
    let mean = builder.node("Mul", "mean", &[&sum, &half], Vec::new());
    // The logarithm of zero would be infinite.
    let least = builder.scalar("least", Scalar::Float(f32::MIN_POSITIVE));
    let positive = builder.node("Max", "mean/positive", &[&mean, &least], Vec::new());
    builder.named_node("Log", LOGITS, &[&positive], &[LOGITS], Vec::new());
}
