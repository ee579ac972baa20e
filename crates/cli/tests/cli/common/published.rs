//! Weights as others publish them.

use std::path::{Path, PathBuf};

use warmstart_nn::ParameterInfo;
use warmstart_nn::initialization::{Initialization, ModelDefaults};
use warmstart_tasks::model_file::write_tensors;

/// A file of a network for ImageNet with random values, as a tool that knows nothing of warmstart writes it.
pub fn published(dir: &Path, model: &str) -> PathBuf {
    published_with(dir, model, |_| {})
}

/// Such a file whose parameters are described otherwise.
pub fn published_with(
    dir: &Path,
    model: &str,
    change: impl FnOnce(&mut Vec<ParameterInfo>),
) -> PathBuf {
    let network = warmstart_recipe::architecture(model).unwrap();
    let mut infos = network.backbone_parameters();
    infos.extend(network.classifier_parameters(1000));
    change(&mut infos);
    let device = warmstart_nn::device();
    // Layer scales that training has moved from the small values that they begin with.
    let defaults = ModelDefaults {
        layer_scale: 0.5,
        ..network.initialization()
    };
    let values = Initialization::default().parameters(&infos, &defaults, 1, &device);
    let file = dir.join(format!("{model}-published.safetensors"));
    write_tensors(&file, &values).unwrap();
    file
}
