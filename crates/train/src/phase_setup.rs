//! The setup of a phase: where the frozen part ends, and how each trained parameter is updated.

use std::collections::HashSet;

use warmstart_language::message;
use warmstart_models::Architecture;
use warmstart_nn::ParameterInfo;
use warmstart_recipe::{Error, NECK, Phase, Train};

use crate::optimizer::Group;

/// The boundary and the parameter groups of a phase.
pub struct PhaseSetup {
    /// Stages before this one are frozen.
    pub boundary: usize,
    /// Optimizer settings of each trained parameter.
    pub groups: Vec<Group>,
    /// Number of trained values.
    pub trained: usize,
    /// Number of frozen values.
    pub frozen: usize,
    /// Names of the parameters that are trained, and of the statistics that follow the batches.
    pub changing: Vec<String>,
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
        Train::From(stage) => architecture.stage(stage).map_err(|error| {
            if stage == NECK {
                let what = message!("{} has no neck of its own", architecture.name);
                let fix = message!(
                    "train = \"head\" trains all that follows its stages: the classifier, or in a detector neck and \
                     head"
                );
                return Error::usage(what).fix(fix);
            }
            Error::usage(error.to_string())
        }),
    }
}

impl PhaseSetup {
    /// The setup of a phase.
    ///
    /// # Errors
    /// If the phase names a stage that isn't there.
    pub fn new(
        phase: &Phase,
        architecture: &Architecture,
        head: &[ParameterInfo],
    ) -> Result<Self, Error> {
        let boundary = boundary(architecture, &phase.train)?;
        let backbone = architecture.backbone_parameters();
        let depth = architecture.groups() as i32;
        let mut groups = Vec::new();
        let mut changing = Vec::new();
        let (mut trained, mut frozen) = (0, 0);
        let statistics_follow = !phase.batch_norm.keeps_statistics();
        for info in backbone.iter().chain(head) {
            let stage = architecture.stage_of(&info.name);
            let values: usize = info.shape.iter().product();
            let frozen_stage = stage.is_some_and(|stage| stage < boundary);
            if !frozen_stage && (info.kind.is_trained() || statistics_follow) {
                changing.push(info.name.clone());
            }
            if !info.kind.is_trained() || frozen_stage {
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
            trained_names: groups.iter().map(|group| group.parameter.clone()).collect(),
            groups,
            changing,
            trained,
            frozen,
        })
    }

    /// Whether a batch norm takes its statistics from the batches, which then differ from those of micro-batches; false
    /// where nothing that is trained has a batch norm.
    pub fn takes_batch_statistics(&self) -> bool {
        // What changes without being trained are running statistics.
        self.changing.len() > self.groups.len()
    }

    /// Whether a parameter is trained in this phase.
    pub fn trains(&self, parameter: &str) -> bool {
        self.trained_names.contains(parameter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmstart_recipe::Draft;

    fn setup(train: &str) -> PhaseSetup {
        let text = format!(
            "data = 'd'\nmodel = 'resnet18'\nweights = 'w'\n[[phase]]\ntrain = '{train}'\nepochs = 1\n\
             layer_decay = 0.5\nweight_decay = 0.1\n"
        );
        let draft: Draft = toml::from_str(&text).unwrap();
        let phase = draft.resolve(224, None).unwrap().phases.remove(0);
        let architecture = warmstart_models::by_name("resnet18").unwrap();
        let head = architecture.classifier_parameters(3);
        PhaseSetup::new(&phase, &architecture, &head).unwrap()
    }

    fn group<'a>(setup: &'a PhaseSetup, name: &str) -> &'a Group {
        let named = |group: &&Group| group.parameter == name;
        setup.groups.iter().find(named).unwrap()
    }

    #[test]
    fn each_group_of_layers_learns_slower_than_the_one_above() {
        let setup = setup("all");
        for (name, scale) in [
            ("fc.weight", 1.0),
            ("layer4.1.conv2.weight", 0.5),
            ("layer4.0.conv1.weight", 0.5),
            ("layer3.0.downsample.0.weight", 0.25),
            ("layer1.0.conv1.weight", 0.0625),
            ("conv1.weight", 0.03125),
        ] {
            assert_eq!(group(&setup, name).lr_scale, scale, "{name}");
        }
    }

    #[test]
    fn norms_and_biases_do_not_decay_and_statistics_are_not_trained() {
        let setup = setup("all");
        for (name, decay) in [
            ("fc.weight", 0.1),
            ("fc.bias", 0.0),
            ("bn1.weight", 0.0),
            ("bn1.bias", 0.0),
        ] {
            assert_eq!(group(&setup, name).weight_decay, decay, "{name}");
        }
        assert!(!setup.trains("bn1.running_mean"));
        assert_eq!(setup.boundary, 0);
    }

    #[test]
    fn a_neck_is_trained_where_it_is_a_stage_and_its_word_explained_where_it_is_none() {
        let neck = "neck".parse().unwrap();
        let detector = warmstart_models::by_name("rtmdet_tiny").unwrap();
        let last = detector.stages.len() - 1;
        assert_eq!(boundary(&detector, &neck).unwrap(), last);
        assert_eq!(boundary(&detector, &Train::Head).unwrap(), last + 1);
        let light = warmstart_models::by_name("resnet18").unwrap();
        let light = light.with_taps().unwrap();
        let error = boundary(&light, &neck).unwrap_err().to_string();
        assert!(
            error.contains("resnet18 has no neck of its own: train = \"head\""),
            "{error}"
        );
    }

    #[test]
    fn what_is_below_the_boundary_is_frozen() {
        let head = setup("head");
        assert_eq!(head.groups.len(), 2);
        assert_eq!(head.trained, 3 * 512 + 3);
        let top = setup("from:layer4");
        assert!(top.trains("layer4.0.conv1.weight") && top.trains("fc.bias"));
        assert!(!top.trains("layer3.1.conv2.weight") && !top.trains("conv1.weight"));
    }
}
