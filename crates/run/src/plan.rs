//! The plan of a run: plan.json.

use serde::{Deserialize, Serialize};
use warmstart_recipe::Train;

/// The memory, batches, steps and time of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Memory budget, in MB (10⁶ bytes); `null` where it is unknown.
    pub budget_mb: Option<f64>,
    /// The limit that determines it, in English words.
    pub budget_set_by: String,
    /// The graphics card that computes, in words; left out on the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
    /// Its memory budget, in MB; left out as above, and where its driver does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_budget_mb: Option<f64>,
    /// The phases in order.
    pub phases: Vec<PhasePlan>,
    /// Notes for the user, in the planner's language.
    pub notes: Vec<String>,
}

/// The memory, batches, steps and time of a phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhasePlan {
    /// Its name.
    pub name: String,
    /// The part that is trained.
    pub train: Train,
    /// Number of trained values.
    pub trained: usize,
    /// Number of frozen values.
    pub frozen: usize,
    /// Passes over the training images.
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// Batch size.
    pub batch: usize,
    /// Micro-batch size: images that go through the trained part at a time.
    pub micro_batch: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// Memory of a step, or of inference where that needs more, apart from its images, in MB; of the part of a step
    /// that needs the most for a whole batch.
    pub base_mb: f64,
    /// Memory of each image that goes through at a time, in MB.
    pub per_image_mb: f64,
    /// Highest memory of the phase, in MB.
    pub planned_mb: f64,
    /// Highest memory of the phase on the graphics card, in MB; left out on the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_mb: Option<f64>,
    /// Whether a step waits for the checkpoint that is being written before it changes the parameters, which would be
    /// in memory twice.
    #[serde(default = "cautious")]
    pub waits_for_writes: bool,
    /// Size on disk of the features that the phase keeps in the cache, in MB, those that are there already included; 0
    /// where it keeps none.
    #[serde(default)]
    pub cached_mb: f64,
    /// Time of the phase, roughly.
    pub seconds: f64,
}

/// The value for plans of earlier versions, which have none.
fn cautious() -> bool {
    true
}

impl Plan {
    /// Whether the steps of a phase wait for the checkpoint that is being written; true for a phase that was not
    /// planned.
    pub fn waits_for_writes(&self, phase: &str) -> bool {
        let mut phases = self.phases.iter();
        let planned = phases.find(|planned| planned.name == phase);
        planned.is_none_or(|planned| planned.waits_for_writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let phase = PhasePlan {
            name: "freeze".to_owned(),
            train: "head".parse().unwrap(),
            trained: 10,
            frozen: 90,
            epochs: 2,
            steps_per_epoch: 8,
            batch: 32,
            micro_batch: 32,
            lr: 1e-3,
            base_mb: 100.0,
            per_image_mb: 2.5,
            planned_mb: 180.0,
            card_mb: None,
            waits_for_writes: false,
            cached_mb: 0.0,
            seconds: 60.0,
        };
        Plan {
            budget_mb: Some(1000.0),
            budget_set_by: "the available memory".to_owned(),
            card: None,
            card_budget_mb: None,
            phases: vec![phase],
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_plan_for_the_processor_says_nothing_of_a_card() {
        let plan = plan();
        let text = serde_json::to_string(&plan).unwrap();
        assert!(!text.contains("card"), "{text}");
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn a_plan_for_a_card_comes_back_with_its_memory() {
        let mut plan = plan();
        plan.card = Some("gpu:0, A card".to_owned());
        plan.card_budget_mb = Some(8000.5);
        plan.phases[0].card_mb = Some(700.25);
        let text = serde_json::to_string(&plan).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["card_budget_mb"], 8000.5);
        assert_eq!(value["phases"][0]["card_mb"], 700.25);
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}
