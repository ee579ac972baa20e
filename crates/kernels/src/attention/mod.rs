//! Multi-head attention of the tokens of an image to each other.
//!
//! Vaswani and others, "Attention Is All You Need", 2017 (arXiv 1706.03762), sections 3.2.1 and
//! 3.2.2, between the two linear layers: `softmax(Q Kᵀ / √head_channels) V` for each head.
//!
//! Scores exist for one tile of query tokens at a time, against all keys of one head of one image.
//! The backward pass computes them again. What a query token gets depends neither on the tile that
//! it is in nor on other images; the gradients of keys and values are summed over the tiles in
//! order, within one task. So an image has the same bits in any batch and on any number of threads.
#![allow(unsafe_code, reason = "tasks write disjoint parts of one result")]

mod backward;
mod forward;
mod geometry;
mod head;
mod product;
mod softmax;

use rayon::prelude::*;

use crate::memory::Unwritten;
pub use geometry::Attention;
use head::Head;

/// With fewer heads of images than this for a thread, tasks of the forward pass are parts of heads.
const TASKS_PER_THREAD: usize = 3;

/// The attention's result `[batch, tokens, heads, head_channels]`, given `qkv`: queries, keys and
/// values `[batch, tokens, 3, heads, head_channels]`, in this order. A key whose score is 87 or more
/// below the largest one of its query has no weight.
///
/// Each thread needs scratch space of 2 · `tokens` · `head_channels` values and up to 48 ·
/// (`tokens` + `head_channels`) more.
///
/// # Panics
/// If `qkv` does not have the length of its shape.
pub fn attention(geometry: &Attention, qkv: &[f32]) -> Vec<f32> {
    geometry.check(qkv);
    let len = geometry.result_len();
    if len == 0 {
        return Vec::new();
    }
    let mut result = Unwritten::new(len);
    let output = result.output();
    let heads = geometry.batch * geometry.heads;
    let tiles = geometry.tokens.div_ceil(geometry.tile_tokens());
    // Every part packs the keys and values again, so there are no more than needed. It is not the
    // shape alone that decides, but a token's result does not depend on its part.
    let parts = (TASKS_PER_THREAD * rayon::current_num_threads()).div_ceil(heads);
    let part_tokens = tiles.div_ceil(parts.min(tiles)) * geometry.tile_tokens();
    let parts = geometry.tokens.div_ceil(part_tokens);
    let tasks = (0..heads * parts).into_par_iter().with_max_len(1);
    tasks.for_each(|task| {
        let head = Head::new(geometry, task / parts);
        let first = task % parts * part_tokens;
        let tokens = first..geometry.tokens.min(first + part_tokens);
        forward::attend(head, qkv, tokens, output);
    });
    // SAFETY: the tasks cover all tokens of all heads.
    unsafe { result.written(len) }
}

/// The gradient of [`attention`]'s `qkv`, in its order, given that of its result. The softmax is
/// computed again from `qkv`.
///
/// Each thread needs scratch space of 5 · `tokens` · `head_channels` values and up to 96 ·
/// (`tokens` + `head_channels`) more.
///
/// # Panics
/// If `qkv` or `gradient` does not have the length of its shape.
pub fn attention_backward(geometry: &Attention, gradient: &[f32], qkv: &[f32]) -> Vec<f32> {
    geometry.check(qkv);
    let len = geometry.result_len();
    assert_eq!(gradient.len(), len, "the gradient has the result's shape");
    if len == 0 {
        return Vec::new();
    }
    let mut grad_qkv = Unwritten::new(3 * len);
    let output = grad_qkv.output();
    let heads = (0..geometry.batch * geometry.heads).into_par_iter();
    heads.with_max_len(1).for_each(|number| {
        let head = Head::new(geometry, number);
        backward::attend_backward(head, gradient, qkv, output);
    });
    // SAFETY: the tasks cover queries, keys and values of all heads.
    unsafe { grad_qkv.written(3 * len) }
}
