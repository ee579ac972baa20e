//! The assignment of boxes to points: which points learn which box.

mod matching;
mod near_centers;
mod sim_ota;
mod soft_labels;
mod terms;

#[cfg(test)]
mod scenes;

use warmstart_models::detector::Assignment;

use super::boxes::Point;

pub use terms::{Match, Predicted, Truth};

/// Match of each point, if any.
pub fn assign(
    assignment: Assignment,
    points: &[Point],
    predicted: Predicted,
    truths: &[Truth],
) -> Vec<Option<Match>> {
    match assignment {
        Assignment::NearCenters => near_centers::assign(points, predicted, truths),
        Assignment::SoftLabels => soft_labels::assign(points, predicted, truths),
        Assignment::SimOta => sim_ota::assign(points, predicted, truths),
    }
}
