//! Maximum and mean over windows of pixels.
//!
//! Channels lie side by side and each has windows of its own, so the inner loops run over channels:
//! plain Rust that the compiler turns into the instructions of the level. In a backward pass, a
//! task owns a band of input rows and visits every window that meets it, in order: nothing is
//! written by two tasks, and each gradient is summed in the order of the windows.

use std::ops::Range;

use crate::memory::zeroed_pieces;
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Rows of windows whose inputs one task of a backward pass owns.
const BAND: usize = 8;

/// Geometry of a pooling; each pair is `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Images.
    pub batch: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Channels of input and output.
    pub channels: usize,
    /// Edges of a window in pixels, at least 1 and at most those of the padded input.
    pub size: [usize; 2],
    /// Step between windows in pixels, at least 1.
    pub stride: [usize; 2],
    /// Pixels added on each side, at most half a window: they belong to windows, but have no value.
    pub padding: [usize; 2],
    /// Whether a last window may reach beyond the padding, so that no pixel is left out.
    pub ceil: bool,
}

impl Pooling {
    /// Height and width of the output.
    ///
    /// # Panics
    /// If a field is outside the range that it documents.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let (size, padding) = (self.size[axis], self.padding[axis]);
            let padded = self.input[axis] + 2 * padding;
            assert!(
                size >= 1 && size <= padded && 2 * padding <= size && self.stride[axis] >= 1,
                "no window, or one without a pixel: {self:?}"
            );
            let (room, stride) = (padded - size, self.stride[axis]);
            let windows = if self.ceil {
                room.div_ceil(stride) + 1
            } else {
                room / stride + 1
            };
            // As in PyTorch, a window begins in the image or in the padding before it.
            windows.min((self.input[axis] + padding).div_ceil(stride))
        })
    }

    fn input_len(&self) -> usize {
        self.batch * self.input[0] * self.input_row()
    }

    fn input_row(&self) -> usize {
        self.input[1] * self.channels
    }

    fn output_len(&self) -> usize {
        self.batch * self.output()[0] * self.output_row()
    }

    fn output_row(&self) -> usize {
        self.output()[1] * self.channels
    }

    /// The input rows (axis 0) or columns (axis 1) in a window.
    #[inline(always)]
    fn window(&self, axis: usize, index: usize) -> Range<usize> {
        let first = index * self.stride[axis];
        let (size, padding) = (self.size[axis], self.padding[axis]);
        first.saturating_sub(padding)..(first + size - padding).min(self.input[axis])
    }

    /// The rows of windows that have one of these input rows.
    fn windows(&self, rows: &Range<usize>) -> Range<usize> {
        let (stride, size, padding) = (self.stride[0], self.size[0], self.padding[0]);
        let first = (rows.start + padding + 1)
            .saturating_sub(size)
            .div_ceil(stride);
        let end = (rows.end + padding).div_ceil(stride);
        first..end.min(self.output()[0])
    }
}

/// The largest value of each window, NaN if there is one: `x` `[batch, height, width, channels]` to
/// `[batch, out_height, out_width, channels]`.
///
/// # Panics
/// If the geometry has no output or `x` has another length.
pub fn max_pool(p: &Pooling, x: &[f32]) -> Vec<f32> {
    forward(p, x, true)
}

/// The mean of the values of each window, where padding counts as no value; shapes as in
/// [`max_pool`].
///
/// # Panics
/// As [`max_pool`] does.
pub fn average_pool(p: &Pooling, x: &[f32]) -> Vec<f32> {
    forward(p, x, false)
}

fn forward(p: &Pooling, x: &[f32], max: bool) -> Vec<f32> {
    assert_eq!(x.len(), p.input_len(), "x: wrong length for {p:?}");
    let image_len = p.output()[0] * p.output_row();
    zeroed_pieces(p.batch, image_len, p.output_row(), |image, row, y| {
        let image = &x[image * p.input[0] * p.input_row()..];
        if max {
            dispatch(MaxRow { p, row, image, y })
        } else {
            dispatch(AverageRow { p, row, image, y })
        }
    })
}

/// The gradient of [`max_pool`]'s `x`, given that of its result: a window's gradient goes to the
/// first of its largest values, or to its last NaN, as in PyTorch. The places are found again from
/// `x`.
///
/// # Panics
/// If the lengths don't fit.
pub fn max_pool_backward(p: &Pooling, x: &[f32], grad_y: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), p.input_len(), "x: wrong length for {p:?}");
    backward(p, grad_y, |image, band, grad_y, grad_x| {
        dispatch(MaxBand {
            p,
            image: &x[image * p.input[0] * p.input_row()..],
            band,
            grad_y,
            grad_x,
        });
    })
}

/// The gradient of [`average_pool`]'s `x`, given that of its result.
///
/// # Panics
/// If the lengths don't fit.
pub fn average_pool_backward(p: &Pooling, grad_y: &[f32]) -> Vec<f32> {
    backward(p, grad_y, |_, band, grad_y, grad_x| {
        dispatch(AverageBand {
            p,
            band,
            grad_y,
            grad_x,
        });
    })
}

/// Calls `work(image, band of input rows, the image's grad_y, the band's grad_x)` for every band.
fn backward(
    p: &Pooling,
    grad_y: &[f32],
    work: impl Fn(usize, Range<usize>, &[f32], &mut [f32]) + Sync,
) -> Vec<f32> {
    assert_eq!(
        grad_y.len(),
        p.output_len(),
        "grad_y: wrong length for {p:?}"
    );
    let [in_len, out_len] = [p.input[0] * p.input_row(), p.output()[0] * p.output_row()];
    let rows = BAND * p.stride[0];
    zeroed_pieces(
        p.batch,
        in_len,
        rows * p.input_row(),
        |image, band, grad_x| {
            let band = band * rows..p.input[0].min((band + 1) * rows);
            let grad_y = &grad_y[image * out_len..][..out_len];
            work(image, band, grad_y, grad_x);
        },
    )
}

/// The channels of one pixel, where rows have `width` pixels.
#[inline(always)]
fn pixel(values: &[f32], width: usize, row: usize, column: usize, channels: usize) -> &[f32] {
    &values[(row * width + column) * channels..][..channels]
}

#[inline(always)]
fn pixel_mut(
    values: &mut [f32],
    width: usize,
    row: usize,
    column: usize,
    channels: usize,
) -> &mut [f32] {
    &mut values[(row * width + column) * channels..][..channels]
}

/// Whether PyTorch lets `x` take the place of the largest value so far.
#[inline(always)]
fn replaces(x: f32, largest: f32) -> bool {
    x > largest || x.is_nan()
}

struct MaxRow<'a> {
    p: &'a Pooling,
    row: usize,
    image: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for MaxRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (width, channels) = (self.p.input[1], self.p.channels);
        let rows = self.p.window(0, self.row);
        for (column, y) in self.y.chunks_exact_mut(channels).enumerate() {
            y.fill(f32::NEG_INFINITY);
            for row in rows.clone() {
                for column in self.p.window(1, column) {
                    let x = pixel(self.image, width, row, column, channels);
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = if replaces(*x, *y) { *x } else { *y };
                    }
                }
            }
        }
    }
}

struct AverageRow<'a> {
    p: &'a Pooling,
    row: usize,
    image: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for AverageRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let (width, channels) = (self.p.input[1], self.p.channels);
        let rows = self.p.window(0, self.row);
        for (column, y) in self.y.chunks_exact_mut(channels).enumerate() {
            let columns = self.p.window(1, column);
            for row in rows.clone() {
                for column in columns.clone() {
                    let x = pixel(self.image, width, row, column, channels);
                    for (y, x) in y.iter_mut().zip(x) {
                        *y += x;
                    }
                }
            }
            let count = (rows.len() * columns.len()) as f32;
            for y in y {
                *y /= count;
            }
        }
    }
}

struct MaxBand<'a> {
    p: &'a Pooling,
    image: &'a [f32],
    band: Range<usize>,
    grad_y: &'a [f32],
    grad_x: &'a mut [f32],
}

impl Kernel for MaxBand<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let ([_, width], [_, out_width]) = (self.p.input, self.p.output());
        let channels = self.p.channels;
        let mut largest = vec![0.0f32; channels];
        let mut places = vec![0u32; channels];
        for out_row in self.p.windows(&self.band) {
            let rows = self.p.window(0, out_row);
            for out_column in 0..out_width {
                let columns = self.p.window(1, out_column);
                largest.fill(f32::NEG_INFINITY);
                places.fill(0);
                let mut place = 0;
                for row in rows.clone() {
                    for column in columns.clone() {
                        let x = pixel(self.image, width, row, column, channels);
                        for ((largest, at), x) in largest.iter_mut().zip(&mut places).zip(x) {
                            let replaces = replaces(*x, *largest);
                            *largest = if replaces { *x } else { *largest };
                            *at = if replaces { place } else { *at };
                        }
                        place += 1;
                    }
                }
                let grad_y = pixel(self.grad_y, out_width, out_row, out_column, channels);
                let mut place = 0;
                for row in rows.clone() {
                    if !self.band.contains(&row) {
                        place += columns.len() as u32;
                        continue;
                    }
                    let row = row - self.band.start;
                    for column in columns.clone() {
                        let grad_x = pixel_mut(self.grad_x, width, row, column, channels);
                        for ((grad_x, at), grad_y) in grad_x.iter_mut().zip(&places).zip(grad_y) {
                            *grad_x += if *at == place { *grad_y } else { 0.0 };
                        }
                        place += 1;
                    }
                }
            }
        }
    }
}

struct AverageBand<'a> {
    p: &'a Pooling,
    band: Range<usize>,
    grad_y: &'a [f32],
    grad_x: &'a mut [f32],
}

impl Kernel for AverageBand<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let ([_, width], [_, out_width]) = (self.p.input, self.p.output());
        let channels = self.p.channels;
        for out_row in self.p.windows(&self.band) {
            let rows = self.p.window(0, out_row);
            let owned = rows.start.max(self.band.start)..rows.end.min(self.band.end);
            for out_column in 0..out_width {
                let columns = self.p.window(1, out_column);
                let count = (rows.len() * columns.len()) as f32;
                let grad_y = pixel(self.grad_y, out_width, out_row, out_column, channels);
                for row in owned.clone() {
                    let row = row - self.band.start;
                    for column in columns.clone() {
                        let grad_x = pixel_mut(self.grad_x, width, row, column, channels);
                        for (grad_x, grad_y) in grad_x.iter_mut().zip(grad_y) {
                            *grad_x += grad_y / count;
                        }
                    }
                }
            }
        }
    }
}
