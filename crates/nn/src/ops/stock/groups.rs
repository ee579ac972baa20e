//! Convolutions of several groups, and those gradients that are no products of matrices. They are computed in f32, because
//! the kernels of graphics cards add in the format of the operands here.

use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{DType, Shape};

use super::{channels_first, channels_last, part};
use crate::ops::format::{in_format, single};
use crate::ops::records::ConvSpec;

/// Zeros before and after the rows, and before and after the columns.
type Frame = [(usize, usize); 2];

fn frame(spec: ConvSpec, input: [usize; 2], kernel: [usize; 2]) -> Frame {
    let [before, after] = spec.zeros(input, kernel);
    [(before[0], after[0]), (before[1], after[1])]
}

fn options(spec: ConvSpec, frame: Frame) -> ConvOptions<2> {
    ConvOptions::new_with_padding(spec.stride, frame, spec.dilation, spec.groups)
}

/// See [`convolution::forward`](super::convolution::forward).
pub(super) fn forward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    spec: ConvSpec,
) -> FloatTensor<B> {
    let format = x.dtype();
    let [_, height, width, _] = x.shape().dims();
    let [_, _, kernel_height, kernel_width] = weight.shape().dims();
    let options = options(
        spec,
        frame(spec, [height, width], [kernel_height, kernel_width]),
    );
    let x = channels_first::<B>(single::<B>(x));
    let y = B::conv2d(x, single::<B>(weight), None, options);
    in_format::<B>(channels_last::<B>(y), format)
}

/// See [`convolution::input_gradient`](super::convolution::input_gradient).
pub(super) fn input_gradient<B: Backend>(
    gradient: FloatTensor<B>,
    weight: FloatTensor<B>,
    [height, width]: [usize; 2],
    spec: ConvSpec,
) -> FloatTensor<B> {
    let format = gradient.dtype();
    let batch = gradient.shape()[0];
    let [_, depth, kernel_height, kernel_width] = weight.shape().dims();
    let options = options(
        spec,
        frame(spec, [height, width], [kernel_height, kernel_width]),
    );
    // Stock Burn reads no more than the shape of the input.
    let x = B::float_empty(
        Shape::new([batch, depth * spec.groups, height, width]),
        &gradient.device(),
        DType::F32.into(),
    );
    let gradient = channels_first::<B>(single::<B>(gradient));
    let by_x = B::conv2d_x_backward(x, single::<B>(weight), gradient, options);
    in_format::<B>(channels_last::<B>(by_x), format)
}

/// See [`convolution::weight_gradient`](super::convolution::weight_gradient).
pub(super) fn weight_gradient<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    weight: [usize; 4],
    spec: ConvSpec,
) -> FloatTensor<B> {
    let [outputs, depth, kernel_height, kernel_width] = weight;
    let [_, height, width, _] = x.shape().dims();
    let frame = frame(spec, [height, width], [kernel_height, kernel_width]);
    let (x, gradient) = (single::<B>(x), single::<B>(gradient));
    if depth == 1 && outputs == spec.groups {
        return of_each_channel::<B>(x, gradient, weight, (spec, frame));
    }
    let weight = B::float_zeros(Shape::new(weight), &x.device(), DType::F32.into());
    let (x, gradient) = (channels_first::<B>(x), channels_first::<B>(gradient));
    B::conv2d_weight_backward(x, weight, gradient, options(spec, frame))
}

/// Where every channel has a kernel of its own: its gradient is the convolution of the channel by the gradient of its
/// result. Each image is a group of its own and the images are added in the end, because a graphics card gives each
/// result to one of its many threads.
fn of_each_channel<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    [channels, _, kernel_height, kernel_width]: [usize; 4],
    (spec, frame): (ConvSpec, Frame),
) -> FloatTensor<B> {
    let [batch, height, width, _] = x.shape().dims();
    let [_, rows, columns, _] = gradient.shape().dims();
    let maps = batch * channels;
    // The channels of all images beside each other at every pixel.
    let beside = |x: FloatTensor<B>, height: usize, width: usize| {
        let x = B::float_permute(x, &[1, 2, 0, 3]);
        B::float_reshape(x, Shape::new([height, width, maps]))
    };
    let x = beside(x, height, width);
    let x = B::float_reshape(x, Shape::new([1, height, width, maps]));
    let kernels = beside(gradient, rows, columns);
    let kernels = B::float_reshape(kernels, Shape::new([rows, columns, maps, 1]));
    let kernels = B::float_permute(kernels, &[2, 3, 0, 1]);
    // The steps between the results are those between the places of a kernel, and the other way round.
    let options = ConvOptions::new_with_padding(spec.dilation, frame, spec.stride, maps);
    let sums = B::conv2d(channels_first::<B>(x), kernels, None, options);
    let sums = part::<B>(sums, [0..1, 0..maps, 0..kernel_height, 0..kernel_width]);
    let of_images = Shape::new([batch, channels * kernel_height * kernel_width]);
    let sum = B::float_sum_dim(B::float_reshape(sums, of_images), 0);
    B::float_reshape(sum, Shape::new([channels, 1, kernel_height, kernel_width]))
}
