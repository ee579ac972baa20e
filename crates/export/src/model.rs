//! A model file's network and parameters, as every kind of export reads them.

use std::path::{Path, PathBuf};

use warmstart_models::{Architecture, Tapped, detector};
use warmstart_nn::Parameters;
use warmstart_recipe::{Error, TaskKind, architecture};
use warmstart_tasks::classify::frozen_top::FrozenTwin;
use warmstart_tasks::classify::{Head, StoredModel, multi_head};
use warmstart_tasks::model_file::{ModelInfo, complete_parameters};
use warmstart_tasks::published::read_model;

/// A trained model in parts.
pub struct Model {
    /// The file that it was read from.
    pub file: PathBuf,
    /// Classes, preprocessing and the name of the network.
    pub info: ModelInfo,
    /// The network.
    pub network: Network,
}

/// The network of a trained model.
pub enum Network {
    /// A classifier.
    Classifier(Box<Classifier>),
    /// A detector.
    Detector(Box<Detector>),
}

/// A classifier in parts.
pub struct Classifier {
    /// The network that its backbone is.
    pub architecture: Architecture,
    /// Its own classifier on the backbone's last features.
    pub head: Head,
    /// Names of the layers that a head on several layers reads; none if the architecture's own classifier is used.
    pub layers: Vec<String>,
    /// The backbone, cut where layers are read.
    pub tapped: Tapped,
    /// Every parameter.
    pub parameters: Parameters,
    /// The frozen model whose probabilities are averaged with its own, if there is one.
    pub twin: Option<FrozenTwin>,
}

/// A detector in parts.
pub struct Detector {
    /// The backbone up to its last tap, or to its neck if the network is a detector from the start.
    pub backbone: Architecture,
    /// What comes after it.
    pub head: detector::Detector,
    /// Every parameter.
    pub parameters: Parameters,
    /// Whether its file is its publisher's, not one that warmstart wrote.
    pub is_published: bool,
}

impl Model {
    /// Reads a model by what a user gives: a file that warmstart wrote, the folder of a run, or a published detector by
    /// its file or its name.
    ///
    /// # Errors
    /// If it cannot be read, or lacks a parameter.
    pub fn read(model: &Path) -> Result<Self, Error> {
        let (mut file, info) = read_model(model)?;
        let path = file.path.clone();
        let is_published = file.metadata.as_ref().is_none_or(|own| own.is_null());
        let device = warmstart_nn::device();
        let architecture = architecture(&info.model)?;
        let classes = info.classes.len();
        let network = match info.task {
            TaskKind::Classify => {
                let head = Head::new(&architecture, classes);
                let mut ordinary = architecture.backbone_parameters();
                ordinary.extend(head.parameters().iter().cloned());
                let StoredModel { parameters, twin } =
                    StoredModel::take(&mut file, ordinary, &architecture, classes, &device)?;
                let layers = multi_head::layers(&parameters);
                let names: Vec<&str> = if layers.is_empty() {
                    vec![architecture.last_layer()]
                } else {
                    layers.iter().map(String::as_str).collect()
                };
                let tapped = Tapped::new(&architecture, &names)
                    .map_err(|error| Error::model(&path, error.to_string()))?;
                Network::Classifier(Box::new(Classifier {
                    tapped,
                    architecture,
                    head,
                    layers,
                    parameters,
                    twin,
                }))
            }
            TaskKind::Detect => {
                let backbone = architecture
                    .with_taps()
                    .map_err(|error| Error::model(&path, error.to_string()))?;
                let head = backbone.detector(classes);
                let mut expected = backbone.backbone_parameters();
                expected.extend(head.parameters());
                let parameters = complete_parameters(&mut file, &expected, &device)?;
                Network::Detector(Box::new(Detector {
                    backbone,
                    head,
                    parameters,
                    is_published,
                }))
            }
        };
        Ok(Self {
            file: path,
            info,
            network,
        })
    }

    /// Colours of a pixel that the network takes.
    pub fn channels(&self) -> usize {
        self.info.preprocessing.mean.len()
    }
}
