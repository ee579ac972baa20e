//! Layer-sequential unit variance: Mishkin and Matas, "All You Need Is a Good Init" (arXiv 1511.06422).

use std::collections::HashSet;

use warmstart_models::Architecture;
use warmstart_nn::Parameters;
use warmstart_nn::block::Forward;
use warmstart_nn::burn::tensor::Tensor;

/// Divides the weights of the backbone's convolutions that are among `initialized` by the standard
/// deviation of their results on `images` `[batch, height, width, 3]` (algorithm 1, lines 4 to 9).
///
/// One pass is enough: behind each convolution a batch norm takes its scale out again, so dividing one
/// changes the results of no other. The classifier stays as it is: it begins small on purpose.
pub fn scale(
    parameters: &mut Parameters,
    architecture: &Architecture,
    initialized: &HashSet<String>,
    images: Tensor<4>,
) {
    let untracked = parameters.tracked(|_| false);
    let mut statistics = Vec::new();
    let mut forward = Forward::Training {
        parameters: &untracked,
        frozen_statistics: false,
        statistics: &mut statistics,
    };
    let stages = 0..architecture.stages.len();
    architecture.forward_maps(stages.clone(), vec![images.autodiff()], &mut forward);
    let device = warmstart_nn::device();
    for unit in architecture.units(stages) {
        let weight = format!("{}.weight", unit.conv);
        let seen = statistics.iter().find(|seen| seen.norm == unit.norm);
        let Some(seen) = seen.filter(|_| initialized.contains(&weight)) else {
            continue;
        };
        // Of all values: within the channels, and between them.
        let within = seen.variance.clone().mean();
        let between = (seen.mean.clone() - seen.mean.clone().mean())
            .powi_scalar(2)
            .mean();
        let deviation = (within + between).into_scalar::<f32>().sqrt();
        if deviation > 0.0 && deviation.is_finite() {
            let values = parameters.values(&weight);
            let values = values.into_iter().map(|value| value / deviation).collect();
            let shape = parameters.shape(&weight);
            parameters.insert_values(&weight, &shape, values, &device);
        }
    }
}
