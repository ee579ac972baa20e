//! Layers that bring maps of several scales together.

use burn::tensor::{Device, Tensor};

use super::kind::{LayerKind, Shape, nothing_to_fold, only};
use crate::Parameters;
use crate::forward::Forward;
use crate::ops::InferenceUnit;
use crate::parameter_info::ParameterInfo;

/// Every pixel twice in both directions.
#[derive(Clone, Debug, PartialEq)]
pub struct Upsample;

/// The channels of several inputs of one size, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct Concatenate;

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
        let x = only(inputs);
        let [batch, height, width, channels] = x.dims();
        let columns = x.reshape([batch * height, width, 1, channels]);
        let columns = Tensor::cat(vec![columns.clone(), columns], 2);
        let rows = columns.reshape([batch, height, 1, 2 * width * channels]);
        let rows = Tensor::cat(vec![rows.clone(), rows], 2);
        rows.reshape([batch, 2 * height, 2 * width, channels])
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, InferenceUnit)> {
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
        Tensor::cat(inputs, 3)
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, InferenceUnit)> {
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
}
