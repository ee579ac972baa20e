//! Inference of a depthwise convolution with the 1×1 convolutions around it, a tile at a time.
//!
//! The first one's output has several times the channels of the input and of the result. It stays
//! in the L2 cache and is never in memory as a whole. Rows of these wide activations that two tiles
//! share are computed twice. Every value is the same sum as that of the kernels run one after
//! another, so the bits are the same.
#![allow(
    unsafe_code,
    reason = "what lies between two kernels is written and read through pointers"
)]

use std::ops::Range;

use rayon::prelude::*;

use super::pass::Tile;
use super::tasks::pixels;
use crate::gather::Gather;
use crate::geometry::Convolution;
use crate::inference_unit::InferenceUnit;
use crate::memory::{Output, Unwritten};
use crate::operand::Operand;
use crate::product::{Buffers, CACHED_WEIGHTS, Product, Rows};
use crate::simd::dispatch;

/// Wide values of a tile.
const TILE_VALUES: usize = 96 * 1024;
/// With fewer tiles the work does not spread over threads.
const MIN_TILES: usize = 8;
/// With fewer rows in a tile too many are computed twice.
const MIN_ROWS: usize = 4;

/// [1×1 →] depthwise → 1×1.
pub(crate) struct Separable<'a> {
    expand: Option<&'a InferenceUnit<'a>>,
    depthwise: &'a InferenceUnit<'a>,
    project: &'a InferenceUnit<'a>,
    /// Rows of the depthwise convolution in a tile: a part of an image, or whole images.
    rows: usize,
}

impl<'a> Separable<'a> {
    /// The units, if they have this form and are large enough to gain from it.
    pub(crate) fn of(units: &'a [InferenceUnit<'a>]) -> Option<Self> {
        let (expand, depthwise, project) = match units {
            [depthwise, project] => (None, depthwise, project),
            [expand, depthwise, project] => (Some(expand), depthwise, project),
            _ => return None,
        };
        let around = || expand.into_iter().chain([project]);
        let c = &depthwise.convolution;
        let rows = tile_rows(c)?;
        let fits = c.is_depthwise()
            && around().all(|unit| unit.convolution.is_pointwise())
            && around().all(|unit| unit.convolution.weight_len() <= CACHED_WEIGHTS)
            && c.batch * c.out_height() / rows >= MIN_TILES;
        fits.then_some(Self {
            expand,
            depthwise,
            project,
            rows,
        })
    }

    pub(crate) fn run(&self, x: &[f32], residual: Option<&[f32]>) -> Vec<f32> {
        let c = &self.depthwise.convolution;
        let gather = Gather::forward(c);
        let expand = self.expand.map(|unit| product(unit, None));
        let project = product(self.project, residual);
        let len = self.project.convolution.output_len();
        let mut y = Unwritten::new(len);
        let output = y.output();
        let tiles: Vec<_> = self.tiles(c).collect();
        let tasks = tiles.into_par_iter().with_max_len(1);
        tasks.for_each_init(Scratch::default, |scratch, rows| {
            let range = pixels(&gather, rows.clone());
            let wide = match &expand {
                None => x.as_ptr(),
                Some(expand) => {
                    let span = gather.source_span(range.clone());
                    let wide = room(&mut scratch.wide, span.clone(), c.in_channels);
                    let panels = 0..expand.panels();
                    expand.run_task(span, panels, x.as_ptr(), &[], &mut scratch.buffers, wide);
                    wide.start().cast_const()
                }
            };
            let between = room(&mut scratch.between, range.clone(), c.out_channels);
            dispatch(Tile {
                gather: &gather,
                rows,
                start: wide,
                weights: self.depthwise.packed,
                channels: c.in_channels,
                epilogue: self.depthwise.epilogue(None),
                output: between,
            });
            let (panels, start) = (0..project.panels(), between.start().cast_const());
            project.run_task(range, panels, start, &[], &mut scratch.buffers, output);
        });
        // SAFETY: the tiles cover the rows of all images.
        unsafe { y.written(len) }
    }

    /// Tiles of the rows of all images; no tile has a part of an image and of another one.
    fn tiles(&self, c: &Convolution) -> impl Iterator<Item = Range<usize>> {
        let (height, rows) = (c.out_height(), self.rows);
        let images = (rows / height).max(1);
        (0..c.batch).step_by(images).flat_map(move |image| {
            let end = c.batch.min(image + images) * height;
            let starts = (image * height..end).step_by(rows);
            starts.map(move |start| start..end.min(start + rows))
        })
    }
}

/// Number of rows of a tile; `None` if they would be too few.
fn tile_rows(c: &Convolution) -> Option<usize> {
    let height = c.out_height();
    let wide_rows = TILE_VALUES / (c.in_width * c.in_channels).max(1);
    let overlap = (c.dilation[0] * (c.kernel[0] - 1) + 1).saturating_sub(c.stride[0]);
    let rows = wide_rows.saturating_sub(overlap) / c.stride[0];
    if rows >= height {
        return Some(rows / height.max(1) * height).filter(|&rows| rows > 0);
    }
    // As even as possible, so that no tile is mostly overlap.
    (rows >= MIN_ROWS).then(|| height.div_ceil(height.div_ceil(rows)))
}

/// A 1×1 convolution. Its tasks are given the address of their source.
fn product<'a>(unit: &InferenceUnit<'a>, residual: Option<&'a [f32]>) -> Product<'a> {
    let c = &unit.convolution;
    Product {
        rows: Rows::Same(c.batch * c.in_height * c.in_width),
        source: Operand::Values(&[]),
        source_channels: c.in_channels,
        source_first: 0,
        depth: c.in_channels,
        weights: unit.packed,
        taps: 1,
        column_first: 0,
        columns: c.out_channels,
        destination_channels: c.out_channels,
        epilogue: unit.epilogue(residual),
    }
}

/// Buffers that a thread reuses from tile to tile.
#[derive(Default)]
struct Scratch {
    buffers: Buffers,
    wide: Vec<f32>,
    between: Vec<f32>,
}

/// Output with room for the values of some pixels.
fn room(buffer: &mut Vec<f32>, pixels: Range<usize>, channels: usize) -> Output {
    Output::of_range(buffer, pixels.start * channels..pixels.end * channels)
}
