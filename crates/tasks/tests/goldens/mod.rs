//! Detectors with the parameters of `tests/fixtures/detectors`, their passes, and the comparison with what is there.
#![allow(dead_code, reason = "each test file uses some of it")]

#[path = "../../../models/tests/formula/mod.rs"]
mod formula;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use warmstart_data::RgbImage;
use warmstart_models::detector::{Detector, Predictions};
use warmstart_models::{Architecture, by_name};
use warmstart_nn::burn::tensor::{Device, Tensor, TensorData};
use warmstart_nn::layers::fold;
use warmstart_nn::{BatchStatistics, Folded, Forward, Kind, ParameterInfo, Parameters, ops};
use warmstart_tasks::detect::objective::{self, Gradients, Match, Objective, Truth};
use warmstart_tasks::detect::{Outputs, Point, Target, points};
use warmstart_weights::{WeightFile, read};

use formula::{between, formula, symmetric};

const DETECTORS: [&str; 4] = ["rtmdet_tiny", "rtmdet_s", "yolox_nano", "yolox_tiny"];
pub const CLASSES: usize = 3;
const IMAGES: usize = 4;
pub const SIZE: usize = 96;
/// Channels of a map that the goldens have whole.
const WHOLE: usize = 4;
/// Largest difference, as a share of the largest value.
pub const TOLERANCE: f32 = 1e-4;

/// A detector with the parameters of the goldens.
pub struct Case {
    pub name: &'static str,
    pub goldens: WeightFile,
    pub network: Architecture,
    pub detector: Detector,
    pub parameters: Parameters,
    device: Device,
}

/// The results of a pass.
pub struct Pass {
    pub backbone: Vec<Tensor<4>>,
    pub neck: Vec<Tensor<4>>,
    pub predictions: Predictions,
}

/// A pass of training, and what follows from it.
pub struct Training {
    pub pass: Pass,
    pub matches: Vec<Vec<Option<Match>>>,
    pub objective: Objective,
    pub by_predictions: Gradients,
    pub by_parameters: Parameters,
    pub statistics: Vec<BatchStatistics>,
}

/// All detectors, on the processor.
pub fn cases() -> impl Iterator<Item = Case> {
    cases_on(warmstart_nn::device())
}

/// All detectors, on a device.
pub fn cases_on(device: Device) -> impl Iterator<Item = Case> {
    let case = move |name| Case::new(name, &device);
    DETECTORS.into_iter().map(case)
}

impl Case {
    fn new(name: &'static str, device: &Device) -> Self {
        let path = format!("../../tests/fixtures/detectors/{name}.safetensors");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let goldens = read(&path).unwrap_or_else(|error| panic!("{error}"));
        let network = by_name(name).unwrap().with_taps().unwrap();
        let detector = network.detector(CLASSES);
        let mut parameters = Parameters::new();
        let statistics = &goldens.tensors["statistics"].data;
        for (info, values) in filled(&network, &detector, statistics) {
            parameters.insert_values(&info.name, &info.shape, values, device);
        }
        Self {
            name,
            goldens,
            network,
            detector,
            parameters,
            device: device.clone(),
        }
    }

    /// The values of a golden.
    pub fn golden(&self, key: &str) -> &[f32] {
        let tensor = self.goldens.tensors.get(key);
        let tensor = tensor.unwrap_or_else(|| panic!("{} has no {key}", self.name));
        &tensor.data
    }

    /// Fails unless values are those of a golden.
    pub fn require(&self, key: &str, ours: &[f32]) {
        let off = difference(ours, self.golden(key));
        assert!(off < TOLERANCE, "{} {key}: {off:e}", self.name);
    }

    fn pass(&self, images: Tensor<4>, forward: &mut Forward) -> Pass {
        let neck = self.network.stages.len() - 1;
        let network = &self.network;
        let backbone = network.forward_maps(0..neck, vec![images], forward);
        let neck = network.forward_maps(neck..neck + 1, backbone.clone(), forward);
        let features: [Tensor<4>; 3] = neck
            .clone()
            .try_into()
            .unwrap_or_else(|_| panic!("a neck gives three maps"));
        Pass {
            predictions: self.detector.forward(features, forward),
            backbone,
            neck,
        }
    }

    /// A pass of inference, and the layers prepared for it.
    pub fn infer(&self) -> (Pass, Folded) {
        let stages = 0..self.network.stages.len();
        let layers = self.network.layers(stages);
        let layers = layers.chain(self.detector.graph().layers());
        let folded = fold(&self.parameters, layers, &self.device);
        let images = pictures("input", &self.device);
        let pass = self.pass(images, &mut Forward::Inference(&folded));
        (pass, folded)
    }

    /// A pass of training; `closing` for one in the last epochs of a phase.
    pub fn train(&self, closing: bool) -> Training {
        let tracked = self.parameters.tracked(|name| !name.contains("running_"));
        let mut statistics = Vec::new();
        let mut forward = Forward::Training {
            parameters: &tracked,
            frozen_statistics: false,
            statistics: &mut statistics,
            stochastic_depth: None,
        };
        let number = self.golden("train.pictures")[0];
        let images = pictures(&format!("input.{number}"), &self.device);
        let pass = self.pass(images.autodiff(), &mut forward);
        let points = points(SIZE, self.detector.coding());
        let outputs = self.outputs(&points, &pass.predictions);
        let targets = self.targets(closing);
        let assignment = self.detector.assignment();
        let matches = objective::matches(&outputs, &targets, assignment);
        let (objective, by_predictions) = objective::with_gradients(&outputs, &targets, assignment);
        let mut gradients = root(&pass.predictions, &by_predictions).backward();
        let by_parameters = tracked.take_gradients(&mut gradients);
        Training {
            pass,
            matches,
            objective,
            by_predictions,
            by_parameters,
            statistics,
        }
    }

    /// The detector's file with the statistics of the picture of bytes, as a tool that knows nothing of warmstart
    /// writes it: predictors are convolutions.
    pub fn published(&self) -> Vec<u8> {
        let statistics = self.golden("picture.statistics");
        let (mut header, mut numbers) = (serde_json::Map::new(), Vec::new());
        for (info, values) in filled(&self.network, &self.detector, statistics) {
            let mut shape = info.shape;
            if shape.len() == 2 {
                shape.extend([1, 1]);
            }
            let start = numbers.len();
            numbers.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            let place = [start, numbers.len()];
            let tensor = json!({"dtype": "F32", "shape": shape, "data_offsets": place});
            header.insert(info.name, tensor);
        }
        let header = serde_json::to_vec(&header).unwrap();
        let length = (header.len() as u64).to_le_bytes();
        [&length[..], &header, &numbers].concat()
    }

    /// Predictions as plain numbers.
    pub fn outputs<'a>(&self, points: &'a [Point], predictions: &Predictions) -> Outputs<'a> {
        Outputs {
            points,
            classes: CLASSES,
            coding: self.detector.coding(),
            logits: host(predictions.classes.clone()),
            objectness: predictions.objectness.clone().map(host),
            boxes: host(predictions.boxes.clone()),
        }
    }

    fn targets(&self, closing: bool) -> Vec<Target> {
        let rows = self.golden("truths").chunks(6);
        let of_image = |image: usize| {
            let rows = rows.clone().filter(move |row| row[0] as usize == image);
            let truths = rows.map(|row| Truth {
                class: row[1] as usize,
                corners: [row[2], row[3], row[4], row[5]],
            });
            Target::of_boxes(truths.collect(), Vec::new(), closing)
        };
        (0..IMAGES).map(of_image).collect()
    }

    /// Fails unless the maps of backbone and neck are the goldens'.
    pub fn require_maps(&self, mode: &str, pass: &Pass) {
        for (part, maps) in [("backbone", &pass.backbone), ("neck", &pass.neck)] {
            assert_eq!(maps.len(), 3);
            for (level, map) in maps.iter().enumerate() {
                let [images, height, width, channels] = map.dims();
                let values = host(map.clone());
                let (mut means, mut whole): (Vec<f32>, Vec<f32>) = (Vec::new(), Vec::new());
                for image in values.chunks(height * width * channels) {
                    for channel in 0..channels {
                        let places = image.iter().skip(channel).step_by(channels);
                        let sum: f64 = places.clone().map(|value| f64::from(*value)).sum();
                        means.push((sum / (height * width) as f64) as f32);
                        if channel < WHOLE {
                            whole.extend(places);
                        }
                    }
                }
                assert_eq!(images, IMAGES);
                self.require(&format!("{mode}.{part}.{level}.mean"), &means);
                self.require(&format!("{mode}.{part}.{level}.part"), &whole);
            }
        }
    }

    /// Fails unless the gradients by every parameter are the goldens'.
    pub fn require_gradients(&self, gradients: &Parameters) {
        let golden = self.golden("train.gradient_norms");
        let names = sorted_names(gradients);
        assert_eq!(names.len(), golden.len(), "{}", self.name);
        let largest = golden.iter().fold(0f32, |a, norm| a.max(*norm));
        for (name, golden) in names.into_iter().zip(golden) {
            let squares = gradients.values(name).into_iter().map(f64::from);
            let norm = squares.map(|value| value * value).sum::<f64>().sqrt() as f32;
            let off = (norm - golden).abs() / golden.max(1e-3 * largest);
            assert!(
                off < TOLERANCE,
                "{} {name}: {norm} is not {golden}",
                self.name
            );
        }
        let mut compared = 0;
        for key in self.goldens.tensors.keys() {
            let Some(name) = key.strip_prefix("train.gradient.") else {
                continue;
            };
            let ours = gradients.values(name);
            self.require(key, &ours[..self.golden(key).len()]);
            compared += 1;
        }
        assert!(compared >= 7, "{compared}");
    }

    /// Fails unless predictions are the goldens'.
    pub fn require_predictions(&self, mode: &str, predictions: &Predictions) {
        self.require(
            &format!("{mode}.classes"),
            &host(predictions.classes.clone()),
        );
        self.require(&format!("{mode}.boxes"), &host(predictions.boxes.clone()));
        let key = format!("{mode}.objectness");
        match &predictions.objectness {
            Some(logits) => self.require(&key, &host(logits.clone())),
            None => assert!(!self.goldens.tensors.contains_key(&key)),
        }
    }
}

/// The parameters of a detector with their values; `statistics` are those of the goldens.
fn filled(
    network: &Architecture,
    detector: &Detector,
    statistics: &[f32],
) -> Vec<(ParameterInfo, Vec<f32>)> {
    let mut infos = network.backbone_parameters();
    infos.extend(detector.parameters());
    let mut running = by_name_of(&infos, statistics);
    let with_values = |info: ParameterInfo| {
        let values = running.remove(&info.name);
        let values = values.unwrap_or_else(|| values_of(&info));
        (info, values)
    };
    infos.into_iter().map(with_values).collect()
}

/// The running statistics, which the goldens have one after the other in the order of their names.
fn by_name_of(infos: &[ParameterInfo], all: &[f32]) -> BTreeMap<String, Vec<f32>> {
    let running = infos.iter().filter(|info| !info.kind.is_trained());
    let mut sizes: Vec<(&String, usize)> =
        running.map(|info| (&info.name, info.shape[0])).collect();
    sizes.sort_unstable();
    let mut rest = all;
    let mut statistics = BTreeMap::new();
    for (name, size) in sizes {
        let (values, others) = rest.split_at(size);
        statistics.insert(name.clone(), values.to_vec());
        rest = others;
    }
    assert!(rest.is_empty());
    statistics
}

/// The values of a parameter.
fn values_of(info: &ParameterInfo) -> Vec<f32> {
    let count = info.shape.iter().product();
    match info.kind {
        Kind::LinearWeight => {
            let bound = 2.0 * (3.0 / info.shape[1] as f64).sqrt();
            symmetric(&info.name, count, bound)
        }
        Kind::LinearBias => between(&info.name, count, 0.5, 0.5),
        Kind::ConvWeight
        | Kind::ConvBias
        | Kind::NormScale
        | Kind::NormShift
        | Kind::RunningMean
        | Kind::RunningVariance
        | Kind::PriorBias
        | Kind::LayerScale
        | Kind::Token
        | Kind::ResponseScale => formula(info, true),
    }
}

/// The pictures of a formula, which is `[batch, channel, height, width]`.
fn pictures(name: &str, device: &Device) -> Tensor<4> {
    const AREA: usize = SIZE * SIZE;
    let values = symmetric(name, IMAGES * 3 * AREA, 2.0);
    let mut pixels = vec![0.0; values.len()];
    for (index, value) in values.into_iter().enumerate() {
        let (image, channel, place) = (index / (3 * AREA), index / AREA % 3, index % AREA);
        pixels[(image * AREA + place) * 3 + channel] = value;
    }
    let data = TensorData::new(pixels, [IMAGES, SIZE, SIZE, 3]);
    Tensor::from_data(data, device)
}

/// The picture of bytes: squares of one color.
pub fn picture(size: usize) -> RgbImage {
    const EDGE: usize = 8;
    let squares = size / EDGE;
    let colors = between("picture", squares * squares * 3, 0.0, 256.0);
    let pixel = |index: usize| {
        let (row, column, channel) = (index / (size * 3), index / 3 % size, index % 3);
        colors[(row / EDGE * squares + column / EDGE) * 3 + channel] as u8
    };
    RgbImage {
        width: size,
        height: size,
        pixels: (0..size * size * 3).map(pixel).collect(),
    }
}

/// The root of a backward pass that begins with these gradients.
fn root(predictions: &Predictions, gradients: &Gradients) -> Tensor<1> {
    let given = |predicted: &Tensor<3>, gradient: &[f32]| {
        let gradient = TensorData::new(gradient.to_vec(), predicted.dims());
        let gradient = Tensor::<3>::from_data(gradient, &predicted.device());
        ops::with_gradient(predicted.clone(), gradient)
    };
    let root = given(&predictions.classes, &gradients.logits)
        + given(&predictions.boxes, &gradients.boxes);
    match &predictions.objectness {
        Some(logits) => root + given(logits, &gradients.objectness),
        None => root,
    }
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

/// Largest difference as a share of the largest value.
fn difference(ours: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(ours.len(), golden.len());
    let largest = golden.iter().fold(f32::MIN_POSITIVE, |a, v| a.max(v.abs()));
    let pairs = ours.iter().zip(golden);
    pairs.fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs())) / largest
}

/// The names of parameters as the goldens' lists have them.
pub fn sorted_names(parameters: &Parameters) -> Vec<&str> {
    let mut names: Vec<&str> = parameters.names().collect();
    names.sort_unstable();
    names
}
