//! The backward pass of one head.
//!
//! With `P` the softmax of the scores `S = Q Kᵀ / √head_channels`, the result `O = P V` and the
//! gradients of all these written `dO` and so on: `dV = Pᵀ dO`, `dP = dO Vᵀ`, `dS = P · (dP - Σ P ·
//! dP)` with the sum over each row, `dQ = dS K / √head_channels`, `dK = dSᵀ Q / √head_channels`.
#![allow(unsafe_code, reason = "the result is written tile by tile")]

use super::head::{Head, Part};
use super::product::{AddOuterProducts, Multiply};
use super::softmax::{Exponentials, ScoreGradients};
use crate::memory::{Output, split, with_scratch};
use crate::simd::dispatch;

/// Writes the gradients of the head's queries, keys and values.
pub(super) fn attend_backward(head: Head, gradient: &[f32], qkv: &[f32], grad_qkv: Output) {
    let geometry = head.geometry;
    let width = geometry.padded_channels();
    let pitch = geometry.score_pitch();
    let sums_len = geometry.padded_tokens() * width;
    let lens = [
        geometry.transposed_len(),
        geometry.transposed_len(),
        geometry.packed_len(),
        sums_len,
        sums_len,
        geometry.tile_len(),
        geometry.tile_len(),
        geometry.scores_len(),
        geometry.scores_len(),
        geometry.tile_tokens(),
    ];
    with_scratch(lens.iter().sum(), |scratch| {
        let [
            keys_transposed,
            values_transposed,
            keys,
            grad_keys,
            grad_values,
            queries,
            grad_rows,
            shares,
            grad_scores,
            inverses,
        ] = split(scratch, lens);
        let scale = head.scale();
        head.rows(qkv, Part::Key).pack_transposed(keys_transposed);
        head.rows(qkv, Part::Value)
            .pack_transposed(values_transposed);
        // Keys and queries are scaled before their products with the gradient of the scores.
        head.rows(qkv, Part::Key).pack(scale, keys);
        grad_keys.fill(0.0);
        grad_values.fill(0.0);
        for first in (0..geometry.tokens).step_by(geometry.tile_tokens()) {
            let count = geometry.tile_tokens().min(geometry.tokens - first);
            let range = first..first + count;
            let inverses = &mut inverses[..count];
            let rows = head.rows(qkv, Part::Query);
            rows.copy(range.clone(), scale, queries);
            head.result_rows(gradient).copy(range, 1.0, grad_rows);
            geometry.score(queries, count, keys_transposed, shares);
            geometry.score(grad_rows, count, values_transposed, grad_scores);
            dispatch(Exponentials {
                scores: shares,
                pitch,
                tokens: geometry.tokens,
                inverses,
            });
            dispatch(ScoreGradients {
                exponentials: shares,
                inverses,
                gradients: grad_scores,
                pitch,
                tokens: geometry.tokens,
            });
            dispatch(Multiply {
                rows: grad_scores,
                row_pitch: pitch,
                count,
                depth: geometry.tokens,
                packed: keys,
                columns: geometry.head_channels,
                factors: None,
                // SAFETY: a token of the gradient; this head's channels belong to this task.
                destination: unsafe { grad_qkv.at(head.place(first, Part::Query)) },
                destination_pitch: head.pitch(),
            });
            dispatch(AddOuterProducts {
                left: shares,
                left_pitch: pitch,
                right: grad_rows,
                steps: count,
                rows: geometry.tokens,
                columns: geometry.head_channels,
                width,
                sums: grad_values,
            });
            dispatch(AddOuterProducts {
                left: grad_scores,
                left_pitch: pitch,
                right: queries,
                steps: count,
                rows: geometry.tokens,
                columns: geometry.head_channels,
                width,
                sums: grad_keys,
            });
        }
        write(head, Part::Key, grad_keys, grad_qkv);
        write(head, Part::Value, grad_values, grad_qkv);
    });
}

/// Writes a part of the gradient from its sums `[tokens, padded_channels]`.
fn write(head: Head, part: Part, sums: &[f32], grad_qkv: Output) {
    let geometry = head.geometry;
    let rows = sums.chunks_exact(geometry.padded_channels());
    for (token, row) in rows.take(geometry.tokens).enumerate() {
        let row = &row[..geometry.head_channels];
        // SAFETY: a token of the gradient; this head's channels belong to this task.
        unsafe {
            let place = grad_qkv.at(head.place(token, part));
            place.copy_from_nonoverlapping(row.as_ptr(), row.len());
        }
    }
}
