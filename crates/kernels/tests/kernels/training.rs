//! A convolution between two batch norms, forward and backward, against the same in f64.

use proptest::prelude::*;
use warmstart_kernels::{
    Activation, BatchNorm, Convolution, ConvolutionGradients, Input, OutputGradient, Wanted,
    activation_backward, training_backward, training_forward,
};

use crate::convolution::large;
use crate::reference::{
    activate, activations, assert_close, assert_sums_close, convolutions, derivative, products,
    statistics, values,
};

const EPSILON: f32 = 1e-3;

struct Norm {
    mean: Vec<f32>,
    variance: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    activation: Activation,
}

impl Norm {
    fn new(mean: Vec<f32>, variance: Vec<f32>, activation: Activation, seed: u64) -> Self {
        Self {
            gamma: values(mean.len(), seed),
            beta: values(mean.len(), seed + 1),
            mean,
            variance,
            activation,
        }
    }

    fn view(&self) -> BatchNorm<'_> {
        BatchNorm {
            mean: &self.mean,
            variance: &self.variance,
            gamma: &self.gamma,
            beta: &self.beta,
            epsilon: EPSILON,
            activation: self.activation,
        }
    }

    fn deviation(&self, channel: usize) -> f64 {
        (f64::from(self.variance[channel]) + f64::from(EPSILON)).sqrt()
    }

    /// `z - mean`, and the value before the activation.
    fn before(&self, z: f32, channel: usize) -> [f64; 2] {
        let centered = f64::from(z) - f64::from(self.mean[channel]);
        let scale = f64::from(self.gamma[channel]) / self.deviation(channel);
        [centered, centered * scale + f64::from(self.beta[channel])]
    }
}

/// A convolution of a normalised input, with the batch norm after it.
struct Layer {
    c: Convolution,
    z_in: Vec<f32>,
    norm_in: Norm,
    w: Vec<f32>,
    residual: Vec<f32>,
    grad_y: Vec<f32>,
    z: Vec<f32>,
    norm: Norm,
    is_normalized: bool,
}

impl Layer {
    fn new(c: Convolution, activation: Activation, is_normalized: bool) -> Self {
        let z_in = values(c.input_len(), 1);
        let channels = c.in_channels;
        let variance = values(channels, 3).iter().map(|v| v.abs() + 0.1).collect();
        let norm_in = Norm::new(values(channels, 2), variance, activation, 4);
        let w = values(c.weight_len(), 6);
        let mut layer = Self {
            residual: values(c.input_len(), 7),
            grad_y: values(c.output_len(), 8),
            z: Vec::new(),
            norm: Norm::new(Vec::new(), Vec::new(), activation, 9),
            c,
            z_in,
            norm_in,
            w,
            is_normalized,
        };
        let (z, found) = training_forward(&c, layer.input(), &layer.w, true);
        let [mean, variance] = found.unwrap();
        layer.z = z;
        layer.norm = Norm::new(mean, variance, activation, 9);
        layer
    }

    fn input(&self) -> Input<'_> {
        if self.is_normalized {
            Input::Normalized {
                z: &self.z_in,
                norm: self.norm_in.view(),
            }
        } else {
            Input::Values(&self.z_in)
        }
    }

    fn backward(&self, batch_statistics: bool, wanted: Wanted) -> ConvolutionGradients {
        let (masked, sums) = activation_backward(&self.grad_y, &self.z, self.norm.view(), None);
        let gradient = OutputGradient {
            masked: masked.as_deref().unwrap_or(&self.grad_y),
            z: &self.z,
            norm: self.norm.view(),
            sums: &sums,
            batch_statistics,
        };
        let residual = Some(self.residual.as_slice());
        training_backward(&self.c, self.input(), &self.w, gradient, residual, wanted)
    }

    /// The input that the convolution sees.
    fn x(&self) -> Vec<f64> {
        let x = self.z_in.iter().enumerate().map(|(index, &z)| {
            let before = self.norm_in.before(z, index % self.c.in_channels)[1];
            if self.is_normalized {
                activate(self.norm_in.activation, before)
            } else {
                f64::from(z)
            }
        });
        x.collect()
    }

    fn check_forward(&self) {
        let x = self.x();
        let mut z = vec![0.0; self.c.output_len()];
        products(&self.c, |zi, xi, wi| z[zi] += x[xi] * f64::from(self.w[wi]));
        assert_close(&self.z, &z, 1e-5);
        let expected = statistics(&self.z, self.c.out_channels);
        let (mean, variance): (Vec<_>, Vec<_>) = expected.into_iter().unzip();
        assert_close(&self.norm.mean, &mean, 1e-6);
        assert_close(&self.norm.variance, &variance, 2e-6);
    }

    fn check_backward(&self, batch_statistics: bool) {
        let c = &self.c;
        let (outputs, rows) = (c.out_channels, c.output_len() / c.out_channels);
        let masked: Vec<_> = (0..self.z.len())
            .map(|index| {
                let [_, before] = self.norm.before(self.z[index], index % outputs);
                f64::from(self.grad_y[index]) * derivative(self.norm.activation, before)
            })
            .collect();
        let (mut sum, mut product) = (vec![0.0; outputs], vec![0.0; outputs]);
        for (index, gradient) in masked.iter().enumerate() {
            let channel = index % outputs;
            sum[channel] += gradient;
            product[channel] += gradient * self.norm.before(self.z[index], channel)[0];
        }
        let grad_z = |index: usize| {
            let channel = index % outputs;
            let deviation = self.norm.deviation(channel);
            let [centered, _] = self.norm.before(self.z[index], channel);
            let through = sum[channel] + centered * product[channel] / deviation.powi(2);
            let through = if batch_statistics {
                through / rows as f64
            } else {
                0.0
            };
            let scale = f64::from(self.norm.gamma[channel]) / deviation;
            Sum {
                value: scale * (masked[index] - through),
                terms: scale.abs() * (masked[index].abs() + through.abs()),
            }
        };
        let grad_z: Vec<_> = (0..self.z.len()).map(grad_z).collect();
        let x = self.x();
        let mut grad_w = vec![Sum::default(); c.weight_len()];
        let mut grad_x: Vec<_> = self.residual.iter().map(|v| Sum::of((*v).into())).collect();
        products(c, |zi, xi, wi| {
            grad_w[wi].add(grad_z[zi], x[xi]);
            grad_x[xi].add(grad_z[zi], self.w[wi].into());
        });
        let mut sum_in = vec![Sum::default(); c.in_channels];
        let mut product_in = sum_in.clone();
        if self.is_normalized {
            for (index, gradient) in grad_x.iter_mut().enumerate() {
                let channel = index % c.in_channels;
                let [centered, before] = self.norm_in.before(self.z_in[index], channel);
                let mut masked = Sum::default();
                masked.add(*gradient, derivative(self.norm_in.activation, before));
                *gradient = masked;
                sum_in[channel].add(masked, 1.0);
                product_in[channel].add(masked, centered);
            }
        }
        for [input, weight] in [[true, true], [true, false], [false, true]] {
            let found = self.backward(batch_statistics, Wanted { input, weight });
            assert_eq!(
                (found.input.is_some(), found.weight.is_some()),
                (input, weight)
            );
            if let Some(found) = found.weight {
                assert_sums(&found, &grad_w);
            }
            if let Some((values, sums)) = found.input {
                assert_sums(&values, &grad_x);
                assert_eq!(sums.is_some(), self.is_normalized);
                if let Some(sums) = sums {
                    let single = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect::<Vec<_>>();
                    assert_sums(&single(sums.gradient), &sum_in);
                    assert_sums(&single(sums.product), &product_in);
                }
            }
        }
    }
}

/// A sum, and what its terms come to without their signs: what rounding is a part of.
#[derive(Clone, Copy, Default)]
struct Sum {
    value: f64,
    terms: f64,
}

impl Sum {
    fn of(value: f64) -> Self {
        Self {
            value,
            terms: value.abs(),
        }
    }

    fn add(&mut self, other: Self, factor: f64) {
        self.value += other.value * factor;
        self.terms += other.terms * factor.abs();
    }
}

#[track_caller]
fn assert_sums(found: &[f32], expected: &[Sum]) {
    let (values, terms): (Vec<_>, Vec<_>) = expected.iter().map(|s| (s.value, s.terms)).unzip();
    assert_sums_close(found, &values, &terms, 2e-5);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn training_follows_the_formula(
        c in convolutions(), activation in activations(),
        is_normalized in any::<bool>(), batch_statistics in any::<bool>()
    ) {
        let layer = Layer::new(c, activation, is_normalized);
        layer.check_forward();
        layer.check_backward(batch_statistics);
    }
}

/// Shapes that take the fused passes over several chunks and tiles, besides the others.
fn shapes() -> Vec<Convolution> {
    let pointwise = |edge, channels: [usize; 2]| Convolution {
        batch: 3,
        in_height: edge,
        in_width: edge + 1,
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [1; 2],
        stride: [1; 2],
        padding: [0; 2],
        padding_end: [0; 2],
        dilation: [1; 2],
        groups: 1,
    };
    let mut shapes = large().to_vec();
    shapes.extend([pointwise(50, [16, 50]), pointwise(48, [34, 6])]);
    shapes
}

#[test]
fn large_shapes_follow_the_formula() {
    for c in shapes() {
        let layer = Layer::new(c, Activation::Relu6, true);
        layer.check_forward();
        layer.check_backward(true);
    }
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            shapes()
                .into_iter()
                .map(|c| {
                    let layer = Layer::new(c, Activation::Relu, true);
                    let wanted = Wanted {
                        input: true,
                        weight: true,
                    };
                    let gradients = layer.backward(true, wanted);
                    let (input, sums) = gradients.input.unwrap();
                    let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                    let found = [input, gradients.weight.unwrap(), layer.z, layer.norm.mean];
                    (found.map(bits), sums)
                })
                .collect::<Vec<_>>()
        })
    };
    assert!(on_threads(1) == on_threads(3));
}
