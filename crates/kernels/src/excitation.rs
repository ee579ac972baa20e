//! Squeeze-and-excitation: the mean of each channel of each image, and the product with one gate
//! for each channel of each image.
//!
//! Hu and others, "Squeeze-and-Excitation Networks", 2017, section 3. Activations are `[images, ..,
//! channels]`, in tiles of one image each.
#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use crate::channels::ChannelKernel;
use crate::images::Images;
use crate::memory::{Output, Unwritten};
use crate::vector::Vector;

/// The mean over the pixels of each image: `x` `[images, .., channels]` to `[images, channels]`.
///
/// # Panics
/// If `x` is not a whole number of pixels for each image.
pub fn image_means(x: &[f32], images: usize, channels: usize) -> Vec<f32> {
    let layout = Images::new(x.len(), images, channels);
    let sums = layout.map(|_, range| {
        let mut sums = vec![0.0; layout.all.width()];
        let kernel = Sum { x, sums: &mut sums };
        layout.all.run(range, kernel);
        layout.all.fold(&sums)
    });
    layout.totals(&sums, 1.0 / layout.pixels() as f64)
}

/// The gradient of [`image_means`]'s `x`, `[images, pixels, channels]`, given that of its result.
///
/// # Panics
/// If `grad_means` is not a whole number of images.
pub fn image_means_backward(grad_means: &[f32], pixels: usize, channels: usize) -> Vec<f32> {
    let len = grad_means.len() * pixels;
    let layout = Images::new(len, images(grad_means, channels), channels);
    let shifts = layout.shares(grad_means);
    layout.write(|image, range, output| {
        let shift = &layout.widen(&shifts, image);
        layout.all.run(range, Spread { shift, output });
    })
}

/// `y[b, .., c] = x[b, .., c] · gate[b, c]` for `x` `[images, .., channels]`.
///
/// # Panics
/// If the lengths don't fit.
pub fn scale_channels(x: &[f32], gate: &[f32], channels: usize) -> Vec<f32> {
    scale(x, gate, None, channels)
}

/// The gradients of [`scale_channels`]'s `x` and `gate`, given that of its result, in one pass.
///
/// # Panics
/// If the lengths don't fit.
pub fn scale_channels_backward(
    x: &[f32],
    gate: &[f32],
    grad_y: &[f32],
    channels: usize,
) -> (Vec<f32>, Vec<f32>) {
    let images = images(gate, channels);
    let mut grad_x = Unwritten::new(x.len());
    let scaled = Scaled {
        gate,
        output: grad_x.output(),
    };
    let grad_gate = products(x, grad_y, Some(scaled), images, channels);
    // SAFETY: the tiles cover all values.
    (unsafe { grad_x.written(x.len()) }, grad_gate)
}

/// The gradient of [`scale_channels`]'s `gate` alone, `[images, channels]`: the first pass over a
/// block whose gate depends on `x`. [`excitation_input_gradient`] is the second.
///
/// # Panics
/// If the lengths don't fit.
pub fn gate_gradient(x: &[f32], grad_y: &[f32], images: usize, channels: usize) -> Vec<f32> {
    products(x, grad_y, None, images, channels)
}

/// The gradient of `x` in `y = x · gate(means of x)`, as a whole: `grad_y · gate` and what
/// [`image_means_backward`] makes of `grad_means`, the gradient of the means, in one pass.
///
/// # Panics
/// If the lengths don't fit.
pub fn excitation_input_gradient(
    grad_y: &[f32],
    gate: &[f32],
    grad_means: &[f32],
    channels: usize,
) -> Vec<f32> {
    scale(grad_y, gate, Some(grad_means), channels)
}

fn scale(x: &[f32], gate: &[f32], grad_means: Option<&[f32]>, channels: usize) -> Vec<f32> {
    let layout = Images::new(x.len(), images(gate, channels), channels);
    let shifts = grad_means.map(|means| layout.shares(means));
    layout.write(|image, range, output| {
        let shift = shifts.as_ref().map(|shifts| layout.widen(shifts, image));
        let kernel = Scale {
            x,
            gate: &layout.widen(gate, image),
            shift: shift.as_deref(),
            output,
        };
        layout.all.run(range, kernel);
    })
}

/// Writes `grad_y · gate`.
#[derive(Clone, Copy)]
struct Scaled<'a> {
    gate: &'a [f32],
    output: Output,
}

/// `Σ x · grad_y` over the pixels of each image.
fn products(
    x: &[f32],
    grad_y: &[f32],
    scaled: Option<Scaled<'_>>,
    images: usize,
    channels: usize,
) -> Vec<f32> {
    assert_eq!(x.len(), grad_y.len(), "grad_y has the shape of x");
    let layout = Images::new(x.len(), images, channels);
    let sums = layout.map(|image, range| {
        let mut sums = vec![0.0; layout.all.width()];
        let gate = scaled.map(|scaled| layout.widen(scaled.gate, image));
        let kernel = Products {
            x,
            grad_y,
            scaled: scaled.zip(gate.as_deref()).map(|(scaled, gate)| Scaled {
                gate,
                output: scaled.output,
            }),
            sums: &mut sums,
        };
        layout.all.run(range, kernel);
        layout.all.fold(&sums)
    });
    layout.totals(&sums, 1.0)
}

/// Number of images that have one value a channel each.
fn images(per_image: &[f32], channels: usize) -> usize {
    assert!(
        channels > 0 && per_image.len().is_multiple_of(channels),
        "expected {channels} channels for each image, found {} values",
        per_image.len()
    );
    per_image.len() / channels
}

struct Sum<'a> {
    x: &'a [f32],
    sums: &'a mut [f32],
}

impl ChannelKernel for Sum<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees.
        unsafe {
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let sum = self.sums.as_mut_ptr().add(place);
            V::load(sum, lanes).add(x).store(sum, lanes);
        }
    }
}

struct Spread<'a> {
    shift: &'a [f32],
    output: Output,
}

impl ChannelKernel for Spread<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees; every value is in one tile.
        unsafe {
            let shift = V::load(self.shift.as_ptr().add(place), lanes);
            shift.store(self.output.at(offset), lanes);
        }
    }
}

struct Scale<'a> {
    x: &'a [f32],
    gate: &'a [f32],
    shift: Option<&'a [f32]>,
    output: Output,
}

impl ChannelKernel for Scale<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees; every value is in one tile.
        unsafe {
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let gate = V::load(self.gate.as_ptr().add(place), lanes);
            let y = match self.shift {
                Some(shift) => x.mul_add(gate, V::load(shift.as_ptr().add(place), lanes)),
                None => x.mul(gate),
            };
            y.store(self.output.at(offset), lanes);
        }
    }
}

struct Products<'a> {
    x: &'a [f32],
    grad_y: &'a [f32],
    scaled: Option<Scaled<'a>>,
    sums: &'a mut [f32],
}

impl ChannelKernel for Products<'_> {
    #[inline(always)]
    unsafe fn step<V: Vector>(&mut self, offset: usize, place: usize, lanes: usize) {
        // SAFETY: as the loop guarantees; every value is in one tile.
        unsafe {
            let x = V::load(self.x.as_ptr().add(offset), lanes);
            let grad_y = V::load(self.grad_y.as_ptr().add(offset), lanes);
            if let Some(scaled) = self.scaled {
                let gate = V::load(scaled.gate.as_ptr().add(place), lanes);
                grad_y.mul(gate).store(scaled.output.at(offset), lanes);
            }
            let sum = self.sums.as_mut_ptr().add(place);
            x.mul_add(grad_y, V::load(sum, lanes)).store(sum, lanes);
        }
    }
}
