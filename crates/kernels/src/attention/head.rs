//! One head of one image: its places in memory, and its rows in the order the products read them.

use std::ops::Range;

use super::geometry::Attention;
use crate::pack::PANEL;

/// Tokens that are transposed at a time.
const TOGETHER: usize = 4;

/// The parts of `qkv`, in their order.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Query,
    Key,
    Value,
}

/// One head of one image.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub geometry: Attention,
    image: usize,
    index: usize,
}

impl Head {
    /// The heads of all images are numbered image by image.
    pub(super) fn new(geometry: &Attention, number: usize) -> Self {
        Self {
            geometry: *geometry,
            image: number / geometry.heads,
            index: number % geometry.heads,
        }
    }

    /// The factor of its scores.
    pub(super) fn scale(self) -> f32 {
        (1.0 / (self.geometry.head_channels as f64).sqrt()) as f32
    }

    /// The place in `qkv` of a token's first channel.
    pub(super) fn place(self, token: usize, part: Part) -> usize {
        let geometry = self.geometry;
        let row = (self.image * geometry.tokens + token) * 3 + part as usize;
        (row * geometry.heads + self.index) * geometry.head_channels
    }

    /// The place in the result of a token's first channel.
    pub(super) fn place_in_result(self, token: usize) -> usize {
        let geometry = self.geometry;
        let row = self.image * geometry.tokens + token;
        (row * geometry.heads + self.index) * geometry.head_channels
    }

    /// Values from one token to the next in the result.
    pub(super) fn result_pitch(self) -> usize {
        self.geometry.heads * self.geometry.head_channels
    }

    /// Values from one token to the next in `qkv`.
    pub(super) fn pitch(self) -> usize {
        3 * self.result_pitch()
    }

    /// The rows of a part.
    pub(super) fn rows(self, qkv: &[f32], part: Part) -> Rows<'_> {
        Rows {
            values: &qkv[self.place(0, part)..],
            pitch: self.pitch(),
            geometry: self.geometry,
        }
    }

    /// The rows of the result, or of its gradient.
    pub(super) fn result_rows(self, result: &[f32]) -> Rows<'_> {
        Rows {
            values: &result[self.place_in_result(0)..],
            pitch: self.result_pitch(),
            geometry: self.geometry,
        }
    }
}

/// A row of channels for each token of a head, with other channels between them.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// From the first row on.
    values: &'a [f32],
    pitch: usize,
    geometry: Attention,
}

impl<'a> Rows<'a> {
    fn row(self, token: usize) -> &'a [f32] {
        &self.values[token * self.pitch..][..self.geometry.head_channels]
    }

    /// Copies the rows in `range` times `factor` as `[range, padded_channels]`, with zeros behind the
    /// channels.
    pub(super) fn copy(self, range: Range<usize>, factor: f32, copied: &mut [f32]) {
        let copied = copied.chunks_exact_mut(self.geometry.padded_channels());
        for (token, copied) in range.zip(copied) {
            scale(self.row(token), factor, copied);
        }
    }

    /// Packs the rows times `factor` as `[panel of channels, token, PANEL]`, the last panel filled up
    /// with zeros.
    pub(super) fn pack(self, factor: f32, packed: &mut [f32]) {
        let panels = packed.chunks_exact_mut(self.geometry.tokens * PANEL);
        for (panel, packed) in panels.enumerate() {
            let first = panel * PANEL;
            let columns = PANEL.min(self.geometry.head_channels - first);
            for (token, packed) in packed.chunks_exact_mut(PANEL).enumerate() {
                scale(&self.row(token)[first..][..columns], factor, packed);
            }
        }
    }

    /// Packs the rows as `[panel of tokens, channel, PANEL]`, the last panel filled up with zeros.
    pub(super) fn pack_transposed(self, packed: &mut [f32]) {
        let Attention {
            tokens,
            head_channels,
            ..
        } = self.geometry;
        let zeros = vec![0.0; head_channels];
        let panels = packed.chunks_exact_mut(head_channels * PANEL);
        for (panel, packed) in panels.enumerate() {
            for column in (0..PANEL).step_by(TOGETHER) {
                let first = panel * PANEL + column;
                let rows: [&[f32]; TOGETHER] = std::array::from_fn(|index| {
                    let token = first + index;
                    if token < tokens {
                        self.row(token)
                    } else {
                        zeros.as_slice()
                    }
                });
                let [a, b, c, d] = rows;
                let places = packed.chunks_exact_mut(PANEL);
                for ((((place, a), b), c), d) in places.zip(a).zip(b).zip(c).zip(d) {
                    place[column..][..TOGETHER].copy_from_slice(&[*a, *b, *c, *d]);
                }
            }
        }
    }
}

/// Writes `factor · row` and fills the rest of `scaled` with zeros.
fn scale(row: &[f32], factor: f32, scaled: &mut [f32]) {
    let (values, rest) = scaled.split_at_mut(row.len());
    for (scaled, value) in values.iter_mut().zip(row) {
        *scaled = value * factor;
    }
    rest.fill(0.0);
}
