//! Steps of optimizers, and sums and averages of parameters.

use warmstart_nn::burn::tensor::Device;
use warmstart_nn::ops::{Adam, Rates, Sgd};
use warmstart_nn::{BatchStatistics, Parameters, update_running_statistics};

use crate::card::card;
use crate::common::{tensor_on, values};
use crate::{NEAR, Results, check};

/// Parameters with repeatable values.
fn parameters(seed: u64, device: &Device) -> Parameters {
    let shapes: [(&str, &[usize]); 4] = [
        ("a", &[3, 5]),
        ("b", &[7]),
        ("c", &[4, 3, 2, 2]),
        ("d", &[1]),
    ];
    let mut parameters = Parameters::new();
    for ((name, shape), seed) in shapes.into_iter().zip(seed..) {
        let values = values(shape.iter().product(), seed);
        parameters.insert_values(name, shape, values, device);
    }
    parameters
}

fn all_values(parameters: &Parameters) -> Vec<Vec<f32>> {
    let names = parameters.names();
    names.map(|name| parameters.values(name)).collect()
}

fn updates() -> [(&'static str, Rates); 4] {
    let rates = |learning_rate, weight_decay| Rates {
        learning_rate,
        weight_decay,
    };
    [
        ("a", rates(0.1, 0.0)),
        ("b", rates(0.02, 0.05)),
        ("c", rates(0.1, 0.1)),
        ("d", rates(0.0, 0.1)),
    ]
}

#[test]
fn steps_of_optimizers_are_those_of_the_processor() {
    let Some(card) = card() else { return };
    let sgd = Sgd {
        momentum: 0.9,
        gradient_scale: 0.5,
    };
    check(&card, NEAR, "SGD", |device| {
        let (mut ours, mut state) = (parameters(1, device), Parameters::new());
        for step in 0..3 {
            let gradients = parameters(10 + 10 * step, device);
            ours.sgd_step(gradients, &mut state, "v", &updates(), sgd);
        }
        Results::of([all_values(&ours), all_values(&state)].concat())
    });
    for decoupled_decay in [false, true] {
        check(&card, NEAR, "Adam", |device| {
            let (mut ours, mut state) = (parameters(1, device), Parameters::new());
            for step in 1..4 {
                let gradients = parameters(10 * step, device);
                let adam = Adam {
                    beta1: 0.9,
                    beta2: 0.999,
                    epsilon: 1e-8,
                    step,
                    decoupled_decay,
                    gradient_scale: 0.5,
                };
                ours.adam_step(gradients, &mut state, ["m", "s"], &updates(), adam);
            }
            Results::of([all_values(&ours), all_values(&state)].concat())
        });
    }
}

#[test]
fn sums_and_averages_of_parameters_are_those_of_the_processor() {
    let Some(card) = card() else { return };
    check(&card, NEAR, "a sum of squares", |device| {
        let mut many = parameters(1, device);
        many.insert("many", tensor_on([37, 211], 9, device));
        Results::of(vec![vec![many.sum_of_squares() as f32]])
    });
    check(&card, NEAR, "sums of tensors", |device| {
        let mut sums = parameters(1, device);
        sums.add(parameters(2, device));
        Results::of(all_values(&sums))
    });
    check(&card, NEAR, "a moving average", |device| {
        let mut average = parameters(1, device);
        let names = ["a", "b", "c"].map(str::to_owned);
        average.move_towards(&parameters(9, device), &names, 0.25);
        Results::of(all_values(&average))
    });
    check(&card, NEAR, "running statistics", |device| {
        let statistic = |seed| tensor_on([6], seed, device);
        let mut running = Parameters::new();
        running.insert("norm.running_mean", statistic(1));
        running.insert("norm.running_var", statistic(2));
        let batch = BatchStatistics {
            norm: "norm".into(),
            momentum: 0.1,
            mean: statistic(3),
            variance: statistic(4),
            count: 12,
        };
        update_running_statistics(&mut running, &[batch]);
        Results::of(all_values(&running))
    });
}
