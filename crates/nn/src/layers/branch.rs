//! Units one after the other, with a shortcut around them.

use burn::tensor::{Device, Tensor, TensorData};

use super::kind::{LayerKind, Shape};
use super::linear::train_linear;
use crate::forward::{Forward, StochasticDepth};
use crate::ops::{self, Added, InferenceUnit, TrainingUnit};
use crate::parameter_info::ParameterInfo;
use crate::statistics::BatchStatistics;
use crate::unit::BatchNorm;
use crate::{Activation, Parameters, Part, Unit};

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
        if let ([unit], Added::Nothing) = (self.units.as_slice(), &added)
            && is_plain_linear(unit)
        {
            // As a branch it would keep its result once more, without the bias.
            return train_linear(&unit.conv, x, parameters);
        }
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

    fn fold(&self, parameters: &Parameters, device: &Device) -> Vec<(String, Part)> {
        let units = self.units.iter();
        let fold = |unit: &Unit| {
            let folded = fold_unit(parameters, unit, device);
            (unit.name().to_owned(), Part::Unit(folded))
        };
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

/// Whether a unit is `x · weightᵀ + bias` and no more, so that its backward pass needs nothing of its result.
fn is_plain_linear(unit: &Unit) -> bool {
    unit.is_linear
        && unit.has_bias
        && unit.layer_scale.is_none()
        && unit.spec.activation == Activation::Identity
}

/// A unit's tracked tensors. A bias is a batch norm that scales and centres nothing: with a mean of 0 and a
/// variance of `1 − ε`, both constant. A layer scale is its scale, and multiplies the bias.
fn training_unit(
    unit: &Unit,
    parameters: &Parameters,
    frozen_statistics: bool,
    device: &Device,
) -> TrainingUnit {
    let weight = format!("{}.weight", unit.conv);
    let weight = if unit.is_linear {
        let weight: Tensor<2> = parameters.get(&weight);
        weight.reshape(unit.kernel_shape())
    } else {
        parameters.get(&weight)
    };
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
            let bias = bias_name(unit).map(|name| parameters.get::<1>(&name));
            let scale = unit.layer_scale.as_ref();
            let scale = scale.map(|name| parameters.get::<1>(name));
            let beta = match (bias, &scale) {
                (Some(bias), Some(scale)) => bias * scale.clone(),
                (Some(bias), None) => bias,
                (None, _) => constant(0.0),
            };
            TrainingUnit {
                weight,
                gamma: scale.unwrap_or_else(|| constant(1.0)),
                beta,
                frozen: Some([constant(0.0), constant(1.0 - spec.epsilon)]),
                spec,
            }
        }
    }
}

/// The name of the bias of a unit without a batch norm, if it has one.
fn bias_name(unit: &Unit) -> Option<String> {
    unit.has_bias.then(|| format!("{}.bias", unit.conv))
}

/// A unit in inference: one convolution with the values of [`folded_values`].
fn fold_unit(parameters: &Parameters, unit: &Unit, device: &Device) -> InferenceUnit {
    let [weight, bias] = folded_values(parameters, unit);
    InferenceUnit {
        weight: ops::pack_weight(
            Tensor::from_data(TensorData::new(weight, unit.kernel_shape()), device),
            unit.spec.conv,
        ),
        bias: Tensor::from_data(TensorData::new(bias, [unit.out_channels]), device),
        spec: unit.spec,
    }
}

/// Weight `[out, in / groups, height, width]` and bias `[out]` of a unit in inference: `conv(x) · s + t` with running
/// statistics is one convolution with weight `w · s` and bias `t`, where `s = γ / √(variance + ε)` and
/// `t = β − mean · s`, computed in f64. Without a batch norm, `s` is the layer scale and `t` the bias times `s`; both
/// stay where there is no layer scale. A bias that a unit lacks is zero.
///
/// # Panics
/// If `parameters` lack one of the unit's.
pub fn folded_values(parameters: &Parameters, unit: &Unit) -> [Vec<f32>; 2] {
    let mut weight = parameters.values(&format!("{}.weight", unit.conv));
    if let Some(norm) = &unit.norm {
        let bias = fold_norm(parameters, unit, norm, &mut weight);
        return [weight, bias];
    }
    let mut bias = match bias_name(unit) {
        Some(name) => parameters.values(&name),
        None => vec![0.0; unit.out_channels],
    };
    if let Some(name) = &unit.layer_scale {
        let scale = parameters.values(name).into_iter().map(f64::from);
        let scale: Vec<f64> = scale.collect();
        scale_rows(&mut weight, &scale);
        scale_rows(&mut bias, &scale);
    }
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
    scale_rows(weight, &scale);
    (0..unit.out_channels)
        .map(|c| (f64::from(beta[c]) - f64::from(mean[c]) * scale[c]) as f32)
        .collect()
}

/// Multiplies each row of a matrix by its factor.
fn scale_rows(values: &mut [f32], factors: &[f64]) {
    let width = values.len() / factors.len();
    for (row, factor) in values.chunks_mut(width).zip(factors) {
        for value in row {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
}
