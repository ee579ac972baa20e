//! `warmstart models` and `warmstart weights list`: the networks of this build, and the published weights for them.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use warmstart_fetch::{Places, find};
use warmstart_models::coco::COCO_CLASSES;
use warmstart_models::detector::STRIDES;
use warmstart_models::{Architecture, Record, by_name, records};
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::layers::fold;
use warmstart_nn::ops::values;
use warmstart_nn::{Forward, ParameterInfo};
use warmstart_recipe::{Init, SEED, model_names, source_of};
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
    /// Whether it is a detector from the start. The others classify, and may be the backbone of a light detector.
    pub is_detector: bool,
    /// Trained values, those of a classifier of ImageNet's thousand classes, or of a head for COCO's eighty, included.
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
    /// Published average precision on COCO's validation images, in percent.
    pub ap: Option<f64>,
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
            ap: record.ap,
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
    model_names().flat_map(of_network).collect()
}

/// The networks of this build; measured, with the time for an image.
pub fn networks(measured: bool) -> Vec<Network> {
    let places = Places::from_environment();
    let network = |architecture: Architecture| Network {
        name: architecture.name,
        is_detector: architecture.is_detector,
        parameters: parameters(&architecture),
        multiply_adds: multiply_adds(&architecture),
        image_size: architecture.pretrained().image_size,
        milliseconds: measured.then(|| milliseconds(&architecture)),
        usual_weights: &architecture.record.name,
        weights: records(architecture.name)
            .map(|record| Weights::of(record, &places))
            .collect(),
    };
    model_names().filter_map(by_name).map(network).collect()
}

/// The parameters of a network with its classifier, or of a detector with its head.
fn all_parameters(architecture: &Architecture) -> Vec<ParameterInfo> {
    let mut parameters = architecture.backbone_parameters();
    if architecture.is_detector {
        parameters.extend(architecture.detector(COCO_CLASSES.len()).parameters());
    } else {
        parameters.extend(architecture.classifier_parameters(IMAGENET_CLASSES));
    }
    parameters
}

fn parameters(architecture: &Architecture) -> usize {
    let all = all_parameters(architecture);
    let trained = all.iter().filter(|info| info.kind.is_trained());
    trained
        .map(|info| info.shape.iter().product::<usize>())
        .sum()
}

fn multiply_adds(architecture: &Architecture) -> usize {
    let size = architecture.pretrained().image_size;
    let head = if architecture.is_detector {
        let maps = STRIDES.into_iter().zip(architecture.map_channels());
        let maps: Vec<_> = maps
            .map(|(stride, channels)| [size / stride, size / stride, channels])
            .collect();
        let detector = architecture.detector(COCO_CLASSES.len());
        detector.graph().multiply_adds(&maps)
    } else {
        architecture.features * IMAGENET_CLASSES
    };
    architecture.multiply_adds([size, size, CHANNELS]) + head
}

/// The median time of a forward pass of one image.
fn milliseconds(architecture: &Architecture) -> f64 {
    if architecture.is_detector {
        of_detector(architecture)
    } else {
        of_classifier(architecture)
    }
}

fn of_classifier(architecture: &Architecture) -> f64 {
    let device = warmstart_nn::device();
    let pass = classifier_pass(architecture, &device);
    let size = architecture.pretrained().image_size;
    median_time(size, |grey| pass(&[grey]))
}

/// A pass of some images, each of the network's own size, through a classifier with random weights. It ends when the
/// logits are back in the host's memory.
pub(crate) fn classifier_pass(architecture: &Architecture, device: &Device) -> impl Fn(&[&[f32]]) {
    let head = Head::new(architecture, IMAGENET_CLASSES);
    let mut infos = architecture.backbone_parameters();
    infos.extend(head.parameters().iter().cloned());
    let init = Init::default();
    let parameters = init
        .0
        .parameters(&infos, &architecture.initialization(), SEED, device);
    let stages = 0..architecture.stages.len();
    let folded = architecture.fold(stages.clone(), &parameters, device);
    let size = architecture.pretrained().image_size;
    move |pixels: &[&[f32]]| {
        let batch = images(pixels, size, device);
        let mut forward = Forward::Inference(&folded);
        let features = architecture.forward(stages.clone(), batch, &mut forward);
        drop(values(head.logits(features, &parameters, None)));
    }
}

/// Of a detector, without the selection of its boxes.
fn of_detector(architecture: &Architecture) -> f64 {
    let device = warmstart_nn::device();
    let detector = architecture.detector(COCO_CLASSES.len());
    let infos = all_parameters(architecture);
    let init = Init::default();
    let parameters = init
        .0
        .parameters(&infos, &architecture.initialization(), SEED, &device);
    let stages = 0..architecture.stages.len();
    let layers = architecture
        .layers(stages.clone())
        .chain(detector.graph().layers());
    let folded = fold(&parameters, layers, &device);
    let size = architecture.pretrained().image_size;
    median_time(size, |grey| {
        let image = vec![images(&[grey], size, &device)];
        let mut forward = Forward::Inference(&folded);
        let maps = architecture.forward_maps(stages.clone(), image, &mut forward);
        let maps = maps
            .try_into()
            .unwrap_or_else(|_| panic!("a detector's neck gives a map for each stride"));
        let predictions = detector.forward(maps, &mut forward);
        // Waits for the result.
        drop(predictions.classes.into_data());
        drop(predictions.boxes.into_data());
    })
}

/// The median time of a pass of a grey image of that edge, after one that is not timed.
fn median_time(size: usize, pass: impl Fn(&[f32])) -> f64 {
    let grey = vec![0.5; size * size * CHANNELS];
    let time = || {
        let begin = Instant::now();
        pass(&grey);
        begin.elapsed().as_secs_f64() * 1e3
    };
    time();
    let mut times: Vec<f64> = (0..PASSES).map(|_| time()).collect();
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
            let architecture = by_name(&record.name).unwrap();
            if let Some(published) = record.parameters
                && (record.classes == IMAGENET_CLASSES || architecture.is_detector)
            {
                assert_eq!(parameters(&architecture), published, "{}", record.name);
                compared += 1;
            }
        }
        assert!(compared > 10, "{compared}");
    }

    #[test]
    fn detectors_have_the_parameters_that_they_have_at_home() {
        // Of MMDetection 3.3 and YOLOX 0.3, built for COCO; convolutions that levels share count once.
        for (name, count) in [
            ("rtmdet_tiny", 4_896_168),
            ("rtmdet_s", 8_886_924),
            ("yolox_nano", 912_159),
            ("yolox_tiny", 5_055_855),
        ] {
            assert_eq!(parameters(&by_name(name).unwrap()), count, "{name}");
        }
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
