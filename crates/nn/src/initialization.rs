//! Initial values for parameters that no file gives.
//!
//! He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (arXiv 1502.01852), section 2.2: with
//! rectifiers, weights of variance `2 / fan` keep the variance of the signal from layer to layer:
//! with the fan-in forward, with the fan-out (equation 14) backward.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::block::{Kind, ParameterInfo};

/// Standard deviation of a new classifier's weights: small, so that training starts from nearly
/// equal probabilities (torchvision's choice for MobileNetV2).
const CLASSIFIER_DEVIATION: f64 = 0.01;

/// Probability that a new detector gives each class: Lin, Goyal, Girshick, He and Dollár, "Focal Loss for
/// Dense Object Detection" (arXiv 1708.02002), section 4.1.
const PRIOR: f32 = 0.01;

/// Values for one parameter, row-major: Kaiming normal with the fan-out for convolutions, 1 and 0
/// for batch norm, a normal distribution of deviation 0.01 for a classifier's weights and 0 for its
/// bias; of a detector's classifier, that of the prior 0.01. They depend on the seed, the name and the shape alone.
pub fn kaiming(parameter: &ParameterInfo, seed: u64) -> Vec<f32> {
    let length = parameter.shape.iter().product();
    match parameter.kind {
        Kind::ConvWeight => {
            let [out, _, height, width] = parameter.shape[..] else {
                panic!(
                    "{}: a convolution's weight has 4 dimensions",
                    parameter.name
                )
            };
            // As PyTorch counts it, also where the convolution has groups.
            let fan_out = (out * height * width) as f64;
            normal(parameter, seed, (2.0 / fan_out).sqrt())
        }
        Kind::LinearWeight => normal(parameter, seed, CLASSIFIER_DEVIATION),
        Kind::NormScale | Kind::RunningVariance => vec![1.0; length],
        Kind::NormShift | Kind::RunningMean | Kind::LinearBias => vec![0.0; length],
        Kind::PriorBias => vec![-((1.0 - PRIOR) / PRIOR).ln(); length],
    }
}

/// Normal values by the Box–Muller transform, from a generator keyed by seed and name.
fn normal(parameter: &ParameterInfo, seed: u64, deviation: f64) -> Vec<f32> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(parameter.name.as_bytes());
    let mut random = ChaCha8Rng::from_seed(*hasher.finalize().as_bytes());
    // In (0, 1], so that the logarithm is finite.
    let mut uniform = || ((random.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let length: usize = parameter.shape.iter().product();
    let mut values = Vec::with_capacity(length + 1);
    while values.len() < length {
        let radius = deviation * (-2.0 * uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * uniform()).sin_cos();
        values.extend([(radius * cos) as f32, (radius * sin) as f32]);
    }
    values.truncate(length);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(name: &str, shape: [usize; 4]) -> ParameterInfo {
        ParameterInfo {
            name: name.into(),
            shape: shape.to_vec(),
            kind: Kind::ConvWeight,
        }
    }

    #[test]
    fn kaiming_has_the_variance_two_over_fan_out() {
        let values = kaiming(&conv("layer", [128, 64, 3, 3]), 1);
        let count = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / count;
        let expected = 2.0 / (128.0 * 9.0);
        assert!(mean.abs() < 3.0 * (expected / count).sqrt(), "mean {mean}");
        assert!(
            (variance / expected - 1.0).abs() < 0.02,
            "variance {variance}"
        );
    }

    #[test]
    fn values_depend_on_seed_and_name_alone() {
        let layer = conv("layer", [4, 3, 1, 1]);
        assert_eq!(kaiming(&layer, 1), kaiming(&layer, 1));
        assert_ne!(kaiming(&layer, 1), kaiming(&layer, 2));
        assert_ne!(kaiming(&layer, 1), kaiming(&conv("other", [4, 3, 1, 1]), 1));
    }
}
