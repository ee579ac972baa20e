//! The factor on the loss of a run in f16.

use serde::{Deserialize, Serialize};
use warmstart_recipe::Precision;

/// Before the first step: that of PyTorch's `torch.amp.GradScaler`, as is everything here but the highest factor.
const FIRST: f64 = 65_536.0;
/// So that the loss itself stays far from the largest number of f32.
const HIGHEST: f64 = 16_777_216.0;
/// Steps without overflow after which the factor is doubled.
const PATIENCE: u64 = 2000;

/// The factor on the loss, and so on all gradients, by which small ones are kept from becoming 0 in f16. It is doubled
/// after many steps, and halved when gradients overflow; that step is not taken. Micikevicius and others, "Mixed
/// Precision Training" (arXiv 1710.03740), section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// A power of two.
    pub factor: f64,
    /// Steps since it changed.
    pub steps: u64,
}

impl LossScale {
    /// The factor before the first step of a run; `None` where numbers have the range of f32.
    pub fn of(precision: Precision) -> Option<Self> {
        match precision {
            Precision::F32 | Precision::Bf16 => None,
            Precision::F16 => Some(Self {
                factor: FIRST,
                steps: 0,
            }),
        }
    }

    /// After a step that was taken.
    pub fn after_step(&mut self) {
        self.steps += 1;
        if self.steps == PATIENCE {
            self.factor = (2.0 * self.factor).min(HIGHEST);
            self.steps = 0;
        }
    }

    /// After a step whose gradients were not finite. False if the factor is not to blame: it is 1 already.
    #[must_use]
    pub fn after_overflow(&mut self) -> bool {
        if self.factor <= 1.0 {
            return false;
        }
        self.factor /= 2.0;
        self.steps = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> LossScale {
        LossScale::of(Precision::F16).unwrap()
    }

    #[test]
    fn only_f16_has_a_factor() {
        assert_eq!(LossScale::of(Precision::F32), None);
        assert_eq!(LossScale::of(Precision::Bf16), None);
        assert_eq!(first().factor, 2f64.powi(16));
    }

    #[test]
    fn it_is_doubled_after_two_thousand_steps_in_a_row() {
        let mut scale = first();
        for _ in 0..1999 {
            scale.after_step();
        }
        assert_eq!(scale.factor, 2f64.powi(16));
        scale.after_step();
        let doubled = LossScale {
            factor: 2f64.powi(17),
            steps: 0,
        };
        assert_eq!(scale, doubled);
        for _ in 0..1999 {
            scale.after_step();
        }
        assert!(scale.after_overflow());
        scale.after_step();
        assert_eq!((scale.factor, scale.steps), (2f64.powi(16), 1));
    }

    #[test]
    fn it_stays_between_one_and_its_highest() {
        let mut scale = first();
        for _ in 0..20 * 2000 {
            scale.after_step();
        }
        assert_eq!(scale.factor, 2f64.powi(24));
        let halved = (0..100).filter(|_| scale.after_overflow()).count();
        assert_eq!((halved, scale.factor), (24, 1.0));
    }

    #[test]
    fn it_comes_back_from_json_as_it_was() {
        let mut scale = first();
        scale.after_step();
        let text = serde_json::to_string(&scale).unwrap();
        assert_eq!(serde_json::from_str::<LossScale>(&text).unwrap(), scale);
    }
}
