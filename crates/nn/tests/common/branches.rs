//! Branches of units with repeatable values, in training and in inference.
#![allow(dead_code, reason = "each test file uses some of them")]

use warmstart_nn::Activation;
use warmstart_nn::burn::tensor::{Device, FloatDType, Tensor};
use warmstart_nn::ops::{self, Added, InferenceUnit, TrainedBranch, TrainingUnit, UnitSpec};

use super::common::{filled_on, host, values};

#[derive(Clone, Debug)]
pub struct Case {
    pub input: [usize; 4],
    pub units: Vec<Unit>,
    pub frozen: bool,
    pub residual: Shortcut,
}

#[derive(Clone, Debug)]
pub struct Unit {
    pub out_channels: usize,
    pub kernel: usize,
    pub spec: UnitSpec,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shortcut {
    None,
    Input,
    Tensor,
}

pub struct Inputs {
    pub x: Vec<f32>,
    pub units: Vec<UnitInputs>,
    pub residual: (Vec<f32>, [usize; 4]),
}

pub struct UnitInputs {
    pub weight: (Vec<f32>, [usize; 4]),
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

impl Unit {
    fn output(&self, [batch, height, width, _]: [usize; 4]) -> [usize; 4] {
        let conv = &self.spec.conv;
        let [height, width] = conv.output_size([height, width], [self.kernel; 2]);
        [batch, height, width, self.out_channels]
    }

    fn inputs(&self, in_channels: usize, seed: u64) -> UnitInputs {
        let out = self.out_channels;
        let groups = self.spec.conv.groups;
        let weight = [out, in_channels / groups, self.kernel, self.kernel];
        UnitInputs {
            weight: (values(weight.iter().product(), seed), weight),
            gamma: values(out, seed + 1)
                .iter()
                .map(|v| 1.0 + v / 2.0)
                .collect(),
            beta: values(out, seed + 2),
            mean: values(out, seed + 3),
            variance: values(out, seed + 4).iter().map(|v| 1.2 + v).collect(),
        }
    }
}

impl Case {
    pub fn output(&self) -> [usize; 4] {
        self.units
            .iter()
            .fold(self.input, |input, unit| unit.output(input))
    }

    pub fn inputs(&self) -> Inputs {
        let mut shape = self.input;
        let mut units = Vec::new();
        for (unit, seed) in self.units.iter().zip((10..).step_by(10)) {
            units.push(unit.inputs(shape[3], seed));
            shape = unit.output(shape);
        }
        Inputs {
            x: values(self.input.iter().product(), 1),
            units,
            residual: (values(shape.iter().product(), 7), shape),
        }
    }

    pub fn specs(&self) -> Vec<UnitSpec> {
        self.units.iter().map(|unit| unit.spec).collect()
    }

    /// The number of gradients that [`Leaves::results`] begins with.
    pub fn gradients(&self) -> usize {
        1 + 3 * self.units.len() + usize::from(self.residual == Shortcut::Tensor)
    }

    /// Its inputs for training.
    pub fn leaves(&self, device: &Device) -> Leaves {
        let inputs = self.inputs();
        let units = inputs.units.iter().zip(&self.units);
        let units = units.map(|(inputs, unit)| {
            let channels = [unit.out_channels];
            TrainingUnit {
                weight: leaf(&inputs.weight.0, inputs.weight.1, device),
                gamma: leaf(&inputs.gamma, channels, device),
                beta: leaf(&inputs.beta, channels, device),
                frozen: self.frozen.then(|| {
                    [&inputs.mean, &inputs.variance]
                        .map(|values| filled_on(values, channels, device))
                }),
                spec: unit.spec,
            }
        });
        Leaves {
            x: leaf(&inputs.x, self.input, device),
            units: units.collect(),
            residual: leaf(&inputs.residual.0, inputs.residual.1, device),
            shortcut: self.residual,
            device: device.clone(),
        }
    }

    /// The result of inference through the seam, with the units' betas for biases.
    pub fn infer(&self, device: &Device) -> Vec<f32> {
        let inputs = self.inputs();
        let units = inputs.units.iter().zip(&self.units);
        let units = units.map(|(inputs, unit)| {
            let weight = filled_on(&inputs.weight.0, inputs.weight.1, device);
            InferenceUnit {
                weight: ops::pack_weight(weight, unit.spec.conv),
                bias: filled_on(&inputs.beta, [unit.out_channels], device),
                spec: unit.spec,
            }
        });
        let added = match self.residual {
            Shortcut::None => Added::Nothing,
            Shortcut::Input => Added::Input,
            Shortcut::Tensor => {
                Added::Tensor(filled_on(&inputs.residual.0, inputs.residual.1, device))
            }
        };
        let x = filled_on(&inputs.x, self.input, device);
        host(ops::branch_inference(x, units.collect(), added))
    }

    /// Whether every activation is further than that from its kinks, so that rounding cannot move it across one.
    pub fn is_off_the_kinks(&self, distance: f32) -> bool {
        (1..=self.units.len()).all(|count| {
            let mut part = self.clone();
            part.units.truncate(count);
            if count < self.units.len() {
                part.residual = Shortcut::None;
            }
            let activation = &mut part.units[count - 1].spec.activation;
            let kinks = kinks(*activation);
            *activation = Activation::Identity;
            let leaves = part.leaves(&warmstart_nn::device());
            let output = host(leaves.branch(FloatDType::F32).output);
            let is_off = |v: &f32| kinks.iter().all(|kink| (v - kink).abs() > distance);
            output.iter().all(is_off)
        })
    }
}

/// The values at which an activation has no derivative.
fn kinks(activation: Activation) -> &'static [f32] {
    match activation {
        Activation::Identity | Activation::Silu | Activation::Sigmoid | Activation::Gelu => &[],
        Activation::Relu => &[0.0],
        Activation::Relu6 => &[0.0, 6.0],
        Activation::HardSwish | Activation::HardSigmoid => &[-3.0, 3.0],
    }
}

fn leaf<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    filled_on(values, shape, device).autodiff().require_grad()
}

/// The inputs of a case in training: leaves of a gradient graph.
pub struct Leaves {
    pub x: Tensor<4>,
    pub units: Vec<TrainingUnit>,
    pub residual: Tensor<4>,
    shortcut: Shortcut,
    device: Device,
}

impl Leaves {
    /// The branch through the seam, with activations in that format.
    pub fn branch(&self, format: FloatDType) -> TrainedBranch {
        let added = match self.shortcut {
            Shortcut::None => Added::Nothing,
            Shortcut::Input => Added::Input,
            Shortcut::Tensor => Added::Tensor(self.residual.clone().cast(format)),
        };
        ops::branch(self.x.clone().cast(format), self.units.clone(), added)
    }

    /// The gradients of x, of each unit's parameters and of the residual, and the output, means and variances.
    pub fn results(&self, trained: TrainedBranch) -> Vec<Vec<f32>> {
        let output = trained.output.cast(FloatDType::F32);
        let shape = output.dims();
        // Weighted, so that every output has a gradient of its own.
        let weights = values(shape.iter().product(), 8);
        let weights = filled_on(&weights, shape, &self.device).autodiff();
        let gradients = (output.clone() * weights).sum().backward();
        let gradient4 = |t: &Tensor<4>| host(t.grad(&gradients).unwrap());
        let gradient1 = |t: &Tensor<1>| host(t.grad(&gradients).unwrap());
        let mut results = vec![gradient4(&self.x)];
        for unit in &self.units {
            results.extend([
                gradient4(&unit.weight),
                gradient1(&unit.gamma),
                gradient1(&unit.beta),
            ]);
        }
        if self.shortcut == Shortcut::Tensor {
            results.push(gradient4(&self.residual));
        }
        results.push(host(output));
        let statistics = trained.statistics.into_iter().flatten();
        results.extend(statistics.map(|values| host(values.cast(FloatDType::F32))));
        results
    }
}
