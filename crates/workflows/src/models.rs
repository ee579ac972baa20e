//! `warmstart models` and `warmstart weights list`: the networks of this build, and the published weights for them.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use warmstart_fetch::{Places, find};
use warmstart_models::{Architecture, Record, by_name, records};
use warmstart_nn::Forward;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_recipe::{Init, SEED, source_of};
use warmstart_tasks::classify::Head;
use warmstart_tasks::network::images;
use warmstart_train::IMAGENET_CLASSES;

/// Passes that are timed, after one that is not.
const PASSES: usize = 7;
/// Channels of an image.
const CHANNELS: usize = 3;

/// A network, for programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Network {
    /// Its name.
    pub name: &'static str,
    /// Trained values, those of a classifier of a thousand classes included.
    pub parameters: usize,
    /// Multiplications for an image of that size.
    pub multiply_adds: usize,
    /// Edge of the image of its usual weights, in pixels.
    pub image_size: usize,
    /// Milliseconds for one image on this machine, where that was measured: a forward pass of one image, without
    /// reading it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// Name of its usual weights.
    pub usual_weights: &'static str,
    /// All published weights for it.
    pub weights: Vec<Weights>,
}

/// Published weights, for programs. What their publisher does not state is `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Weights {
    /// Their name.
    pub name: &'static str,
    /// The network that they are for.
    pub model: &'static str,
    /// The library that published them.
    pub library: &'static str,
    /// Edge of the image that they expect, in pixels.
    pub image_size: usize,
    /// Classes of their classifier; 0 if they have none.
    pub classes: usize,
    /// Published accuracy on ImageNet's validation images, in percent.
    pub top1: Option<f64>,
    /// Their licence.
    pub license: Option<&'static str>,
    /// Address of the file.
    pub url: Option<&'static str>,
    /// The repository on the Hugging Face Hub that has them.
    pub hub: Option<&'static str>,
    /// The Python package that contains the file.
    pub package: Option<&'static str>,
    /// Name of the file.
    pub file: Option<&'static str>,
    /// SHA-256 of the file, or the beginning of it.
    pub sha256: Option<&'static str>,
    /// Size of the file, as far as it is stated.
    pub bytes: Option<u64>,
    /// The file on this machine, not verified.
    pub path: Option<PathBuf>,
}

impl Weights {
    fn of(record: &'static Record, places: &Places) -> Self {
        let file = &record.file;
        Self {
            name: &record.name,
            model: &record.architecture,
            library: &record.library,
            image_size: record.pretrained.image_size,
            classes: record.classes,
            top1: record.top1,
            license: record.license.as_deref(),
            url: file.url.as_deref(),
            hub: file.hub.as_deref(),
            package: file.package.as_deref(),
            file: file.name.as_deref(),
            sha256: file.sha256.as_deref(),
            bytes: file.bytes,
            path: find(&source_of(record), places).map(|found| found.path),
        }
    }
}

/// All published weights; those for a network are neighbours.
pub fn weights() -> Vec<Weights> {
    let places = Places::from_environment();
    let of_network = |name| records(name).map(|record| Weights::of(record, &places));
    warmstart_models::names().flat_map(of_network).collect()
}

/// The networks of this build; measured, with the time for an image.
pub fn networks(measured: bool) -> Vec<Network> {
    let places = Places::from_environment();
    let network = |architecture: Architecture| Network {
        name: architecture.name,
        parameters: parameters(&architecture),
        multiply_adds: multiply_adds(&architecture),
        image_size: architecture.pretrained().image_size,
        milliseconds: measured.then(|| milliseconds(&architecture)),
        usual_weights: &architecture.record.name,
        weights: records(architecture.name)
            .map(|record| Weights::of(record, &places))
            .collect(),
    };
    let names = warmstart_models::names();
    names.filter_map(by_name).map(network).collect()
}

fn parameters(architecture: &Architecture) -> usize {
    let backbone = architecture.backbone_parameters();
    let classifier = architecture.classifier_parameters(IMAGENET_CLASSES);
    let trained = backbone
        .iter()
        .chain(&classifier)
        .filter(|info| info.kind.is_trained());
    trained
        .map(|info| info.shape.iter().product::<usize>())
        .sum()
}

fn multiply_adds(architecture: &Architecture) -> usize {
    let size = architecture.pretrained().image_size;
    let classifier = architecture.features * IMAGENET_CLASSES;
    architecture.multiply_adds([size, size, CHANNELS]) + classifier
}

/// The median time of a forward pass of one image.
fn milliseconds(architecture: &Architecture) -> f64 {
    let device = warmstart_nn::device();
    let head = Head::new(architecture, IMAGENET_CLASSES);
    let mut infos = architecture.backbone_parameters();
    infos.extend(head.parameters().iter().cloned());
    let init = Init::default();
    let parameters = init
        .0
        .parameters(&infos, &architecture.initialization(), SEED, &device);
    let stages = 0..architecture.stages.len();
    let folded = architecture.fold(stages.clone(), &parameters, &device);
    let size = architecture.pretrained().image_size;
    let grey = vec![0.5; size * size * CHANNELS];
    let pass = || {
        let begin = Instant::now();
        let image = images(&[&grey], size, &device);
        let features =
            architecture.forward(stages.clone(), image, &mut Forward::Inference(&folded));
        let logits: Tensor<2> = head.logits(features, &parameters, None);
        // Waits for the result.
        drop(logits.into_data());
        begin.elapsed().as_secs_f64() * 1e3
    };
    pass();
    let mut times: Vec<f64> = (0..PASSES).map(|_| pass()).collect();
    times.sort_by(f64::total_cmp);
    times[PASSES / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_as_many_as_published() {
        let mut compared = 0;
        for record in warmstart_models::all_records() {
            if let Some(published) = record.parameters
                && record.classes == IMAGENET_CLASSES
            {
                let architecture = by_name(&record.name).unwrap();
                assert_eq!(parameters(&architecture), published, "{}", record.name);
                compared += 1;
            }
        }
        assert!(compared > 10, "{compared}");
    }

    #[test]
    fn multiply_adds_are_as_many_as_published() {
        // torchvision 0.20's `_ops`, in billions: of MobileNetV2 and of ResNet-50.
        for (name, billions) in [("mobilenet_v2", 0.301), ("resnet50", 4.089)] {
            let ours = multiply_adds(&by_name(name).unwrap()) as f64 / 1e9;
            assert!((ours - billions).abs() < 0.005 * billions, "{name}: {ours}");
        }
    }
}
