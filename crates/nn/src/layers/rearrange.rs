//! Layers that give the values of an image other places.

use burn::tensor::{Device, Tensor};

use super::kind::{LayerKind, Shape, nothing_to_fold, only};
use crate::forward::Forward;
use crate::ops;
use crate::parameter_info::ParameterInfo;
use crate::{Parameters, Part};

/// The channels in reverse order: red, green and blue for a network that was trained on blue, green and red.
#[derive(Clone, Debug, PartialEq)]
pub struct ReverseChannels;

/// Each block of two by two pixels as one pixel of four times the channels: those of the top left pixel, then bottom
/// left, top right and bottom right. It is the "focus" layer of YOLOv5 and of Ge, Liu, Wang, Li and Sun, "YOLOX"
/// (arXiv 2107.08430).
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceToDepth;

impl LayerKind for ReverseChannels {
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
        ops::reverse_channels(only(inputs))
    }

    fn fold(&self, _parameters: &Parameters, _device: &Device) -> Vec<(String, Part)> {
        nothing_to_fold()
    }
}

impl LayerKind for SpaceToDepth {
    fn parameters(&self) -> Vec<ParameterInfo> {
        Vec::new()
    }

    fn output_shape(&self, inputs: &[Shape]) -> Shape {
        let [height, width, channels] = inputs[0];
        [height / 2, width / 2, 4 * channels]
    }

    fn multiply_adds(&self, _inputs: &[Shape]) -> usize {
        0
    }

    fn forward(&self, inputs: Vec<Tensor<4>>, _forward: &mut Forward) -> Tensor<4> {
        let x = only(inputs);
        let [_, height, width, _] = x.dims();
        assert!(
            height.is_multiple_of(2) && width.is_multiple_of(2),
            "an image of whole blocks"
        );
        ops::space_to_depth(x)
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

    fn results(layer: &dyn LayerKind, shape: [usize; 4]) -> Vec<f32> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|value| value as f32).collect();
        let x = Tensor::from_data(TensorData::new(values, shape), &crate::device());
        let folded = Folded::default();
        let y = layer.forward(vec![x], &mut Forward::Inference(&folded));
        let [_, height, width, channels] = shape;
        let stated = layer.output_shape(&[[height, width, channels]]);
        assert_eq!(y.dims()[1..], stated);
        y.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn the_last_channel_comes_first() {
        let expected = [2., 1., 0., 5., 4., 3., 8., 7., 6., 11., 10., 9.];
        assert_eq!(results(&ReverseChannels, [2, 1, 2, 3]), expected);
    }

    #[test]
    fn the_pixels_of_a_block_become_channels_column_by_column() {
        // Rows of four pixels of two channels.
        #[rustfmt::skip]
        let expected = [
            0., 1., 8., 9., 2., 3., 10., 11.,
            4., 5., 12., 13., 6., 7., 14., 15.,
        ];
        assert_eq!(results(&SpaceToDepth, [1, 2, 4, 2]), expected);
        let of_two_images = [0., 2., 1., 3., 4., 6., 5., 7.];
        assert_eq!(results(&SpaceToDepth, [2, 2, 2, 1]), of_two_images);
    }

    #[test]
    fn gradients_go_back_to_the_values_that_moved() {
        let values: Vec<f32> = (0..16).map(|value| value as f32).collect();
        let data = TensorData::new(values, [1, 2, 2, 4]);
        let x: Tensor<4> = Tensor::from_data(data, &crate::device());
        let x = x.autodiff().require_grad();
        let folded = Folded::default();
        let mut forward = Forward::Inference(&folded);
        let reversed = ReverseChannels.forward(vec![x.clone()], &mut forward);
        let y = SpaceToDepth.forward(vec![reversed], &mut forward);
        // The sum of squares has twice each value as its gradient, wherever it went.
        let gradients = (y.clone() * y).sum().backward();
        let gradient = x.grad(&gradients).unwrap();
        let gradient: Vec<f32> = gradient.into_data().try_into_vec().unwrap();
        let twice: Vec<f32> = (0..16).map(|value| 2.0 * value as f32).collect();
        assert_eq!(gradient, twice);
    }
}
