//! Optimizer steps: parameter, gradient and moments in one pass, all parameters in one parallel
//! region.
//!
//! Every value is updated on its own, so the loops are plain Rust that the compiler turns into the
//! instructions of the level, and all levels have the same bits.

use std::mem::take;

use rayon::prelude::*;

use crate::simd::{Kernel, dispatch};
use crate::vector::Vector;

/// Values that one task updates: with two moments and a gradient 256 KB.
const CHUNK: usize = 16 * 1024;

/// A parameter with everything that its step needs. The slices have one length.
pub struct Update<'a, const MOMENTS: usize> {
    /// The values that change.
    pub parameter: &'a mut [f32],
    /// The gradient of the loss with respect to them.
    pub gradient: &'a [f32],
    /// Moments of the earlier gradients, zeros at first.
    pub moments: [&'a mut [f32]; MOMENTS],
    /// Step size, at least 0.
    pub learning_rate: f64,
    /// Weight decay, at least 0.
    pub weight_decay: f64,
}

/// Stochastic gradient descent with Nesterov's momentum: Sutskever and others, "On the importance
/// of initialization and momentum in deep learning" (ICML 2013), section 2, as PyTorch writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Share of the velocity that a step keeps, 0 to 1.
    pub momentum: f64,
    /// Every gradient is multiplied by it first.
    pub gradient_scale: f64,
}

/// Adam: Kingma and Ba (arXiv 1412.6980), algorithm 1, with the bias corrections kept apart as in
/// PyTorch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Share of the mean gradient that a step keeps, 0 to 1.
    pub beta1: f64,
    /// Share of the mean squared gradient that a step keeps, 0 to 1.
    pub beta2: f64,
    /// Added to the denominator, the root of the mean squared gradient.
    pub epsilon: f64,
    /// Number of this step, from 1.
    pub step: u64,
    /// Whether weight decay shrinks the parameter itself, as in AdamW (Loshchilov and Hutter,
    /// arXiv 1711.05101, algorithm 2), instead of being added to the gradient.
    pub decoupled_decay: bool,
    /// Every gradient is multiplied by it first.
    pub gradient_scale: f64,
}

/// One step of SGD. The moment is the velocity.
///
/// # Panics
/// If the lengths of an update differ.
pub fn sgd_step(sgd: Sgd, updates: Vec<Update<'_, 1>>) {
    chunks(updates).into_par_iter().for_each(|chunk| {
        dispatch(SgdChunk {
            momentum: sgd.momentum as f32,
            scale: sgd.gradient_scale as f32,
            chunk,
        });
    });
}

/// One step of Adam or AdamW. The moments are the mean gradient and the mean squared gradient.
///
/// # Panics
/// If the lengths of an update differ.
pub fn adam_step(adam: Adam, updates: Vec<Update<'_, 2>>) {
    let steps = adam.step as f64;
    let [correction1, correction2] = [adam.beta1, adam.beta2].map(|beta| 1.0 - beta.powf(steps));
    chunks(updates).into_par_iter().for_each(|chunk| {
        let (shrink, decay) = if adam.decoupled_decay {
            (1.0 - chunk.learning_rate * chunk.weight_decay, 0.0)
        } else {
            (1.0, chunk.weight_decay)
        };
        dispatch(AdamChunk {
            scale: adam.gradient_scale as f32,
            shrink: shrink as f32,
            decay: decay as f32,
            beta2: adam.beta2 as f32,
            rest1: (1.0 - adam.beta1) as f32,
            rest2: (1.0 - adam.beta2) as f32,
            correction: correction2.sqrt() as f32,
            epsilon: adam.epsilon as f32,
            step_size: (chunk.learning_rate / correction1) as f32,
            chunk,
        });
    });
}

/// The sum of the squares of all values in f64, in an order that depends on the lengths alone.
pub fn sum_of_squares(tensors: &[&[f32]]) -> f64 {
    let chunks: Vec<&[f32]> = tensors.iter().flat_map(|t| t.chunks(CHUNK)).collect();
    let sums: Vec<f64> = chunks
        .into_par_iter()
        .map(|chunk| dispatch(SquareChunk(chunk)))
        .collect();
    sums.into_iter().sum()
}

/// Cuts updates into pieces of at most [`CHUNK`] values.
fn chunks<const MOMENTS: usize>(updates: Vec<Update<'_, MOMENTS>>) -> Vec<Update<'_, MOMENTS>> {
    let mut chunks = Vec::with_capacity(updates.len());
    for mut update in updates {
        let len = update.parameter.len();
        assert_eq!(update.gradient.len(), len, "a gradient a value");
        for moment in &update.moments {
            assert_eq!(moment.len(), len, "a moment a value");
        }
        while update.parameter.len() > CHUNK {
            chunks.push(update.take_front(CHUNK));
        }
        chunks.push(update);
    }
    chunks
}

impl<const MOMENTS: usize> Update<'_, MOMENTS> {
    fn take_front(&mut self, len: usize) -> Self {
        let (gradient, rest) = self.gradient.split_at(len);
        self.gradient = rest;
        Self {
            parameter: take_front(&mut self.parameter, len),
            gradient,
            moments: self
                .moments
                .each_mut()
                .map(|moment| take_front(moment, len)),
            ..*self
        }
    }
}

fn take_front<'a>(values: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (front, rest) = take(values).split_at_mut(len);
    *values = rest;
    front
}

struct SgdChunk<'a> {
    momentum: f32,
    scale: f32,
    chunk: Update<'a, 1>,
}

impl Kernel for SgdChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let rate = self.chunk.learning_rate as f32;
        let decay = self.chunk.weight_decay as f32;
        let [velocities] = self.chunk.moments;
        let values = self.chunk.parameter.iter_mut().zip(self.chunk.gradient);
        for ((value, gradient), velocity) in values.zip(velocities) {
            let gradient = gradient * self.scale + decay * *value;
            *velocity = self.momentum * *velocity + gradient;
            *value -= rate * (gradient + self.momentum * *velocity);
        }
    }
}

struct AdamChunk<'a> {
    scale: f32,
    shrink: f32,
    decay: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    correction: f32,
    epsilon: f32,
    step_size: f32,
    chunk: Update<'a, 2>,
}

impl Kernel for AdamChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector>(self) {
        let [means, squares] = self.chunk.moments;
        let values = self.chunk.parameter.iter_mut().zip(self.chunk.gradient);
        for (((value, gradient), mean), square) in values.zip(means).zip(squares) {
            let shrunk = *value * self.shrink;
            let gradient = gradient * self.scale + self.decay * shrunk;
            *mean += self.rest1 * (gradient - *mean);
            *square = self.beta2 * *square + self.rest2 * gradient * gradient;
            let deviation = square.sqrt() / self.correction + self.epsilon;
            *value = shrunk - self.step_size * *mean / deviation;
        }
    }
}

struct SquareChunk<'a>(&'a [f32]);

impl Kernel for SquareChunk<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vector>(self) -> f64 {
        let mut sums = [0.0; 16];
        let blocks = self.0.chunks_exact(sums.len());
        let rest = blocks.remainder();
        for block in blocks {
            for (sum, value) in sums.iter_mut().zip(block) {
                *sum += f64::from(*value) * f64::from(*value);
            }
        }
        for (sum, value) in sums.iter_mut().zip(rest) {
            *sum += f64::from(*value) * f64::from(*value);
        }
        sums.iter().sum()
    }
}
