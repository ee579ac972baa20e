//! Convolutions and their gradients as products of matrices: a row of the first has the values that one pixel of the
//! output sees. A product reads a value for a whole tile of results; a graphics card's direct convolution reads it for
//! each result anew, and adds in the format of the operands, where a product adds in f32.

use std::ops::Range;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, Slice};

use super::groups;
use super::part;
use super::sum_of_rows::largest_divisor;
use crate::ops::format::{in_format, single};
use crate::ops::records::{ConvSpec, PackedWeight};

/// Most values of the first matrix: images go through in parts that have fewer.
const MOST_VALUES: usize = 1 << 24;
/// Most values of the products that a weight's gradient is added up from.
const MOST_OF_PRODUCTS: usize = 1 << 20;
/// Fewest rows of such a product.
const FEWEST_ROWS: usize = 256;

/// A weight as [`forward`] reads it: `[out, kernel height · kernel width · in]`, or, of several groups, as it is.
pub(super) fn packed<B: Backend>(weight: FloatTensor<B>, spec: ConvSpec) -> PackedWeight<B> {
    let shape = weight.shape().dims();
    let values = match spec.groups {
        1 => rows_of::<B>(weight),
        _ => weight,
    };
    PackedWeight { values, shape }
}

/// Each kernel of a weight `[out, in, height, width]` as a row, in the order of the values that a pixel sees.
fn rows_of<B: Backend>(weight: FloatTensor<B>) -> FloatTensor<B> {
    let [outputs, inputs, height, width] = weight.shape().dims();
    let rows = B::float_permute(weight, &[0, 2, 3, 1]);
    B::float_reshape(rows, Shape::new([outputs, height * width * inputs]))
}

/// The convolution of x `[batch, height, width, channels]`, in the format of x.
pub(super) fn forward<B: Backend>(
    x: FloatTensor<B>,
    weight: PackedWeight<B>,
    spec: ConvSpec,
) -> FloatTensor<B> {
    let values = in_format::<B>(weight.values, x.dtype());
    if spec.groups > 1 {
        return groups::forward::<B>(x, values, spec);
    }
    let [_, _, kernel_height, kernel_width] = weight.shape;
    let kernel = [kernel_height, kernel_width];
    let windows = Windows::new(x.shape().dims(), kernel, spec, MOST_VALUES);
    correlated::<B>(x, values, &windows)
}

/// The gradient of a convolution with respect to its input of `[height, width]` pixels, from that of its result and in
/// the same format. `weight` is `[out, in / groups, kernel height, kernel width]`.
pub(super) fn input_gradient<B: Backend>(
    gradient: FloatTensor<B>,
    weight: FloatTensor<B>,
    input: [usize; 2],
    spec: ConvSpec,
) -> FloatTensor<B> {
    let weight = in_format::<B>(weight, gradient.dtype());
    let [outputs, inputs, kernel_height, kernel_width] = weight.shape().dims();
    let kernel = [kernel_height, kernel_width];
    let mirrored = Windows::mirrored(gradient.shape().dims(), kernel, input, spec, MOST_VALUES);
    let Some(windows) = mirrored else {
        return groups::input_gradient::<B>(gradient, weight, input, spec);
    };
    let rows = if kernel == [1; 2] {
        let matrix = B::float_reshape(weight, Shape::new([outputs, inputs]));
        B::float_swap_dims(matrix, 0, 1)
    } else {
        rows_of::<B>(B::float_swap_dims(B::float_flip(weight, &[2, 3]), 0, 1))
    };
    correlated::<B>(gradient, rows, &windows)
}

/// The gradient of a convolution with respect to its weight, whose shape is given, from that of its result; in f32.
pub(super) fn weight_gradient<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    weight: [usize; 4],
    spec: ConvSpec,
) -> FloatTensor<B> {
    if spec.groups > 1 {
        return groups::weight_gradient::<B>(x, gradient, weight, spec);
    }
    let [_, _, kernel_height, kernel_width] = weight;
    let kernel = [kernel_height, kernel_width];
    let windows = Windows::new(x.shape().dims(), kernel, spec, MOST_VALUES);
    summed_products::<B>(x, gradient, weight, &windows)
}

fn summed_products<B: Backend>(
    x: FloatTensor<B>,
    gradient: FloatTensor<B>,
    [outputs, inputs, kernel_height, kernel_width]: [usize; 4],
    windows: &Windows,
) -> FloatTensor<B> {
    let [height, width] = windows.output;
    let products = windows.parts().map(|images| {
        let pixels = images.len() * height * width;
        let seen = windows.seen::<B>(x.clone(), images.clone());
        let gradient = windows.of_images::<B>(gradient.clone(), images);
        let gradient = B::float_reshape(gradient, Shape::new([pixels, outputs]));
        product_over_rows::<B>(gradient, seen)
    });
    let sum = products.reduce(B::float_add).expect("a batch has images");
    let shape = Shape::new([outputs, kernel_height, kernel_width, inputs]);
    B::float_permute(B::float_reshape(sum, shape), &[0, 3, 1, 2])
}

/// `aᵀ · b` of a `[rows, m]` and b `[rows, n]`, in f32. There are many rows and few results: the rows are multiplied in
/// parts, so that every part of a card has something to do, and the products are added.
pub(super) fn product_over_rows<B: Backend>(
    a: FloatTensor<B>,
    b: FloatTensor<B>,
) -> FloatTensor<B> {
    let [rows, m] = a.shape().dims();
    let [_, n] = b.shape().dims();
    let most = (MOST_OF_PRODUCTS / (m * n)).min(rows / FEWEST_ROWS);
    let parts = largest_divisor(rows, most);
    let a = B::float_reshape(a, Shape::new([parts, rows / parts, m]));
    let b = B::float_reshape(b, Shape::new([parts, rows / parts, n]));
    let products = B::float_matmul(B::float_swap_dims(a, 1, 2), b);
    let sum = B::float_sum_dim(single::<B>(products), 0);
    B::float_reshape(sum, Shape::new([m, n]))
}

/// Each row of a matrix `[outputs, values]` times what each pixel of the output sees of x: `[batch, height, width,
/// outputs]`.
fn correlated<B: Backend>(
    x: FloatTensor<B>,
    rows: FloatTensor<B>,
    windows: &Windows,
) -> FloatTensor<B> {
    let outputs = rows.shape()[0];
    let [height, width] = windows.output;
    let matrix = B::float_swap_dims(rows, 0, 1);
    let parts = windows.parts().map(|images| {
        let shape = Shape::new([images.len(), height, width, outputs]);
        let seen = windows.seen::<B>(x.clone(), images);
        B::float_reshape(B::float_matmul(seen, matrix.clone()), shape)
    });
    let mut parts: Vec<_> = parts.collect();
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        B::float_cat(parts, 0)
    }
}

/// What each pixel of a convolution's output sees of its input.
struct Windows {
    batch: usize,
    channels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    /// Zeros at `[top, left]` and at `[bottom, right]` of the input.
    zeros: [[usize; 2]; 2],
    /// `[height, width]` of the output.
    output: [usize; 2],
    /// Most values that the pixels of a part of the images see.
    most: usize,
}

impl Windows {
    /// Those of a convolution of an input of that shape.
    fn new(
        [batch, height, width, channels]: [usize; 4],
        kernel: [usize; 2],
        spec: ConvSpec,
        most: usize,
    ) -> Self {
        let input = [height, width];
        Self {
            batch,
            channels,
            kernel,
            stride: spec.stride,
            dilation: spec.dilation,
            zeros: spec.zeros(input, kernel),
            output: spec.output_size(input, kernel),
            most,
        }
    }

    /// The pixels of a convolution's output, of that shape, that each pixel of its input is seen by; they see it with
    /// the mirrored kernel. `None` where the input's pixels are not seen by windows of one form.
    fn mirrored(
        [batch, _, _, outputs]: [usize; 4],
        kernel: [usize; 2],
        input: [usize; 2],
        spec: ConvSpec,
        most: usize,
    ) -> Option<Self> {
        if spec.groups > 1 || spec.stride != [1; 2] {
            return None;
        }
        let [before, after] = spec.zeros(input, kernel);
        let rest = |axis: usize, zeros: [usize; 2]| {
            let reach = spec.dilation[axis] * (kernel[axis] - 1);
            reach.checked_sub(zeros[axis])
        };
        Some(Self {
            batch,
            channels: outputs,
            kernel,
            stride: [1; 2],
            dilation: spec.dilation,
            zeros: [
                [rest(0, before)?, rest(1, before)?],
                [rest(0, after)?, rest(1, after)?],
            ],
            output: input,
            most,
        })
    }

    /// Whether each pixel of the output sees the pixel of the input in its place, and no other.
    fn are_pixels(&self) -> bool {
        let one = [1; 2];
        self.kernel == one && self.stride == one && self.zeros == [[0; 2]; 2]
    }

    /// Values that a pixel sees.
    fn values(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.channels
    }

    /// The images that go through at a time.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let of_image = self.output[0] * self.output[1] * self.values();
        let images = if self.are_pixels() {
            self.batch
        } else {
            (self.most / of_image.max(1)).clamp(1, self.batch.max(1))
        };
        let batch = self.batch;
        let starts = (0..batch).step_by(images.max(1));
        starts.map(move |start| start..(start + images).min(batch))
    }

    /// Some images of a batch.
    fn of_images<B: Backend>(&self, x: FloatTensor<B>, images: Range<usize>) -> FloatTensor<B> {
        if images.len() == self.batch {
            return x;
        }
        let [_, height, width, channels] = x.shape().dims();
        part::<B>(x, [images, 0..height, 0..width, 0..channels])
    }

    /// The values that each pixel of the output sees of some images of x `[batch, height, width, channels]`: `[pixels,
    /// values]`.
    fn seen<B: Backend>(&self, x: FloatTensor<B>, images: Range<usize>) -> FloatTensor<B> {
        let count = images.len();
        let x = self.of_images::<B>(x, images);
        let [height, width] = self.output;
        let rows = Shape::new([count * height * width, self.values()]);
        if self.are_pixels() {
            return B::float_reshape(x, rows);
        }
        let x = framed::<B>(x, self.zeros);
        let shape = Shape::new([count, height, width, self.values()]);
        let mut seen = B::float_empty(shape, &x.device(), x.dtype().into());
        for row in 0..self.kernel[0] {
            for column in 0..self.kernel[1] {
                let of_tap = B::float_slice(
                    x.clone(),
                    &[
                        Slice::from(0..count),
                        self.steps(0, row),
                        self.steps(1, column),
                        Slice::from(0..self.channels),
                    ],
                );
                let first = (row * self.kernel[1] + column) * self.channels;
                let place = [0..count, 0..height, 0..width, first..first + self.channels];
                seen = B::float_slice_assign(seen, &place.map(Slice::from), of_tap);
            }
        }
        B::float_reshape(seen, rows)
    }

    /// The rows or columns of the framed input that a place in the kernel sees.
    fn steps(&self, axis: usize, place: usize) -> Slice {
        let first = place * self.dilation[axis];
        let last = first + (self.output[axis] - 1) * self.stride[axis];
        Slice::from_range_stepped(first..last + 1, self.stride[axis] as isize)
    }
}

/// x with zeros around it.
fn framed<B: Backend>(x: FloatTensor<B>, [before, after]: [[usize; 2]; 2]) -> FloatTensor<B> {
    if before == [0; 2] && after == [0; 2] {
        return x;
    }
    let [batch, height, width, channels] = x.shape().dims();
    let whole = [before[0] + height + after[0], before[1] + width + after[1]];
    let shape = Shape::new([batch, whole[0], whole[1], channels]);
    let zeros = B::float_zeros(shape, &x.device(), x.dtype().into());
    let place = [
        0..batch,
        before[0]..before[0] + height,
        before[1]..before[1] + width,
        0..channels,
    ];
    B::float_slice_assign(zeros, &place.map(Slice::from), x)
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Tensor, TensorData};

    use super::*;
    use crate::ops::Padding;

    const WEIGHT: [usize; 4] = [3, 2, 3, 3];

    /// Small whole numbers, whose sums and products are exact in any order.
    fn numbers<const D: usize>(shape: [usize; D]) -> FloatTensor<Flex> {
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count)
            .map(|value| (value * 7 % 11) as f32 - 5.0)
            .collect();
        let tensor = Tensor::<D>::from_data(TensorData::new(values, shape), &crate::device());
        tensor.try_into_primitive::<Flex>().unwrap()
    }

    fn values<const D: usize>(x: FloatTensor<Flex>) -> Vec<f32> {
        let tensor = Tensor::<D>::from_primitive::<Flex>(x);
        tensor.into_data().try_into_vec().unwrap()
    }

    fn spec(stride: usize) -> ConvSpec {
        ConvSpec {
            stride: [stride; 2],
            padding: Padding::Each([1; 2]),
            dilation: [1; 2],
            groups: 1,
        }
    }

    #[test]
    fn images_in_parts_give_what_all_at_once_do() {
        let shape = [5, 6, 4, 2];
        for stride in [1, 2] {
            let [height, width] = spec(stride).output_size([6, 4], [3; 2]);
            let at_once = |images: usize| {
                let most = images * height * width * 18;
                let windows = Windows::new(shape, [3; 2], spec(stride), most);
                let rows = rows_of::<Flex>(numbers(WEIGHT));
                let result = correlated::<Flex>(numbers(shape), rows, &windows);
                let gradient = numbers([5, height, width, 3]);
                let by_weight = summed_products::<Flex>(numbers(shape), gradient, WEIGHT, &windows);
                let parts = windows.parts().count();
                (parts, values::<4>(result), values::<4>(by_weight))
            };
            let (parts, result, by_weight) = at_once(9);
            assert_eq!(parts, 1);
            // With room for none, each image goes through by itself.
            for (images, expected) in [(2, 3), (0, 5)] {
                let found = at_once(images);
                assert_eq!(found.0, expected);
                assert!(found.1 == result && found.2 == by_weight);
            }
        }
    }

    #[test]
    fn many_rows_are_multiplied_in_parts() {
        let (rows, m, n) = (3 * FEWEST_ROWS, 2, 3);
        let product = product_over_rows::<Flex>(numbers([rows, m]), numbers([rows, n]));
        let [a, b] = [m, n].map(|width| values::<2>(numbers([rows, width])));
        let mut expected = vec![0.0; m * n];
        for row in 0..rows {
            for (index, sum) in expected.iter_mut().enumerate() {
                *sum += a[row * m + index / n] * b[row * n + index % n];
            }
        }
        assert_eq!(values::<2>(product), expected);
    }
}
