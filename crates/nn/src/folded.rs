use std::collections::HashMap;

use burn::tensor::{Device, Tensor, TensorData};

use crate::Parameters;
use crate::ops::{self, InferenceUnit};
use crate::unit::Unit;

/// Units prepared for inference: `conv(x) · s + t` with running statistics is one convolution with
/// weight `w · s` and bias `t`, where `s = γ / √(variance + ε)` and `t = β − mean · s`. The weights are
/// packed once, for all later batches.
pub struct Folded {
    units: HashMap<String, InferenceUnit>,
}

impl Folded {
    /// Folds the given units of `parameters`, computing in f64. The parameters stay as they are.
    pub fn new<'a>(
        parameters: &Parameters,
        units: impl IntoIterator<Item = &'a Unit>,
        device: &Device,
    ) -> Self {
        let units = units
            .into_iter()
            .map(|unit| (unit.norm.clone(), fold(parameters, unit, device)))
            .collect();
        Self { units }
    }

    /// The unit whose batch norm has that name: units may share a convolution.
    ///
    /// # Panics
    /// If it was not folded: a trunk uses only its own units.
    pub(crate) fn unit(&self, norm: &str) -> InferenceUnit {
        self.units
            .get(norm)
            .unwrap_or_else(|| panic!("the unit of {norm} was not folded"))
            .clone()
    }
}

fn fold(parameters: &Parameters, unit: &Unit, device: &Device) -> InferenceUnit {
    let norm = |field: &str| parameters.values(&format!("{}.{field}", unit.norm));
    let (gamma, beta, mean, variance) = (
        norm("weight"),
        norm("bias"),
        norm("running_mean"),
        norm("running_var"),
    );
    let name = format!("{}.weight", unit.conv);
    let mut weight = parameters.values(&name);
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
    let bias: Vec<f32> = (0..unit.out_channels)
        .map(|c| (f64::from(beta[c]) - f64::from(mean[c]) * scale[c]) as f32)
        .collect();
    let weight = TensorData::new(weight, parameters.shape(&name));
    InferenceUnit {
        weight: ops::pack_weight(Tensor::from_data(weight, device), unit.spec.conv),
        bias: Tensor::from_data(TensorData::new(bias, [unit.out_channels]), device),
        spec: unit.spec,
    }
}
