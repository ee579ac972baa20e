//! The names that a library gives to the parameters of a network.

use std::collections::HashMap;

use warmstart_nn::ParameterInfo;

use crate::architecture::Architecture;
use crate::record::Record;
use crate::records;
use crate::transformer_names::SECOND_HEAD;

/// A parameter as a library has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryParameter {
    /// Its native name.
    pub native: String,
    /// The library's name.
    pub name: String,
    /// The library's shape, outermost extent first; it holds as many values as the native one.
    pub shape: Vec<usize>,
}

/// A network as a library has it.
#[derive(Clone, Debug)]
pub struct LibraryNetwork {
    /// The parameters that were asked for, in their order.
    pub parameters: Vec<LibraryParameter>,
    /// The library's weights whose constants are closest to the network's: padding before epsilon.
    pub record: &'static Record,
}

/// The network with these parameters as `library` has it; `None` if the library does not have the network.
pub fn in_library(
    architecture: &Architecture,
    library: &str,
    parameters: &[ParameterInfo],
) -> Option<LibraryNetwork> {
    let own = architecture.record.numerics;
    let mut known: Vec<&Record> = records(architecture.name)
        .filter(|record| record.library == library)
        .collect();
    // A stable sort: among equals, the first listed is the usual one.
    known.sort_by_key(|record| {
        let other = record.numerics;
        (
            other.same_padding != own.same_padding,
            other.epsilon != own.epsilon,
        )
    });
    let record = known.first().copied()?;
    let mut conventions = architecture.conventions.iter();
    // Without a convention of its own, the library's names are the native ones.
    let convention = conventions.find(|convention| convention.name == library);
    let names: Option<HashMap<String, String>> = convention.map(|convention| {
        let known = names_of_timm().chain(names_of_torchvision_convnext());
        let named = known.filter_map(|name| Some(((convention.to_native)(&name)?, name)));
        named.collect()
    });
    let parameters = parameters.iter().map(|info| {
        let name = match &names {
            None => info.name.clone(),
            Some(names) => names.get(&info.name)?.clone(),
        };
        Some(LibraryParameter {
            native: info.name.clone(),
            shape: shape(&name, &info.shape),
            name,
        })
    });
    Some(LibraryNetwork {
        parameters: parameters.collect::<Option<_>>()?,
        record,
    })
}

/// Name of the classifier on the second class token that timm, Meta and transformers have besides in a distilled DeiT,
/// whose answer is the mean of both; `None` for other networks.
pub fn second_classifier(architecture: &Architecture) -> Option<&'static str> {
    const CLASS_TOKENS: usize = 2;
    let tokens = architecture.tokens?;
    (tokens.class == CLASS_TOKENS).then_some(SECOND_HEAD)
}

/// The field of a layer that may have another shape in a library.
const WEIGHT: &str = "weight";

/// The names of parameters that timm's builder of EfficientNets and MobileNets gives, and more.
fn names_of_timm() -> impl Iterator<Item = String> {
    const FIELDS: [&str; 4] = [WEIGHT, "bias", "running_mean", "running_var"];
    layers_of_timm().flat_map(|layer| FIELDS.map(|field| format!("{layer}.{field}")))
}

/// The names of parameters that torchvision's builder of ConvNeXts gives, and more: `features` of the stem, and of
/// stages and what makes their maps smaller in turn.
fn names_of_torchvision_convnext() -> impl Iterator<Item = String> {
    const PLACES: usize = 8;
    const REPEATS: usize = 9;
    const LAYERS: [&str; 4] = ["block.0", "block.2", "block.3", "block.5"];
    let outside = ["classifier.0", "classifier.2"].map(str::to_owned);
    let places = (0..PLACES).flat_map(|place| {
        let in_blocks = (0..REPEATS).flat_map(move |repeat| {
            LAYERS.map(|layer| format!("features.{place}.{repeat}.{layer}"))
        });
        let direct = [0, 1].map(|index| format!("features.{place}.{index}"));
        direct.into_iter().chain(in_blocks)
    });
    let layers = outside.into_iter().chain(places);
    let parameters =
        layers.flat_map(|layer| [WEIGHT, "bias"].map(|field| format!("{layer}.{field}")));
    let scales = (0..PLACES).flat_map(|place| {
        (0..REPEATS).map(move |repeat| format!("features.{place}.{repeat}.{LAYER_SCALE}"))
    });
    parameters.chain(scales)
}

/// torchvision's field for a layer scale.
const LAYER_SCALE: &str = "layer_scale";

/// The names of layers that timm's builder of EfficientNets and MobileNets gives, and more: `blocks` of stages of
/// repeats.
fn layers_of_timm() -> impl Iterator<Item = String> {
    const STAGES: usize = 8;
    const REPEATS: usize = 8;
    const PARTS: [&str; 9] = [
        "conv",
        "conv_pw",
        "conv_dw",
        "conv_pwl",
        "bn1",
        "bn2",
        "bn3",
        "se.conv_reduce",
        "se.conv_expand",
    ];
    let outside = ["conv_stem", "bn1", "conv_head", "bn2", "classifier"].map(str::to_owned);
    let blocks = (0..STAGES).flat_map(|stage| {
        (0..REPEATS)
            .flat_map(move |repeat| PARTS.map(|part| format!("blocks.{stage}.{repeat}.{part}")))
    });
    outside.into_iter().chain(blocks)
}

/// The shape in a library: a linear layer that is called a convolution is a 1×1 convolution there, and torchvision's
/// layer scales are maps of one pixel.
fn shape(name: &str, native: &[usize]) -> Vec<usize> {
    let mut parts = name.rsplit('.');
    let (field, layer) = (parts.next(), parts.next());
    let is_convolution = layer.is_some_and(|layer| layer.starts_with("conv"));
    let mut shape = native.to_vec();
    let has_pixels = match field {
        Some(WEIGHT) => is_convolution && native.len() == 2,
        Some(LAYER_SCALE) => true,
        _ => false,
    };
    if has_pixels {
        shape.extend([1, 1]);
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(model: &str, library: &str) -> Option<LibraryNetwork> {
        let architecture = crate::by_name(model).unwrap();
        let mut parameters = architecture.backbone_parameters();
        parameters.extend(architecture.classifier_parameters(10));
        in_library(&architecture, library, &parameters)
    }

    #[test]
    fn a_library_that_does_not_have_a_network_has_no_names() {
        assert!(network("efficientnet_lite0", "torchvision").is_none());
        assert!(network("resnet50d", "torchvision").is_none());
        assert!(network("resnet50d", "timm").is_some());
    }

    #[test]
    fn a_distilled_deit_alone_has_a_second_classifier() {
        let with_two = crate::names().filter(|name| {
            let network = crate::by_name(name).unwrap();
            second_classifier(&network).is_some()
        });
        let expected = [
            "deit_tiny_distilled_patch16_224",
            "deit_small_distilled_patch16_224",
        ];
        assert_eq!(with_two.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_record_has_the_constants_where_the_library_has_them() {
        let record = |model, library| {
            let network: Option<LibraryNetwork> = network(model, library);
            network.unwrap().record.name.as_str()
        };
        assert_eq!(record("mobilenet_v2", "timm"), "mobilenetv2_100.ra_in1k");
        // lukemelas' weights pad as TensorFlow does.
        assert_eq!(
            record("efficientnet_b0.lukemelas_aa", "timm"),
            "tf_efficientnet_b0.aa_in1k"
        );
        let torchvision = record("efficientnet_b0.lukemelas_aa", "torchvision");
        assert_eq!(torchvision, "efficientnet_b0.imagenet1k_v1");
    }
}
