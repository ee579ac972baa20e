//! Antialiased resizing of 8-bit pictures, with the very values that Pillow gives.
//!
//! Two separable passes, columns first. Shrinking widens the filter by the scale, so that every
//! source pixel has its say; the weights of one output pixel sum to one, are rounded to 22 binary
//! places, and each pass rounds its sums to 8 bits. Pretrained networks are evaluated on pictures
//! made this way, and one level of difference in every pixel is what a 16-bit weight would cost.

use crate::rgb_image::{Region, RgbImage};
use serde::{Deserialize, Serialize};

/// The filter that gives values between pixels.
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
            Self::Bilinear | Self::Bicubic => 0.0,
        }
    }
}

/// Binary places of a weight: 8 bits of value, 2 bits of headroom for cubic overshoot, 22 here
/// fill an `i32`.
const PRECISION: u32 = 22;
const HALF: i32 = 1 << (PRECISION - 1);

/// Rows that the horizontal pass takes at once, so that its sums run in vector lanes.
const ROWS: usize = 16;

/// Values of a row that the vertical pass takes at once.
const LANES: usize = 32;

/// The source pixels that one output pixel is made of.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The taps of the output pixels `window` of an axis of `from` pixels resized to `to`.
fn taps(
    from: usize,
    to: usize,
    window: std::ops::Range<usize>,
    filter: Interpolation,
) -> Vec<Taps> {
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
            Taps {
                first,
                weights: exact.into_iter().map(fixed).collect(),
            }
        })
        .collect()
}

#[inline(always)]
fn rounded<const LANES: usize>(sums: &[i32; LANES]) -> [u8; LANES] {
    let mut values = [0; LANES];
    for (value, sum) in values.iter_mut().zip(sums) {
        *value = (sum >> PRECISION).clamp(0, 255) as u8;
    }
    values
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
    let columns = taps(
        region.width,
        width,
        window.left..window.left + window.width,
        filter,
    );
    let mut rows = taps(
        region.height,
        height,
        window.top..window.top + window.height,
        filter,
    );
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
    pulp::Arch::new().dispatch(Passes {
        source,
        region: needed,
        columns: &columns,
        rows: &rows,
    })
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

/// Turns 8 rows of 8 bytes into 8 columns, by swapping ever larger halves of ever larger squares
/// (Warren, Hacker's Delight, 7-3).
#[inline(always)]
fn transposed(mut square: [u64; 8]) -> [u64; 8] {
    for (distance, mask, lows) in [
        (1, 0x00ff_00ff_00ff_00ff, [0, 2, 4, 6]),
        (2, 0x0000_ffff_0000_ffff, [0, 1, 4, 5]),
        (4, 0x0000_0000_ffff_ffff, [0, 1, 2, 3]),
    ] {
        for low in lows {
            let high = low + distance;
            let swap = ((square[low] >> (8 * distance)) ^ square[high]) & mask;
            square[high] ^= swap;
            square[low] ^= swap << (8 * distance);
        }
    }
    square
}

/// Fills `block[value of a row][row]` from up to [`ROWS`] rows of `source`, so that the lanes of a
/// sum are the same value of several rows.
#[inline(always)]
fn load_rows(block: &mut [[u8; ROWS]], source: &RgbImage, region: Region) {
    let values = region.width * 3;
    for group in 0..ROWS / 8 {
        let rows: [&[u8]; 8] = std::array::from_fn(|lane| {
            // Lanes past the last row repeat it; nobody reads them.
            let row = (group * 8 + lane).min(region.height - 1);
            &source.row(region.top + row)[region.left * 3..][..values]
        });
        let (squares, _) = block.as_chunks_mut::<8>();
        for (index, columns) in squares.iter_mut().enumerate() {
            let mut square = [0; 8];
            for (bytes, row) in square.iter_mut().zip(rows) {
                *bytes = match row[index * 8..].first_chunk() {
                    Some(whole) => u64::from_le_bytes(*whole),
                    None => {
                        let mut part = [0; 8];
                        part[..values - index * 8].copy_from_slice(&row[index * 8..]);
                        u64::from_le_bytes(part)
                    }
                };
            }
            for (column, lanes) in columns.iter_mut().zip(transposed(square)) {
                column[group * 8..][..8].copy_from_slice(&lanes.to_le_bytes());
            }
        }
    }
}

/// The horizontal pass over `region`; rows of the result are `stride` values apart.
#[inline(always)]
fn resize_columns(source: &RgbImage, region: Region, columns: &[Taps], stride: usize) -> Vec<u8> {
    let mut result = vec![0; stride * region.height];
    // Padded, so that the transposition always stores whole squares.
    let mut block = vec![[0u8; ROWS]; (region.width * 3).next_multiple_of(8)];
    for (index, target) in result.chunks_mut(stride * ROWS).enumerate() {
        let top = region.top + index * ROWS;
        let height = target.len() / stride;
        load_rows(
            &mut block,
            source,
            Region {
                top,
                height,
                ..region
            },
        );
        let (pixels, _) = block.as_flattened().as_chunks();
        for (x, tap) in columns.iter().enumerate() {
            let mut sums = [HALF; 3 * ROWS];
            for (pixel, &weight) in pixels[tap.first..].iter().zip(&tap.weights) {
                accumulate(&mut sums, pixel, weight);
            }
            let values = rounded(&sums);
            for (lane, row) in target.chunks_exact_mut(stride).enumerate() {
                let pixel = [values[lane], values[ROWS + lane], values[2 * ROWS + lane]];
                row[x * 3..][..3].copy_from_slice(&pixel);
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
            values.copy_from_slice(&rounded(&sums)[..values.len()]);
        }
    }
    result
}
