//! Small models of every structure, without training: parameters are formulas of their names.
#![allow(dead_code, reason = "each test file uses its share")]

#[path = "../../../models/tests/formula/mod.rs"]
mod formula;

use std::path::{Path, PathBuf};

use warmstart_data::{Fit, RgbImage};
use warmstart_models::detector::Coding;
use warmstart_models::{Architecture, Tapped, head_layers};
use warmstart_nn::layers::{Layer, Shortcut};
use warmstart_nn::{Kind, ParameterInfo, Parameters};
use warmstart_tasks::TaskKind;
use warmstart_tasks::classify::frozen_top;
use warmstart_tasks::classify::multi_head::{bias_name, weight_name};
use warmstart_tasks::model_file::{ModelInfo, write_model};
use warmstart_tasks::preprocessing::{for_size, letterboxed};

use formula::formula;

/// Edge of the networks' input: not a multiple of 64, so that SAME padding is uneven somewhere.
pub const SIZE: usize = 96;

/// That of a network, which is larger where it has to be a multiple of a patch.
pub fn size(name: &str) -> usize {
    let architecture = warmstart_models::by_name(name).unwrap();
    SIZE.next_multiple_of(architecture.patch.unwrap_or(1))
}

pub const CLASSES: [&str; 5] = ["ant", "bee", "cat", "dog", "élan"];

/// A kind of model that training keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The architecture's own classifier.
    Plain,
    /// A head on several layers.
    SeveralLayers,
    /// The mean of two models that share their first stages.
    Mean,
    Detector,
}

/// Writes a model of a network or a record, and returns its path.
pub fn model(dir: &Path, name: &str, kept: Kept, fit: Fit) -> PathBuf {
    let architecture = warmstart_models::by_name(name).unwrap();
    let classes: Vec<String> = CLASSES.map(str::to_owned).into();
    let (task, preprocessing) = match kept {
        Kept::Detector => (
            TaskKind::Detect,
            letterboxed(architecture.pretrained(), size(name)),
        ),
        Kept::Plain | Kept::SeveralLayers | Kept::Mean => (
            TaskKind::Classify,
            for_size(architecture.pretrained(), size(name), fit),
        ),
    };
    let info = ModelInfo::new(task, &architecture, &classes, preprocessing);
    let mut parameters = Parameters::new();
    let mut insert = |info: &ParameterInfo, values: Vec<f32>| {
        let device = warmstart_nn::device();
        parameters.insert_values(&info.name, &info.shape, values, &device);
    };
    let backbone = match kept {
        Kept::Detector => architecture.clone().with_taps().unwrap(),
        Kept::Plain | Kept::SeveralLayers | Kept::Mean => architecture.clone(),
    };
    let ends = branch_ends(&backbone);
    let of = |info: &ParameterInfo| -> Vec<f32> {
        let norm = info.name.rsplit_once('.').map_or("", |(norm, _)| norm);
        let values = formula(info, ends.iter().any(|end| end == norm));
        let factor = factor(&backbone, info);
        values.into_iter().map(|value| factor * value).collect()
    };
    for info in backbone.backbone_parameters() {
        insert(&info, of(&info));
    }
    match kept {
        Kept::Detector => {
            let head = backbone.detector(classes.len());
            for info in head.parameters() {
                let (scale, shift) = of_predictor(info.kind, head.coding());
                let factor = scale * factor(&backbone, &info);
                let values = formula(&info, false).into_iter();
                insert(&info, values.map(|value| factor * value + shift).collect());
            }
        }
        Kept::Plain | Kept::SeveralLayers | Kept::Mean => {
            for info in architecture.classifier_parameters(classes.len()) {
                insert(&info, formula(&info, false));
            }
        }
    }
    if kept == Kept::SeveralLayers || kept == Kept::Mean {
        for info in several_layers(&architecture, "") {
            insert(&info, formula(&info, false));
        }
    }
    if kept == Kept::Mean {
        let shared = architecture.stages.len() / 2;
        let upper = architecture.stages[shared..].iter();
        let upper = upper.flat_map(|stage| stage.parameters().iter().cloned());
        let head = architecture.classifier_parameters(classes.len());
        for info in upper.chain(head) {
            let values = of(&info).into_iter().map(|value| 0.9 * value);
            let named = ParameterInfo {
                name: format!("{}{}", frozen_top::PREFIX, info.name),
                ..info.clone()
            };
            insert(&named, values.collect());
        }
        for info in several_layers(&architecture, frozen_top::PREFIX) {
            insert(&info, formula(&info, false));
        }
    }
    let path = dir.join(format!("{name}-{kept:?}-{fit}.safetensors"));
    write_model(&path, &parameters, &info).unwrap();
    path
}

/// A factor on the values of a parameter, which keeps apart what a network makes of different pictures: many random
/// layers whose activations halve them bring all results together.
fn factor(network: &Architecture, info: &ParameterInfo) -> f32 {
    let name = network.name;
    let of_convolutions = if name.starts_with("cspnext") || name.starts_with("rtmdet") {
        1.13
    } else if name.starts_with("yolox") {
        1.08
    } else {
        1.0
    };
    match info.kind {
        Kind::ConvWeight => of_convolutions,
        // YOLOX takes pixels from 0 to 255.
        Kind::RunningVariance if info.name.ends_with("stem.conv.bn.running_var") => 255.0 * 255.0,
        Kind::ConvBias
        | Kind::LinearWeight
        | Kind::LinearBias
        | Kind::PriorBias
        | Kind::NormScale
        | Kind::NormShift
        | Kind::RunningMean
        | Kind::RunningVariance
        | Kind::LayerScale
        | Kind::Token
        | Kind::ResponseScale => 1.0,
    }
}

/// A factor on the values of a predictor, and what is added to them: boxes of about a stride, and scores of which some
/// are above the threshold, none saturated.
fn of_predictor(kind: Kind, coding: Coding) -> (f32, f32) {
    match kind {
        Kind::LinearWeight => (0.05, 0.0),
        Kind::LinearBias if coding == Coding::Distances => (1.0, 1.0),
        Kind::PriorBias => match coding {
            Coding::Logarithms => (1.0, -1.2),
            Coding::Distances => (3.0, -1.3),
            // A score is the product of two.
            Coding::Centers => (3.0, -0.2),
        },
        Kind::LinearBias
        | Kind::ConvWeight
        | Kind::ConvBias
        | Kind::NormScale
        | Kind::NormShift
        | Kind::RunningMean
        | Kind::RunningVariance
        | Kind::LayerScale
        | Kind::Token
        | Kind::ResponseScale => (1.0, 0.0),
    }
}

/// The parameters of a head on the layers that a solved head reads.
fn several_layers(architecture: &Architecture, prefix: &str) -> Vec<ParameterInfo> {
    let mut layers: Vec<&str> = head_layers(architecture.name).to_vec();
    layers.push(architecture.last_layer());
    layers.sort_unstable();
    layers.dedup();
    let channels = Tapped::new(architecture, &layers).unwrap().channels();
    let info = |name: String, shape: Vec<usize>, kind| ParameterInfo {
        name: format!("{prefix}{name}"),
        shape,
        kind,
        activation: warmstart_nn::Activation::Identity,
    };
    let weights = layers.iter().zip(channels).map(|(layer, channels)| {
        let shape = vec![CLASSES.len(), channels];
        info(weight_name(layer), shape, Kind::LinearWeight)
    });
    let bias = info(bias_name(), vec![CLASSES.len()], Kind::LinearBias);
    weights.chain([bias]).collect()
}

/// The batch norms whose results are added to a shortcut: their small scales keep a deep network tame.
fn branch_ends(architecture: &Architecture) -> Vec<String> {
    let layers = architecture.layers(0..architecture.stages.len());
    let end = |layer: &Layer| match layer {
        Layer::Branch(branch) if branch.shortcut != Shortcut::None => {
            Some(branch.units.last()?.norm.as_ref()?.name.clone())
        }
        _ => None,
    };
    layers.filter_map(end).collect()
}

/// Pictures of three shapes: wide, tall and square; of soft waves, so that they resemble photographs.
pub fn pictures() -> Vec<RgbImage> {
    [(150, 101), (70, 181), (96, 96)]
        .into_iter()
        .zip(0..)
        .map(|((width, height), number)| picture(width, height, number))
        .collect()
}

/// A picture of waves whose phases depend on a number.
pub fn picture(width: usize, height: usize, number: usize) -> RgbImage {
    let mut pixels = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let phase = (number * 7 + channel * 2) as f64;
                let wave = (x as f64 / 9.0 + phase).sin() + (y as f64 / 6.0 - phase).cos();
                let sharp = if (x / 16 + y / 16 + number).is_multiple_of(3) {
                    40.0
                } else {
                    0.0
                };
                pixels.push((127.0 + 40.0 * wave + sharp) as u8);
            }
        }
    }
    RgbImage {
        width,
        height,
        pixels,
    }
}
