//! A head on several layers of a backbone: a linear layer on what is read of each ([`Tapped`]), and their sum.
//!
//! It lies beside the architecture's own classifier in a model file, under names that no other library knows. So the
//! file without them is an ordinary model of the architecture.

use warmstart_language::message;
use warmstart_models::{Architecture, Tapped};
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::ops::linear;
use warmstart_nn::{Activation, Kind, ParameterInfo, Parameters};
use warmstart_recipe::Error;
use warmstart_weights::WeightFile;

/// Start of the names of its parameters.
pub const PREFIX: &str = "multi_head.";
const WEIGHT: &str = ".weight";

/// Name of the weight `[classes, values]` on a layer, of which so many values are read.
pub fn weight_name(layer: &str) -> String {
    format!("{PREFIX}{layer}{WEIGHT}")
}

/// Name of the bias `[classes]`.
pub fn bias_name() -> String {
    format!("{PREFIX}bias")
}

/// The layer of a weight's name.
fn layer_of(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)?.strip_suffix(WEIGHT)
}

/// The layers that the head among some parameters reads, in the order of their names; none if there is no such head.
pub fn layers(parameters: &Parameters) -> Vec<String> {
    let names = parameters.names().filter_map(layer_of);
    names.map(str::to_owned).collect()
}

/// The parameters of the head in a model file, whose names begin with `before`; none if there is no such head.
///
/// # Errors
/// If a parameter has a shape that does not fit the architecture and the classes, or the architecture does not have a
/// layer.
pub fn parameters_in(
    file: &WeightFile,
    before: &str,
    architecture: &Architecture,
    classes: usize,
) -> Result<Vec<ParameterInfo>, Error> {
    let names = file.tensors.keys();
    let names = names.filter_map(|name| layer_of(name.strip_prefix(before)?));
    let layers: Vec<&str> = names.collect();
    if layers.is_empty() {
        return Ok(Vec::new());
    }
    let tapped = Tapped::new(architecture, &layers).map_err(|error| {
        Error::model(&file.path, message!("its head on several layers: {error}"))
    })?;
    let weight = |(layer, channels): (&&str, usize)| ParameterInfo {
        name: format!("{before}{}", weight_name(layer)),
        shape: vec![classes, channels],
        kind: Kind::LinearWeight,
        activation: Activation::Identity,
    };
    let mut parameters: Vec<ParameterInfo> =
        layers.iter().zip(tapped.channels()).map(weight).collect();
    parameters.push(ParameterInfo {
        name: format!("{before}{}", bias_name()),
        shape: vec![classes],
        kind: Kind::LinearBias,
        activation: Activation::Identity,
    });
    Ok(parameters)
}

/// Logits `[batch, classes]` of what is read of `layers`, in their order, each `[batch, 1, 1, values]`.
pub fn logits(means: &[Tensor<4>], layers: &[String], parameters: &Parameters) -> Tensor<2> {
    let bias: Tensor<1> = parameters.get(&bias_name());
    let no_bias = bias.zeros_like();
    let of_layer = |(place, (mean, layer)): (usize, (&Tensor<4>, &String))| {
        let [batch, _, _, channels] = mean.dims();
        let mean = mean.clone().reshape([batch, channels]);
        let bias = if place == 0 { &bias } else { &no_bias };
        linear(mean, parameters.get(&weight_name(layer)), bias.clone())
    };
    let logits = means.iter().zip(layers).enumerate().map(of_layer);
    logits
        .reduce(|sum, logits| sum + logits)
        .expect("a head reads a layer")
}
