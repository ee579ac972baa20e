//! Defaults of classification for the networks with layer norms: ViT, DeiT, DINOv2 and ConvNeXt.
//!
//! AdamW moves them far at rates that suit networks with batch norms, and their authors fine-tune them with small ones.
//! All values are from the papers, **not measured here**; what is not named is as for other networks. Rates are for our
//! batch of 16.

use warmstart_nn::layers::Layer;

use super::classify;
use super::context::TaskDefaults;
use crate::choices::OptimizerKind;

/// Fine-tuning of ViT, DeiT and DINOv2.
///
/// With AdamW it is that of MAE (He and others, arXiv 2111.06377, table 9): 1e-3 × batch ÷ 256, layer decay 0.75 a
/// block, weight decay 0.05, and a warm-up of 5 of 100 epochs. BEiT's (Bao and others, arXiv 2106.08254) has a layer
/// decay of 0.65 and the same weight decay. With SGD it is the default of the code of ViT (Dosovitskiy and others, arXiv
/// 2010.11929), `vit_jax/configs/common.py`: 0.03 at a batch of 512, in proportion, without weight decay. That also clips
/// gradients to a norm of 1, which is left out here. The paper's table 4 tries several rates, 0.003 to 0.06 on ImageNet.
const TRANSFORMER: TaskDefaults = TaskDefaults {
    learning_rates: |optimizer| {
        let [frozen, _] = classify::learning_rates(optimizer);
        let thawed = match optimizer {
            OptimizerKind::Sgd => 1e-3,
            OptimizerKind::Adam | OptimizerKind::AdamW => 6.25e-5,
        };
        [frozen, thawed]
    },
    warmup: 0.05,
    layer_decay: 0.75,
    weight_decay: |optimizer, _, _| match optimizer {
        OptimizerKind::Sgd | OptimizerKind::Adam => 0.0,
        OptimizerKind::AdamW => 0.05,
    },
    ..classify::DEFAULTS
};

/// Fine-tuning of ConvNeXt with AdamW: that of Liu and others (arXiv 2201.03545, appendix A.1, and the commands of
/// their code): 5e-5 at a batch of 512, weight decay 1e-8, layer decay 0.7 to 0.8 for groups of three blocks, which are
/// other groups than ours (`crates/models/src/convnext.rs`). In proportion to the batch the rate would be 1.6e-6; but
/// those networks knew the classes already, and V2-Tiny, which knew none, is fine-tuned at 8e-4 × batch ÷ 256 (Woo and
/// others, arXiv 2301.00808, their code), again 5e-5 at 16.
///
/// Nothing else here is V2's: from FCMAE's weights, its sizes have weight decay 0.05 to 0.3 and a layer decay of 0.9 a
/// layer, and Atto a quarter of V2-Tiny's rate.
///
/// V1 has no warm-up. Ours stays, as the thaw's optimizer knows nothing yet; V2-Tiny has one of 40 in 300 epochs.
const CONVNEXT: TaskDefaults = TaskDefaults {
    learning_rates: |optimizer| {
        let [frozen, thawed] = classify::learning_rates(optimizer);
        match optimizer {
            OptimizerKind::Sgd => [frozen, thawed],
            OptimizerKind::Adam | OptimizerKind::AdamW => [frozen, 5e-5],
        }
    },
    layer_decay: 0.8,
    weight_decay: |optimizer, pretrained, images| match optimizer {
        OptimizerKind::AdamW => 1e-8,
        OptimizerKind::Sgd | OptimizerKind::Adam => {
            (classify::DEFAULTS.weight_decay)(optimizer, pretrained, images)
        }
    },
    ..classify::DEFAULTS
};

/// Training from random weights on: DeiT (Touvron and others, arXiv 2012.12877, table 9) and ConvNeXt (appendix A.1)
/// have the same weight decay with AdamW.
const FROM_SCRATCH: TaskDefaults = TaskDefaults {
    weight_decay: |optimizer, pretrained, images| match optimizer {
        OptimizerKind::AdamW => 0.05,
        OptimizerKind::Sgd | OptimizerKind::Adam => {
            (classify::DEFAULTS.weight_decay)(optimizer, pretrained, images)
        }
    },
    ..classify::DEFAULTS
};

/// The defaults of classification with a network of that name, or a record's; `None` if it has no layer norms.
pub fn of(model: &str, has_weights: bool) -> Option<&'static TaskDefaults> {
    let network = warmstart_models::by_name(model)?;
    let mut layers = network.layers(0..network.stages.len());
    if !layers.any(|layer| matches!(layer, Layer::LayerNorm(_))) {
        return None;
    }
    Some(match (has_weights, network.tokens) {
        (true, Some(_)) => &TRANSFORMER,
        (true, None) => &CONVNEXT,
        (false, _) => &FROM_SCRATCH,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Draft, Phase};
    use crate::scaling::TrainingImages;

    fn phases(model: &str, weights: &str, more: &str) -> Vec<Phase> {
        let text = format!("data = 'd'\nmodel = '{model}'\nweights = '{weights}'\n{more}");
        let draft: Draft = toml::from_str(&text).unwrap();
        let images = Some(TrainingImages::new(400, &[], &[]));
        draft.resolve(224, images).unwrap().phases
    }

    /// Learning rate, warm-up, layer decay and weight decay of the last phase.
    fn last(model: &str, weights: &str, more: &str) -> [f64; 4] {
        let phase = phases(model, weights, more).pop().unwrap();
        [
            phase.lr,
            phase.warmup,
            phase.layer_decay,
            phase.weight_decay,
        ]
    }

    #[test]
    fn transformers_are_fine_tuned_at_published_rates_whatever_the_number_of_images() {
        for model in [
            "vit_tiny_patch16_224",
            "deit_small_distilled_patch16_224",
            "vit_small_patch14_reg4_dinov2",
            "vit_small_patch14_dinov2.lvd142m",
        ] {
            let thaw = last(model, "w.pth", "");
            assert_eq!(thaw, [6.25e-5, 0.05, 0.75, 0.05], "{model}");
            let with_sgd = last(model, "w.pth", "optimizer = 'sgd'\n");
            assert_eq!(with_sgd, [1e-3, 0.05, 0.75, 0.0], "{model}");
        }
        // The new head of a frozen network learns as everywhere.
        let freeze = "[[phase]]\ntrain = 'head'\nhead = 'linear'\nepochs = 3\nbatch = 32\n";
        let [rate, warmup, _, _] = last("vit_tiny_patch16_224", "w.pth", freeze);
        assert_eq!([rate, warmup], [3e-3, 0.0]);
    }

    #[test]
    fn both_versions_of_convnext_are_fine_tuned_as_the_first_at_the_rate_of_v2_tiny() {
        for model in ["convnext_atto", "convnext_tiny", "convnextv2_nano"] {
            let thaw = last(model, "w.pth", "");
            assert_eq!(thaw, [5e-5, 0.1, 0.8, 1e-8], "{model}");
            let with_sgd = last(model, "w.pth", "optimizer = 'sgd'\n");
            assert_eq!(with_sgd, [3e-3, 0.1, 0.8, 5e-4], "{model}");
        }
    }

    #[test]
    fn from_random_weights_only_weight_decay_is_their_own() {
        for model in ["vit_tiny_patch16_224", "convnext_atto"] {
            assert_eq!(last(model, "none", ""), [3e-4, 0.1, 1.0, 0.05], "{model}");
        }
    }

    #[test]
    fn networks_with_batch_norms_and_detectors_keep_their_defaults() {
        for model in ["resnet18", "mobilenet_v2", "m"] {
            let thaw = last(model, "w.pth", "");
            assert_eq!(thaw, [3e-4, 0.1, 0.75, 0.025], "{model}");
            let from_scratch = last(model, "none", "");
            assert_eq!(from_scratch, [3e-4, 0.1, 1.0, 0.01], "{model}");
        }
        let detector = last("convnext_atto", "w.pth", "task = 'detect'\n");
        assert_eq!(detector, last("resnet18", "w.pth", "task = 'detect'\n"));
    }

    #[test]
    fn the_families_with_layer_norms_are_convnext_and_the_vision_transformers() {
        for model in warmstart_models::names() {
            let is_one = ["convnext", "vit_", "deit_"]
                .iter()
                .any(|family| model.starts_with(family));
            assert_eq!(of(model, true).is_some(), is_one, "{model}");
        }
    }
}
