//! A model file's network and parameters, as every kind of export reads them.

use std::path::Path;

use warmstart_models::{Architecture, Tapped, detector};
use warmstart_nn::Parameters;
use warmstart_recipe::{Error, TaskKind, architecture};
use warmstart_tasks::classify::frozen_top::FrozenTwin;
use warmstart_tasks::classify::{Head, StoredModel, multi_head};
use warmstart_tasks::model_file::{ModelInfo, complete_parameters};

/// A trained model in parts.
pub struct Model {
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
    /// The backbone up to its last tap.
    pub backbone: Architecture,
    /// Neck and head.
    pub head: detector::Detector,
    /// Every parameter.
    pub parameters: Parameters,
}

impl Model {
    /// Reads a model file whose metadata were checked.
    ///
    /// # Errors
    /// If it cannot be read, or lacks a parameter.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut file = warmstart_weights::read(path)?;
        let Some(info) = ModelInfo::of(&file)? else {
            return Err(Error::model(path, "it has no metadata of warmstart")
                .fix("give a model that warmstart trained"));
        };
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
                    .map_err(|error| Error::model(path, error.to_string()))?;
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
                let backbone = architecture.with_taps();
                let channels = backbone.taps.map(|tap| backbone.channels_of(tap));
                let head = detector::Detector::new(channels, classes);
                let mut expected = backbone.backbone_parameters();
                expected.extend(head.parameters());
                let parameters = complete_parameters(&mut file, &expected, &device)?;
                Network::Detector(Box::new(Detector {
                    backbone,
                    head,
                    parameters,
                }))
            }
        };
        Ok(Self { info, network })
    }

    /// Colours of a pixel that the network takes.
    pub fn channels(&self) -> usize {
        self.info.preprocessing.mean.len()
    }
}
