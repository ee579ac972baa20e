//! Layers that give values other places.

use std::ops::Range;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, Slice};

use crate::ops::list::Tensors;

/// See [`VisionOps::concatenate`](crate::ops::VisionOps::concatenate).
pub fn concatenate<B: Backend>(maps: Tensors<B>) -> FloatTensor<B> {
    B::float_cat(maps.into_tensors().collect(), 3)
}

/// See [`VisionOps::split_channels`](crate::ops::VisionOps::split_channels).
pub fn split_channels<B: Backend>(x: FloatTensor<B>, parts: Vec<Range<usize>>) -> Tensors<B> {
    let [batch, height, width, _] = x.shape().dims();
    let parts = parts.into_iter().map(|part| {
        let slices = [0..batch, 0..height, 0..width, part].map(Slice::from);
        B::float_slice(x.clone(), &slices)
    });
    parts.collect()
}

/// See [`VisionOps::upsample`](crate::ops::VisionOps::upsample).
pub fn upsample<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, height, width, channels] = x.shape().dims();
    let columns = B::float_reshape(x, Shape::new([batch * height, width, 1, channels]));
    let columns = B::float_cat(vec![columns.clone(), columns], 2);
    let rows = B::float_reshape(
        columns,
        Shape::new([batch, height, 1, 2 * width * channels]),
    );
    let rows = B::float_cat(vec![rows.clone(), rows], 2);
    B::float_reshape(rows, Shape::new([batch, 2 * height, 2 * width, channels]))
}

/// See [`VisionOps::upsample_backward`](crate::ops::VisionOps::upsample_backward).
pub fn upsample_backward<B: Backend>(gradient: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, height, width, channels] = gradient.shape().dims();
    let (rows, columns) = (height / 2, width / 2);
    let blocks = Shape::new([batch, rows, 2, columns, 2, channels]);
    let blocks = B::float_reshape(gradient, blocks);
    let sums = B::float_sum_dim(B::float_sum_dim(blocks, 2), 4);
    B::float_reshape(sums, Shape::new([batch, rows, columns, channels]))
}

/// See [`VisionOps::reverse_channels`](crate::ops::VisionOps::reverse_channels).
pub fn reverse_channels<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_flip(x, &[3])
}

/// See [`VisionOps::space_to_depth`](crate::ops::VisionOps::space_to_depth).
pub fn space_to_depth<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, height, width, channels] = x.shape().dims();
    let (rows, columns) = (height / 2, width / 2);
    let blocks = B::float_reshape(x, Shape::new([batch, rows, 2, columns, 2, channels]));
    // A block's left column comes before the right one.
    let blocks = B::float_permute(blocks, &[0, 1, 3, 4, 2, 5]);
    B::float_reshape(blocks, Shape::new([batch, rows, columns, 4 * channels]))
}

/// See [`VisionOps::depth_to_space`](crate::ops::VisionOps::depth_to_space).
pub fn depth_to_space<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, rows, columns, channels] = x.shape().dims();
    let blocks = Shape::new([batch, rows, columns, 2, 2, channels / 4]);
    let blocks = B::float_permute(B::float_reshape(x, blocks), &[0, 1, 4, 2, 3, 5]);
    let shape = Shape::new([batch, 2 * rows, 2 * columns, channels / 4]);
    B::float_reshape(blocks, shape)
}
