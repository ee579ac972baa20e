//! Detectors on a graphics card: predictions, losses and gradients are their publishers'.
//!
//! `scripts/test-cards` leaves these tests out, because they take long on a card that is a program; `-- --ignored` asks
//! for them.

#[path = "../../nn/tests/common/card.rs"]
mod card;
mod goldens;

use card::card;
use goldens::cases_on;

#[test]
#[ignore = "it takes long on a card that is a program"]
fn every_detector_trains_as_its_publisher_s() {
    let Some(card) = card() else { return };
    for case in cases_on(card) {
        case.require_predictions("eval", &case.infer().0.predictions);
        let training = case.train(false);
        case.require_predictions("train", &training.pass.predictions);
        let loss = training.objective.classes() as f32;
        case.require("train.loss.classes", &[loss]);
        case.require_gradients(&training.by_parameters);
    }
}
