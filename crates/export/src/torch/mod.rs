//! A trained model as a folder for PyTorch: its parameters under native names, and a Python file that builds the network
//! from torchvision or timm, whichever has it under these names, or from plain `torch.nn`.

mod transformer;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use warmstart_language::message;
use warmstart_models::Architecture;
use warmstart_recipe::{Error, Problem};
use warmstart_tasks::detect::Selection;
use warmstart_tasks::model_file::replace_model;

use crate::model::{Classifier, Detector, Model, Network};

/// The file of parameters.
const PARAMETERS: &str = "model.safetensors";
/// The Python file.
const PROGRAM: &str = "model.py";
/// The parts of the Python file: what every model needs, …
const PICTURE: &str = include_str!("picture.py");
/// … a network of a library, …
const LIBRARY: &str = include_str!("library.py");
/// … what the networks that no library has are made of, …
const CSP: &str = include_str!("csp.py");
const CSPNEXT: &str = include_str!("cspnext.py");
const POOLED: &str = include_str!("pooled.py");
/// … a transformer, …
const TRANSFORMER: &str = include_str!("transformer.py");
/// … a model on it, …
const LIGHT: &str = include_str!("light.py");
const RTMDET: &str = include_str!("rtmdet.py");
const YOLOX: &str = include_str!("yolox.py");
/// … and the use of it.
const CLASSIFIER: &str = include_str!("classifier.py");
const DETECTOR: &str = include_str!("detector.py");

/// A library of networks, by the name that Python imports.
const TORCHVISION: &str = "torchvision";
/// Networks that it has.
const OF_TORCHVISION: [&str; 10] = [
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
/// Beginnings of the names of networks that neither torchvision nor timm has, and what builds them. All others have
/// timm's names. Transformers have them, too, but timm's have no pooling of class token and patches together, and one
/// way to resize positions.
const PLAIN: [(&str, &[&str]); 5] = [
    ("cspnext", &[CSP, CSPNEXT, POOLED]),
    ("rtmdet", &[CSP, CSPNEXT, RTMDET]),
    ("yolox", &[CSP, YOLOX]),
    ("vit", &[TRANSFORMER]),
    ("deit", &[TRANSFORMER]),
];
/// Stages whose result comes out of a module of another name: the beginning of the network's name, the stage, and the
/// module.
const MODULES: [(&str, &str, &str); 8] = [
    ("resnet", "conv1", "maxpool"),
    ("mobilenet_v3", "classifier.0", "classifier.1"),
    ("mobilenetv4", "conv_stem", "bn1"),
    ("mobilenetv4", "conv_head", "norm_head"),
    ("efficientnet_lite", "conv_stem", "bn1"),
    ("efficientnet_lite", "conv_head", "bn2"),
    ("vit", "norm", "pool"),
    ("deit", "norm", "pool"),
];

/// Writes the folder of a model, which is created if it does not exist, and returns the paths of its files.
///
/// # Errors
/// If the model cannot be read, or the disk refuses.
pub fn export_torch(source: &Path, folder: &Path) -> Result<[PathBuf; 2], Error> {
    if folder.exists() && !folder.is_dir() {
        return Err(Problem::new(message!("it is not a folder"))
            .of_file(folder)
            .fix(message!(
                "give a folder, which is created if it does not exist"
            ))
            .into());
    }
    let model = Model::read(source)?;
    let program = program(&model);
    warmstart_files::create_folder(folder).map_err(|error| Error::io("create", folder, error))?;
    let [parameters, code] = [PARAMETERS, PROGRAM].map(|name| folder.join(name));
    write_parameters(&model, &parameters)?;
    warmstart_files::replace(&code, |file| file.write_all(program.as_bytes()))
        .map_err(|error| Error::io("write", &code, error))?;
    Ok([parameters, code])
}

/// Copies the file that warmstart wrote, byte by byte, or writes such a file of a published one.
fn write_parameters(model: &Model, target: &Path) -> Result<(), Error> {
    match &model.network {
        Network::Detector(detector) if detector.is_published => {
            replace_model(target, &detector.parameters, &model.info)
        }
        Network::Classifier(_) | Network::Detector(_) => {
            let source = &model.file;
            let mut original =
                warmstart_files::open(source).map_err(|error| Error::io("read", source, error))?;
            warmstart_files::replace(target, |file| io::copy(&mut original, file).map(drop))
                .map_err(|error| Error::io("write", target, error))
        }
    }
}

/// The Python file.
fn program(model: &Model) -> String {
    let info = &model.info;
    let architecture = match &model.network {
        Network::Classifier(parts) => &parts.architecture,
        Network::Detector(parts) => &parts.backbone,
    };
    let library = library(architecture);
    let numerics = &architecture.record.numerics;
    let mut libraries: Vec<&str> = library.into_iter().collect();
    let mut constants = vec![
        ("NETWORK", python(&json!(architecture.name))),
        ("EPSILON", format!("{:?}", numerics.epsilon)),
        ("CLASSES", python(&json!(info.classes))),
        ("PREPROCESSING", python(&json!(info.preprocessing))),
    ];
    if library.is_some() {
        constants.push(("LIBRARY", python(&json!(library))));
        let same_padding = python(&json!(numerics.same_padding));
        constants.push(("SAME_PADDING", same_padding));
    }
    if let Some(table) = transformer::table(architecture) {
        constants.push(("TRANSFORMER", python(&table)));
    }
    let mut parts = vec![PICTURE];
    parts.extend(network(architecture));
    match &model.network {
        Network::Classifier(classifier) => {
            constants.push(layers(classifier));
            parts.push(CLASSIFIER);
        }
        Network::Detector(detector) => {
            let confidence = info.confidence.unwrap_or(Selection::PREDICTION.confidence);
            constants.push(("CONFIDENCE", format!("{confidence:?}")));
            if !architecture.is_detector {
                constants.push(taps(detector));
                parts.push(LIGHT);
            }
            parts.push(DETECTOR);
            // Non-maximum suppression is torchvision's.
            libraries.push(TORCHVISION);
        }
    }
    libraries.dedup();
    let imports = libraries.iter().map(|name| format!("import {name}\n"));
    let mut needs = vec!["numpy", "pillow", "safetensors", "torch"];
    needs.extend(&libraries);
    let constants = constants.iter();
    let constants = constants.map(|(name, value)| format!("{name} = {value}\n"));
    format!(
        "\"\"\"{model}, from warmstart.\n\n    python {PROGRAM} PICTURE...\n\nprints what `warmstart predict --json` \
         prints. Needs {needs}.\n\"\"\"\n\nimport json\nimport sys\nfrom pathlib import Path\n\nimport \
         numpy\n{imports}import torch\nfrom PIL import Image, ImageOps\nfrom safetensors.torch import \
         load_file\nfrom torch import nn\nfrom torch.nn import functional\n\n{constants}{parts}",
        model = info.model,
        needs = needs.join(", "),
        imports = imports.collect::<String>(),
        constants = constants.collect::<String>(),
        parts = parts.concat(),
    )
}

/// The library whose names a network's parameters have; `None` if no library has it.
fn library(architecture: &Architecture) -> Option<&'static str> {
    if plain(architecture).is_some() {
        None
    } else if OF_TORCHVISION.contains(&architecture.name) {
        Some(TORCHVISION)
    } else {
        Some("timm")
    }
}

/// The parts of the Python file that build a network.
fn network(architecture: &Architecture) -> &'static [&'static str] {
    plain(architecture).unwrap_or(&[LIBRARY])
}

/// The parts that build a network of plain `torch.nn`.
fn plain(architecture: &Architecture) -> Option<&'static [&'static str]> {
    let mut families = PLAIN.iter();
    let found = families.find(|(family, _)| architecture.name.starts_with(family));
    found.map(|&(_, parts)| parts)
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
    let taps = backbone.taps.expect("a detector's backbone has maps");
    let names = taps.map(|tap| module(backbone, &backbone.stages[tap].name));
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
        for name in OF_TORCHVISION {
            assert!(warmstart_models::by_name(name).is_some(), "{name}");
        }
    }
}
