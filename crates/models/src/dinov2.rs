//! DINOv2: Oquab and others, "DINOv2: Learning Robust Visual Features without Supervision" (arXiv 2304.07193), and with
//! registers: Darcet and others, "Vision Transformers Need Registers" (arXiv 2309.16588), with timm's names.

use warmstart_nn::layers::{Pool, PositionResize};

use crate::architecture::Architecture;
use crate::record::Record;
use crate::transformer::{Size, VisionTransformer, positions};
use crate::transformer_names::DINOV2;

/// Edge of a patch in pixels.
const PATCH: usize = 14;
/// Patches along an edge of 518 pixels, the image size of the last part of its training.
const GRID: usize = 37;
/// First value of the layer scales, timm's and that of DINOv2's training (its `ssl_default_config.yaml`).
const LAYER_SCALE: f32 = 1e-5;
/// The library whose files are prepared as timm does.
const TIMM: &str = "timm";

pub(crate) fn small(record: &'static Record) -> Architecture {
    // DINOv2's own code resizes positions without antialiasing, and a little beside the pixels' places.
    let resize = if record.library == TIMM {
        PositionResize::Antialiased
    } else {
        PositionResize::Scaled
    };
    dinov2("vit_small_patch14_dinov2", 0, 1, resize, record)
}

/// With registers, DINOv2's own code resizes positions as timm does (`interpolate_antialias=True,
/// interpolate_offset=0.0` in its `hubconf.py`); the class token's position is part of the token.
pub(crate) fn small_with_registers(record: &'static Record) -> Architecture {
    let resize = PositionResize::Antialiased;
    dinov2("vit_small_patch14_reg4_dinov2", 4, 0, resize, record)
}

/// The feature is the class token and the mean of the patches, joined, as in DINOv2's own evaluation
/// (arXiv 2304.07193, appendix B.3) and in the classifier of `transformers`.
fn dinov2(
    name: &'static str,
    registers: usize,
    prefix: usize,
    resize: PositionResize,
    record: &'static Record,
) -> Architecture {
    let network = VisionTransformer {
        name,
        size: Size::Small,
        patch: PATCH,
        class: &["cls_token"],
        registers,
        positions: positions(GRID, prefix, resize),
        layer_scale: Some(LAYER_SCALE),
        pool: Pool::Both,
        conventions: DINOV2,
    };
    network.build(record)
}

#[cfg(test)]
mod tests {
    use warmstart_nn::layers::Layer;

    use super::*;

    #[test]
    fn positions_are_resized_as_the_code_of_the_record_does() {
        let resize = |name: &str| {
            let network = crate::by_name(name).unwrap();
            let mut layers = network.layers(0..1);
            layers.find_map(|layer| {
                let Layer::Tokens(tokens) = layer else {
                    return None;
                };
                Some(tokens.positions.resize)
            })
        };
        for (name, expected) in [
            ("vit_small_patch14_dinov2", PositionResize::Scaled),
            (
                "vit_small_patch14_dinov2.lvd142m",
                PositionResize::Antialiased,
            ),
            ("vit_small_patch14_reg4_dinov2", PositionResize::Antialiased),
        ] {
            assert_eq!(resize(name), Some(expected), "{name}");
        }
    }
}
