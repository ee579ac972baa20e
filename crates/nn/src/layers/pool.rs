//! Pooling.

use burn::tensor::{Device, Tensor};

use super::kind::{LayerKind, Shape, nothing_to_fold, only};
use crate::forward::Forward;
use crate::ops::{self, PoolSpec};
use crate::parameter_info::ParameterInfo;
use crate::{Parameters, Part};

/// The largest value of each window, the border filled with minus infinity.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool(pub PoolSpec);

/// The mean of each window, without its part beyond the border.
#[derive(Clone, Debug, PartialEq)]
pub struct AveragePool(pub PoolSpec);

/// The mean over the image: `[1, 1, channels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalAverage;

fn pooled_shape(spec: PoolSpec, [height, width, channels]: Shape) -> Shape {
    let [height, width] = spec.output_size([height, width]);
    [height, width, channels]
}

impl LayerKind for MaxPool {
    fn parameters(&self) -> Vec<ParameterInfo> {
        Vec::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        pooled_shape(self.0, inputs[0])
    }

    fn multiply_adds(&self, _inputs: &[Shape]) -> usize {
        0
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, _forward: &mut Forward) -> Tensor<4> {
        ops::max_pool(only(inputs), self.0)
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, Part)> {
        nothing_to_fold()
    }
}

impl LayerKind for AveragePool {
    fn parameters(&self) -> Vec<ParameterInfo> {
        Vec::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        pooled_shape(self.0, inputs[0])
    }

    fn multiply_adds(&self, _inputs: &[Shape]) -> usize {
        0
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, _forward: &mut Forward) -> Tensor<4> {
        ops::average_pool(only(inputs), self.0)
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, Part)> {
        nothing_to_fold()
    }
}

impl LayerKind for GlobalAverage {
    fn parameters(&self) -> Vec<ParameterInfo> {
        Vec::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        let [_, _, channels] = inputs[0];
        [1, 1, channels]
    }

    fn multiply_adds(&self, _inputs: &[Shape]) -> usize {
        0
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, _forward: &mut Forward) -> Tensor<4> {
        let mean = ops::global_average_pool(only(inputs));
        let [batch, channels] = mean.dims();
        mean.reshape([batch, 1, 1, channels])
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, Part)> {
        nothing_to_fold()
    }
}
