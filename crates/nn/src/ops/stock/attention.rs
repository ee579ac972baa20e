//! Attention.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, Slice};

use crate::ops::format::{in_format, single};

/// Queries, keys and values of each head, `[batch, heads, tokens, channels / heads]`.
fn projections<B: Backend>(qkv: FloatTensor<B>, heads: usize) -> [FloatTensor<B>; 3] {
    let [batch, height, width, channels] = qkv.shape().dims();
    let (tokens, size) = (height * width, channels / (3 * heads));
    let parts = B::float_reshape(qkv, Shape::new([batch, tokens, 3, heads, size]));
    [0, 1, 2].map(|index| {
        let slices = [0..batch, 0..tokens, index..index + 1, 0..heads, 0..size];
        let part = B::float_slice(parts.clone(), &slices.map(Slice::from));
        let part = B::float_reshape(part, Shape::new([batch, tokens, heads, size]));
        B::float_permute(part, &[0, 2, 1, 3])
    })
}

/// The share of each token in each query's result, in f32. `queries` are scaled.
fn shares<B: Backend>(queries: FloatTensor<B>, keys: FloatTensor<B>) -> FloatTensor<B> {
    let scores = B::float_matmul(queries, transposed::<B>(keys));
    B::softmax(single::<B>(scores), 3)
}

fn transposed<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_swap_dims(x, 2, 3)
}

/// `1 / √size` of a head with so many channels.
fn scale(size: usize) -> f64 {
    1.0 / (size as f64).sqrt()
}

/// See [`VisionOps::self_attention`](crate::ops::VisionOps::self_attention).
pub fn attention<B: Backend>(qkv: FloatTensor<B>, heads: usize) -> FloatTensor<B> {
    let format = qkv.dtype();
    let [batch, height, width, channels] = qkv.shape().dims();
    let [queries, keys, values] = projections::<B>(qkv, heads);
    let queries = B::float_mul_scalar(queries, scale(channels / (3 * heads)).into());
    let shares = in_format::<B>(shares::<B>(queries, keys), format);
    let output = B::float_matmul(shares, values);
    B::float_reshape(
        B::float_permute(output, &[0, 2, 1, 3]),
        Shape::new([batch, height, width, channels / 3]),
    )
}

/// See [`VisionOps::self_attention_backward`](crate::ops::VisionOps::self_attention_backward).
pub fn attention_backward<B: Backend>(
    gradient: FloatTensor<B>,
    qkv: FloatTensor<B>,
    heads: usize,
) -> FloatTensor<B> {
    let format = qkv.dtype();
    let shape = qkv.shape();
    let [batch, height, width, channels] = shape.dims();
    let (tokens, size) = (height * width, channels / (3 * heads));
    let [queries, keys, values] = projections::<B>(qkv, heads);
    let queries = B::float_mul_scalar(queries, scale(size).into());
    let shares = shares::<B>(queries.clone(), keys.clone());
    let gradient = B::float_reshape(gradient, Shape::new([batch, tokens, heads, size]));
    let gradient = B::float_permute(gradient, &[0, 2, 1, 3]);
    let by_values = B::float_matmul(
        transposed::<B>(in_format::<B>(shares.clone(), format)),
        gradient.clone(),
    );
    let by_shares = single::<B>(B::float_matmul(gradient, transposed::<B>(values)));
    let sums = B::float_sum_dim(B::float_mul(by_shares.clone(), shares.clone()), 3);
    let by_scores = B::float_mul(shares, B::float_sub(by_shares, sums));
    let by_scores = in_format::<B>(by_scores, format);
    let by_keys = B::float_matmul(transposed::<B>(by_scores.clone()), queries);
    let by_queries = B::float_matmul(by_scores, keys);
    let by_queries = B::float_mul_scalar(by_queries, scale(size).into());
    let parts = [by_queries, by_keys, by_values].map(|part| {
        let part = B::float_permute(part, &[0, 2, 1, 3]);
        B::float_reshape(part, Shape::new([batch, tokens, 1, heads, size]))
    });
    B::float_reshape(B::float_cat(parts.into(), 2), shape)
}
