//! The building blocks of convolutional architectures, and the passes of a batch through them.
//!
//! An architecture is data: a list of [`Block`]s whose units name their parameters. The values are
//! in [`Parameters`] (training) or [`Folded`] (inference).

use std::slice::from_ref;

use burn::tensor::Tensor;

use crate::ops::{self, Added, PoolSpec, TrainingUnit};
pub use crate::unit::{Kind, ParameterInfo, Unit};
use crate::{Folded, Parameters};

/// The path around a block's branch, added before the branch's last activation.
#[derive(Clone, Debug)]
pub enum Shortcut {
    /// Nothing.
    None,
    /// The block's input.
    Identity,
    /// The block's input through a unit that changes its shape.
    Projection(Unit),
}

impl Shortcut {
    fn unit(&self) -> Option<&Unit> {
        match self {
            Self::None | Self::Identity => None,
            Self::Projection(unit) => Some(unit),
        }
    }
}

/// One step of an architecture.
#[derive(Clone, Debug)]
pub enum Block {
    /// A single unit.
    Unit(Unit),
    /// Units one after the other, with a shortcut around them.
    Residual {
        /// At least one unit; the last one takes the shortcut as its residual.
        branch: Vec<Unit>,
        /// The path around the branch.
        shortcut: Shortcut,
    },
    /// Maximum over windows, the border filled with minus infinity.
    MaxPool {
        /// Edge of the window in pixels.
        size: usize,
        /// Step between windows in pixels.
        stride: usize,
        /// Pixels added on each side.
        padding: usize,
    },
}

/// Mean and variance that a batch norm saw in one training batch, for its running statistics.
pub struct BatchStatistics {
    /// Name of the batch norm.
    pub norm: String,
    /// Mean by channel.
    pub mean: Tensor<1>,
    /// Biased variance by channel.
    pub variance: Tensor<1>,
    /// Values that each channel's statistics were taken over.
    pub count: usize,
}

/// The mode in which a batch goes through a network.
pub enum Forward<'a> {
    /// Computes the result alone, with running statistics folded into the convolutions.
    Inference(&'a Folded),
    /// Records operations for gradients.
    Training {
        /// Tracked parameters; see [`Parameters::tracked`].
        parameters: &'a Parameters,
        /// Whether batch norm uses its running statistics, unchanged, instead of the batch's.
        frozen_statistics: bool,
        /// Receives the batch's statistics, unless they are frozen.
        statistics: &'a mut Vec<BatchStatistics>,
    },
}

impl Block {
    /// Sends a batch through the block. `x` and the result are `[batch, height, width, channels]`.
    pub fn forward(&self, x: Tensor<4>, forward: &mut Forward) -> Tensor<4> {
        match self {
            Self::Unit(unit) => branch_forward(from_ref(unit), x, Added::Nothing, forward),
            Self::Residual { branch, shortcut } => {
                let added = match shortcut {
                    Shortcut::None => Added::Nothing,
                    Shortcut::Identity => Added::Input,
                    Shortcut::Projection(unit) => Added::Tensor(branch_forward(
                        from_ref(unit),
                        x.clone(),
                        Added::Nothing,
                        forward,
                    )),
                };
                branch_forward(branch, x, added, forward)
            }
            &Self::MaxPool {
                size,
                stride,
                padding,
            } => {
                let spec = PoolSpec {
                    size: [size; 2],
                    stride: [stride; 2],
                    padding: [padding; 2],
                };
                ops::max_pool(x, spec)
            }
        }
    }

    /// The unit that its result comes from, or `None` if it has none.
    pub fn last(&self) -> Option<&Unit> {
        match self {
            Self::Unit(unit) => Some(unit),
            Self::Residual { branch, .. } => branch.last(),
            Self::MaxPool { .. } => None,
        }
    }

    /// The units in the order of their parameters in PyTorch's `state_dict`.
    pub fn units(&self) -> Vec<&Unit> {
        match self {
            Self::Unit(unit) => vec![unit],
            Self::Residual { branch, shortcut } => branch.iter().chain(shortcut.unit()).collect(),
            Self::MaxPool { .. } => Vec::new(),
        }
    }

    /// All its parameters, in the order of PyTorch's `state_dict`.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        match self {
            Self::Unit(unit) => unit.parameters(),
            Self::Residual { branch, shortcut } => {
                let units = branch.iter().chain(shortcut.unit());
                units.flat_map(Unit::parameters).collect()
            }
            Self::MaxPool {
                size: _,
                stride: _,
                padding: _,
            } => Vec::new(),
        }
    }
}

impl Unit {
    /// Sends a batch through this unit alone and adds `added` before its activation. `x`, `added` and the
    /// result are `[batch, height, width, channels]`.
    pub fn forward(
        &self,
        x: Tensor<4>,
        added: Option<Tensor<4>>,
        forward: &mut Forward,
    ) -> Tensor<4> {
        let added = added.map_or(Added::Nothing, Added::Tensor);
        branch_forward(from_ref(self), x, added, forward)
    }
}

/// Sends a batch through units one after the other.
fn branch_forward(units: &[Unit], x: Tensor<4>, added: Added, forward: &mut Forward) -> Tensor<4> {
    match forward {
        Forward::Inference(folded) => {
            let units = units.iter().map(|unit| folded.unit(&unit.norm));
            ops::branch_inference(x, units.collect(), added)
        }
        Forward::Training {
            parameters,
            frozen_statistics,
            statistics,
        } => {
            let tensors = units.iter().map(|unit| {
                let norm = |field: &str| parameters.get(&format!("{}.{field}", unit.norm));
                TrainingUnit {
                    weight: parameters.get(&format!("{}.weight", unit.conv)),
                    gamma: norm("weight"),
                    beta: norm("bias"),
                    frozen: frozen_statistics.then(|| [norm("running_mean"), norm("running_var")]),
                    spec: unit.spec,
                }
            });
            let [batch, height, width, _] = x.dims();
            let trained = ops::branch(x, tensors.collect(), added);
            if !*frozen_statistics {
                let mut size = [height, width];
                for (unit, [mean, variance]) in units.iter().zip(trained.statistics) {
                    size = unit.output_size(size);
                    statistics.push(BatchStatistics {
                        norm: unit.norm.clone(),
                        mean,
                        variance,
                        count: batch * size[0] * size[1],
                    });
                }
            }
            trained.output
        }
    }
}

/// Adds the statistics of another part to those of the parts of a batch so far, from the same norms in
/// the same order: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for
/// Computing Sample Variances" (1979), equation 2.1.
pub fn pool_statistics(whole: &mut Vec<BatchStatistics>, part: Vec<BatchStatistics>) {
    if whole.is_empty() {
        *whole = part;
        return;
    }
    for (whole, part) in whole.iter_mut().zip(part) {
        let count = whole.count + part.count;
        let share = part.count as f64 / count as f64;
        let apart = part.mean - whole.mean.clone();
        let between = apart.clone() * apart.clone() * (share * (1.0 - share));
        let within = whole.variance.clone() * (1.0 - share) + part.variance * share;
        whole.variance = within + between;
        whole.mean = whole.mean.clone() + apart * share;
        whole.count = count;
    }
}

/// PyTorch's default share of a new batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Moves running statistics towards those of one batch, as PyTorch's `BatchNorm2d` does:
/// `running ← 0.9 · running + 0.1 · batch`, with the unbiased variance.
pub fn update_running_statistics(parameters: &mut Parameters, batch: Vec<BatchStatistics>) {
    let mut towards = Vec::with_capacity(2 * batch.len());
    for seen in batch {
        // A single value has no unbiased variance; PyTorch refuses such a batch, here it counts as 0.
        let unbiased = seen.count as f64 / (seen.count.max(2) - 1) as f64;
        towards.push((format!("{}.running_mean", seen.norm), seen.mean, 1.0));
        towards.push((
            format!("{}.running_var", seen.norm),
            seen.variance,
            unbiased,
        ));
    }
    parameters.move_averages(towards, MOMENTUM);
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    /// Statistics of one channel.
    fn of(values: &[f32]) -> BatchStatistics {
        let count = values.len();
        let mean = values.iter().sum::<f32>() / count as f32;
        let squares = values.iter().map(|value| (value - mean).powi(2));
        let tensor = |value| Tensor::from_data(TensorData::new(vec![value], [1]), &crate::device());
        BatchStatistics {
            norm: "norm".into(),
            mean: tensor(mean),
            variance: tensor(squares.sum::<f32>() / count as f32),
            count,
        }
    }

    #[test]
    fn statistics_of_parts_are_those_of_the_whole() {
        let values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0];
        let mut pooled = Vec::new();
        for part in [&values[..3], &values[3..4], &values[4..]] {
            pool_statistics(&mut pooled, vec![of(part)]);
        }
        let whole = of(&values);
        assert_eq!(pooled[0].count, 7);
        for (found, expected) in [
            (pooled[0].mean.clone(), whole.mean),
            (pooled[0].variance.clone(), whole.variance),
        ] {
            let [found, expected] = [found, expected].map(|tensor| tensor.into_scalar::<f32>());
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}
