//! Optimizer steps against the formulas in f64.

use proptest::prelude::*;
use warmstart_kernels::{Adam, Sgd, Update, adam_step, sgd_step, sum_of_squares};

use crate::reference::{assert_close, values};

/// A parameter, its gradient and the moments of earlier steps.
#[derive(Clone)]
struct Tensor {
    parameter: Vec<f32>,
    gradient: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    rate: f64,
    decay: f64,
}

fn tensors(lengths: &[usize]) -> Vec<Tensor> {
    let tensor = |(index, &len): (usize, &usize)| Tensor {
        parameter: values(len, 4 * index as u64 + 1),
        gradient: values(len, 4 * index as u64 + 2),
        mean: values(len, 4 * index as u64 + 3),
        square: values(len, 4 * index as u64 + 4)
            .iter()
            .map(|v| v * v)
            .collect(),
        rate: 0.01 * (index + 1) as f64,
        decay: 0.1 * (index % 3) as f64,
    };
    lengths.iter().enumerate().map(tensor).collect()
}

fn sgd(tensors: &mut [Tensor], sgd: Sgd) {
    let updates = tensors.iter_mut().map(|tensor| Update {
        parameter: &mut tensor.parameter,
        gradient: &tensor.gradient,
        moments: [&mut tensor.mean],
        learning_rate: tensor.rate,
        weight_decay: tensor.decay,
    });
    sgd_step(sgd, updates.collect());
}

fn adam(tensors: &mut [Tensor], adam: Adam) {
    let updates = tensors.iter_mut().map(|tensor| Update {
        parameter: &mut tensor.parameter,
        gradient: &tensor.gradient,
        moments: [&mut tensor.mean, &mut tensor.square],
        learning_rate: tensor.rate,
        weight_decay: tensor.decay,
    });
    adam_step(adam, updates.collect());
}

const SGD: Sgd = Sgd {
    momentum: 0.9,
    gradient_scale: 0.5,
};

const ADAM: Adam = Adam {
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    step: 7,
    decoupled_decay: false,
    gradient_scale: 0.5,
};

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![0usize..40, Just(16 * 1024), Just(40_000)], 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sgd_follows_the_formula(lengths in lengths()) {
        let before = tensors(&lengths);
        let mut after = before.clone();
        sgd(&mut after, SGD);
        for (before, after) in before.iter().zip(&after) {
            let (mut parameters, mut velocities) = (Vec::new(), Vec::new());
            for index in 0..before.parameter.len() {
                let value = f64::from(before.parameter[index]);
                let gradient = f64::from(before.gradient[index]) * 0.5 + before.decay * value;
                let velocity = 0.9 * f64::from(before.mean[index]) + gradient;
                velocities.push(velocity);
                parameters.push(value - before.rate * (gradient + 0.9 * velocity));
            }
            assert_close(&after.mean, &velocities, 1e-6);
            assert_close(&after.parameter, &parameters, 1e-6);
        }
    }

    #[test]
    fn adam_follows_the_formula(lengths in lengths(), decoupled_decay in any::<bool>()) {
        let before = tensors(&lengths);
        let mut after = before.clone();
        adam(&mut after, Adam { decoupled_decay, ..ADAM });
        for (before, after) in before.iter().zip(&after) {
            let (mut parameters, mut means, mut squares) = (Vec::new(), Vec::new(), Vec::new());
            for index in 0..before.parameter.len() {
                let mut value = f64::from(before.parameter[index]);
                let mut gradient = f64::from(before.gradient[index]) * 0.5;
                if decoupled_decay {
                    value *= 1.0 - before.rate * before.decay;
                } else {
                    gradient += before.decay * value;
                }
                let mean = 0.9 * f64::from(before.mean[index]) + 0.1 * gradient;
                let square = 0.999 * f64::from(before.square[index]) + 0.001 * gradient * gradient;
                let corrected = mean / (1.0 - 0.9f64.powi(7));
                let deviation = (square / (1.0 - 0.999f64.powi(7))).sqrt() + 1e-8;
                means.push(mean);
                squares.push(square);
                parameters.push(value - before.rate * corrected / deviation);
            }
            assert_close(&after.mean, &means, 1e-6);
            assert_close(&after.square, &squares, 1e-6);
            assert_close(&after.parameter, &parameters, 1e-6);
        }
    }

    #[test]
    fn squares_of_all_tensors_are_summed(lengths in lengths()) {
        let tensors = tensors(&lengths);
        let slices: Vec<&[f32]> = tensors.iter().map(|t| t.gradient.as_slice()).collect();
        let expected: f64 = slices.iter().flat_map(|s| s.iter()).map(|v| f64::from(*v).powi(2)).sum();
        let found = sum_of_squares(&slices);
        prop_assert!((found - expected).abs() <= 1e-12 * expected, "{found} is not {expected}");
    }
}

#[test]
fn one_and_three_threads_give_the_same_bits() {
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut tensors = tensors(&[1, 100_003, 17, 50_000]);
            sgd(&mut tensors, SGD);
            adam(&mut tensors, ADAM);
            let slices: Vec<&[f32]> = tensors.iter().map(|t| t.parameter.as_slice()).collect();
            let sum = sum_of_squares(&slices).to_bits();
            let bits = |t: &Tensor| {
                [&t.parameter, &t.mean, &t.square]
                    .map(|v| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
            };
            (sum, tensors.iter().map(bits).collect::<Vec<_>>())
        })
    };
    assert!(on_threads(1) == on_threads(3));
}

#[test]
#[should_panic(expected = "a gradient a value")]
fn lengths_that_differ_are_refused() {
    let mut tensor = tensors(&[5]).remove(0);
    tensor.gradient.pop();
    sgd(&mut [tensor], SGD);
}
