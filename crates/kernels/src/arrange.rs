//! Copies that give the values of maps other places: the channels of several maps side by side, every pixel twice,
//! blocks of pixels as channels.
//!
//! A task is a piece of the result. Values are copied as they are, and nothing is computed but the sums of four in
//! [`upsample_backward`], in an order of their own: the bits are the same at every level and on any number of threads.
#![allow(
    unsafe_code,
    reason = "tasks write their pixels of several uninitialised buffers"
)]

use std::ops::Range;

use rayon::prelude::*;

use crate::memory::{Output, Unwritten, zeroed_pieces};
use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Values of a task's piece of the result, about: 64 KB.
const PIECE: usize = 16 * 1024;

/// A map `[pixels, channels]`.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// Its values.
    pub values: &'a [f32],
    /// Values of a pixel, at least 1.
    pub channels: usize,
}

/// Number of rows of `len` values.
fn rows(values: &[f32], len: usize) -> usize {
    assert!(
        len > 0 && values.len().is_multiple_of(len),
        "expected whole rows of {len} values, found {}",
        values.len()
    );
    values.len() / len
}

/// Pixels of a task's piece, where a pixel has so many values.
fn pixels_of_piece(channels: usize) -> usize {
    (PIECE / channels.max(1)).max(1)
}

/// Arrays of one length, one after the other.
///
/// # Panics
/// If the lengths differ.
pub fn stack(parts: &[&[f32]]) -> Vec<f32> {
    let len = parts.first().map_or(0, |part| part.len());
    for part in parts {
        assert_eq!(part.len(), len, "parts of one length");
    }
    zeroed_pieces(parts.len(), len, PIECE, |part, piece, values| {
        values.copy_from_slice(&parts[part][piece * PIECE..][..values.len()]);
    })
}

/// The channels of maps of as many pixels, one after the other.
///
/// # Panics
/// If the maps have different numbers of pixels, or one has no whole number of them.
pub fn concatenate(maps: &[Map<'_>]) -> Vec<f32> {
    let width: usize = maps.iter().map(|map| map.channels).sum();
    let counts = maps.iter().map(|map| rows(map.values, map.channels));
    let counts: Vec<usize> = counts.collect();
    let pixels = counts.first().copied().unwrap_or(0);
    for count in counts {
        assert_eq!(count, pixels, "maps of as many pixels");
    }
    let piece_len = pixels_of_piece(width) * width;
    zeroed_pieces(1, pixels * width, piece_len, |_, piece, values| {
        let before = piece * pixels_of_piece(width);
        let mut first = 0;
        for map in maps {
            let sources = map.values[before * map.channels..].chunks_exact(map.channels);
            for (pixel, source) in values.chunks_exact_mut(width).zip(sources) {
                pixel[first..][..map.channels].copy_from_slice(source);
            }
            first += map.channels;
        }
    })
}

/// The channels in each of `parts` of a map `[pixels, channels]`, as a map of their own: what the gradient of
/// [`concatenate`]'s result is for the maps that it is made of.
///
/// # Panics
/// If `x` is no whole number of pixels, or a part goes beyond the channels.
pub fn split_channels(x: &[f32], channels: usize, parts: &[Range<usize>]) -> Vec<Vec<f32>> {
    let pixels = rows(x, channels);
    for part in parts {
        assert!(
            part.start <= part.end && part.end <= channels,
            "expected a part of {channels} channels, found {part:?}"
        );
    }
    let buffers = parts.iter().map(|part| Unwritten::new(pixels * part.len()));
    let mut buffers: Vec<Unwritten> = buffers.collect();
    let outputs: Vec<Output> = buffers.iter_mut().map(Unwritten::output).collect();
    let piece = pixels_of_piece(channels);
    let pieces = (0..pixels.div_ceil(piece)).into_par_iter();
    pieces.for_each(|index| {
        let of_piece = index * piece..pixels.min((index + 1) * piece);
        for (part, output) in parts.iter().zip(&outputs) {
            for pixel in of_piece.clone() {
                let source = &x[pixel * channels..][part.clone()];
                // SAFETY: a pixel is one task's, and its values of a part are within the part's buffer.
                unsafe {
                    let destination = output.at(pixel * part.len());
                    destination.copy_from_nonoverlapping(source.as_ptr(), source.len());
                }
            }
        }
    });
    let buffers = buffers.into_iter().zip(parts);
    // SAFETY: the tasks cover all pixels.
    let written = buffers.map(|(buffer, part)| unsafe { buffer.written(pixels * part.len()) });
    written.collect()
}

/// Every pixel twice in both directions: `x` `[.., width, channels]`, in rows of however many images.
///
/// # Panics
/// If `x` is no whole number of rows.
pub fn upsample(x: &[f32], width: usize, channels: usize) -> Vec<f32> {
    let row = width * channels;
    zeroed_pieces(rows(x, row), 4 * row, 4 * row, |number, _, y| {
        let (upper, lower) = y.split_at_mut(2 * row);
        let pixels = x[number * row..][..row].chunks_exact(channels);
        for (pair, pixel) in upper.chunks_exact_mut(2 * channels).zip(pixels) {
            let (left, right) = pair.split_at_mut(channels);
            left.copy_from_slice(pixel);
            right.copy_from_slice(pixel);
        }
        lower.copy_from_slice(upper);
    })
}

/// The gradient of [`upsample`]'s `x`, in rows of `width` pixels, given that of its result: for each pixel, the sum of
/// four, the upper and the lower one of each column first.
///
/// # Panics
/// If `grad_y` is no whole number of pairs of rows.
pub fn upsample_backward(grad_y: &[f32], width: usize, channels: usize) -> Vec<f32> {
    let row = width * channels;
    zeroed_pieces(rows(grad_y, 4 * row), row, row, |number, _, grad_x| {
        let (upper, lower) = grad_y[number * 4 * row..][..4 * row].split_at(2 * row);
        dispatch(SumOfFour {
            upper,
            lower,
            channels,
            grad_x,
        });
    })
}

struct SumOfFour<'a> {
    upper: &'a [f32],
    lower: &'a [f32],
    channels: usize,
    grad_x: &'a mut [f32],
}

impl Kernel for SumOfFour<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let channels = self.channels;
        let [upper, lower] = [self.upper, self.lower].map(|row| row.chunks_exact(2 * channels));
        let pixels = self.grad_x.chunks_exact_mut(channels);
        for (grad_x, (upper, lower)) in pixels.zip(upper.zip(lower)) {
            let (upper_left, upper_right) = upper.split_at(channels);
            let (lower_left, lower_right) = lower.split_at(channels);
            let left = upper_left.iter().zip(lower_left);
            let right = upper_right.iter().zip(lower_right);
            for (grad_x, (left, right)) in grad_x.iter_mut().zip(left.zip(right)) {
                *grad_x = (left.0 + left.1) + (right.0 + right.1);
            }
        }
    }
}

/// The channels of every pixel of `x` `[.., channels]` in reverse order. It is its own gradient.
///
/// # Panics
/// If `x` is no whole number of pixels.
pub fn reverse_channels(x: &[f32], channels: usize) -> Vec<f32> {
    let pixels = rows(x, channels);
    let piece_len = pixels_of_piece(channels) * channels;
    zeroed_pieces(1, pixels * channels, piece_len, |_, piece, y| {
        y.copy_from_slice(&x[piece * piece_len..][..y.len()]);
        match channels {
            // An image: a pixel of a known length takes no loop.
            3 => {
                let pixels = y.as_chunks_mut::<3>().0;
                pixels.iter_mut().for_each(|pixel| pixel.reverse());
            }
            _ => y.chunks_exact_mut(channels).for_each(<[f32]>::reverse),
        }
    })
}

/// Each block of two by two pixels of `x` `[.., width, channels]` as one pixel of four times the channels: those of the
/// top left pixel, then bottom left, top right and bottom right. Rows are those of images of whole blocks.
///
/// # Panics
/// If `x` is no whole number of pairs of rows, or a row no whole number of pairs of pixels.
pub fn space_to_depth(x: &[f32], width: usize, channels: usize) -> Vec<f32> {
    let row = row_of_pairs(width, channels);
    zeroed_pieces(rows(x, 2 * row), 2 * row, 2 * row, |number, _, y| {
        let (upper, lower) = x[number * 2 * row..][..2 * row].split_at(row);
        match channels {
            // An image: a pixel of a known length is copied without a call.
            3 => blocks_of::<3>(upper, lower, y),
            _ => blocks(upper, lower, channels, y),
        }
    })
}

/// Values of a row of whole pairs of pixels.
fn row_of_pairs(width: usize, channels: usize) -> usize {
    assert!(
        width.is_multiple_of(2),
        "expected rows of whole pairs of pixels, found {width} pixels"
    );
    width * channels
}

fn blocks_of<const CHANNELS: usize>(upper: &[f32], lower: &[f32], y: &mut [f32]) {
    let [upper, lower] = [upper, lower].map(|row| row.as_chunks::<CHANNELS>().0.chunks_exact(2));
    let blocks = y.as_chunks_mut::<CHANNELS>().0.chunks_exact_mut(4);
    for (block, (upper, lower)) in blocks.zip(upper.zip(lower)) {
        block.copy_from_slice(&[upper[0], lower[0], upper[1], lower[1]]);
    }
}

fn blocks(upper: &[f32], lower: &[f32], channels: usize, y: &mut [f32]) {
    let [upper, lower] = [upper, lower].map(|row| row.chunks_exact(2 * channels));
    let blocks = y.chunks_exact_mut(4 * channels);
    for (block, (upper, lower)) in blocks.zip(upper.zip(lower)) {
        let (upper_left, upper_right) = upper.split_at(channels);
        let (lower_left, lower_right) = lower.split_at(channels);
        let sources = [upper_left, lower_left, upper_right, lower_right];
        for (pixel, source) in block.chunks_exact_mut(channels).zip(sources) {
            pixel.copy_from_slice(source);
        }
    }
}

/// What [`space_to_depth`] made of an `x` in rows of `width` pixels of `channels`, back in its places: also the gradient
/// of `x`, given that of the result.
///
/// # Panics
/// If `y` is no whole number of pairs of such rows, or a row no whole number of pairs of pixels.
pub fn depth_to_space(y: &[f32], width: usize, channels: usize) -> Vec<f32> {
    let row = row_of_pairs(width, channels);
    zeroed_pieces(rows(y, 2 * row), 2 * row, 2 * row, |number, _, x| {
        let (upper, lower) = x.split_at_mut(row);
        let uppers = upper.chunks_exact_mut(2 * channels);
        let lowers = lower.chunks_exact_mut(2 * channels);
        let blocks = y[number * 2 * row..][..2 * row].chunks_exact(4 * channels);
        for ((upper, lower), block) in uppers.zip(lowers).zip(blocks) {
            let (left, right) = block.split_at(2 * channels);
            upper[..channels].copy_from_slice(&left[..channels]);
            lower[..channels].copy_from_slice(&left[channels..]);
            upper[channels..].copy_from_slice(&right[..channels]);
            lower[channels..].copy_from_slice(&right[channels..]);
        }
    })
}
