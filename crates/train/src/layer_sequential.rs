//! Layer-sequential unit variance: Mishkin and Matas, "All You Need Is a Good Init" (arXiv 1511.06422).

use std::collections::HashSet;

use warmstart_language::message;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::{BatchStatistics, Forward, Parameters};
use warmstart_recipe::{Error, Key, Problem};

/// Checks that a network has something to [`scale`]: the results of a convolution are measured by the batch norm behind
/// it.
///
/// # Errors
/// If it has no batch norm.
pub fn check(architecture: &Architecture) -> Result<(), Error> {
    let mut units = architecture.units(0..architecture.stages.len());
    if units.any(|unit| unit.norm.is_some()) {
        return Ok(());
    }
    let what = message!(
        "lsuv scales convolutions in front of a batch norm, and {} has none",
        architecture.name
    );
    let fix = message!("give another {}, or a {}", Key::INIT, Key::MODEL);
    Err(Problem::new(what).of_key(Key::INIT).fix(fix).into())
}

/// Divides the weights of the backbone's convolutions that are among `initialized` by the standard
/// deviation of their results on `images` `[batch, height, width, 3]` (algorithm 1, lines 4 to 9).
///
/// One pass is enough: the batch norm behind each convolution removes its scale, so dividing one changes the results of
/// no other. The classifier stays as it is: it begins small on purpose.
pub fn scale(
    parameters: &mut Parameters,
    architecture: &Architecture,
    initialized: &HashSet<String>,
    images: Tensor<4>,
) {
    let device = images.device();
    let statistics = statistics(parameters, architecture, images);
    for unit in architecture.units(0..architecture.stages.len()) {
        let weight = format!("{}.weight", unit.conv);
        let seen = statistics.iter().find(|seen| seen.norm == unit.name());
        let Some(seen) = seen.filter(|_| initialized.contains(&weight)) else {
            continue;
        };
        // The variance over all values: within the channels, and between them.
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

/// The batch statistics of each batch norm of the backbone on the images.
fn statistics(
    parameters: &Parameters,
    architecture: &Architecture,
    images: Tensor<4>,
) -> Vec<BatchStatistics> {
    let untracked = parameters.tracked(|_| false);
    let mut statistics = Vec::new();
    let mut forward = Forward::Training {
        parameters: &untracked,
        frozen_statistics: false,
        statistics: &mut statistics,
        stochastic_depth: None,
    };
    let stages = 0..architecture.stages.len();
    architecture.forward_maps(stages, vec![images.autodiff()], &mut forward);
    statistics
}

#[cfg(test)]
mod tests {
    use warmstart_nn::burn::tensor::TensorData;
    use warmstart_nn::initialization::{Initialization, Weights};

    use super::*;

    /// Standard deviation of each convolution's results.
    fn deviations(
        architecture: &Architecture,
        parameters: &Parameters,
        images: &Tensor<4>,
    ) -> Vec<f32> {
        let deviation = |seen: BatchStatistics| {
            let mean: Vec<f32> = seen.mean.into_data().try_into_vec().unwrap();
            let variance: Vec<f32> = seen.variance.into_data().try_into_vec().unwrap();
            let count = mean.len() as f32;
            let whole = mean.iter().sum::<f32>() / count;
            let between = mean.iter().map(|mean| (mean - whole).powi(2)).sum::<f32>() / count;
            (variance.iter().sum::<f32>() / count + between).sqrt()
        };
        let seen = statistics(parameters, architecture, images.clone());
        seen.into_iter().map(deviation).collect()
    }

    #[test]
    fn a_network_without_batch_norms_is_refused() {
        let of = |name| warmstart_models::by_name(name).unwrap();
        assert!(check(&of("mobilenet_v2")).is_ok());
        let error = check(&of("vit_tiny_patch16_224")).unwrap_err();
        let words =
            "lsuv scales convolutions in front of a batch norm, and vit_tiny_patch16_224 has none";
        assert!(error.to_string().contains(words), "{error}");
    }

    #[test]
    fn results_of_new_layers_have_unit_variance_and_loaded_ones_stay() {
        let architecture = warmstart_models::by_name("mobilenet_v2").unwrap();
        let init = Initialization {
            weights: Weights::LayerSequential,
            ..Initialization::default()
        };
        let device = warmstart_nn::device();
        let infos = architecture.backbone_parameters();
        let mut parameters = init.parameters(&infos, &architecture.initialization(), 1, &device);
        let pixel = |index: usize| (((index * 7919) % 255) as f32 / 60.0).sin();
        let pixels = TensorData::new((0..4 * 64 * 64 * 3).map(pixel).collect(), [4, 64, 64, 3]);
        let images = Tensor::from_data(pixels, &device);
        let loaded = "features.3.conv.0.0.weight";
        let names = parameters.names().filter(|name| *name != loaded);
        let initialized = names.map(str::to_owned).collect();
        let before = (
            deviations(&architecture, &parameters, &images),
            parameters.values(loaded),
        );
        scale(&mut parameters, &architecture, &initialized, images.clone());
        let after = deviations(&architecture, &parameters, &images);
        let off = |deviations: &[f32]| {
            deviations
                .iter()
                .filter(|d| (**d - 1.0).abs() > 0.01)
                .count()
        };
        assert!(off(&before.0) > 40, "{:?}", before.0);
        assert_eq!(off(&after), 1, "the loaded one: {after:?}");
        assert_eq!(parameters.values(loaded), before.1);
    }
}
