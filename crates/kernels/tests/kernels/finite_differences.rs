//! The gradients against central differences of `L = Σ grad_y · y`, computed in f64 from the formula
//! of the forward pass alone.

use proptest::prelude::*;
use warmstart_kernels::{
    Activation, Attention, BatchNorm, Convolution, LayerNorm, ResponseNorm, attention_backward,
    batch_statistics, convolution_input_gradient, convolution_weight_gradient, layer_norm_backward,
    response_norm_backward,
};

use crate::attention::attended;
use crate::batch_norm::backward;
use crate::reference::{
    activate, activations, assert_close, convolutions_of, layer_norm, paddings, products,
    response_norm, values, widened,
};

/// f32 rounding of the gradients; the differences are far closer.
const TOLERANCE: f64 = 1e-4;
const EPS: f32 = 1e-3;

/// `(L(v + step) - L(v - step)) / (2 step)` for every value `v` of `values` in turn.
fn differences(values: &[f64], step: f64, loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let shifted = |index: usize, step: f64| {
        let mut shifted = values.to_vec();
        shifted[index] += step;
        loss(&shifted)
    };
    (0..values.len())
        .map(|index| (shifted(index, step) - shifted(index, -step)) / (2.0 * step))
        .collect()
}

/// `Σ grad_y · y`
fn product(y: &[f64], grad_y: &[f32]) -> f64 {
    let values = y.iter().zip(grad_y);
    values.map(|(y, gradient)| y * f64::from(*gradient)).sum()
}

/// Dense, grouped and depthwise convolutions, with and without stride and dilation, small enough to
/// shift every value.
fn small_convolutions() -> impl Strategy<Value = Convolution> {
    let pair = |values: std::ops::RangeInclusive<usize>| [values.clone(), values];
    let channels = prop_oneof![
        (1usize..=4, 1usize..=36).prop_map(|(i, o)| (1, i, o)),
        (2usize..=3, 1usize..=3, 1usize..=6).prop_map(|(g, i, o)| (g, g * i, g * o)),
        (2usize..=36).prop_map(|channels| (channels, channels, channels)),
    ];
    let geometry = (pair(1..=3), pair(1..=3), paddings(2), pair(1..=2));
    convolutions_of(1usize..=2, pair(1..=6), channels, geometry)
}

/// A batch norm in f64, with a residual and an activation.
#[derive(Clone)]
struct Norm {
    x: Vec<f64>,
    gamma: Vec<f64>,
    beta: Vec<f64>,
    residual: Vec<f64>,
    /// Mean and variance of each channel, or `None` for those of `x`.
    frozen: Option<(Vec<f64>, Vec<f64>)>,
    act: Activation,
}

impl Norm {
    /// `(x - mean) / √(var + eps) · gamma + beta + residual`
    fn before_activation(&self) -> Vec<f64> {
        let channels = self.gamma.len();
        let rows = self.x.len() / channels;
        let statistics = |channel: usize| match &self.frozen {
            Some((mean, var)) => (mean[channel], var[channel]),
            None => {
                let column = || self.x.iter().skip(channel).step_by(channels);
                let mean = column().sum::<f64>() / rows as f64;
                let square = |x: &f64| (x - mean) * (x - mean);
                (mean, column().map(square).sum::<f64>() / rows as f64)
            }
        };
        let statistics: Vec<_> = (0..channels).map(statistics).collect();
        let values = self.x.iter().zip(&self.residual).enumerate();
        values
            .map(|(index, (x, residual))| {
                let channel = index % channels;
                let (mean, var) = statistics[channel];
                let normalized = (x - mean) / (var + f64::from(EPS)).sqrt();
                normalized * self.gamma[channel] + self.beta[channel] + residual
            })
            .collect()
    }

    fn loss(&self, grad_y: &[f64]) -> f64 {
        let values = self.before_activation().into_iter().zip(grad_y);
        values
            .map(|(value, gradient)| {
                // A difference across a kink of the activation would be no derivative.
                assert!(
                    KINKS.iter().all(|kink| (value - kink).abs() > 0.1),
                    "{value}"
                );
                gradient * activate(self.act, value)
            })
            .sum()
    }
}

/// The values at which any of the activations has no derivative.
const KINKS: [f64; 4] = [-3.0, 0.0, 3.0, 6.0];

/// Values below, between and above the kinks, in turn, at least 0.5 away from any.
fn away_from_kinks(len: usize) -> impl Iterator<Item = f64> {
    let middles = [-4.5, -1.5, 1.5, 4.5, 7.5];
    let places = values(len, 6).into_iter().zip(middles.into_iter().cycle());
    places.map(|(place, middle)| middle + f64::from(place))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_convolutions(c in small_convolutions()) {
        let (x, w) = (values(c.input_len(), 1), values(c.weight_len(), 2));
        let grad_y = values(c.output_len(), 3);
        let loss = |x: &[f64], w: &[f64]| {
            let mut loss = 0.0;
            products(&c, |yi, xi, wi| loss += f64::from(grad_y[yi]) * x[xi] * w[wi]);
            loss
        };
        let (wide_x, wide_w) = (widened(&x), widened(&w));
        // The loss is linear in either operand, so a wide step costs no accuracy.
        let by_x = differences(&wide_x, 0.5, |x| loss(x, &wide_w));
        assert_close(&convolution_input_gradient(&c, &grad_y, &w), &by_x, TOLERANCE);
        let by_w = differences(&wide_w, 0.5, |w| loss(&wide_x, w));
        assert_close(&convolution_weight_gradient(&c, &x, &grad_y), &by_w, TOLERANCE);
    }

    #[test]
    fn of_batch_norm(
        rows in 1usize..=12, channels in 1usize..=40, act in activations(),
        batch in any::<bool>()
    ) {
        let x = values(rows * channels, 1);
        let (gamma, beta) = (values(channels, 3), values(channels, 4));
        let (mean, var) = if batch {
            batch_statistics(&x, channels)
        } else {
            let var = values(channels, 8).iter().map(|value| 0.1 + value.abs()).collect();
            (values(channels, 7), var)
        };
        let mut norm = Norm {
            x: widened(&x),
            gamma: widened(&gamma),
            beta: widened(&beta),
            residual: vec![0.0; x.len()],
            frozen: (!batch).then(|| (widened(&mean), widened(&var))),
            act,
        };
        // The residual takes every value to where the activation has a derivative.
        let residual: Vec<_> = norm
            .before_activation()
            .iter()
            .zip(away_from_kinks(x.len()))
            .map(|(value, place)| (place - value) as f32)
            .collect();
        norm.residual = widened(&residual);

        let grad_y = values(x.len(), 5);
        let view = BatchNorm {
            mean: &mean,
            variance: &var,
            gamma: &gamma,
            beta: &beta,
            epsilon: EPS,
            activation: act,
        };
        let found = backward(&grad_y, &x, view, Some(&residual), batch);
        let grad_y = widened(&grad_y);
        let expected = |operand: fn(&mut Norm) -> &mut Vec<f64>| {
            let values = operand(&mut norm.clone()).clone();
            differences(&values, 1e-5, |values| {
                let mut norm = norm.clone();
                operand(&mut norm).copy_from_slice(values);
                norm.loss(&grad_y)
            })
        };
        assert_close(&found.x, &expected(|norm| &mut norm.x), TOLERANCE);
        assert_close(&found.gamma, &expected(|norm| &mut norm.gamma), TOLERANCE);
        assert_close(&found.beta, &expected(|norm| &mut norm.beta), TOLERANCE);
        assert_close(&found.residual, &expected(|norm| &mut norm.residual), TOLERANCE);
    }

    #[test]
    fn of_layer_norm(rows in 1usize..=6, channels in 1usize..=40) {
        let [x, grad_y] = [1, 5].map(|seed| values(rows * channels, seed));
        let [gamma, beta] = [3, 4].map(|seed| values(channels, seed));
        let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| {
            product(&layer_norm(x, gamma, beta, f64::from(EPS)), &grad_y)
        };
        let norm = LayerNorm { gamma: &gamma, epsilon: EPS };
        let found = layer_norm_backward(&grad_y, &x, norm, true);
        let [x, gamma, beta] = [&x, &gamma, &beta].map(|values| widened(values));
        let by_x = differences(&x, 1e-5, |x| loss(x, &gamma, &beta));
        assert_close(&found.x.unwrap(), &by_x, TOLERANCE);
        let by_gamma = differences(&gamma, 1e-5, |gamma| loss(&x, gamma, &beta));
        assert_close(&found.gamma, &by_gamma, TOLERANCE);
        let by_beta = differences(&beta, 1e-5, |beta| loss(&x, &gamma, beta));
        assert_close(&found.beta, &by_beta, TOLERANCE);
    }

    #[test]
    fn of_response_norm(batch in 1usize..=3, pixels in 1usize..=6, channels in 1usize..=20) {
        let image_len = pixels * channels;
        let [mut x, grad_y] = [1, 5].map(|seed| values(batch * image_len, seed));
        // A channel of zeros has a kink.
        x.iter_mut().for_each(|x| *x += 0.5_f32.copysign(*x));
        let [gamma, beta] = [3, 4].map(|seed| values(channels, seed));
        let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| {
            product(&response_norm(x, image_len, gamma, beta, f64::from(EPS)), &grad_y)
        };
        let norm = ResponseNorm { batch, gamma: &gamma, epsilon: EPS };
        let found = response_norm_backward(&grad_y, &x, norm, true);
        let [x, gamma, beta] = [&x, &gamma, &beta].map(|values| widened(values));
        let by_x = differences(&x, 1e-5, |x| loss(x, &gamma, &beta));
        assert_close(&found.x.unwrap(), &by_x, TOLERANCE);
        let by_gamma = differences(&gamma, 1e-5, |gamma| loss(&x, gamma, &beta));
        assert_close(&found.gamma, &by_gamma, TOLERANCE);
        let by_beta = differences(&beta, 1e-5, |beta| loss(&x, &gamma, beta));
        assert_close(&found.beta, &by_beta, TOLERANCE);
    }

    #[test]
    fn of_attention(
        batch in 1usize..=2, tokens in 1usize..=7, heads in 1usize..=3, head_channels in 1usize..=5
    ) {
        let geometry = Attention { batch, tokens, heads, head_channels };
        let len = batch * tokens * heads * head_channels;
        let (qkv, gradient) = (values(3 * len, 1), values(len, 5));
        let loss = |qkv: &[f64]| product(&attended(&geometry, qkv), &gradient);
        let expected = differences(&widened(&qkv), 1e-5, loss);
        assert_close(&attention_backward(&geometry, &gradient, &qkv), &expected, TOLERANCE);
    }
}
