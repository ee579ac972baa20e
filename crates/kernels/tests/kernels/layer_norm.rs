//! Layer norm against the formula.

use proptest::prelude::*;
use warmstart_kernels::{LayerNorm, NormGradients, layer_norm, layer_norm_backward};

use crate::reference::{Expected, standardized, values, widened};

const EPSILON: f32 = 1e-6;

/// `[rows, channels]`, with the operands of both ways.
struct Case {
    channels: usize,
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    grad_y: Vec<f32>,
    epsilon: f32,
}

impl Case {
    fn new([rows, channels]: [usize; 2], epsilon: f32) -> Self {
        Self {
            channels,
            x: values(rows * channels, 1),
            gamma: values(channels, 2),
            beta: values(channels, 3),
            grad_y: values(rows * channels, 4),
            epsilon,
        }
    }

    fn norm(&self) -> LayerNorm<'_> {
        LayerNorm {
            gamma: &self.gamma,
            epsilon: self.epsilon,
        }
    }

    fn forward(&self) -> Vec<f32> {
        layer_norm(&self.x, self.norm(), &self.beta)
    }

    fn backward(&self) -> NormGradients {
        layer_norm_backward(&self.grad_y, &self.x, self.norm(), true)
    }

    /// One row alone.
    fn row(&self, row: usize) -> Self {
        let range = row * self.channels..(row + 1) * self.channels;
        Self {
            x: self.x[range.clone()].to_vec(),
            grad_y: self.grad_y[range].to_vec(),
            gamma: self.gamma.clone(),
            beta: self.beta.clone(),
            ..*self
        }
    }

    #[track_caller]
    fn check(&self) {
        let channels = self.channels;
        let parameters = [&self.gamma, &self.beta, &self.grad_y];
        let [gamma, beta, grad_y] = parameters.map(|values| widened(values));
        let (normalized, inverses) =
            standardized(&widened(&self.x), channels, f64::from(self.epsilon));
        let [mut y, mut grad_x] = [(); 2].map(|()| Expected::zeros(self.x.len()));
        let [mut grad_gamma, mut grad_beta] = [(); 2].map(|()| Expected::zeros(channels));
        for (row, inverse) in inverses.iter().enumerate() {
            let places = row * channels..(row + 1) * channels;
            // The mean of a row cancels out of its normalised values: what is left may be small.
            let size = |place: usize| 1.0 + normalized[place].abs();
            // Sums of the gradient before the scale and shift, and of its products, with their sizes.
            let [mut sum, mut product] = [[0.0; 2]; 2];
            for (channel, place) in places.clone().enumerate() {
                let gradient = grad_y[place];
                y.add(
                    place,
                    normalized[place] * gamma[channel],
                    size(place) * gamma[channel].abs(),
                );
                y.add(place, beta[channel], beta[channel].abs());
                grad_gamma.add(
                    channel,
                    gradient * normalized[place],
                    gradient.abs() * size(place),
                );
                grad_beta.add(channel, gradient, gradient.abs());
                let scaled = gradient * gamma[channel] / channels as f64;
                sum[0] += scaled;
                sum[1] += scaled.abs();
                product[0] += scaled * normalized[place];
                product[1] += scaled.abs() * size(place);
            }
            for (channel, place) in places.enumerate() {
                let scaled = grad_y[place] * gamma[channel];
                grad_x.add(
                    place,
                    inverse * (scaled - sum[0] - normalized[place] * product[0]),
                    inverse * (scaled.abs() + sum[1] + size(place) * product[1]),
                );
            }
        }
        y.assert_close(&self.forward());
        let found = self.backward();
        grad_x.assert_close(&found.x.unwrap());
        grad_gamma.assert_close(&found.gamma);
        grad_beta.assert_close(&found.beta);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_follow_the_formula(
        rows in prop_oneof![1usize..10, 1usize..300],
        channels in prop_oneof![1usize..20, 1usize..300],
        epsilon in proptest::sample::select(&[1e-6_f32, 1e-5, 0.1]),
    ) {
        Case::new([rows, channels], epsilon).check();
    }
}

/// Shapes of several tiles, and some with rows as long as a tile or as short as they can be.
const LARGE: [[usize; 2]; 5] = [
    [9_000, 33],
    [3 * 197, 192],
    [50, 3072],
    [2, 40_001],
    [2_000, 1],
];

#[test]
fn large_shapes_follow_the_formula() {
    for shape in LARGE {
        Case::new(shape, EPSILON).check();
    }
}

#[test]
fn a_mean_far_from_zero_costs_no_accuracy() {
    for channels in [3, 192, 768] {
        let mut case = Case::new([20, channels], EPSILON);
        case.x.iter_mut().for_each(|x| *x += 1000.0);
        case.check();
    }
}

#[test]
fn two_channels_become_minus_one_and_one() {
    let norm = LayerNorm {
        gamma: &[2.0, 3.0],
        epsilon: 1e-12,
    };
    assert_eq!(layer_norm(&[1.0, 3.0], norm, &[10.0, 20.0]), [8.0, 23.0]);
}

#[test]
fn one_channel_becomes_the_shift() {
    let norm = LayerNorm {
        gamma: &[2.0],
        epsilon: EPSILON,
    };
    assert_eq!(layer_norm(&[3.0, -5.0], norm, &[0.5]), [0.5, 0.5]);
}

#[test]
fn no_rows_give_empty_results_and_gradients_of_zero() {
    let case = Case::new([0, 5], EPSILON);
    assert!(case.forward().is_empty());
    let expected = NormGradients {
        x: Some(Vec::new()),
        gamma: vec![0.0; 5],
        beta: vec![0.0; 5],
    };
    assert_eq!(case.backward(), expected);
}

#[test]
fn a_value_that_is_no_number_spoils_its_own_row_alone() {
    for channels in [3, 40] {
        let mut case = Case::new([7, channels], EPSILON);
        case.x[2 * channels + 1] = f32::NAN;
        for (row, y) in case.forward().chunks(channels).enumerate() {
            assert!(y.iter().all(|y| y.is_nan() == (row == 2)), "row {row}");
        }
    }
}

#[test]
fn the_parameters_have_the_same_gradients_if_the_input_needs_none() {
    let case = Case::new([1_000, 40], EPSILON);
    let expected = NormGradients {
        x: None,
        ..case.backward()
    };
    let found = layer_norm_backward(&case.grad_y, &case.x, case.norm(), false);
    assert_eq!(found, expected);
}

fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_row_gets_the_same_bits_alone_and_among_others() {
    for channels in [3, 33, 192] {
        let case = Case::new([7, channels], EPSILON);
        let (y, grad_x) = (bits(case.forward()), bits(case.backward().x.unwrap()));
        for row in 0..7 {
            let (alone, range) = (case.row(row), row * channels..(row + 1) * channels);
            assert_eq!(bits(alone.forward()), y[range.clone()]);
            assert_eq!(bits(alone.backward().x.unwrap()), grad_x[range]);
        }
    }
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let run = |shape| {
        let case = Case::new(shape, EPSILON);
        let NormGradients { x, gamma, beta } = case.backward();
        [case.forward(), x.unwrap(), gamma, beta].map(bits)
    };
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| LARGE.map(run))
    };
    assert!(on_threads(1) == on_threads(3));
}

#[test]
#[should_panic(expected = "whole rows of 3 channels")]
fn a_part_of_a_row_is_refused() {
    let norm = LayerNorm {
        gamma: &[1.0; 3],
        epsilon: EPSILON,
    };
    layer_norm(&[0.0; 7], norm, &[0.0; 3]);
}

#[test]
#[should_panic(expected = "the gradient has the shape of x")]
fn a_gradient_of_another_shape_is_refused() {
    let norm = LayerNorm {
        gamma: &[1.0; 3],
        epsilon: EPSILON,
    };
    layer_norm_backward(&[0.0; 3], &[0.0; 6], norm, true);
}
