//! Antialiased resizing of 8-bit pictures, with the very values that Pillow gives.
//!
//! Two separable passes, columns first. Shrinking widens the filter by the scale, so that every
//! source pixel has its say; the weights of one output pixel sum to one, are rounded to 22 binary
//! places, and each pass rounds its sums to 8 bits. Pretrained networks are evaluated on pictures
//! made this way, and one level of difference in every pixel is what a 16-bit weight would cost.

use crate::rgb_image::{Region, RgbImage};
use serde::{Deserialize, Serialize};

/// How values between pixels are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Linear between two pixels: torchvision's default.
    Bilinear,
    /// Cubic convolution over four pixels with a = -0.5 (Keys, 1981): timm's default.
    Bicubic,
}

impl Interpolation {
    /// Reach of the filter to either side, in pixels of the coarser of the two grids.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            _ => 0.0,
        }
    }
}

/// Binary places of a weight: 8 bits of value, 2 bits of headroom for cubic overshoot, 22 here
/// fill an `i32`.
const PRECISION: u32 = 22;
const HALF: i32 = 1 << (PRECISION - 1);

/// Rows that the horizontal pass takes at once, so that its sums run in vector lanes.
const ROWS: usize = 8;

/// Values of a row that the vertical pass takes at once.
const LANES: usize = 32;

/// The source pixels that one output pixel is made of.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The taps of the output pixels `window` of an axis of `from` pixels resized to `to`.
fn taps(from: usize, to: usize, window: std::ops::Range<usize>, filter: Interpolation) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let shrink = 1.0 / stretch;
    window
        .map(|index| {
            let center = (index as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let exact: Vec<f64> = (first..end)
                .map(|x| filter.weight((x as f64 - center + 0.5) * shrink))
                .collect();
            let sum: f64 = exact.iter().sum();
            let unit = f64::from(1u32 << PRECISION);
            let fixed = |w: f64| {
                let scaled = w / sum * unit;
                (scaled + 0.5f64.copysign(scaled)) as i32
            };
            Taps { first, weights: exact.into_iter().map(fixed).collect() }
        })
        .collect()
}

fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Resizes `region` of `source` to `width` × `height` and returns the part `window` of the result.
///
/// Pixels outside of `region` have no influence, as if it had been cut out first; only what
/// `window` needs is computed. `region` must be non-empty and lie in `source`, `window` in the
/// result.
pub fn resize(
    source: &RgbImage,
    region: Region,
    (width, height): (usize, usize),
    window: Region,
    filter: Interpolation,
) -> RgbImage {
    let columns = taps(region.width, width, window.left..window.left + window.width, filter);
    let mut rows = taps(region.height, height, window.top..window.top + window.height, filter);
    let first_row = rows.first().map_or(0, |t| t.first);
    let end_row = rows.last().map_or(0, |t| t.first + t.weights.len());
    for tap in &mut rows {
        tap.first -= first_row;
    }
    let needed = Region {
        top: region.top + first_row,
        height: end_row - first_row,
        ..region
    };
    pulp::Arch::new().dispatch(Passes { source, region: needed, columns: &columns, rows: &rows })
}

/// Both passes, compiled once for every vector instruction set; integer sums are the same in all.
struct Passes<'a> {
    source: &'a RgbImage,
    region: Region,
    columns: &'a [Taps],
    rows: &'a [Taps],
}

impl pulp::WithSimd for Passes<'_> {
    type Output = RgbImage;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> RgbImage {
        let width = self.columns.len();
        let stride = (width * 3).next_multiple_of(LANES);
        let narrow = resize_columns(self.source, self.region, self.columns, stride);
        resize_rows(&narrow, stride, width, self.rows)
    }
}

/// Adds `weight * value` of one tap to the sums of neighbouring outputs.
#[inline(always)]
fn accumulate<const LANES: usize>(sums: &mut [i32; LANES], values: &[u8; LANES], weight: i32) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += i32::from(value) * weight;
    }
}

/// The horizontal pass over `region`; rows of the result are `stride` values apart.
#[inline(always)]
fn resize_columns(source: &RgbImage, region: Region, columns: &[Taps], stride: usize) -> Vec<u8> {
    let mut result = vec![0; stride * region.height];
    // `[column, channel, row]`, so that the lanes of a sum are the same pixel of several rows.
    let mut block = vec![[0u8; 3 * ROWS]; region.width];
    for (index, target) in result.chunks_mut(stride * ROWS).enumerate() {
        let top = region.top + index * ROWS;
        let count = target.len() / stride;
        for lane in 0..count {
            let row = &source.row(top + lane)[region.left * 3..][..region.width * 3];
            for (column, pixel) in block.iter_mut().zip(row.chunks_exact(3)) {
                column[lane] = pixel[0];
                column[ROWS + lane] = pixel[1];
                column[2 * ROWS + lane] = pixel[2];
            }
        }
        for (x, tap) in columns.iter().enumerate() {
            let mut sums = [HALF; 3 * ROWS];
            for (column, &weight) in block[tap.first..].iter().zip(&tap.weights) {
                accumulate(&mut sums, column, weight);
            }
            let values = sums.map(rounded);
            for (lane, row) in target.chunks_exact_mut(stride).enumerate() {
                for channel in 0..3 {
                    row[x * 3 + channel] = values[channel * ROWS + lane];
                }
            }
        }
    }
    result
}

/// The vertical pass over rows `stride` values apart, a multiple of [`LANES`].
#[inline(always)]
fn resize_rows(source: &[u8], stride: usize, width: usize, rows: &[Taps]) -> RgbImage {
    let mut result = RgbImage::black(width, rows.len());
    for (target, tap) in result.pixels.chunks_mut(width * 3).zip(rows) {
        let source = &source[tap.first * stride..];
        for (part, values) in target.chunks_mut(LANES).enumerate() {
            let mut sums = [HALF; LANES];
            for (row, &weight) in source.chunks_exact(stride).zip(&tap.weights) {
                let (lanes, _) = row.as_chunks();
                accumulate(&mut sums, &lanes[part], weight);
            }
            values.copy_from_slice(&sums.map(rounded)[..values.len()]);
        }
    }
    result
}
