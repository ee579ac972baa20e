//! `warmstart weights convert`: weights under the names of another library.

use std::path::Path;

use serde_json::Value;
use warmstart_language::message;
use warmstart_models::{
    Architecture, LibraryNetwork, LibraryParameter, full_name, in_library, second_classifier,
};
use warmstart_nn::ParameterInfo;
use warmstart_recipe::run_files::resolve_path;
use warmstart_recipe::{Error, Key, Problem, TaskKind, architecture};
use warmstart_tasks::classify::{frozen_top, multi_head};
use warmstart_tasks::expectations::beyond;
use warmstart_tasks::model_file::ModelInfo;
use warmstart_train::{IMAGENET_CLASSES, conventions, expectations};
use warmstart_weights::{
    LoadPlan, Part, ResizedPositions, SavedData, SavedTensor, Target, TensorMap, WeightFile,
    compare,
};

use crate::library_classifiers::{
    add_second_classifier, is_classifier, is_of, require_same_features,
};
use crate::recognise::network_of;

/// The names that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Those of a library.
    Library(&'static str),
    /// Those that warmstart uses itself.
    Native,
}

/// What was converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Number of tensors.
    pub tensors: usize,
    /// The network as the library calls it; or as warmstart does, with the record of its constants.
    pub network: String,
    /// What a user of the new file should know.
    pub notes: Vec<String>,
}

/// Writes the network of a file, or of its tensors under `prefix`, into a new file under other names. No value changes,
/// but where the file has a token's position apart from the token, or positions of another grid. A classifier that the
/// library has twice is written twice.
///
/// # Errors
/// If the file holds no whole network, or one that the library does not have as it is; if the new file exists already.
pub fn convert(
    path: &Path,
    out: &Path,
    naming: Naming,
    prefix: Option<&str>,
) -> Result<Converted, Error> {
    if std::fs::symlink_metadata(out).is_ok() {
        return Err(Problem::new(message!("it exists already"))
            .of_file(out)
            .fix(message!("remove it, or give another name"))
            .into());
    }
    let path = resolve_path(path)?;
    let file = warmstart_weights::read(&path)?;
    match ModelInfo::of(&file)? {
        Some(info) if naming == Naming::Native => copy(&file, &info, out),
        Some(info) => {
            require_ordinary(&file, &info)?;
            let network = architecture(&info.model)?;
            let mut converted = rename(&file, &network, out, naming, prefix)?;
            converted.notes.push(message!(
                "class names and preprocessing are not in the new file: the library has no place for them"
            ));
            Ok(converted)
        }
        None => {
            let (network, note) = network_of(&file, prefix)?;
            let mut converted = rename(&file, &network, out, naming, prefix)?;
            converted.notes.extend(note);
            Ok(converted)
        }
    }
}

/// Writes a model of ours as it is.
fn copy(file: &WeightFile, info: &ModelInfo, out: &Path) -> Result<Converted, Error> {
    let tensors = file.tensors.iter().map(|(name, tensor)| SavedTensor {
        name,
        shape: &tensor.shape,
        data: SavedData::F32(&tensor.data),
    });
    let metadata = file.metadata.clone().unwrap_or(Value::Null);
    warmstart_weights::save(out, tensors, &metadata)?;
    Ok(Converted {
        tensors: file.tensors.len(),
        network: info.model.clone(),
        notes: Vec::new(),
    })
}

/// Refuses a model of ours that is more than a network with a linear layer on its last features.
fn require_ordinary(file: &WeightFile, info: &ModelInfo) -> Result<(), Error> {
    let has = |prefix: &str| file.tensors.keys().any(|name| name.starts_with(prefix));
    let (what, fix) = if info.task == TaskKind::Detect {
        (
            message!("it is a detector, whose neck and head no library has"),
            String::new(),
        )
    } else if has(frozen_top::PREFIX) {
        (
            message!(
                "it is the mean of a frozen and a thawed model, and a library has one network"
            ),
            message!("train with --no-guard --head linear"),
        )
    } else if has(multi_head::PREFIX) {
        (
            message!(
                "it is a network whose head reads several layers, and a library's reads the last one"
            ),
            message!("train with --head linear, or --head-layers last"),
        )
    } else {
        return Ok(());
    };
    Err(Error::model(&file.path, what).fix(fix))
}

fn rename(
    file: &WeightFile,
    network: &Architecture,
    out: &Path,
    naming: Naming,
    prefix: Option<&str>,
) -> Result<Converted, Error> {
    let plan = whole_network(file, network, prefix)?;
    let mut parameters = parameters(network, &plan);
    let mut notes = left_out(&plan);
    let (named, called): (Vec<LibraryParameter>, String) = match naming {
        Naming::Native => {
            let own = |info: &ParameterInfo| LibraryParameter {
                native: info.name.clone(),
                name: info.name.clone(),
                shape: info.shape.clone(),
            };
            if let Some(second) = second_classifier(network) {
                let count = parameters.len();
                parameters.retain(|info| !is_of(second, &info.name));
                if parameters.len() < count {
                    notes.push(message!(
                        "{second} is left out: here one classifier reads the mean of both class tokens, which answers \
                         as two only where these are equal"
                    ));
                }
            }
            if full_name(network) != network.name {
                notes.push(message!(
                    "the new names do not tell whose weights these are: give {} {} with them",
                    Key::MODEL,
                    full_name(network)
                ));
            }
            let called = full_name(network).to_owned();
            (parameters.iter().map(own).collect(), called)
        }
        Naming::Library(library) => {
            let found = in_library(network, library, &parameters);
            let mut found = found.ok_or_else(|| {
                let what = message!("{library} does not have {}", network.name);
                Error::model(&file.path, what)
            })?;
            notes.extend(constants(file, network, library, &found)?);
            let called = called(library, &found);
            require_same_features(file, network, &found, &called)?;
            notes.extend(add_second_classifier(network, &mut found, &called));
            (found.parameters, called)
        }
    };
    save(out, &named, &plan.loaded)?;
    Ok(Converted {
        tensors: named.len(),
        network: called,
        notes,
    })
}

/// The tensors of a network in a file, with a classifier of any number of classes.
fn whole_network(
    file: &WeightFile,
    network: &Architecture,
    prefix: Option<&str>,
) -> Result<LoadPlan, Error> {
    let conventions = conventions(network);
    let planned = |classes: usize| {
        let head = network.classifier_parameters(classes);
        let mut expected = expectations(&network.backbone_parameters(), &head);
        expected.extend(beyond(network, &expected));
        // A second classifier has a place in libraries.
        for tensor in &mut expected {
            let second = second_classifier(network);
            if second.is_some_and(|second| is_of(second, &tensor.name)) {
                (tensor.part, tensor.optional) = (Part::Head, true);
                tensor.shape[0] = classes;
            }
        }
        let target = Target {
            architecture: network.name,
            expected: &expected,
            conventions: &conventions,
        };
        compare(file, &target, prefix)
    };
    let mut plan = planned(IMAGENET_CLASSES)?;
    let [weight, _] = network.classifier_parameters(IMAGENET_CLASSES);
    let mut others = plan.wrong_shape.iter();
    let other = others.find(|other| other.name == weight.name);
    if let Some(&classes) = other.and_then(|other| other.found.first()) {
        plan = planned(classes)?;
    }
    let missing = plan.missing.iter().map(|missing| &missing.name);
    let lacking: Vec<&String> = missing
        .chain(plan.wrong_shape.iter().map(|wrong| &wrong.name))
        .filter(|name| !is_classifier(network, name))
        .collect();
    if let Some(first) = lacking.first() {
        let what = message!(
            "{} of the tensors of {} are missing or have another shape, such as {first}",
            lacking.len(),
            network.name
        );
        let fix = message!(
            "give a file of the whole network (warmstart weights inspect shows what is there)"
        );
        return Err(Error::model(&file.path, what).fix(fix));
    }
    Ok(plan)
}

/// The parameters that are there, in the network's order.
fn parameters(network: &Architecture, plan: &LoadPlan) -> Vec<ParameterInfo> {
    let mut parameters = network.backbone_parameters();
    let classifier = network.classifier_parameters(IMAGENET_CLASSES);
    parameters.extend(classifier.clone());
    if let Some(second) = second_classifier(network) {
        parameters.extend(classifier.map(|info| ParameterInfo {
            name: info.name.replacen(network.classifier, second, 1),
            ..info
        }));
    }
    parameters.retain_mut(|info| {
        let loaded = plan.loaded.get(&info.name);
        if let Some(tensor) = loaded {
            info.shape.clone_from(&tensor.shape);
        }
        loaded.is_some()
    });
    parameters
}

/// Notes on what is not in the new file, and on what is there in another form.
fn left_out(plan: &LoadPlan) -> Vec<String> {
    let mut notes = Vec::new();
    if !plan.missing.is_empty() {
        notes.push(message!(
            "the file has no classifier, and neither has the new one"
        ));
    }
    if let Some(first) = plan.unused.first() {
        notes.push(message!(
            "left out: {} tensors that the network has no place for, such as {first}",
            plan.unused.len()
        ));
    }
    if let Some(first) = plan.beyond.first() {
        notes.push(message!(
            "left out: {} tensors that the network has for other purposes, such as {first}",
            plan.beyond.len()
        ));
    }
    if let Some(first) = plan.spread.first() {
        notes.push(message!(
            "{} has other input channels in the file, and is converted to three",
            first.name
        ));
    }
    if let Some(first) = plan.joined.first() {
        notes.push(message!(
            "{} tensors are joined of several in the file, such as {} of {}",
            plan.joined.len(),
            first.name,
            first.file_names.join(" + ")
        ));
    }
    for position in &plan.token_positions {
        notes.push(message!(
            "the first position of {} is that of {}, and is added to it",
            position.file_name,
            position.token
        ));
    }
    notes.extend(plan.resized.iter().map(ResizedPositions::line));
    notes
}

/// Notes on constants that are in no file of weights, and that the library's network may have otherwise.
///
/// # Errors
/// If the library pads in another way, which nobody can set.
fn constants(
    file: &WeightFile,
    network: &Architecture,
    library: &str,
    found: &LibraryNetwork,
) -> Result<Vec<String>, Error> {
    let (own, other) = (network.record.numerics, found.record.numerics);
    if own.same_padding != other.same_padding {
        let (record, name) = (&network.record.name, network.name);
        let what = if own.same_padding {
            message!(
                "it is taken for {record}, which pads as TensorFlow does, and {library}'s {name} pads alike on each \
                 side: the same weights would give other results"
            )
        } else {
            message!(
                "it is taken for {record}, which pads alike on each side, and {library}'s {name} pads as TensorFlow \
                 does: the same weights would give other results"
            )
        };
        return Err(Error::model(&file.path, what));
    }
    let mut notes = Vec::new();
    if own.epsilon != other.epsilon {
        notes.push(message!(
            "{} has an epsilon of {:e} in its batch norms, and {}, as {library} builds it, of {:e}: set it there, for \
             the same results",
            network.record.name,
            own.epsilon,
            called(library, found),
            other.epsilon
        ));
    }
    Ok(notes)
}

/// A library's name of a network: what is before the dot of its weights' names.
fn called(library: &str, found: &LibraryNetwork) -> String {
    let name = found.record.name.split('.').next().unwrap_or_default();
    message!("{library}'s {name}")
}

fn save(out: &Path, named: &[LibraryParameter], values: &TensorMap) -> Result<(), Error> {
    let tensors = named.iter().map(|parameter| SavedTensor {
        name: &parameter.name,
        shape: &parameter.shape,
        data: SavedData::F32(&values[&parameter.native].data),
    });
    warmstart_weights::save(out, tensors, &Value::Null)?;
    Ok(())
}
