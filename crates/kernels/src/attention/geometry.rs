//! The shape of attention, and of what a task needs for it.

use super::product::Multiply;
use crate::pack::PANEL;
use crate::product::TILE_ROWS;
use crate::simd::dispatch;

/// Scores of a tile: they stay in the L2 cache beside the keys and values of a head.
const TILE_SCORES: usize = 48 * 1024;
/// Query tokens of a tile.
const TILE_TOKENS: (usize, usize) = (TILE_ROWS, 4 * TILE_ROWS);

/// The shape of multi-head attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Number of images.
    pub batch: usize,
    /// Tokens of an image. Each of them attends to all of them.
    pub tokens: usize,
    /// Heads of a token.
    pub heads: usize,
    /// Channels of the query, of the key and of the value of one head.
    pub head_channels: usize,
}

impl Attention {
    pub(super) fn result_len(&self) -> usize {
        self.batch * self.tokens * self.heads * self.head_channels
    }

    pub(super) fn check(&self, qkv: &[f32]) {
        let expected = 3 * self.result_len();
        assert_eq!(qkv.len(), expected, "qkv has the shape of the attention");
    }

    /// Query tokens of a tile. They depend on the number of tokens alone.
    pub(super) fn tile_tokens(&self) -> usize {
        let tokens = (TILE_SCORES / self.score_pitch()).clamp(TILE_TOKENS.0, TILE_TOKENS.1);
        tokens / TILE_ROWS * TILE_ROWS
    }

    /// Values from one row of scores to the next: an odd number of cache lines, so that the rows of
    /// a register tile do not compete for the same few places in the cache.
    pub(super) fn score_pitch(&self) -> usize {
        const LINE: usize = 16;
        let lines = self.padded_tokens().div_ceil(LINE);
        (lines | 1) * LINE
    }

    /// Tokens in whole register tiles, at every SIMD level.
    pub(super) fn padded_tokens(&self) -> usize {
        self.tokens.next_multiple_of(TILE_ROWS)
    }

    /// Channels of a head in whole panels.
    pub(super) fn padded_channels(&self) -> usize {
        self.head_channels.next_multiple_of(PANEL)
    }

    /// Length of [`Rows::pack`](head::Rows::pack)'s result.
    pub(super) fn packed_len(&self) -> usize {
        self.tokens * self.padded_channels()
    }

    /// Length of [`Rows::pack_transposed`](head::Rows::pack_transposed)'s result.
    pub(super) fn transposed_len(&self) -> usize {
        self.tokens.next_multiple_of(PANEL) * self.head_channels
    }

    /// Length of the rows of a tile, `[tile_tokens, padded_channels]`.
    pub(super) fn tile_len(&self) -> usize {
        self.tile_tokens() * self.padded_channels()
    }

    /// Length of the scores of a tile, `[tile_tokens, score_pitch]`.
    pub(super) fn scores_len(&self) -> usize {
        self.tile_tokens() * self.score_pitch()
    }

    /// The product of `count` rows `[count, padded_channels]` of a tile with the transposed rows of
    /// all tokens, as scores.
    pub(super) fn score(&self, rows: &[f32], count: usize, transposed: &[f32], scores: &mut [f32]) {
        assert!(scores.len() >= count * self.score_pitch());
        dispatch(Multiply {
            rows,
            row_pitch: self.padded_channels(),
            count,
            depth: self.head_channels,
            packed: transposed,
            columns: self.tokens,
            factors: None,
            destination: scores.as_mut_ptr(),
            destination_pitch: self.score_pitch(),
        });
    }
}
