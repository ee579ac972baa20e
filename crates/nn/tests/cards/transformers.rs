//! Norms over channels, attention, and the linear layer.

use warmstart_nn::burn::tensor::{Device, Tensor};
use warmstart_nn::ops;

use crate::card::card;
use crate::numbers::Numbers;
use crate::operation::{Operation, vector};

/// Epsilon of norms over channels.
const EPSILON: f32 = 1e-6;

/// Layer norm, global response norm and attention of these maps.
fn check_transformers(card: &Device, shape: [usize; 4], heads: usize, size: usize) {
    let [batch, height, width, channels] = shape;
    let parameter = [1, 1, 1, channels];
    let operations = [
        Operation {
            name: "layer norm",
            shapes: vec![shape, parameter, parameter],
            run: &layer_norm,
        },
        Operation {
            name: "global response norm",
            shapes: vec![shape, parameter, parameter],
            run: &response_norm,
        },
        Operation {
            name: &format!("attention of {heads} heads"),
            shapes: vec![[batch, height, width, 3 * heads * size]],
            run: &|mut x| ops::attention(x.remove(0), heads),
        },
    ];
    for operation in operations {
        operation.check(card);
    }
}

/// Of x, gamma and beta.
pub fn layer_norm(x: Vec<Tensor<4>>) -> Tensor<4> {
    let [gamma, beta] = [1, 2].map(|index: usize| vector(x[index].clone()));
    ops::layer_norm(x[0].clone(), gamma, beta, EPSILON)
}

/// Of x, gamma and beta.
pub fn response_norm(x: Vec<Tensor<4>>) -> Tensor<4> {
    let [gamma, beta] = [1, 2].map(|index: usize| vector(x[index].clone()));
    ops::response_norm(x[0].clone(), gamma, beta, EPSILON)
}

#[test]
fn norms_over_channels_and_attention_are_those_of_the_processor() {
    let Some(card) = card() else { return };
    let mut numbers = Numbers(32);
    for _ in 0..8 {
        // Of very few channels a layer norm cancels nearly all of a gradient, and leaves its rounding.
        let channels = numbers.between(5, 40);
        let shape = numbers.images(channels);
        let (heads, size) = (numbers.between(1, 3), numbers.between(1, 33));
        check_transformers(&card, shape, heads, size);
    }
    check_transformers(&card, [2, 1, 1, 8], 2, 4);
    check_transformers(&card, [2, 1, 50, 192], 3, 64);
}

/// A linear layer on the channels of images of one pixel: x, weight and bias.
fn linear(x: Vec<Tensor<4>>) -> Tensor<4> {
    let [input, weight] = [0, 1].map(|index: usize| -> Tensor<2> {
        let [rows, _, _, columns] = x[index].dims();
        x[index].clone().reshape([rows, columns])
    });
    let output = ops::linear(input, weight, vector(x[2].clone()));
    let [batch, outputs] = output.dims();
    output.reshape([batch, 1, 1, outputs])
}

#[test]
fn a_linear_layer_and_its_gradients_are_those_of_the_processor() {
    let Some(card) = card() else { return };
    for [batch, inputs, outputs] in [[1, 1, 1], [3, 7, 5], [16, 64, 10], [2, 130, 33], [5, 1, 9]] {
        let operation = Operation {
            name: "a linear layer",
            shapes: vec![
                [batch, 1, 1, inputs],
                [outputs, 1, 1, inputs],
                [1, 1, 1, outputs],
            ],
            run: &linear,
        };
        operation.check(&card);
    }
}
