//! A classifier's tensors as a model file of ours has them.

use warmstart_models::Architecture;
use warmstart_nn::ParameterInfo;
use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::Device;
use warmstart_recipe::Error;
use warmstart_weights::WeightFile;

use super::frozen_top::{self, FrozenTwin};
use super::{Head, known, multi_head};
use crate::model_file::complete_parameters;

/// A model out of a file.
pub struct StoredModel {
    /// Every parameter, with those of a head on several layers, and the record of known pictures.
    pub parameters: Parameters,
    /// The frozen model whose probabilities are averaged with its own, if there is one.
    pub twin: Option<FrozenTwin>,
}

impl StoredModel {
    /// Takes a model for so many classes out of a file; `ordinary` are the parameters that every model of the
    /// architecture has.
    ///
    /// # Errors
    /// If a parameter is missing, or has a shape that does not fit.
    pub fn take(
        file: &mut WeightFile,
        mut ordinary: Vec<ParameterInfo>,
        architecture: &Architecture,
        classes: usize,
        device: &Device,
    ) -> Result<Self, Error> {
        ordinary.extend(multi_head::parameters_in(file, "", architecture, classes)?);
        let channels = Head::new(architecture, classes).channels();
        ordinary.extend(known::parameters_in(file, "", channels)?);
        let parameters = complete_parameters(file, &ordinary, device)?;
        let twin = frozen_top::read(file, &parameters, architecture, classes, device)?;
        Ok(Self { parameters, twin })
    }
}
