//! Units one after the other, with a shortcut around them.

use burn::tensor::{Device, Tensor, TensorData};

use super::kind::{LayerKind, Shape};
use crate::forward::{Forward, StochasticDepth};
use crate::ops::{self, Added, InferenceUnit, TrainingUnit};
use crate::parameter_info::ParameterInfo;
use crate::statistics::BatchStatistics;
use crate::unit::BatchNorm;
use crate::{Activation, Parameters, Unit};

/// The path around a branch's units, added before the last activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Nothing.
    None,
    /// The branch's input.
    Identity,
    /// The branch's second input.
    Second,
}

/// Units one after the other, with a shortcut around them: computed as one, because the values between
/// its units need never be in memory as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// One to three units; the last one takes the shortcut as its residual.
    pub units: Vec<Unit>,
    /// The path around the units.
    pub shortcut: Shortcut,
    /// Its share of the probability with which training leaves out the network's last branch, from 0 to 1.
    pub left_out: f64,
}

impl Branch {
    /// A branch that training never leaves out.
    pub fn new(units: Vec<Unit>, shortcut: Shortcut) -> Self {
        Self {
            units,
            shortcut,
            left_out: 0.0,
        }
    }

    /// The same computation as branches one after the other, cut before the units whose convolutions `before`
    /// picks. All but the last have one input; the last has the inputs of the whole, where
    /// [`Shortcut::Identity`] becomes [`Shortcut::Second`].
    pub(crate) fn cut(&self, before: impl Fn(&str) -> bool) -> Vec<Self> {
        let mut parts: Vec<Vec<Unit>> = Vec::new();
        for (index, unit) in self.units.iter().enumerate() {
            match parts.last_mut().filter(|_| !before(&unit.conv)) {
                Some(part) => part.push(unit.clone()),
                None => {
                    debug_assert!(index == 0 || before(&unit.conv));
                    parts.push(vec![unit.clone()]);
                }
            }
        }
        if parts.len() < 2 {
            return vec![self.clone()];
        }
        let last = parts.len() - 1;
        let part = |(index, units)| match self.shortcut {
            Shortcut::Identity | Shortcut::Second if index == last => Self {
                units,
                shortcut: Shortcut::Second,
                left_out: self.left_out,
            },
            Shortcut::None | Shortcut::Identity | Shortcut::Second => {
                Self::new(units, Shortcut::None)
            }
        };
        parts.into_iter().enumerate().map(part).collect()
    }

    fn name(&self) -> &str {
        self.units.last().map_or("", Unit::name)
    }

    /// The factor of each image's result in a training step that may leave the branch out.
    fn factors(&self, depth: Option<StochasticDepth>, images: usize) -> Option<Vec<f32>> {
        let depth = depth.filter(|depth| depth.probability * self.left_out > 0.0)?;
        Some(depth.factors(self.name(), self.left_out, images))
    }

    /// The same branch whose last activation comes after the shortcut was added by hand, and that activation.
    fn without_last_activation(&self) -> (Self, Activation) {
        let mut branch = self.clone();
        let last = branch.units.last_mut().expect("a branch has units");
        let activation = std::mem::replace(&mut last.spec.activation, Activation::Identity);
        (branch, activation)
    }

    fn train(
        &self,
        x: Tensor<4>,
        added: Added,
        parameters: &Parameters,
        frozen_statistics: bool,
        statistics: &mut Vec<BatchStatistics>,
    ) -> Tensor<4> {
        let device = x.device();
        let units = self.units.iter();
        let units = units.map(|unit| training_unit(unit, parameters, frozen_statistics, &device));
        let [batch, height, width, channels] = x.dims();
        let trained = ops::branch(x, units.collect(), added);
        if !frozen_statistics {
            let mut shape = [height, width, channels];
            for (unit, [mean, variance]) in self.units.iter().zip(trained.statistics) {
                shape = unit.output_shape(shape);
                if let Some(BatchNorm { name, momentum }) = &unit.norm {
                    statistics.push(BatchStatistics {
                        norm: name.clone(),
                        momentum: *momentum,
                        mean,
                        variance,
                        count: batch * shape[0] * shape[1],
                    });
                }
            }
        }
        trained.output
    }
}

impl LayerKind for Branch {
    fn parameters(&self) -> Vec<ParameterInfo> {
        self.units.iter().flat_map(Unit::parameters).collect()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        let units = self.units.iter();
        units.fold(inputs[0], |shape, unit| unit.output_shape(shape))
    }

    fn multiply_adds(&self, inputs: &[Shape]) -> usize {
        let mut shape = inputs[0];
        let mut sum = 0;
        for unit in &self.units {
            sum += unit.multiply_adds(shape);
            shape = unit.output_shape(shape);
        }
        sum
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, forward: &mut Forward) -> Tensor<4> {
        let mut inputs = inputs.into_iter();
        let x = inputs.next().expect("a branch has an input");
        let added = match self.shortcut {
            Shortcut::None => Added::Nothing,
            Shortcut::Identity => Added::Input,
            Shortcut::Second => {
                Added::Tensor(inputs.next().expect("the branch has a second input"))
            }
        };
        match forward {
            Forward::Inference(folded) => {
                let units = self.units.iter().map(|unit| folded.part(unit.name()));
                ops::branch_inference(x, units.collect(), added)
            }
            Forward::Training {
                parameters,
                frozen_statistics,
                statistics,
                stochastic_depth,
            } => {
                let [images, ..] = x.dims();
                let Some(factors) = self.factors(*stochastic_depth, images) else {
                    return self.train(x, added, parameters, *frozen_statistics, statistics);
                };
                let shortcut = match added {
                    Added::Nothing => unreachable!("a branch that is left out has a shortcut"),
                    Added::Input => x.clone(),
                    Added::Tensor(tensor) => tensor,
                };
                let (branch, activation) = self.without_last_activation();
                let frozen = *frozen_statistics;
                let y = branch.train(x, Added::Nothing, parameters, frozen, statistics);
                let gate = of_images(factors, &y);
                ops::activate(ops::scale_channels(y, gate) + shortcut, activation)
            }
        }
    }

    fn fold(&self, parameters: &Parameters, device: &Device) -> Vec<(String, InferenceUnit)> {
        let units = self.units.iter();
        let fold = |unit: &Unit| (unit.name().to_owned(), fold_unit(parameters, unit, device));
        units.map(fold).collect()
    }
}

/// A factor of each image as a gate `[batch, channels]` of an activation of `y`'s shape.
fn of_images(factors: Vec<f32>, y: &Tensor<4>) -> Tensor<2> {
    let [images, _, _, channels] = y.dims();
    let gate = factors.into_iter();
    let gate = gate.flat_map(|factor| std::iter::repeat_n(factor, channels));
    let gate = TensorData::new(gate.collect(), [images, channels]);
    Tensor::from_data(gate, &y.device())
}

/// A unit's tracked tensors. A bias is a batch norm that scales and centres nothing: with a mean of 0 and a
/// variance of `1 − ε`, both constant.
fn training_unit(
    unit: &Unit,
    parameters: &Parameters,
    frozen_statistics: bool,
    device: &Device,
) -> TrainingUnit {
    let weight = parameters.get(&format!("{}.weight", unit.conv));
    let spec = unit.spec;
    match &unit.norm {
        Some(BatchNorm { name, .. }) => {
            let norm = |field: &str| parameters.get(&format!("{name}.{field}"));
            TrainingUnit {
                weight,
                gamma: norm("weight"),
                beta: norm("bias"),
                frozen: frozen_statistics.then(|| [norm("running_mean"), norm("running_var")]),
                spec,
            }
        }
        None => {
            let constant = |value: f32| {
                let values = vec![value; unit.out_channels];
                let data = TensorData::new(values, [unit.out_channels]);
                Tensor::<1>::from_data(data, device)
            };
            TrainingUnit {
                weight,
                gamma: constant(1.0),
                beta: parameters.get(&format!("{}.bias", unit.conv)),
                frozen: Some([constant(0.0), constant(1.0 - spec.epsilon)]),
                spec,
            }
        }
    }
}

/// A unit in inference: one convolution with the values of [`folded_values`].
fn fold_unit(parameters: &Parameters, unit: &Unit, device: &Device) -> InferenceUnit {
    let [weight, bias] = folded_values(parameters, unit);
    let shape = parameters.shape(&format!("{}.weight", unit.conv));
    InferenceUnit {
        weight: ops::pack_weight(
            Tensor::from_data(TensorData::new(weight, shape), device),
            unit.spec.conv,
        ),
        bias: Tensor::from_data(TensorData::new(bias, [unit.out_channels]), device),
        spec: unit.spec,
    }
}

/// Weight `[out, in / groups, height, width]` and bias `[out]` of a unit in inference: `conv(x) · s + t` with running
/// statistics is one convolution with weight `w · s` and bias `t`, where `s = γ / √(variance + ε)` and
/// `t = β − mean · s`, computed in f64. Without a batch norm, weight and bias stay.
///
/// # Panics
/// If `parameters` lack one of the unit's.
pub fn folded_values(parameters: &Parameters, unit: &Unit) -> [Vec<f32>; 2] {
    let mut weight = parameters.values(&format!("{}.weight", unit.conv));
    let bias = match &unit.norm {
        Some(norm) => fold_norm(parameters, unit, norm, &mut weight),
        None => parameters.values(&format!("{}.bias", unit.conv)),
    };
    [weight, bias]
}

/// Scales a convolution's weight as its batch norm does, and returns the bias that shifts as it does.
fn fold_norm(
    parameters: &Parameters,
    unit: &Unit,
    BatchNorm { name, .. }: &BatchNorm,
    weight: &mut [f32],
) -> Vec<f32> {
    let norm = |field: &str| parameters.values(&format!("{name}.{field}"));
    let (gamma, beta) = (norm("weight"), norm("bias"));
    let (mean, variance) = (norm("running_mean"), norm("running_var"));
    let epsilon = f64::from(unit.spec.epsilon);
    let scale: Vec<f64> = gamma
        .iter()
        .zip(&variance)
        .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + epsilon).sqrt())
        .collect();
    let per_channel = weight.len() / unit.out_channels;
    for (row, scale) in weight.chunks_mut(per_channel).zip(&scale) {
        for value in row {
            *value = (f64::from(*value) * scale) as f32;
        }
    }
    (0..unit.out_channels)
        .map(|c| (f64::from(beta[c]) - f64::from(mean[c]) * scale[c]) as f32)
        .collect()
}
