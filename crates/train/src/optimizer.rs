//! SGD, Adam and AdamW on named parameters, with PyTorch's defaults and numerics.
//!
//! The state is a map from names to tensors (`<parameter>.<what>`) and a count of steps, so that a
//! checkpoint can hold it in a file that anyone can read.

use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::Tensor;

use crate::recipe::OptimizerKind;

const MOMENTUM: f64 = 0.9;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// What sets one parameter's update apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Name of the parameter.
    pub parameter: String,
    /// Factor on the learning rate (layer decay).
    pub lr_scale: f64,
    /// Weight decay, 0 for norms and biases.
    pub weight_decay: f64,
}

/// An optimizer and its state.
pub struct Optimizer {
    kind: OptimizerKind,
    /// Steps done.
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

    /// One step: changes each group's parameter by its gradient.
    pub fn step(
        &mut self,
        parameters: &mut Parameters,
        gradients: &Parameters,
        groups: &[Group],
        lr: f64,
    ) {
        self.steps += 1;
        for group in groups {
            let name = &group.parameter;
            let value = parameters.flat(name);
            let gradient = gradients.flat(name);
            let lr = lr * group.lr_scale;
            let value = match self.kind {
                OptimizerKind::Sgd => self.sgd(name, value, gradient, lr, group.weight_decay),
                OptimizerKind::Adam => {
                    let gradient = decayed(gradient, &value, group.weight_decay);
                    self.adam(name, value, gradient, lr)
                }
                OptimizerKind::AdamW => {
                    let value = value * (1.0 - lr * group.weight_decay);
                    self.adam(name, value, gradient, lr)
                }
            };
            parameters.insert_flat(name, value);
        }
    }

    /// Sutskever and others, "On the importance of initialization and momentum in deep learning"
    /// (ICML 2013), section 2, as PyTorch writes it.
    fn sgd(
        &mut self,
        name: &str,
        value: Tensor<1>,
        gradient: Tensor<1>,
        lr: f64,
        decay: f64,
    ) -> Tensor<1> {
        let gradient = decayed(gradient, &value, decay);
        let key = format!("{name}.momentum_buffer");
        let velocity = match self.state.contains(&key) {
            true => self.state.get::<1>(&key) * MOMENTUM + gradient.clone(),
            false => gradient.clone(),
        };
        self.state.insert(&key, velocity.clone());
        value - (gradient + velocity * MOMENTUM) * lr
    }

    /// Kingma and Ba (arXiv 1412.6980), algorithm 1, with the bias corrections kept apart as in
    /// PyTorch.
    fn adam(&mut self, name: &str, value: Tensor<1>, gradient: Tensor<1>, lr: f64) -> Tensor<1> {
        let keys = [format!("{name}.exp_avg"), format!("{name}.exp_avg_sq")];
        let [mean, square] = keys.each_ref().map(|key| match self.state.contains(key) {
            true => self.state.get::<1>(key),
            false => gradient.zeros_like(),
        });
        let mean = mean * BETA1 + gradient.clone() * (1.0 - BETA1);
        let square = square * BETA2 + gradient.clone() * gradient * (1.0 - BETA2);
        self.state.insert(&keys[0], mean.clone());
        self.state.insert(&keys[1], square.clone());
        let steps = self.steps as i32;
        let correction1 = 1.0 - BETA1.powi(steps);
        let correction2 = 1.0 - BETA2.powi(steps);
        let deviation = square.sqrt() / correction2.sqrt() + EPSILON;
        value - mean / deviation * (lr / correction1)
    }
}

fn decayed(gradient: Tensor<1>, value: &Tensor<1>, weight_decay: f64) -> Tensor<1> {
    if weight_decay == 0.0 {
        gradient
    } else {
        gradient + value.clone() * weight_decay
    }
}

/// Scales all gradients so that their global norm is at most `limit`, as PyTorch's
/// `clip_grad_norm_` does; returns the norm before.
///
/// Pascanu, Mikolov and Bengio (arXiv 1211.5063), section 3.2.
pub fn clip_global_norm(gradients: &mut Parameters, limit: f64) -> f64 {
    let names: Vec<String> = gradients.names().map(str::to_owned).collect();
    let squares: f64 = names
        .iter()
        .map(|name| gradients.sum_of_squares(name))
        .sum();
    let norm = squares.sqrt();
    if norm > limit {
        let factor = limit / (norm + 1e-6);
        for name in &names {
            let clipped = gradients.flat(name) * factor;
            gradients.insert_flat(name, clipped);
        }
    }
    norm
}
