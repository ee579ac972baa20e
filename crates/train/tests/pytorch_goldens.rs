//! Optimizers and losses against PyTorch. `tests/fixtures/README.md` says how the goldens were made.

use std::path::Path;

use safetensors::SafeTensors;
use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_recipe::OptimizerKind;
use warmstart_tasks::classify::loss::cross_entropy;
use warmstart_train::optimizer::{Group, Optimizer, clip_factor};

const STEPS: usize = 20;

fn golden(name: &str) -> Vec<f32> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/optimizers.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensor(name)
        .unwrap()
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

/// `formula.py`'s symmetric values.
fn symmetric(name: &str, count: usize, bound: f64) -> Vec<f32> {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let value = |index: u64| {
        let mut z = hash.wrapping_add(index).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let u = ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1u32 << 24);
        ((2.0 * u - 1.0) * bound) as f32
    };
    (0..count as u64).map(value).collect()
}

fn pair(prefix: &str, bounds: [f64; 2]) -> Parameters {
    let device = warmstart_nn::device();
    let mut parameters = Parameters::new();
    let [weight, bias] = [format!("{prefix}.weight"), format!("{prefix}.bias")];
    parameters.insert_values(
        "weight",
        &[5, 7],
        symmetric(&weight, 35, bounds[0]),
        &device,
    );
    parameters.insert_values("bias", &[7], symmetric(&bias, 7, bounds[1]), &device);
    parameters
}

fn gradients(step: usize) -> Parameters {
    let bound = if step % 2 == 1 { 0.5 } else { 0.25 };
    pair(&format!("g.{step}"), [bound; 2])
}

fn assert_close(what: &str, ours: &[f32], golden: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), golden.len());
    for (a, b) in ours.iter().zip(golden) {
        assert!((a - b).abs() <= tolerance, "{what}: {a} is not {b}");
    }
}

/// Twenty steps, each compared.
fn optimizer_follows(case: &str, kind: OptimizerKind, lr: f64, weight_decay: f64) {
    let mut parameters = pair("p", [0.5, 0.1]);
    let groups = ["weight", "bias"].map(|name| Group {
        parameter: name.into(),
        lr_scale: 1.0,
        weight_decay,
    });
    let mut optimizer = Optimizer::new(kind);
    let [weight, bias] = [
        golden(&format!("{case}.weight")),
        golden(&format!("{case}.bias")),
    ];
    for step in 1..=STEPS {
        optimizer.step(&mut parameters, gradients(step), &groups, lr, 1.0);
        let what = format!("{case}, step {step}");
        assert_close(
            &what,
            &parameters.values("weight"),
            &weight[(step - 1) * 35..step * 35],
            1e-5,
        );
        assert_close(
            &what,
            &parameters.values("bias"),
            &bias[(step - 1) * 7..step * 7],
            1e-5,
        );
    }
    assert_eq!(parameters.shape("weight"), [5, 7]);
}

#[test]
fn sgd_with_nesterov_momentum_is_pytorchs() {
    optimizer_follows("sgd_nesterov", OptimizerKind::Sgd, 0.1, 5e-4);
}

#[test]
fn adam_is_pytorchs() {
    optimizer_follows("adam", OptimizerKind::Adam, 0.01, 0.01);
}

#[test]
fn adamw_is_pytorchs() {
    optimizer_follows("adamw", OptimizerKind::AdamW, 0.01, 0.05);
}

#[test]
fn the_learning_rate_of_a_group_is_scaled_and_its_decay_its_own() {
    let groups = |lr_scale, weight_decay| {
        [Group {
            parameter: "weight".into(),
            lr_scale,
            weight_decay,
        }]
    };
    let run = |lr, groups: &[Group]| {
        let mut parameters = pair("p", [0.5, 0.1]);
        Optimizer::new(OptimizerKind::AdamW).step(&mut parameters, gradients(1), groups, lr, 1.0);
        (parameters.values("weight"), parameters.values("bias"))
    };
    assert_eq!(run(0.02, &groups(0.5, 0.1)), run(0.01, &groups(1.0, 0.1)));
    assert_ne!(run(0.01, &groups(1.0, 0.1)), run(0.01, &groups(1.0, 0.0)));
    assert_eq!(
        run(0.01, &groups(1.0, 0.0)).1,
        pair("p", [0.5, 0.1]).values("bias")
    );
}

#[test]
fn the_global_norm_is_clipped_as_pytorch_does() {
    let norms = golden("sgd_clipped.norm");
    for step in 1..=STEPS {
        let gradients = gradients(step);
        let norm = gradients.sum_of_squares().sqrt();
        assert!((norm as f32 - norms[step - 1]).abs() < 1e-5);
        let expected = if norm > 1.0 { 1.0 / norm } else { 1.0 };
        assert!((clip_factor(gradients.sum_of_squares().sqrt(), 1.0) - expected).abs() < 1e-5);
    }
}

#[test]
fn a_scaled_step_is_the_step_of_scaled_gradients() {
    let device = warmstart_nn::device();
    for kind in [
        OptimizerKind::Sgd,
        OptimizerKind::Adam,
        OptimizerKind::AdamW,
    ] {
        let groups = ["weight", "bias"].map(|name| Group {
            parameter: name.into(),
            lr_scale: 1.0,
            weight_decay: 0.05,
        });
        let run = |scaled_before: bool| {
            let mut optimizer = Optimizer::new(kind);
            let mut parameters = pair("p", [0.5, 0.1]);
            for step in 1..=3 {
                let mut gradients = gradients(step);
                if scaled_before {
                    for name in ["weight", "bias"] {
                        let values = gradients.values(name).iter().map(|v| v * 0.25).collect();
                        let shape = gradients.shape(name);
                        gradients.insert_values(name, &shape, values, &device);
                    }
                }
                let scale = if scaled_before { 1.0 } else { 0.25 };
                optimizer.step(&mut parameters, gradients, &groups, 0.1, scale);
            }
            (parameters.values("weight"), parameters.values("bias"))
        };
        assert_eq!(run(true), run(false));
    }
}

#[test]
fn cross_entropy_and_its_gradient_are_pytorchs() {
    for (case, smoothing) in [("cross_entropy", 0.0), ("cross_entropy_smoothed", 0.1)] {
        let data = TensorData::new(symmetric("logits", 24, 3.0), [4, 6]);
        let logits = Tensor::<2>::from_data(data, &warmstart_nn::device())
            .autodiff()
            .require_grad();
        let loss = cross_entropy(logits.clone(), &[0, 5, 2, 2], smoothing);
        let gradient = logits.grad(&loss.backward()).unwrap();
        let value: f32 = loss.inner().into_scalar();
        assert_close(case, &[value], &golden(&format!("{case}.loss")), 1e-5);
        let gradient: Vec<f32> = gradient.into_data().try_into_vec().unwrap();
        assert_close(case, &gradient, &golden(&format!("{case}.gradient")), 1e-6);
    }
}
