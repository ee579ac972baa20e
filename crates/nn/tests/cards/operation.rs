//! Operations on maps, with the gradients of all their inputs.

use warmstart_nn::burn::tensor::{Device, FloatDType, Tensor};

use crate::common::{host, leaf_on, tensor_on};
use crate::{NEAR, Results, check};

/// An operation on maps of these shapes.
pub struct Operation<'a> {
    pub name: &'a str,
    pub shapes: Vec<[usize; 4]>,
    pub run: &'a dyn Fn(Vec<Tensor<4>>) -> Tensor<4>,
}

impl Operation<'_> {
    /// Its result and the gradients of its inputs, the first of which is in that format.
    pub fn learn(&self, device: &Device, format: FloatDType) -> Results {
        let leaves = self.shapes.iter().zip(1..);
        let leaves = leaves.map(|(shape, seed)| leaf_on(*shape, seed, device));
        let leaves: Vec<Tensor<4>> = leaves.collect();
        let mut inputs = leaves.clone();
        inputs[0] = inputs[0].clone().cast(format);
        let output = (self.run)(inputs).cast(FloatDType::F32);
        // Weighted, so that every output has a gradient of its own.
        let weights = tensor_on(output.dims(), 99, device).autodiff();
        let gradients = (output.clone() * weights).sum().backward();
        let by_inputs = leaves.iter().map(|leaf| leaf.grad(&gradients).unwrap());
        Results {
            gradients: by_inputs.map(host).collect(),
            outputs: vec![host(output)],
        }
    }

    /// Fails unless a card computes nearly what the processor does.
    #[track_caller]
    pub fn check(&self, card: &Device) {
        let what = format!("{} of {:?}", self.name, self.shapes);
        check(card, NEAR, &what, |device| {
            self.learn(device, FloatDType::F32)
        });
    }
}

/// The values of a map as a vector.
pub fn vector(map: Tensor<4>) -> Tensor<1> {
    let length = map.dims().iter().product::<usize>();
    map.reshape([length])
}
