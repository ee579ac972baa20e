//! Attention.

use burn::backend::ops::AttentionModuleOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, Slice};

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

/// See [`VisionOps::self_attention`](crate::ops::VisionOps::self_attention).
pub fn attention<B: Backend>(qkv: FloatTensor<B>, heads: usize) -> FloatTensor<B> {
    let [batch, height, width, channels] = qkv.shape().dims();
    let [queries, keys, values] = projections::<B>(qkv, heads);
    let options = AttentionModuleOptions::default();
    let output = B::attention(queries, keys, values, None, None, options);
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
    let shape = qkv.shape();
    let [batch, height, width, channels] = shape.dims();
    let (tokens, size) = (height * width, channels / (3 * heads));
    let scale = 1.0 / (size as f64).sqrt();
    let transposed = |x: FloatTensor<B>| B::float_swap_dims(x, 2, 3);
    let [queries, keys, values] = projections::<B>(qkv, heads);
    let queries = B::float_mul_scalar(queries, scale.into());
    let scores = B::float_matmul(queries.clone(), transposed(keys.clone()));
    let shares = B::softmax(scores, 3);
    let gradient = B::float_reshape(gradient, Shape::new([batch, tokens, heads, size]));
    let gradient = B::float_permute(gradient, &[0, 2, 1, 3]);
    let by_values = B::float_matmul(transposed(shares.clone()), gradient.clone());
    let by_shares = B::float_matmul(gradient, transposed(values));
    let sums = B::float_sum_dim(B::float_mul(by_shares.clone(), shares.clone()), 3);
    let by_scores = B::float_mul(shares, B::float_sub(by_shares, sums));
    let by_keys = B::float_matmul(transposed(by_scores.clone()), queries);
    let by_queries = B::float_matmul(by_scores, keys);
    let by_queries = B::float_mul_scalar(by_queries, scale.into());
    let parts = [by_queries, by_keys, by_values].map(|part| {
        let part = B::float_permute(part, &[0, 2, 1, 3]);
        B::float_reshape(part, Shape::new([batch, tokens, 1, heads, size]))
    });
    B::float_reshape(B::float_cat(parts.into(), 2), shape)
}
