//! Layers that bring maps together.

use burn::tensor::{Device, Tensor};

use super::kind::{LayerKind, Shape, nothing_to_fold, only};
use crate::forward::Forward;
use crate::ops;
use crate::parameter_info::ParameterInfo;
use crate::{Parameters, Part};

/// Every pixel twice in both directions.
#[derive(Clone, Debug, PartialEq)]
pub struct Upsample;

/// The channels of several inputs of one size, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Concatenate;

/// The sum of two inputs of one shape: a shortcut around a branch that is added after its last activation, to the
/// branch's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Add;

impl LayerKind for Upsample {
    fn parameters(&self) -> Vec<ParameterInfo> {
        Vec::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        let [height, width, channels] = inputs[0];
        [2 * height, 2 * width, channels]
    }

    fn multiply_adds(&self, _inputs: &[Shape]) -> usize {
        0
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, _forward: &mut Forward) -> Tensor<4> {
        ops::upsample(only(inputs))
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, Part)> {
        nothing_to_fold()
    }
}

impl LayerKind for Concatenate {
    fn parameters(&self) -> Vec<ParameterInfo> {
        Vec::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        let [height, width, _] = inputs[0];
        let channels = inputs.iter().map(|[_, _, channels]| channels).sum();
        [height, width, channels]
    }

    fn multiply_adds(&self, _inputs: &[Shape]) -> usize {
        0
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, _forward: &mut Forward) -> Tensor<4> {
        ops::concatenate(inputs)
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, Part)> {
        nothing_to_fold()
    }
}

impl LayerKind for Add {
    fn parameters(&self) -> Vec<ParameterInfo> {
        Vec::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        inputs[0]
    }

    fn multiply_adds(&self, _inputs: &[Shape]) -> usize {
        0
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, _forward: &mut Forward) -> Tensor<4> {
        let [one, other]: [Tensor<4>; 2] = inputs
            .try_into()
            .unwrap_or_else(|_| panic!("a sum has two inputs"));
        ops::add(one, other)
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, Part)> {
        nothing_to_fold()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::Folded;

    #[test]
    fn upsampling_repeats_every_pixel_in_both_directions() {
        let pixels: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let x = Tensor::from_data(TensorData::new(pixels, [1, 2, 3, 2]), &crate::device());
        let folded = Folded::default();
        let large = Upsample.forward(vec![x], &mut Forward::Inference(&folded));
        let large: Vec<f32> = large.into_data().try_into_vec().unwrap();
        #[rustfmt::skip]
        let expected = [
            0., 1., 0., 1., 2., 3., 2., 3., 4., 5., 4., 5.,
            0., 1., 0., 1., 2., 3., 2., 3., 4., 5., 4., 5.,
            6., 7., 6., 7., 8., 9., 8., 9., 10., 11., 10., 11.,
            6., 7., 6., 7., 8., 9., 8., 9., 10., 11., 10., 11.,
        ];
        assert_eq!(large, expected);
        assert_eq!(Upsample.output_shape(&[[2, 3, 2]]), [4, 6, 2]);
    }

    #[test]
    fn a_sum_adds_value_by_value() {
        let map = |values: [f32; 4]| {
            let data = TensorData::new(values.to_vec(), [1, 1, 2, 2]);
            Tensor::<4>::from_data(data, &crate::device())
        };
        let inputs = vec![map([1., 2., 3., 4.]), map([0.5, -2., 0., 1.])];
        let folded = Folded::default();
        let sum = Add.forward(inputs, &mut Forward::Inference(&folded));
        let sum: Vec<f32> = sum.into_data().try_into_vec().unwrap();
        assert_eq!(sum, [1.5, 0., 3., 5.]);
    }
}
