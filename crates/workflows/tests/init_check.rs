//! What initializations do to signal and gradient: the textbook's cases, and those of real networks.

use warmstart_nn::layers::Layer;
use warmstart_recipe::Init;
use warmstart_workflows::init_check::{Check, PLAIN, Request, check};

fn checks(model: &str, seed: u64, inits: &[&str]) -> Vec<Check> {
    let request = Request {
        model: model.into(),
        batch: 16,
        image_size: (model != PLAIN).then_some(64),
        seed,
        data: None,
    };
    let inits: Vec<Init> = inits.iter().map(|init| init.parse().unwrap()).collect();
    check(&request, &inits).unwrap()
}

fn only(model: &str, seed: u64, init: &str) -> Check {
    checks(model, seed, &[init]).remove(0)
}

#[test]
fn without_batch_norm_small_weights_vanish() {
    let check = only(PLAIN, 1, "normal(0.01)");
    assert_eq!(check.layers.len(), 30);
    assert!(check.forward < 1e-15 && check.backward < 1e-15, "{check:?}");
    assert!(
        check.findings[0].starts_with("the signal vanishes: × "),
        "{:?}",
        check.findings
    );
    assert!(
        check.findings[1].starts_with("the gradient vanishes: × "),
        "{:?}",
        check.findings
    );
    assert!(
        check.findings[1].ends_with("lower layers hardly learn"),
        "{:?}",
        check.findings
    );
    // √(512 / 2) · 0.01 per layer.
    assert!(
        check.findings[0].contains("× 0.16 per layer"),
        "{:?}",
        check.findings
    );
}

#[test]
fn an_overflow_is_reported_with_the_growth_up_to_it() {
    let check = only(PLAIN, 1, "normal(20)");
    let [signal, gradient] = &check.findings[..] else {
        panic!("{:?}", check.findings)
    };
    assert!(signal.starts_with("the signal explodes: × "), "{signal}");
    assert!(signal.contains(", not finite from layer"), "{signal}");
    assert!(
        !signal.contains("NaN") && !gradient.contains("NaN"),
        "{gradient}"
    );
}

#[test]
fn without_batch_norm_large_weights_explode() {
    let check = only(PLAIN, 1, "normal(0.1)");
    assert!(check.forward > 1e5 && check.backward > 1e5, "{check:?}");
    assert!(
        check.findings[0].starts_with("the signal explodes"),
        "{:?}",
        check.findings
    );
    assert!(
        check.findings[1].starts_with("the gradient explodes"),
        "{:?}",
        check.findings
    );
}

#[test]
fn without_batch_norm_kaiming_holds_within_a_factor_of_two() {
    for seed in [1, 2, 42] {
        let check = only(PLAIN, seed, "kaiming_normal");
        for growth in [check.forward, check.backward] {
            assert!((0.5..=2.0).contains(&growth), "seed {seed}: {growth}");
        }
        assert!(check.findings.is_empty(), "{:?}", check.findings);
        let halves = check
            .layers
            .iter()
            .skip(1)
            .all(|layer| (layer.zeros - 0.5).abs() < 0.1);
        assert!(halves, "a rectifier lets half of it through");
    }
}

#[test]
fn batch_norm_makes_up_for_the_scale_of_weights_and_residuals_for_their_depth() {
    for check in checks(
        "resnet18",
        1,
        &["torchvision", "normal(0.1)", "orthogonal", "lsuv"],
    ) {
        assert!(
            check.findings.is_empty(),
            "{}: {:?}",
            check.init,
            check.findings
        );
        assert_eq!(check.layers.len(), 20);
        assert!(
            check
                .layers
                .iter()
                .all(|layer| layer.deviation > 0.1 && layer.deviation < 10.0)
        );
        assert!(check.layers.iter().all(|layer| layer.on_main_path));
    }
}

#[test]
fn networks_with_layer_norms_begin_healthy_though_their_layer_scales_hold_branches_back() {
    // Layers that are not judged: two in front of each layer scale of a block, and the patches.
    let held_back = [
        ("convnext_atto", 24),
        ("convnextv2_atto", 0),
        ("vit_tiny_patch16_224", 1),
        ("vit_small_patch14_dinov2", 25),
    ];
    let mut seen = 0;
    for name in warmstart_models::names() {
        let network = warmstart_models::by_name(name).unwrap();
        let mut layers = network.layers(0..network.stages.len());
        if !layers.any(|layer| matches!(layer, Layer::LayerNorm(_))) {
            continue;
        }
        let request = Request {
            model: name.into(),
            batch: 2,
            image_size: Some(4 * network.patch.unwrap_or(16)),
            seed: 1,
            data: None,
        };
        let found = check(&request, &[Init::default()]).unwrap().remove(0);
        assert!(found.findings.is_empty(), "{name}: {:?}", found.findings);
        if let Some((_, expected)) = held_back.iter().find(|(known, _)| *known == name) {
            let layers = found.layers.iter().filter(|layer| !layer.on_main_path);
            assert_eq!(layers.count(), *expected, "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, held_back.len());
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    assert_eq!(
        checks(PLAIN, 3, &["orthogonal"]),
        checks(PLAIN, 3, &["orthogonal"])
    );
    assert_ne!(
        checks(PLAIN, 3, &["orthogonal"]),
        checks(PLAIN, 4, &["orthogonal"])
    );
}
