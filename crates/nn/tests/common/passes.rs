//! Passes through a layer in every mode.

use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::layers::{Layer, fold};
use warmstart_nn::{Forward, Parameters};

use super::common::{assert_close, host, tensor, values};

/// The parameters of a layer with repeatable values.
pub fn parameters_of(layer: &Layer) -> Parameters {
    let device = warmstart_nn::device();
    let mut parameters = Parameters::new();
    for (index, info) in layer.kind().parameters().iter().enumerate() {
        let of_info = values(info.shape.iter().product(), 10 + index as u64);
        parameters.insert_values(&info.name, &info.shape, of_info, &device);
    }
    parameters
}

fn forward(layer: &Layer, inputs: &[Tensor<4>], forward: &mut Forward) -> Tensor<4> {
    let output = layer.kind().forward(inputs.to_vec(), forward);
    let shapes = inputs.iter().map(|input| {
        let [_, height, width, channels] = input.dims();
        [height, width, channels]
    });
    let stated = layer.kind().output_shape(&shapes.collect::<Vec<_>>());
    assert_eq!(output.dims()[1..], stated);
    output
}

fn infer(layer: &Layer, parameters: &Parameters, inputs: &[Tensor<4>]) -> Vec<f32> {
    let folded = fold(parameters, [layer], &warmstart_nn::device());
    host(forward(layer, inputs, &mut Forward::Inference(&folded)))
}

fn in_training(layer: &Layer, tracked: &Parameters, inputs: &[Tensor<4>]) -> Tensor<4> {
    let mut statistics = Vec::new();
    let mut training = Forward::Training {
        parameters: tracked,
        frozen_statistics: false,
        statistics: &mut statistics,
        stochastic_depth: None,
    };
    forward(layer, inputs, &mut training)
}

/// A pass forward and back.
pub struct Trained {
    /// `[batch, height, width, channels]`
    pub output: Vec<f32>,
    /// The gradient of the output: every value counts differently.
    pub weights: Vec<f32>,
    /// The gradients of the inputs.
    pub inputs: Vec<Vec<f32>>,
    /// The gradients of the parameters.
    pub parameters: Parameters,
}

fn train(layer: &Layer, parameters: &Parameters, inputs: &[Tensor<4>]) -> Trained {
    let tracked = parameters.tracked(|_| true);
    let inputs = inputs
        .iter()
        .map(|input| input.clone().autodiff().require_grad());
    let inputs: Vec<Tensor<4>> = inputs.collect();
    let output = in_training(layer, &tracked, &inputs);
    let weights = tensor(output.dims(), 99);
    let mut gradients = (output.clone() * weights.clone().autodiff())
        .sum()
        .backward();
    let by_inputs = inputs.iter().map(|input| input.grad(&gradients).unwrap());
    let by_inputs = by_inputs.map(host).collect();
    Trained {
        output: host(output),
        weights: host(weights),
        inputs: by_inputs,
        parameters: tracked.take_gradients(&mut gradients),
    }
}

/// Fails unless inference, training, and training with all parameters frozen give the same to rounding, and returns the
/// pass.
#[track_caller]
pub fn all_ways(layer: &Layer, parameters: &Parameters, inputs: &[Tensor<4>]) -> Trained {
    let trained = train(layer, parameters, inputs);
    assert_close(&infer(layer, parameters, inputs), &trained.output, 1e-5);
    let frozen = parameters.tracked(|_| false);
    let autodiff = inputs.iter().map(|input| input.clone().autodiff());
    let frozen = in_training(layer, &frozen, &autodiff.collect::<Vec<_>>());
    assert_eq!(host(frozen), trained.output);
    trained
}
