//! The upper stages and the heads of the model before a thaw, beside those of the model after it in one file. The two
//! share the stages that stayed frozen; the model is the mean of their probabilities.

use warmstart_models::{Architecture, Stage};
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::{ParameterInfo, Parameters};
use warmstart_recipe::Error;
use warmstart_weights::WeightFile;

use super::{Head, known, multi_head};
use crate::model_file::complete_parameters;

/// Start of the names of its parameters.
pub const PREFIX: &str = "frozen_top.";

/// A frozen model that shares its first stages with another.
pub struct FrozenTwin {
    /// Every parameter, those of the shared stages included.
    pub parameters: Parameters,
    /// Number of shared stages.
    pub shared: usize,
}

/// The parameters of a frozen model that its twin does not share, under their names in the file of both.
pub fn named(frozen: &Parameters, architecture: &Architecture, shared: usize) -> Parameters {
    let of_both = architecture.stages[..shared].iter();
    let of_both: Vec<&ParameterInfo> = of_both.flat_map(Stage::parameters).collect();
    let is_shared = |name: &str| of_both.iter().any(|info| info.name == name);
    frozen.renamed(|name| (!is_shared(name)).then(|| format!("{PREFIX}{name}")))
}

/// The frozen twin in a model file; `None` if the file holds one model. `model` is the other one.
///
/// # Errors
/// If a parameter is missing, or has a shape that does not fit.
pub fn read(
    file: &mut WeightFile,
    model: &Parameters,
    architecture: &Architecture,
    classes: usize,
    device: &Device,
) -> Result<Option<FrozenTwin>, Error> {
    let of_twin = |info: &ParameterInfo| format!("{PREFIX}{}", info.name);
    let is_there = |info: &ParameterInfo| file.tensors.contains_key(&of_twin(info));
    let head = Head::new(architecture, classes);
    if !head.parameters().iter().any(is_there) {
        return Ok(None);
    }
    let stages = &architecture.stages;
    let has_own = |stage: &Stage| stage.parameters().iter().any(is_there);
    let shared = stages.iter().position(has_own).unwrap_or(stages.len());
    let own = stages[shared..].iter().flat_map(Stage::parameters);
    let own = own.chain(head.parameters()).map(|info| ParameterInfo {
        name: of_twin(info),
        ..info.clone()
    });
    let mut expected: Vec<ParameterInfo> = own.collect();
    expected.extend(multi_head::parameters_in(
        file,
        PREFIX,
        architecture,
        classes,
    )?);
    expected.extend(known::parameters_in(file, PREFIX, head.channels())?);
    let own = complete_parameters(file, &expected, device)?;
    let is_head =
        |name: &str| name.starts_with(multi_head::PREFIX) || name.starts_with(known::PREFIX);
    let mut parameters = model.renamed(|name| (!is_head(name)).then(|| name.to_owned()));
    parameters.replace(own.renamed(|name| name.strip_prefix(PREFIX).map(str::to_owned)));
    Ok(Some(FrozenTwin { parameters, shared }))
}
