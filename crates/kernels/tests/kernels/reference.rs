//! The formulas themselves, in f64 and one loop a dimension, to hold the kernels against.

use proptest::prelude::*;
use warmstart_kernels::{Activation, Convolution};

/// Calls `visit(y index, x index, w index)` for every product of a convolution.
pub fn products(c: &Convolution, mut visit: impl FnMut(usize, usize, usize)) {
    let (group_in, group_out) = (c.in_channels / c.groups, c.out_channels / c.groups);
    let mut y = 0;
    for image in 0..c.batch {
        for out_y in 0..c.out_height() {
            for out_x in 0..c.out_width() {
                for out in 0..c.out_channels {
                    for channel in 0..group_in {
                        for ky in 0..c.kernel[0] {
                            for kx in 0..c.kernel[1] {
                                let in_y = (out_y * c.stride[0] + ky * c.dilation[0])
                                    .checked_sub(c.padding[0])
                                    .filter(|&in_y| in_y < c.in_height);
                                let in_x = (out_x * c.stride[1] + kx * c.dilation[1])
                                    .checked_sub(c.padding[1])
                                    .filter(|&in_x| in_x < c.in_width);
                                let (Some(in_y), Some(in_x)) = (in_y, in_x) else {
                                    continue;
                                };
                                let pixel = (image * c.in_height + in_y) * c.in_width + in_x;
                                let in_channel = out / group_out * group_in + channel;
                                let tap = ky * c.kernel[1] + kx;
                                let taps = c.kernel[0] * c.kernel[1];
                                visit(
                                    y,
                                    pixel * c.in_channels + in_channel,
                                    (out * group_in + channel) * taps + tap,
                                );
                            }
                        }
                    }
                    y += 1;
                }
            }
        }
    }
}

pub fn forward(c: &Convolution, x: &[f32], w: &[f32]) -> Vec<f64> {
    let mut result = vec![0.0; c.output_len()];
    products(c, |yi, xi, wi| {
        result[yi] += f64::from(x[xi]) * f64::from(w[wi])
    });
    result
}

pub fn input_gradient(c: &Convolution, grad_y: &[f32], w: &[f32]) -> Vec<f64> {
    let mut result = vec![0.0; c.input_len()];
    products(c, |yi, xi, wi| {
        result[xi] += f64::from(grad_y[yi]) * f64::from(w[wi])
    });
    result
}

pub fn weight_gradient(c: &Convolution, x: &[f32], grad_y: &[f32]) -> Vec<f64> {
    let mut result = vec![0.0; c.weight_len()];
    products(c, |yi, xi, wi| {
        result[wi] += f64::from(x[xi]) * f64::from(grad_y[yi])
    });
    result
}

pub fn activate(act: Activation, value: f64) -> f64 {
    match act {
        Activation::Identity => value,
        Activation::Relu => value.max(0.0),
        Activation::Relu6 => value.clamp(0.0, 6.0),
        Activation::HardSwish => value * (value + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Silu => value * sigmoid(value),
        Activation::Sigmoid => sigmoid(value),
        Activation::HardSigmoid => (value + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Gelu => value * normal_distribution(value),
    }
}

pub fn derivative(act: Activation, value: f64) -> f64 {
    let step = |passes| f64::from(u8::from(passes));
    match act {
        Activation::Identity => 1.0,
        Activation::Relu => step(value > 0.0),
        Activation::Relu6 => step(0.0 < value && value < 6.0),
        Activation::HardSwish if -3.0 < value && value < 3.0 => value / 3.0 + 0.5,
        Activation::HardSwish => step(value >= 3.0),
        Activation::Silu => sigmoid(value) * (1.0 + value * (1.0 - sigmoid(value))),
        Activation::Sigmoid => sigmoid(value) * (1.0 - sigmoid(value)),
        Activation::HardSigmoid => step(-3.0 < value && value < 3.0) / 6.0,
        Activation::Gelu => normal_distribution(value) + value * normal_density(value),
    }
}

fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + (-value).exp())
}

fn normal_density(value: f64) -> f64 {
    (-0.5 * value * value).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The distribution function of the normal distribution. In the tail it is Laplace's continued
/// fraction, elsewhere the series of Marsaglia, "Evaluating the Normal Distribution", 2004.
fn normal_distribution(value: f64) -> f64 {
    let distance = value.abs();
    let tail = if distance < 2.5 {
        let terms = (1..60).scan(distance, |term, step| {
            let this = *term;
            *term *= distance * distance / f64::from(2 * step + 1);
            Some(this)
        });
        0.5 - normal_density(distance) * terms.sum::<f64>()
    } else {
        let fraction = (1..=200)
            .rev()
            .fold(distance, |rest, step| distance + f64::from(step) / rest);
        normal_density(distance) / fraction
    };
    if value < 0.0 { tail } else { 1.0 - tail }
}

#[test]
fn the_normal_distribution_has_its_known_values() {
    // Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, table 26.1.
    for (value, known) in [
        (0.0, 0.5),
        (1.0, 0.841_344_746_068_543),
        (2.0, 0.977_249_868_051_821),
        (3.0, 0.998_650_101_968_370),
        (-1.0, 0.158_655_253_931_457),
        (-3.0, 0.001_349_898_031_630),
    ] {
        let found = normal_distribution(value);
        assert!((found - known).abs() < 1e-15, "{value}: {found}");
    }
    // Both ways agree where they meet.
    let [below, above] = [-2.5f64.next_down(), -2.5].map(normal_distribution);
    assert!((below / above - 1.0).abs() < 1e-12, "{below} {above}");
}

/// Largest error of an f32 activation and its derivative against [`activate`] and [`derivative`] of the
/// same argument: those that only limit are exact.
pub fn rounding(act: Activation) -> f64 {
    match act {
        Activation::Identity | Activation::Relu | Activation::Relu6 => 0.0,
        Activation::HardSwish
        | Activation::Silu
        | Activation::Sigmoid
        | Activation::HardSigmoid
        | Activation::Gelu => 1e-6,
    }
}

/// Largest error of an f32 activation whose exact result is `expected`. The tail of GELU ends where
/// f32 does.
pub fn activation_error(act: Activation, expected: f64) -> f64 {
    rounding(act) * expected.abs() + f64::from(f32::MIN_POSITIVE)
}

/// Mean and biased variance of each channel.
pub fn statistics(x: &[f32], channels: usize) -> Vec<(f64, f64)> {
    let rows = (x.len() / channels) as f64;
    let column = |channel| {
        x.iter()
            .skip(channel)
            .step_by(channels)
            .map(|x| f64::from(*x))
    };
    (0..channels)
        .map(|channel| {
            let mean = column(channel).sum::<f64>() / rows;
            let square = |x: f64| (x - mean) * (x - mean);
            (mean, column(channel).map(square).sum::<f64>() / rows)
        })
        .collect()
}

/// `(x - mean) / √(variance + epsilon)` of each row of `channels` values, and the factor of each row.
pub fn standardized(x: &[f64], channels: usize, epsilon: f64) -> (Vec<f64>, Vec<f64>) {
    let (mut normalized, mut inverses) = (Vec::new(), Vec::new());
    for row in x.chunks_exact(channels) {
        let mean = row.iter().sum::<f64>() / channels as f64;
        let squares = row.iter().map(|x| (x - mean) * (x - mean));
        let inverse = 1.0 / (squares.sum::<f64>() / channels as f64 + epsilon).sqrt();
        normalized.extend(row.iter().map(|x| (x - mean) * inverse));
        inverses.push(inverse);
    }
    (normalized, inverses)
}

/// Layer norm of `x` `[.., channels]`.
pub fn layer_norm(x: &[f64], gamma: &[f64], beta: &[f64], epsilon: f64) -> Vec<f64> {
    let channels = gamma.len();
    let (normalized, _) = standardized(x, channels, epsilon);
    let places = normalized.iter().enumerate();
    places
        .map(|(place, value)| value * gamma[place % channels] + beta[place % channels])
        .collect()
}

/// Of one image `[pixels, channels]`: the root of the sum of each channel's squares, and the mean of these roots plus
/// epsilon.
pub fn responses(image: &[f64], channels: usize, epsilon: f64) -> (Vec<f64>, f64) {
    let column = |channel: usize| image.iter().skip(channel).step_by(channels);
    let norm = |channel: usize| column(channel).map(|x| x * x).sum::<f64>().sqrt();
    let norms: Vec<_> = (0..channels).map(norm).collect();
    let mean = norms.iter().sum::<f64>() / channels as f64 + epsilon;
    (norms, mean)
}

/// Global response norm of `x`, images of `image_len` values `[pixels, channels]`.
pub fn response_norm(
    x: &[f64],
    image_len: usize,
    gamma: &[f64],
    beta: &[f64],
    epsilon: f64,
) -> Vec<f64> {
    let channels = gamma.len();
    let mut y = Vec::with_capacity(x.len());
    for image in x.chunks_exact(image_len) {
        let (norms, mean) = responses(image, channels, epsilon);
        y.extend(image.iter().enumerate().map(|(place, x)| {
            let channel = place % channels;
            x * (1.0 + gamma[channel] * norms[channel] / mean) + beta[channel]
        }));
    }
    y
}

/// Values in f64.
pub fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Expected values, each with the sum of its terms without their signs: a result may be off by a share of that.
pub struct Expected {
    values: Vec<f64>,
    terms: Vec<f64>,
}

impl Expected {
    /// Sums of nothing.
    pub fn zeros(len: usize) -> Self {
        Self {
            values: vec![0.0; len],
            terms: vec![0.0; len],
        }
    }

    /// Adds to a value a term, of this size before any of it cancelled out.
    pub fn add(&mut self, place: usize, term: f64, size: f64) {
        self.values[place] += term;
        self.terms[place] += size;
    }

    /// Fails unless every value is within a hundred roundings to f32 of its terms.
    #[track_caller]
    pub fn assert_close(&self, found: &[f32]) {
        let terms: Vec<_> = self.terms.iter().map(|terms| 100.0 * terms).collect();
        assert_sums_close(found, &self.values, &terms, 0.0);
    }
}

/// Reproducible values in -1..1 that look random.
pub fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Fails unless every value is within `tolerance` of the largest expected one.
#[track_caller]
pub fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_sums_close(found, expected, &vec![0.0; expected.len()], tolerance);
}

/// The same for sums, where each may be off by half an `f32::EPSILON` of `terms` more: the sum of its terms without
/// their signs, which may be much more than what is left of them.
#[track_caller]
pub fn assert_sums_close(found: &[f32], expected: &[f64], terms: &[f64], tolerance: f64) {
    assert_eq!((found.len(), terms.len()), (expected.len(), expected.len()));
    let scale = expected
        .iter()
        .fold(1.0, |most: f64, value| most.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error <= tolerance * scale + terms[index] * f64::from(f32::EPSILON) / 2.0,
            "value {index}: expected {expected}, found {found}"
        );
    }
}

pub const ACTIVATIONS: [Activation; 8] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::HardSwish,
    Activation::Silu,
    Activation::Sigmoid,
    Activation::HardSigmoid,
    Activation::Gelu,
];

pub fn activations() -> impl Strategy<Value = Activation> {
    proptest::sample::select(&ACTIVATIONS)
}

/// Convolutions of every kind that are small enough for the reference.
pub fn convolutions() -> impl Strategy<Value = Convolution> {
    let pair = |values: std::ops::RangeInclusive<usize>| [values.clone(), values];
    let kernel = [
        prop_oneof![Just(1usize), Just(2), Just(3), Just(5), Just(7)],
        prop_oneof![Just(1usize), Just(2), Just(3), Just(5), Just(7)],
    ];
    let channels = prop_oneof![
        // Groups of (groups, in, out) channels: dense, grouped, depthwise.
        (1usize..=40, 1usize..=70).prop_map(|(i, o)| (1, i, o)),
        (2usize..=3, 1usize..=9, 1usize..=9).prop_map(|(g, i, o)| (g, g * i, g * o)),
        (1usize..=70).prop_map(|channels| (channels, channels, channels)),
    ];
    let geometry = (kernel, pair(1..=3), paddings(3), pair(1..=2));
    convolutions_of(1usize..=3, pair(1..=12), channels, geometry)
}

/// Padding of up to `most` pixels at the start and at the end, the same on both in half of the cases.
pub fn paddings(most: usize) -> impl Strategy<Value = [[usize; 2]; 2]> {
    let pair = move || [0..=most, 0..=most];
    prop_oneof![pair().prop_map(|both| [both; 2]), [pair(), pair()]]
}

/// Convolutions put together from a batch, `[height, width]`, `(groups, in, out)` channels and
/// `(kernel, stride, [padding, padding_end], dilation)`.
pub fn convolutions_of(
    batch: impl Strategy<Value = usize>,
    extent: impl Strategy<Value = [usize; 2]>,
    channels: impl Strategy<Value = (usize, usize, usize)>,
    geometry: impl Strategy<Value = ([usize; 2], [usize; 2], [[usize; 2]; 2], [usize; 2])>,
) -> impl Strategy<Value = Convolution> {
    (batch, extent, channels, geometry)
        .prop_map(|(batch, [in_height, in_width], channels, geometry)| {
            let (kernel, stride, [padding, padding_end], dilation) = geometry;
            let (groups, in_channels, out_channels) = channels;
            Convolution {
                batch,
                in_height,
                in_width,
                in_channels,
                out_channels,
                kernel,
                stride,
                padding,
                padding_end,
                dilation,
                groups,
            }
        })
        .prop_filter("the kernel fits", |c| c.check().is_ok())
}
