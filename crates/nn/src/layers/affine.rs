//! The scale and the shift of norms over channels.

use burn::tensor::{Device, Tensor, TensorData};

use crate::forward::Forward;
use crate::parameter_info::{Kind, ParameterInfo};
use crate::{Activation, Parameters, Part};

/// The parameters `<name>.weight`, of that kind, and `<name>.bias`.
pub(super) fn parameters(name: &str, channels: usize, scale: Kind) -> Vec<ParameterInfo> {
    let parameter =
        |field, kind| ParameterInfo::new(name, field, vec![channels], kind, Activation::Identity);
    vec![
        parameter("weight", scale),
        parameter("bias", Kind::NormShift),
    ]
}

/// Scale and shift, each `[channels]`.
pub(super) fn tensors(name: &str, forward: &Forward) -> [Tensor<1>; 2] {
    match forward {
        Forward::Inference(folded) => folded
            .values(name)
            .try_into()
            .unwrap_or_else(|_| panic!("{name} has a scale and a shift")),
        Forward::Training { parameters, .. } => {
            ["weight", "bias"].map(|field| parameters.get(&format!("{name}.{field}")))
        }
    }
}

/// Scale and shift, prepared for inference.
pub(super) fn fold(name: &str, parameters: &Parameters, device: &Device) -> Vec<(String, Part)> {
    let value = |field: &str| {
        let values = parameters.values(&format!("{name}.{field}"));
        let channels = values.len();
        Tensor::from_data(TensorData::new(values, [channels]), device)
    };
    let values = vec![value("weight"), value("bias")];
    vec![(name.to_owned(), Part::Values(values))]
}
