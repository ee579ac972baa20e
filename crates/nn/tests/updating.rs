//! Changing parameters in place: the values, and the memory they are in.

mod common;

use common::{assert_close, host, tensor, values};
use warmstart_nn::Parameters;
use warmstart_nn::burn::backend::Flex;
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::ops::{Adam, Rates, Sgd, Tensors, stock};

const SHAPES: [(&str, &[usize]); 3] = [("a", &[3, 5]), ("b", &[7]), ("c", &[4, 3, 2, 2])];

const SGD: Sgd = Sgd {
    momentum: 0.9,
    gradient_scale: 0.5,
};

const ADAM: Adam = Adam {
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    step: 1,
    decoupled_decay: true,
    gradient_scale: 0.5,
};

fn parameters(seed: u64) -> Parameters {
    let mut parameters = Parameters::new();
    for (index, (name, shape)) in SHAPES.iter().enumerate() {
        let values = values(shape.iter().product(), seed + index as u64);
        parameters.insert_values(name, shape, values, &warmstart_nn::device());
    }
    parameters
}

fn updates() -> Vec<(&'static str, Rates)> {
    let rates = |index: usize| Rates {
        learning_rate: 0.1 * (index + 1) as f64,
        weight_decay: 0.05 * index as f64,
    };
    let named = |(index, (name, _)): (usize, &(&'static str, _))| (*name, rates(index));
    SHAPES.iter().enumerate().map(named).collect()
}

/// Flat tensors for the stock bodies.
fn primitives(parameters: &Parameters, names: &[String]) -> Tensors<Flex> {
    let primitive = |name: &String| {
        let values = parameters.values(name);
        let data = TensorData::new(values.clone(), [values.len()]);
        let tensor = Tensor::<1>::from_data(data, &warmstart_nn::device());
        tensor.try_into_primitive::<Flex>().unwrap()
    };
    names.iter().map(primitive).collect()
}

fn keys(moment: &str) -> Vec<String> {
    SHAPES
        .iter()
        .map(|(name, _)| format!("{name}{moment}"))
        .collect()
}

fn assert_same(found: &Parameters, names: &[String], expected: Tensors<Flex>) {
    for (name, expected) in names.iter().zip(expected.into_tensors()) {
        let expected = host(Tensor::<1>::from_primitive::<Flex>(expected));
        assert_close(&found.values(name), &expected, 1e-6);
    }
}

#[test]
fn sgd_equals_stock_burn() {
    let (mut ours, mut state) = (parameters(1), Parameters::new());
    for step in 0..3 {
        let (before, gradients) = (ours.clone(), parameters(10 + step));
        let velocities = match step {
            0 => SHAPES
                .map(|(_, shape)| {
                    let zeros = Tensor::<1>::zeros(
                        [shape.iter().product::<usize>()],
                        &warmstart_nn::device(),
                    );
                    zeros.try_into_primitive::<Flex>().unwrap()
                })
                .into_iter()
                .collect(),
            _ => primitives(&state, &keys(".v")),
        };
        let rates = updates().into_iter().map(|(_, rates)| rates).collect();
        let (values, velocities) = stock::sgd_step::<Flex>(
            primitives(&before, &keys("")),
            primitives(&gradients, &keys("")),
            velocities,
            rates,
            SGD,
        );
        ours.sgd_step(gradients, &mut state, "v", &updates(), SGD);
        assert_same(&ours, &keys(""), values);
        assert_same(&state, &keys(".v"), velocities);
    }
    assert_eq!(ours.shape("c"), [4, 3, 2, 2]);
}

#[test]
fn adam_equals_stock_burn() {
    for decoupled_decay in [false, true] {
        let (mut ours, mut state) = (parameters(1), Parameters::new());
        let adam = |step| Adam {
            step,
            decoupled_decay,
            ..ADAM
        };
        ours.adam_step(parameters(9), &mut state, ["m", "s"], &updates(), adam(1));
        for step in 2..5 {
            let (before, gradients) = (ours.clone(), parameters(10 + step));
            let rates = updates().into_iter().map(|(_, rates)| rates).collect();
            let (values, means, squares) = stock::adam_step::<Flex>(
                primitives(&before, &keys("")),
                primitives(&gradients, &keys("")),
                primitives(&state, &keys(".m")),
                primitives(&state, &keys(".s")),
                rates,
                adam(step),
            );
            ours.adam_step(gradients, &mut state, ["m", "s"], &updates(), adam(step));
            assert_same(&ours, &keys(""), values);
            assert_same(&state, &keys(".m"), means);
            assert_same(&state, &keys(".s"), squares);
        }
    }
}

#[test]
fn squares_of_all_tensors_are_summed() {
    let parameters = parameters(1);
    let all = SHAPES.iter().flat_map(|(name, _)| parameters.values(name));
    let expected: f64 = all.map(|value| f64::from(value).powi(2)).sum();
    assert!((parameters.sum_of_squares() - expected).abs() < 1e-12 * expected);
    let stock = stock::sum_of_squares::<Flex>(primitives(&parameters, &keys("")));
    assert!((stock - expected).abs() < 1e-5 * expected);
    assert_eq!(Parameters::new().sum_of_squares(), 0.0);
}

fn address(parameters: &Parameters, name: &str) -> *const u8 {
    let tensor: Tensor<2> = parameters.get(name);
    tensor
        .try_into_primitive::<Flex>()
        .unwrap()
        .bytes()
        .as_ptr()
}

#[test]
fn what_nobody_else_holds_is_changed_in_place() {
    let (mut ours, mut state) = (parameters(1), Parameters::new());
    let before = address(&ours, "a");
    ours.sgd_step(parameters(2), &mut state, "v", &updates(), SGD);
    ours.adam_step(parameters(3), &mut state, ["m", "s"], &updates(), ADAM);
    assert_eq!(address(&ours, "a"), before);
}

#[test]
fn a_snapshot_stays_as_it_was() {
    let (mut ours, mut state) = (parameters(1), Parameters::new());
    ours.adam_step(parameters(2), &mut state, ["m", "s"], &updates(), ADAM);
    let (snapshot, moments) = (ours.clone(), state.clone());
    let (before, mean) = (snapshot.values("a"), moments.values("a.m"));
    ours.adam_step(parameters(3), &mut state, ["m", "s"], &updates(), ADAM);
    assert_eq!(
        (snapshot.values("a"), moments.values("a.m")),
        (before.clone(), mean.clone())
    );
    assert_ne!((ours.values("a"), state.values("a.m")), (before, mean));
}

#[test]
fn a_view_of_a_larger_buffer_is_not_changed_beyond_its_part() {
    let whole: Tensor<2> = tensor([4, 5], 1);
    let mut ours = parameters(1);
    let part = whole.clone().slice([1..4, 0..5]);
    ours.insert("a", part.clone());
    let before = host(whole.clone());
    ours.sgd_step(parameters(2), &mut Parameters::new(), "v", &updates(), SGD);
    assert_eq!(host(whole), before);
    assert_ne!(ours.values("a"), host(part));
}

#[test]
fn sums_of_tensors_take_over_what_is_new() {
    let mut sums = Parameters::new();
    sums.add(parameters(1));
    sums.add(parameters(2));
    let [a, b] = [1, 2].map(parameters);
    for name in a.names() {
        let expected = a.values(name).into_iter().zip(b.values(name));
        let expected: Vec<f32> = expected.map(|(a, b)| a + b).collect();
        assert_eq!(sums.values(name), expected, "{name}");
        assert_eq!(sums.shape(name), a.shape(name));
    }
}

#[test]
fn an_average_moves_towards_the_named_parameters_alone() {
    let mut average = parameters(1);
    let shared = average.clone();
    let others = parameters(9);
    average.move_towards(&others, &["a".into(), "c".into()], 0.25);
    for (name, _) in SHAPES {
        let (old, other) = (shared.values(name), others.values(name));
        let moved = old
            .iter()
            .zip(&other)
            .map(|(old, other)| 0.75 * old + 0.25 * other);
        match name {
            "b" => assert_eq!(average.values(name), old, "not named"),
            _ => assert_close(&average.values(name), &moved.collect::<Vec<_>>(), 1e-6),
        }
        assert_eq!(parameters(1).values(name), old, "a clone stays as it was");
    }
}
