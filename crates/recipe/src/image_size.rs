//! Sizes of images that a network can take.

use warmstart_files::Key;
use warmstart_language::{english, message, translated};
use warmstart_models::Architecture;
use warmstart_models::detector::STRIDES;

use crate::error::{Error, Problem};
use crate::options::{IMAGE_SIZES, Recipe};

/// Refuses an edge of images, in pixels, that the network's patches do not fill: the pixels that are left over would
/// not be seen.
///
/// # Errors
/// A usage error with the patch and the nearest sizes that it fills.
pub fn require_whole_patches(network: &Architecture, image_size: usize) -> Result<(), Error> {
    let Some(patch) = network
        .patch
        .filter(|patch| !image_size.is_multiple_of(*patch))
    else {
        return Ok(());
    };
    let model = network.name;
    let range = message!("a multiple of {patch}, the edge of a patch of {model}");
    let (key, value) = (Key::IMAGE_SIZE, nearest(image_size, patch));
    let problem = Problem::of_value(key, image_size.to_string(), range);
    Err(problem.fix(message!("give {key} {value}")).into())
}

/// A note on an edge of images, in pixels, that the network takes, but does not see all of: ConvNeXt's convolutions of
/// stride leave out what is left over at the edge, as timm's and torchvision's do. `None` where it sees all.
pub fn note_on_image_size(network: &Architecture, image_size: usize) -> Option<String> {
    let step = network.whole_step();
    (!image_size.is_multiple_of(step)).then(|| {
        let (model, key, value) = (network.name, Key::IMAGE_SIZE, nearest(image_size, step));
        message!(
            "{model} sees little or nothing of the last rows and columns of {image_size} pixels, which is no multiple \
             of {step}; {key} {value} is seen whole"
        )
    })
}

/// The multiples of a step around a size that images may have, as text.
fn nearest(image_size: usize, step: usize) -> String {
    let below = image_size / step * step;
    let sizes = [below, below + step].into_iter();
    let sizes = sizes.filter(|size| IMAGE_SIZES.contains(size));
    let sizes: Vec<String> = sizes.map(|size| size.to_string()).collect();
    sizes.join(translated(english!(" or ")))
}

impl Recipe {
    /// Pixels of which an edge of images that suits the network is a multiple: the edge of a patch, where it has
    /// patches, or else the usual stride from pixels to the last features.
    pub fn image_size_step(&self) -> usize {
        let [_, _, stride] = STRIDES;
        let network = warmstart_models::by_name(&self.model);
        network.and_then(|network| network.patch).unwrap_or(stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Draft;

    fn resolved(model: &str, image_size: usize) -> Result<Recipe, Error> {
        let text = format!(
            "data = 'd'\nmodel = '{model}'\nweights = 'w.pth'\nimage_size = {image_size}\n"
        );
        let draft: Draft = toml::from_str(&text).unwrap();
        draft.resolve(224, None)
    }

    #[test]
    fn a_size_that_patches_do_not_fill_is_refused_with_the_nearest_ones() {
        for (image_size, nearest) in [
            (225, "224 or 238"),
            (64, "56 or 70"),
            (33, "42"),
            (2045, "2044"),
        ] {
            let model = "vit_small_patch14_dinov2";
            let error = resolved(model, image_size).unwrap_err();
            assert_eq!(
                crate::plain(&error.to_string()),
                format!(
                    "image_size is {image_size}; it must be a multiple of 14, the edge of a patch of {model}: \
                     give image_size {nearest}"
                )
            );
            assert_eq!(error.fields().key, Some("image_size".into()));
        }
        let named = resolved("vit_small_patch14_dinov2.lvd142m", 224 + 16);
        assert!(named.is_err(), "a record's name");
    }

    #[test]
    fn a_size_that_convnext_does_not_see_whole_is_taken_with_a_note() {
        let note = |model: &str, image_size| {
            note_on_image_size(&warmstart_models::by_name(model).unwrap(), image_size)
        };
        assert_eq!(
            crate::plain(&note("convnext_tiny", 255).unwrap()),
            "convnext_tiny sees little or nothing of the last rows and columns of 255 pixels, which is no multiple of \
             32; image_size 224 or 256 is seen whole"
        );
        for (model, image_size) in [
            ("convnext_tiny", 256),
            ("resnet18", 255),
            ("deit_tiny_patch16_224", 240),
        ] {
            assert_eq!(note(model, image_size), None, "{model}");
        }
    }

    #[test]
    fn whole_patches_and_networks_without_patches_are_taken() {
        for (model, image_size, step) in [
            ("vit_small_patch14_dinov2", 518, 14),
            ("deit_tiny_patch16_224", 240, 16),
            ("convnext_tiny", 225, 32),
            ("resnet18", 225, 32),
        ] {
            let recipe = resolved(model, image_size).unwrap();
            assert_eq!(recipe.image_size, image_size);
            assert_eq!(recipe.image_size_step(), step, "{model}");
        }
    }
}
