//! SGD, Adam and AdamW on named parameters, with PyTorch's defaults and numerics.
//!
//! The state is a map from names to tensors (`<parameter>.<what>`) and a count of steps, so that a
//! checkpoint can hold it in a file that anyone can read.

use warmstart_nn::Parameters;
use warmstart_nn::ops::{Adam, Rates, Sgd};

use warmstart_recipe::OptimizerKind;

const MOMENTUM: f64 = 0.9;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// PyTorch's names of the moments.
const VELOCITY: &str = "momentum_buffer";
const MOMENTS: [&str; 2] = ["exp_avg", "exp_avg_sq"];

/// The settings of one parameter's update.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Name of the parameter.
    pub parameter: String,
    /// Factor on the learning rate (layer decay).
    pub lr_scale: f64,
    /// Weight decay, 0 for norms, biases, layer scales, tokens and positions.
    pub weight_decay: f64,
}

/// An optimizer and its state.
#[derive(Clone)]
pub struct Optimizer {
    kind: OptimizerKind,
    /// Number of steps done.
    pub steps: u64,
    /// Moments, flat, by `<parameter>.<what>`.
    pub state: Parameters,
}

impl Optimizer {
    /// An optimizer that has done no step.
    pub fn new(kind: OptimizerKind) -> Self {
        Self {
            kind,
            steps: 0,
            state: Parameters::new(),
        }
    }

    /// One step: changes each group's parameter by its gradient times `gradient_scale`, by which the gradient is clipped
    /// ([`clip_factor`]) and freed of the factor on the loss.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: Parameters,
        groups: &[Group],
        lr: f64,
        gradient_scale: f64,
    ) {
        self.steps += 1;
        let updates = groups.iter().map(|group| {
            let rates = Rates {
                learning_rate: lr * group.lr_scale,
                weight_decay: group.weight_decay,
            };
            (group.parameter.as_str(), rates)
        });
        let updates: Vec<_> = updates.collect();
        let state = &mut self.state;
        let adam = |decoupled_decay| Adam {
            beta1: BETA1,
            beta2: BETA2,
            epsilon: EPSILON,
            step: self.steps,
            decoupled_decay,
            gradient_scale,
        };
        match self.kind {
            OptimizerKind::Sgd => {
                let sgd = Sgd {
                    momentum: MOMENTUM,
                    gradient_scale,
                };
                parameters.sgd_step(gradients, state, VELOCITY, &updates, sgd);
            }
            OptimizerKind::Adam => {
                parameters.adam_step(gradients, state, MOMENTS, &updates, adam(false));
            }
            OptimizerKind::AdamW => {
                parameters.adam_step(gradients, state, MOMENTS, &updates, adam(true));
            }
        }
    }
}

/// The factor on gradients of global norm `norm` that clips it to `limit`, as PyTorch's `clip_grad_norm_` does; a limit
/// of 0 is none.
///
/// Pascanu, Mikolov and Bengio (arXiv 1211.5063), section 3.2.
pub fn clip_factor(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit {
        limit / (norm + 1e-6)
    } else {
        1.0
    }
}
