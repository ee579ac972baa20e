//! Classifiers that a library has in another form.

use warmstart_language::message;
use warmstart_models::{Architecture, LibraryNetwork, LibraryParameter, second_classifier};
use warmstart_nn::layers::{Layer, Pool, TokenPool};
use warmstart_recipe::Error;
use warmstart_weights::WeightFile;

/// Whether a parameter is the classifier's.
pub(crate) fn is_classifier(network: &Architecture, name: &str) -> bool {
    is_of(network.classifier, name)
}

/// Whether a parameter is one of a layer's own.
pub(crate) fn is_of(layer: &str, name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(of, _)| of == layer)
}

/// Refuses a classifier on features that the library's network, which it calls `called`, does not give it.
///
/// # Errors
/// If it reads the class token and the mean of the patches.
pub(crate) fn require_same_features(
    file: &WeightFile,
    network: &Architecture,
    found: &LibraryNetwork,
    called: &str,
) -> Result<(), Error> {
    let mut parameters = found.parameters.iter();
    let has_classifier = parameters.any(|own| is_classifier(network, &own.native));
    let is_joined = |layer: &Layer| {
        matches!(
            layer,
            Layer::TokenPool(TokenPool {
                pool: Pool::Both,
                ..
            })
        )
    };
    if !has_classifier || !network.layers(0..network.stages.len()).any(is_joined) {
        return Ok(());
    }
    let what = message!(
        "its classifier reads the class token and the mean of the patches, and that of {called} the class token alone"
    );
    let fix = message!(
        "give a file without a classifier, or write a trained model as a folder for PyTorch (warmstart export --torch)"
    );
    Err(Error::model(&file.path, what).fix(fix))
}

/// Adds the second classifier that a library has of a distilled DeiT, where the file has one alone: a copy of it, so that
/// the mean of two answers is the answer on the mean of both class tokens. Returns a note.
pub(crate) fn add_second_classifier(
    network: &Architecture,
    found: &mut LibraryNetwork,
    called: &str,
) -> Option<String> {
    let second = second_classifier(network)?;
    let is_there = |layer: &str| found.parameters.iter().any(|own| is_of(layer, &own.native));
    if is_there(second) || !is_there(network.classifier) {
        return None;
    }
    let own = found.parameters.iter();
    let own = own.filter(|own| is_classifier(network, &own.native));
    let copies = own.map(|own| LibraryParameter {
        name: own.native.replacen(network.classifier, second, 1),
        ..own.clone()
    });
    let copies: Vec<LibraryParameter> = copies.collect();
    found.parameters.extend(copies);
    Some(message!(
        "{second} is a copy of {}: {called} has two classifiers, and the mean of their answers is that of the one here",
        network.classifier
    ))
}
