//! The forward pass of some tokens of one head.
#![allow(unsafe_code, reason = "the result is written tile by tile")]

use std::ops::Range;

use super::head::{Head, Part};
use super::product::Multiply;
use super::softmax::Exponentials;
use crate::memory::{Output, split, with_scratch};
use crate::simd::dispatch;

/// Writes the result of the query tokens in `tokens`, which start with a tile.
pub(super) fn attend(head: Head, qkv: &[f32], tokens: Range<usize>, result: Output) {
    let geometry = head.geometry;
    let lens = [
        geometry.transposed_len(),
        geometry.packed_len(),
        geometry.tile_len(),
        geometry.scores_len(),
        geometry.tile_tokens(),
    ];
    with_scratch(lens.iter().sum(), |scratch| {
        let [keys, values, queries, scores, inverses] = split(scratch, lens);
        head.rows(qkv, Part::Key).pack_transposed(keys);
        head.rows(qkv, Part::Value).pack(1.0, values);
        for first in tokens.clone().step_by(geometry.tile_tokens()) {
            let count = geometry.tile_tokens().min(tokens.end - first);
            let inverses = &mut inverses[..count];
            let rows = head.rows(qkv, Part::Query);
            rows.copy(first..first + count, head.scale(), queries);
            geometry.score(queries, count, keys, scores);
            dispatch(Exponentials {
                scores,
                pitch: geometry.score_pitch(),
                tokens: geometry.tokens,
                inverses,
            });
            dispatch(Multiply {
                rows: scores,
                row_pitch: geometry.score_pitch(),
                count,
                depth: geometry.tokens,
                packed: values,
                columns: geometry.head_channels,
                factors: Some(inverses),
                // SAFETY: a token of the result; this head's channels of the tile belong to this
                // task.
                destination: unsafe { result.at(head.place_in_result(first)) },
                destination_pitch: head.result_pitch(),
            });
        }
    });
}
