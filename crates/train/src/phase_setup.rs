//! A phase made ready: where the frozen part ends, and how each trained parameter is updated.

use std::collections::HashSet;

use warmstart_models::Architecture;
use warmstart_nn::block::ParameterInfo;
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::{Folded, Parameters};

use crate::Error;
use crate::optimizer::Group;
use crate::recipe::{Phase, Train};

/// What stays the same over a phase.
pub struct PhaseSetup {
    /// Stages before this one are frozen.
    pub boundary: usize,
    /// The frozen stages, prepared for inference once.
    pub trunk: Folded,
    /// How each trained parameter is updated.
    pub groups: Vec<Group>,
    /// Values that learn.
    pub trained: usize,
    /// Values that do not.
    pub frozen: usize,
    trained_names: HashSet<String>,
}

/// Index of the first stage that a phase trains; the number of stages if it trains the head alone.
///
/// # Errors
/// If the architecture has no such stage.
pub fn boundary(architecture: &Architecture, train: &Train) -> Result<usize, Error> {
    match train {
        Train::Head => Ok(architecture.stages.len()),
        Train::All => Ok(0),
        Train::From(stage) => architecture
            .stage(stage)
            .map_err(|error| Error::usage(error.to_string())),
    }
}

impl PhaseSetup {
    /// Sets a phase up on the parameters as they are when it begins, which its frozen part keeps.
    ///
    /// # Errors
    /// If the phase names a stage that isn't there.
    pub fn new(
        phase: &Phase,
        architecture: &Architecture,
        head: &[ParameterInfo],
        parameters: &Parameters,
        device: &Device,
    ) -> Result<Self, Error> {
        let boundary = boundary(architecture, &phase.train)?;
        let backbone = architecture.backbone_parameters();
        let depth = architecture.groups() as i32;
        let mut groups = Vec::new();
        let (mut trained, mut frozen) = (0, 0);
        for info in backbone.iter().chain(head) {
            let stage = architecture.stage_of(&info.name);
            let values: usize = info.shape.iter().product();
            if !info.kind.is_trained() || stage.is_some_and(|stage| stage < boundary) {
                frozen += values;
                continue;
            }
            trained += values;
            // The head learns at the full rate, and each group below by one factor less.
            let below_head =
                stage.map_or(0, |stage| depth - architecture.stages[stage].group as i32);
            groups.push(Group {
                parameter: info.name.clone(),
                lr_scale: phase.layer_decay.powi(below_head),
                weight_decay: if info.kind.decays() {
                    phase.weight_decay
                } else {
                    0.0
                },
            });
        }
        Ok(Self {
            boundary,
            trunk: architecture.fold(0..boundary, parameters, device),
            trained_names: groups.iter().map(|group| group.parameter.clone()).collect(),
            groups,
            trained,
            frozen,
        })
    }

    /// Whether a parameter learns in this phase.
    pub fn trains(&self, parameter: &str) -> bool {
        self.trained_names.contains(parameter)
    }
}
