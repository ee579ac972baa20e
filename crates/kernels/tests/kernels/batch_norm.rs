//! Batch norm against the formula.

use proptest::prelude::*;
use warmstart_kernels::{
    Activation, BatchNorm, Convolution, Input, OutputGradient, Wanted, activation_backward,
    batch_statistics, normalize, training_backward,
};

use crate::reference::{
    ACTIVATIONS, activate, activation_error, activations, assert_close, derivative, rounding,
    statistics, values,
};

const EPS: f32 = 1e-3;

/// Gradients of a batch norm.
#[derive(PartialEq)]
pub struct Gradients {
    pub x: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub residual: Vec<f32>,
}

/// All gradients of `act(batch_norm(z) [+ residual])`.
pub fn backward(
    grad_y: &[f32],
    z: &[f32],
    norm: BatchNorm<'_>,
    residual: Option<&[f32]>,
    batch_statistics: bool,
) -> Gradients {
    let (masked, sums) = activation_backward(grad_y, z, norm, residual);
    let masked = masked.unwrap_or_else(|| grad_y.to_vec());
    let [gamma, beta] = sums.parameter_gradients(norm.variance, norm.epsilon);
    let gradient = OutputGradient {
        masked: &masked,
        z,
        norm,
        sums: &sums,
        batch_statistics,
    };
    // A convolution that changes nothing hands the gradient through.
    let channels = norm.mean.len();
    let c = Convolution {
        batch: 1,
        in_height: 1,
        in_width: z.len() / channels,
        in_channels: channels,
        out_channels: channels,
        kernel: [1; 2],
        stride: [1; 2],
        padding: [0; 2],
        padding_end: [0; 2],
        dilation: [1; 2],
        groups: 1,
    };
    let identity: Vec<_> = (0..channels * channels)
        .map(|index| f32::from(u8::from(index % (channels + 1) == 0)))
        .collect();
    let wanted = Wanted {
        input: true,
        weight: false,
    };
    let gradients = training_backward(&c, Input::Values(z), &identity, gradient, None, wanted);
    Gradients {
        x: gradients.input.unwrap().0,
        gamma,
        beta,
        residual: masked,
    }
}

/// A batch norm with residual and activation.
struct Layer {
    x: Vec<f32>,
    residual: Vec<f32>,
    mean: Vec<f32>,
    var: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    act: Activation,
}

impl Layer {
    fn new(rows: usize, channels: usize, act: Activation) -> Self {
        let x = values(rows * channels, 1);
        let (mean, var) = batch_statistics(&x, channels);
        Self {
            residual: values(x.len(), 2),
            mean,
            var,
            gamma: values(channels, 3),
            beta: values(channels, 4),
            act,
            x,
        }
    }

    fn norm(&self) -> BatchNorm<'_> {
        BatchNorm {
            mean: &self.mean,
            variance: &self.var,
            gamma: &self.gamma,
            beta: &self.beta,
            epsilon: EPS,
            activation: self.act,
        }
    }

    fn forward(&self, residual: Option<&[f32]>) -> Vec<f32> {
        normalize(&self.x, self.norm(), residual)
    }

    fn backward(&self, grad_y: &[f32], residual: Option<&[f32]>, batch: bool) -> Gradients {
        backward(grad_y, &self.x, self.norm(), residual, batch)
    }

    /// `(x - mean) / √(var + eps)`
    fn normalized(&self, index: usize) -> f64 {
        let channel = index % self.mean.len();
        let deviation = (f64::from(self.var[channel]) + f64::from(EPS)).sqrt();
        (f64::from(self.x[index]) - f64::from(self.mean[channel])) / deviation
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn statistics_follow_the_formula(rows in 1usize..300, channels in 1usize..300) {
        let x = values(rows * channels, 1);
        let (mean, var) = batch_statistics(&x, channels);
        let (expected_mean, expected_var): (Vec<_>, Vec<_>) = statistics(&x, channels).into_iter().unzip();
        assert_close(&mean, &expected_mean, 1e-6);
        assert_close(&var, &expected_var, 1e-6);
    }

    #[test]
    fn normalize_follows_the_formula(
        rows in 1usize..200, channels in 1usize..80, act in activations(), with_residual in any::<bool>()
    ) {
        let layer = Layer::new(rows, channels, act);
        let residual = with_residual.then_some(layer.residual.as_slice());
        let expected: Vec<_> = (0..layer.x.len())
            .map(|index| {
                let channel = index % channels;
                let scaled = layer.normalized(index) * f64::from(layer.gamma[channel]);
                let residual = residual.map_or(0.0, |residual| f64::from(residual[index]));
                activate(act, scaled + f64::from(layer.beta[channel]) + residual)
            })
            .collect();
        assert_close(&layer.forward(residual), &expected, 1e-5);
    }

    #[test]
    fn gradients_follow_the_formula(
        rows in 1usize..200, channels in 1usize..80, act in activations(),
        batch in any::<bool>()
    ) {
        let layer = Layer::new(rows, channels, act);
        // The argument of the activation, as rounded as the kernel's own: it is on the same side of
        // every kink.
        let before = Layer::new(rows, channels, Activation::Identity).forward(Some(&layer.residual));
        let grad_y = values(before.len(), 5);
        let found = layer.backward(&grad_y, Some(&layer.residual), batch);
        let masked: Vec<_> = before
            .iter()
            .zip(&grad_y)
            .map(|(before, gradient)| f64::from(*gradient) * derivative(act, f64::from(*before)))
            .collect();
        let (mut gamma, mut beta) = (vec![0.0; channels], vec![0.0; channels]);
        for (index, gradient) in masked.iter().enumerate() {
            gamma[index % channels] += gradient * layer.normalized(index);
            beta[index % channels] += gradient;
        }
        let x: Vec<_> = (0..before.len())
            .map(|index| {
                let channel = index % channels;
                let deviation = (f64::from(layer.var[channel]) + f64::from(EPS)).sqrt();
                let scale = f64::from(layer.gamma[channel]) / deviation;
                let through_statistics =
                    (beta[channel] + layer.normalized(index) * gamma[channel]) / rows as f64;
                scale * (masked[index] - if batch { through_statistics } else { 0.0 })
            })
            .collect();
        assert_close(&found.gamma, &gamma, 1e-5);
        assert_close(&found.beta, &beta, 1e-5);
        assert_close(&found.x, &x, 1e-5);
        assert_close(&found.residual, &masked, rounding(act));
    }
}

#[test]
fn a_mean_far_from_zero_costs_no_accuracy() {
    let (rows, channels) = (50_000, 3);
    let mut x = values(rows * channels, 1);
    x.iter_mut().for_each(|x| *x += 1000.0);
    let (mean, var) = batch_statistics(&x, channels);
    for ((mean, var), (expected_mean, expected_var)) in
        mean.iter().zip(var).zip(statistics(&x, channels))
    {
        assert!(
            (f64::from(*mean) - expected_mean).abs() < 1e-4,
            "{mean} {expected_mean}"
        );
        assert!(
            (f64::from(var) / expected_var - 1.0).abs() < 1e-5,
            "{var} {expected_var}"
        );
    }
}

#[test]
fn a_deviation_of_a_few_roundings_is_still_measured() {
    // f32 steps by 1/2048 here, so the rounded mean is off by a good part of the deviation.
    let x: Vec<_> = (0..3000)
        .map(|row| 4096.0 + (row % 4 / 3) as f32 / 2048.0)
        .collect();
    let (_, var) = batch_statistics(&x, 1);
    let expected = statistics(&x, 1)[0].1;
    assert!(
        (f64::from(var[0]) / expected - 1.0).abs() < 1e-4,
        "{var:?} {expected}"
    );
}

#[test]
fn activations_follow_the_formula_at_their_kinks_and_far_away() {
    // Whole numbers as far as the sigmoid keeps its relative error, and a batch norm that changes
    // nothing.
    let z: Vec<_> = (-80..=80).map(|z| z as f32).collect();
    for act in ACTIVATIONS {
        let norm = BatchNorm {
            mean: &[0.0],
            variance: &[1.0],
            gamma: &[1.0],
            beta: &[0.0],
            epsilon: 0.0,
            activation: act,
        };
        let y = normalize(&z, norm, None);
        let (slopes, _) = activation_backward(&vec![1.0; z.len()], &z, norm, None);
        let slopes = slopes.unwrap_or_else(|| vec![1.0; z.len()]);
        for ((z, y), slope) in z.iter().zip(y).zip(slopes) {
            let expected = activate(act, f64::from(*z));
            let error = (f64::from(y) - expected).abs();
            assert!(
                error <= activation_error(act, expected),
                "{act:?} of {z}: expected {expected}, found {y}"
            );
            let expected = derivative(act, f64::from(*z));
            let error = (f64::from(slope) - expected).abs();
            assert!(
                error <= rounding(act),
                "the derivative of {act:?} at {z}: expected {expected}, found {slope}"
            );
            // PyTorch 2's hardswish_backward and hardsigmoid_backward, exact from the kinks on.
            match act {
                Activation::HardSwish if z.abs() >= 3.0 => {
                    assert_eq!([y, slope], if *z < 0.0 { [0.0, 0.0] } else { [*z, 1.0] });
                }
                Activation::HardSigmoid if z.abs() >= 3.0 => {
                    assert_eq!([y, slope], if *z < 0.0 { [0.0, 0.0] } else { [1.0, 0.0] });
                }
                _ => {}
            }
        }
    }
}

#[test]
fn nothing_to_normalize_is_no_error() {
    assert_eq!(batch_statistics(&[], 2), (vec![0.0; 2], vec![0.0; 2]));
    assert!(Layer::new(0, 2, Activation::Relu).forward(None).is_empty());
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let layer = Layer::new(9_000, 33, Activation::Relu);
            let y = layer.forward(Some(&layer.residual));
            let grad_y = values(y.len(), 5);
            let gradients = layer.backward(&grad_y, Some(&layer.residual), true);
            (layer.mean, layer.var, y, gradients)
        })
    };
    // No NaN and no negative zero is compared here, so equality is equality of bits.
    assert!(on_threads(1) == on_threads(3));
}
