//! Global response norm against the formula.

use proptest::prelude::*;
use warmstart_kernels::{NormGradients, ResponseNorm, response_norm, response_norm_backward};

use crate::reference::{Expected, responses, values, widened};

const EPSILON: f32 = 1e-6;

/// `[batch, pixels, channels]`, with the operands of both ways.
struct Case {
    batch: usize,
    pixels: usize,
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    grad_y: Vec<f32>,
}

impl Case {
    fn new([batch, pixels, channels]: [usize; 3]) -> Self {
        let len = batch * pixels * channels;
        Self {
            batch,
            pixels,
            x: values(len, 1),
            gamma: values(channels, 2),
            beta: values(channels, 3),
            grad_y: values(len, 4),
        }
    }

    fn norm(&self) -> ResponseNorm<'_> {
        ResponseNorm {
            batch: self.batch,
            gamma: &self.gamma,
            epsilon: EPSILON,
        }
    }

    fn forward(&self) -> Vec<f32> {
        response_norm(&self.x, self.norm(), &self.beta)
    }

    fn backward(&self) -> NormGradients {
        response_norm_backward(&self.grad_y, &self.x, self.norm(), true)
    }

    /// The first image alone.
    fn first(&self) -> Self {
        let len = self.pixels * self.gamma.len();
        Self {
            batch: 1,
            x: self.x[..len].to_vec(),
            grad_y: self.grad_y[..len].to_vec(),
            gamma: self.gamma.clone(),
            beta: self.beta.clone(),
            ..*self
        }
    }

    #[track_caller]
    fn check(&self) {
        let channels = self.gamma.len();
        let all = [&self.x, &self.gamma, &self.beta, &self.grad_y];
        let [x, gamma, beta, grad_y] = all.map(|values| widened(values));
        let [mut y, mut grad_x] = [(); 2].map(|()| Expected::zeros(x.len()));
        let [mut grad_gamma, mut grad_beta] = [(); 2].map(|()| Expected::zeros(channels));
        for image in 0..self.batch {
            let first = image * self.pixels * channels;
            let places = first..first + self.pixels * channels;
            let (norms, mean) = responses(&x[places.clone()], channels, f64::from(EPSILON));
            // The products of x and its gradient, and their sizes.
            let mut products = vec![[0.0; 2]; channels];
            for place in places.clone() {
                let channel = place % channels;
                let response = norms[channel] / mean;
                y.add(
                    place,
                    x[place] * (1.0 + gamma[channel] * response),
                    x[place].abs() * (1.0 + gamma[channel].abs() * response),
                );
                y.add(place, beta[channel], beta[channel].abs());
                let product = x[place] * grad_y[place];
                grad_gamma.add(channel, product * response, product.abs() * response);
                grad_beta.add(channel, grad_y[place], grad_y[place].abs());
                products[channel][0] += product;
                products[channel][1] += product.abs();
            }
            let mut through_mean = [0.0; 2];
            for (channel, norm) in norms.iter().enumerate() {
                let share = norm / (mean * mean * channels as f64);
                through_mean[0] += gamma[channel] * products[channel][0] * share;
                through_mean[1] += gamma[channel].abs() * products[channel][1] * share;
            }
            for place in places {
                let channel = place % channels;
                let response = norms[channel] / mean;
                let share = x[place] / norms[channel];
                let [product, size] = products[channel];
                let by_norm = gamma[channel] * product / mean - through_mean[0];
                let size_by_norm = gamma[channel].abs() * size / mean + through_mean[1];
                grad_x.add(
                    place,
                    grad_y[place] * (1.0 + gamma[channel] * response) + share * by_norm,
                    grad_y[place].abs() * (1.0 + gamma[channel].abs() * response)
                        + share.abs() * size_by_norm,
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
        batch in 1usize..5, pixels in prop_oneof![1usize..5, 1usize..300],
        channels in prop_oneof![1usize..5, 1usize..300]
    ) {
        Case::new([batch, pixels, channels]).check();
    }
}

/// Shapes whose images have several tiles, and one with fewer values than a wide row.
const LARGE: [[usize; 3]; 4] = [
    [3, 57 * 31, 19],
    [2, 49, 3072],
    [2, 56 * 56, 33],
    [5, 1, 16],
];

#[test]
fn large_shapes_follow_the_formula() {
    for shape in LARGE {
        Case::new(shape).check();
    }
}

#[test]
fn two_channels_are_scaled_by_their_shares() {
    // Norms of 3 and 1 over two pixels, with a mean of 2.
    let norm = ResponseNorm {
        batch: 1,
        gamma: &[2.0, 4.0],
        epsilon: 1e-12,
    };
    let y = response_norm(&[3.0, 0.0, 0.0, -1.0], norm, &[0.5, 0.25]);
    assert_eq!(y, [12.5, 0.25, 0.5, -2.75]);
}

#[test]
fn zeros_hand_the_gradient_through() {
    let mut case = Case::new([2, 9, 5]);
    case.x.fill(0.0);
    let found = case.backward();
    assert_eq!(found.x.unwrap(), case.grad_y);
    assert_eq!(found.gamma, [0.0; 5]);
}

#[test]
fn an_empty_batch_gives_empty_results_and_gradients_of_zero() {
    let case = Case::new([0, 6, 5]);
    assert!(case.forward().is_empty());
    let expected = NormGradients {
        x: Some(Vec::new()),
        gamma: vec![0.0; 5],
        beta: vec![0.0; 5],
    };
    assert_eq!(case.backward(), expected);
}

#[test]
fn the_parameters_have_the_same_gradients_if_the_input_needs_none() {
    let case = Case::new([2, 900, 33]);
    let expected = NormGradients {
        x: None,
        ..case.backward()
    };
    let found = response_norm_backward(&case.grad_y, &case.x, case.norm(), false);
    assert_eq!(found, expected);
}

fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn an_image_gets_the_same_bits_alone_and_in_any_batch() {
    for shape in LARGE {
        let all = Case::new(shape);
        let alone = all.first();
        let y = bits(all.forward());
        assert_eq!(y[..alone.x.len()], bits(alone.forward())[..]);
        let grad_x = bits(all.backward().x.unwrap());
        let grad_x_alone = bits(alone.backward().x.unwrap());
        assert_eq!(grad_x[..alone.x.len()], grad_x_alone[..]);
    }
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let run = |shape| {
        let case = Case::new(shape);
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
#[should_panic(expected = "images of as many pixels")]
fn pixels_that_do_not_spread_over_the_images_are_refused() {
    let norm = ResponseNorm {
        batch: 2,
        gamma: &[1.0; 3],
        epsilon: EPSILON,
    };
    response_norm(&[0.0; 15], norm, &[0.0; 3]);
}
