//! Batch norm against the formula.

use proptest::prelude::*;
use warmstart_kernels::{Activation, batch_statistics, normalize, normalize_backward};

use crate::reference::{activate, activations, assert_close, statistics, values};

const EPS: f32 = 1e-3;

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

    fn forward(&self, residual: Option<&[f32]>) -> Vec<f32> {
        normalize(
            &self.x,
            &self.mean,
            &self.var,
            &self.gamma,
            &self.beta,
            EPS,
            residual,
            self.act,
        )
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
        batch in any::<bool>(), need_residual in any::<bool>()
    ) {
        let layer = Layer::new(rows, channels, act);
        let y = layer.forward(Some(&layer.residual));
        let grad_y = values(y.len(), 5);
        let found = normalize_backward(
            &grad_y, &layer.x, &y, &layer.mean, &layer.var, &layer.gamma, EPS, act, batch, need_residual,
        );
        let passes = |y: f32| match act {
            Activation::Identity => true,
            Activation::Relu => y > 0.0,
            Activation::Relu6 => 0.0 < y && y < 6.0,
        };
        let masked: Vec<_> = (0..y.len())
            .map(|index| if passes(y[index]) { f64::from(grad_y[index]) } else { 0.0 })
            .collect();
        let (mut gamma, mut beta) = (vec![0.0; channels], vec![0.0; channels]);
        for (index, gradient) in masked.iter().enumerate() {
            gamma[index % channels] += gradient * layer.normalized(index);
            beta[index % channels] += gradient;
        }
        let x: Vec<_> = (0..y.len())
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
        prop_assert_eq!(found.residual.is_some(), need_residual);
        if let Some(residual) = found.residual {
            assert_close(&residual, &masked, 0.0);
        }
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
fn nothing_to_normalize_is_no_error() {
    assert_eq!(batch_statistics(&[], 2), (vec![0.0; 2], vec![0.0; 2]));
    let ones = [1.0; 2];
    assert!(normalize(&[], &ones, &ones, &ones, &ones, EPS, None, Activation::Relu).is_empty());
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
            let gradients = normalize_backward(
                &grad_y,
                &layer.x,
                &y,
                &layer.mean,
                &layer.var,
                &layer.gamma,
                EPS,
                layer.act,
                true,
                true,
            );
            (layer.mean, layer.var, y, gradients)
        })
    };
    // No NaN and no negative zero is compared here, so equality is equality of bits.
    assert!(on_threads(1) == on_threads(3));
}
