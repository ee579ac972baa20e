//! ViT as timm has it, which Steiner and others trained in "How to train your ViT? Data, Augmentation, and
//! Regularization in Vision Transformers" (arXiv 2106.10270); and DeiT, the same network, with a second class token where
//! it was distilled: Touvron and others, "Training data-efficient image transformers & distillation through attention"
//! (arXiv 2012.12877), section 4.

use warmstart_nn::layers::{Pool, PositionResize};

use crate::architecture::{Architecture, Convention};
use crate::record::Record;
use crate::transformer::{Size, VisionTransformer, positions};
use crate::transformer_names::{DEIT, VIT};

/// Edge of a patch in pixels.
const PATCH: usize = 16;
/// Patches along an edge of 224 pixels.
const GRID: usize = 14;
const CLASS: &str = "cls_token";
const DISTILLATION: &str = "dist_token";

/// A function that builds a network for a record.
macro_rules! builders {
    ($($name:ident: $size:ident, $class:expr, $conventions:ident;)*) => {
        $(pub(crate) fn $name(record: &'static Record) -> Architecture {
            vit(record, stringify!($name), Size::$size, $class, $conventions)
        })*
    };
}

builders! {
    vit_tiny_patch16_224: Tiny, &[CLASS], VIT;
    vit_small_patch16_224: Small, &[CLASS], VIT;
    deit_tiny_patch16_224: Tiny, &[CLASS], DEIT;
    deit_small_patch16_224: Small, &[CLASS], DEIT;
    deit_tiny_distilled_patch16_224: Tiny, &[CLASS, DISTILLATION], DEIT;
    deit_small_distilled_patch16_224: Small, &[CLASS, DISTILLATION], DEIT;
}

/// The feature of a distilled network is the mean of both class tokens. Its own two classifiers, of which files have
/// `head` and `head_dist`, read one each, and DeiT takes the mean of their results; here one classifier reads the mean,
/// and `head_dist` belongs to nothing.
fn vit(
    record: &'static Record,
    name: &'static str,
    size: Size,
    class: &'static [&'static str],
    conventions: &'static [Convention],
) -> Architecture {
    let network = VisionTransformer {
        name,
        size,
        patch: PATCH,
        class,
        registers: 0,
        positions: positions(GRID, class.len(), PositionResize::Antialiased),
        layer_scale: None,
        pool: Pool::Class,
        conventions,
    };
    network.build(record)
}
