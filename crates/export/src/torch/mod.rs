//! A trained model as a folder for PyTorch: its parameters under native names, and a Python file that builds the network
//! from torchvision or timm, whichever has it under these names.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use warmstart_models::Architecture;
use warmstart_recipe::run_files::resolve_path;
use warmstart_recipe::{Error, Problem};

use crate::model::{Classifier, Detector, Model, Network};

/// The file of parameters.
const PARAMETERS: &str = "model.safetensors";
/// The Python file.
const PROGRAM: &str = "model.py";
/// The parts of the Python file that are the same for every model, for every classifier, and for every detector.
const PICTURE: &str = include_str!("picture.py");
const CLASSIFIER: &str = include_str!("classifier.py");
const DETECTOR: &str = include_str!("detector.py");

/// Networks that torchvision has; the others have timm's names.
const TORCHVISION: [&str; 10] = [
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
];
/// Stages whose result comes out of a module of another name: the beginning of the network's name, the stage, and the
/// module.
const MODULES: [(&str, &str, &str); 6] = [
    ("resnet", "conv1", "maxpool"),
    ("mobilenet_v3", "classifier.0", "classifier.1"),
    ("mobilenetv4", "conv_stem", "bn1"),
    ("mobilenetv4", "conv_head", "norm_head"),
    ("efficientnet_lite", "conv_stem", "bn1"),
    ("efficientnet_lite", "conv_head", "bn2"),
];

/// Writes the folder of a model file, which is created if it does not exist, and returns the paths of its files.
///
/// # Errors
/// If the model cannot be read, or the disk refuses.
pub fn export_torch(source: &Path, folder: &Path) -> Result<[PathBuf; 2], Error> {
    if folder.exists() && !folder.is_dir() {
        return Err(Problem::new("it is not a folder")
            .of_file(folder)
            .fix("give a folder, which is created if it does not exist")
            .into());
    }
    let source = resolve_path(source)?;
    let model = Model::read(&source)?;
    let program = program(&model);
    warmstart_files::create_folder(folder).map_err(|error| Error::io("create", folder, error))?;
    let [parameters, code] = [PARAMETERS, PROGRAM].map(|name| folder.join(name));
    let mut original =
        warmstart_files::open(&source).map_err(|error| Error::io("read", &source, error))?;
    warmstart_files::replace(&parameters, |file| io::copy(&mut original, file).map(drop))
        .map_err(|error| Error::io("write", &parameters, error))?;
    warmstart_files::replace(&code, |file| file.write_all(program.as_bytes()))
        .map_err(|error| Error::io("write", &code, error))?;
    Ok([parameters, code])
}

/// The Python file.
fn program(model: &Model) -> String {
    let (architecture, special, part) = match &model.network {
        Network::Classifier(parts) => (&parts.architecture, layers(parts), CLASSIFIER),
        Network::Detector(parts) => (&parts.backbone, taps(parts), DETECTOR),
    };
    let info = &model.info;
    let library = library(architecture);
    let libraries = match (&model.network, library) {
        (Network::Classifier(_), library) => vec![library],
        // Non-maximum suppression is torchvision's.
        (Network::Detector(_), "timm") => vec!["timm", "torchvision"],
        (Network::Detector(_), _) => vec!["torchvision"],
    };
    let imports: Vec<String> = libraries
        .iter()
        .map(|name| format!("import {name}\n"))
        .collect();
    let numerics = &architecture.record.numerics;
    let constants = [
        ("LIBRARY", python(&json!(library))),
        ("NETWORK", python(&json!(architecture.name))),
        ("EPSILON", format!("{:?}", numerics.epsilon)),
        ("SAME_PADDING", python(&json!(numerics.same_padding))),
        ("CLASSES", python(&json!(info.classes))),
        ("PREPROCESSING", python(&json!(info.preprocessing))),
        special,
    ];
    let constants = constants.map(|(name, value)| format!("{name} = {value}\n"));
    format!(
        "\"\"\"{model}, trained by warmstart.\n\n    python {PROGRAM} PICTURE...\n\nprints what `warmstart predict \
         --json` prints. Needs numpy, pillow, safetensors, torch, {needs}.\n\"\"\"\n\nimport json\nimport sys\nfrom \
         pathlib import Path\n\nimport numpy\n{imports}import torch\nfrom PIL import Image, ImageOps\nfrom \
         safetensors.torch import load_file\nfrom torch import nn\nfrom torch.nn import functional\n\n{constants}{PICTURE}{part}",
        model = info.model,
        needs = libraries.join(" and "),
        imports = imports.concat(),
        constants = constants.concat(),
    )
}

/// The library whose names a network's parameters have.
fn library(architecture: &Architecture) -> &'static str {
    if TORCHVISION.contains(&architecture.name) {
        "torchvision"
    } else {
        "timm"
    }
}

/// The modules that the layers of a head on several layers are, and whether what goes into them is read, or what comes
/// out.
fn layers(classifier: &Classifier) -> (&'static str, String) {
    let architecture = &classifier.architecture;
    let place = |layer: &String| {
        let is_stage = architecture.stages.iter().any(|stage| stage.name == *layer);
        let place = if is_stage {
            json!([module(architecture, layer), "output"])
        } else {
            json!([layer, "input"])
        };
        (layer.clone(), place)
    };
    let places: serde_json::Map<String, Value> = classifier.layers.iter().map(place).collect();
    ("LAYERS", python(&Value::Object(places)))
}

/// The modules whose results a detector reads.
fn taps(detector: &Detector) -> (&'static str, String) {
    let backbone = &detector.backbone;
    let names = backbone
        .taps
        .map(|tap| module(backbone, &backbone.stages[tap].name));
    ("TAPS", python(&json!(names)))
}

/// The module that a stage's result comes out of.
fn module<'a>(architecture: &Architecture, stage: &'a str) -> &'a str {
    let other = MODULES
        .iter()
        .find(|(family, of, _)| architecture.name.starts_with(family) && *of == stage);
    other.map_or(stage, |(_, _, module)| module)
}

/// A value as Python writes it: JSON's texts, numbers, lists and tables are Python's, too.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(python).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries: Vec<String> = entries
                .map(|(key, value)| format!("{}: {}", json!(key), python(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_python_has_them() {
        let value = json!({"a \"b\"\n": [true, null, 0.5, "ü"]});
        assert_eq!(
            python(&value),
            "{\"a \\\"b\\\"\\n\": [True, None, 0.5, \"ü\"]}"
        );
    }

    #[test]
    fn networks_of_torchvision_exist() {
        for name in TORCHVISION {
            assert!(warmstart_models::by_name(name).is_some(), "{name}");
        }
    }
}
