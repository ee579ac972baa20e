//! Squeeze-and-excitation against the formulas.

use proptest::prelude::*;
use warmstart_kernels::{
    excitation_input_gradient, gate_gradient, image_means, image_means_backward, scale_channels,
    scale_channels_backward,
};

use crate::reference::{assert_close, values};

/// f32 rounding of a hundred summands.
const TOLERANCE: f64 = 2e-6;

/// `[images, pixels, channels]`, with the operands of every function.
struct Case {
    images: usize,
    pixels: usize,
    channels: usize,
    x: Vec<f32>,
    gate: Vec<f32>,
    grad_y: Vec<f32>,
    grad_means: Vec<f32>,
}

impl Case {
    fn new([images, pixels, channels]: [usize; 3]) -> Self {
        let len = images * pixels * channels;
        Self {
            images,
            pixels,
            channels,
            x: values(len, 1),
            gate: values(images * channels, 2),
            grad_y: values(len, 3),
            grad_means: values(images * channels, 4),
        }
    }

    /// Calls `visit(place in x, place in the gate)` for every value.
    fn visit(&self, mut visit: impl FnMut(usize, usize)) {
        for place in 0..self.x.len() {
            let image = place / (self.pixels * self.channels);
            visit(place, image * self.channels + place % self.channels);
        }
    }

    /// The results of all functions.
    fn run(&self) -> [Vec<f32>; 7] {
        let (images, channels) = (self.images, self.channels);
        let (x, gate, grad_y) = (&self.x, &self.gate, &self.grad_y);
        let (grad_x, grad_gate) = scale_channels_backward(x, gate, grad_y, channels);
        [
            image_means(x, images, channels),
            image_means_backward(&self.grad_means, self.pixels, channels),
            scale_channels(x, gate, channels),
            grad_x,
            grad_gate,
            gate_gradient(x, grad_y, images, channels),
            excitation_input_gradient(grad_y, gate, &self.grad_means, channels),
        ]
    }

    fn check(&self) {
        let wide = |values: &[f32], place: usize| f64::from(values[place]);
        let mut means = vec![0.0; self.gate.len()];
        let mut grad_gate = means.clone();
        let mut each = [(); 4].map(|()| Vec::with_capacity(self.x.len()));
        self.visit(|place, at| {
            let (x, grad_y) = (wide(&self.x, place), wide(&self.grad_y, place));
            let gate = wide(&self.gate, at);
            let share = wide(&self.grad_means, at) / self.pixels as f64;
            means[at] += x / self.pixels as f64;
            grad_gate[at] += x * grad_y;
            let found = [share, x * gate, grad_y * gate, grad_y * gate + share];
            for (values, value) in each.iter_mut().zip(found) {
                values.push(value);
            }
        });
        let [spread, scaled, grad_x, grad_x_of_all] = each;
        let expected = [
            means,
            spread,
            scaled,
            grad_x,
            grad_gate.clone(),
            grad_gate,
            grad_x_of_all,
        ];
        for (found, expected) in self.run().iter().zip(&expected) {
            assert_close(found, expected, TOLERANCE);
        }
    }

    /// The first image alone.
    fn first(&self) -> Self {
        let (len, channels) = (self.pixels * self.channels, self.channels);
        let part = |values: &[f32], len: usize| values[..len].to_vec();
        Self {
            images: 1,
            x: part(&self.x, len),
            gate: part(&self.gate, channels),
            grad_y: part(&self.grad_y, len),
            grad_means: part(&self.grad_means, channels),
            ..*self
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_follow_the_formula(
        images in 1usize..5, pixels in prop_oneof![1usize..5, 1usize..300],
        channels in prop_oneof![1usize..5, 1usize..300]
    ) {
        Case::new([images, pixels, channels]).check();
    }
}

/// Shapes whose images have several tiles, and one with fewer values than a wide row.
const LARGE: [[usize; 3]; 4] = [[3, 57 * 31, 19], [2, 49, 960], [2, 56 * 56, 33], [5, 1, 16]];

#[test]
fn large_shapes_follow_the_formula() {
    for shape in LARGE {
        Case::new(shape).check();
    }
}

#[test]
fn one_pixel_and_one_channel_are_a_product() {
    assert_eq!(image_means(&[3.0], 1, 1), [3.0]);
    assert_eq!(image_means_backward(&[3.0], 2, 1), [1.5, 1.5]);
    assert_eq!(scale_channels(&[3.0], &[-2.0], 1), [-6.0]);
    let gradients = scale_channels_backward(&[3.0], &[-2.0], &[5.0], 1);
    assert_eq!(gradients, (vec![-10.0], vec![15.0]));
    assert_eq!(gate_gradient(&[3.0], &[5.0], 1, 1), [15.0]);
    assert_eq!(
        excitation_input_gradient(&[5.0], &[-2.0], &[4.0], 1),
        [-6.0]
    );
}

#[test]
fn an_empty_batch_gives_empty_results() {
    Case::new([0, 6, 5]).check();
}

#[test]
#[should_panic(expected = "images of as many pixels")]
fn pixels_that_do_not_spread_over_the_images_are_refused() {
    scale_channels(&[0.0; 15], &[0.0; 6], 3);
}

#[test]
#[should_panic(expected = "grad_y has the shape of x")]
fn a_gradient_of_another_shape_is_refused() {
    gate_gradient(&[0.0; 12], &[0.0; 6], 2, 3);
}

fn bits(results: [Vec<f32>; 7]) -> [Vec<u32>; 7] {
    results.map(|values| values.into_iter().map(f32::to_bits).collect())
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let run = || LARGE.map(|shape| bits(Case::new(shape).run()));
        pool.unwrap().install(run)
    };
    assert!(on_threads(1) == on_threads(3));
}

#[test]
fn an_image_gets_the_same_bits_alone_and_in_any_batch() {
    for shape in LARGE {
        let all = Case::new(shape);
        let alone = bits(all.first().run());
        for (all, alone) in bits(all.run()).iter().zip(alone) {
            assert_eq!(all[..alone.len()], alone[..]);
        }
    }
}
