//! Statistics that batch norms saw in training, and the running statistics that follow them.

use burn::tensor::{Device, Tensor, TensorData};

use crate::Parameters;

/// Mean and variance that a batch norm saw in one training batch, for its running statistics.
pub struct BatchStatistics {
    /// Name of the batch norm.
    pub norm: String,
    /// Share of this batch in the running statistics.
    pub momentum: f64,
    /// Mean by channel.
    pub mean: Tensor<1>,
    /// Biased variance by channel.
    pub variance: Tensor<1>,
    /// Values that each channel's statistics were taken over.
    pub count: usize,
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

/// Statistics as bytes, of which [`statistics_from_bytes`] makes the same.
pub fn statistics_to_bytes(statistics: &[BatchStatistics]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for seen in statistics {
        let channels = seen.mean.dims()[0];
        for number in [seen.norm.len(), channels, seen.count] {
            bytes.extend((number as u64).to_le_bytes());
        }
        bytes.extend(seen.norm.as_bytes());
        bytes.extend(seen.momentum.to_le_bytes());
        for tensor in [&seen.mean, &seen.variance] {
            let values = tensor.clone().into_data().try_into_vec::<f32>();
            let values = values.expect("statistics are f32");
            bytes.extend(values.into_iter().flat_map(f32::to_le_bytes));
        }
    }
    bytes
}

/// The statistics that became these bytes ([`statistics_to_bytes`]), on a device; `None` if there are no such.
pub fn statistics_from_bytes(mut bytes: &[u8], device: &Device) -> Option<Vec<BatchStatistics>> {
    let rest = &mut bytes;
    let mut statistics = Vec::new();
    while !rest.is_empty() {
        let length = take_number(rest)?;
        let channels = take_number(rest)?;
        let count = take_number(rest)?;
        let norm = rest.split_off(..length)?;
        let momentum = rest.split_off(..size_of::<f64>())?;
        let mut tensor = || {
            let bytes = rest.split_off(..channels.checked_mul(size_of::<f32>())?)?;
            let values = bytes
                .as_chunks::<4>()
                .0
                .iter()
                .copied()
                .map(f32::from_le_bytes);
            let data = TensorData::new(values.collect::<Vec<_>>(), [channels]);
            Some(Tensor::from_data(data, device))
        };
        statistics.push(BatchStatistics {
            norm: String::from_utf8(norm.to_vec()).ok()?,
            momentum: f64::from_le_bytes(momentum.try_into().ok()?),
            mean: tensor()?,
            variance: tensor()?,
            count,
        });
    }
    Some(statistics)
}

/// Takes a number off the beginning of bytes.
fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let number = bytes.split_off(..size_of::<u64>())?;
    let number = u64::from_le_bytes(number.try_into().ok()?);
    usize::try_from(number).ok()
}

/// Moves running statistics towards those of one batch, as PyTorch's `BatchNorm2d` does:
/// `running ← (1 − momentum) · running + momentum · batch`, with the unbiased variance.
pub fn update_running_statistics(parameters: &mut Parameters, batch: &[BatchStatistics]) {
    for seen in batch.chunk_by(|a, b| a.momentum == b.momentum) {
        let towards = seen.iter().flat_map(|seen| {
            // A single value has no unbiased variance; PyTorch refuses such a batch, here it counts as 0.
            let unbiased = seen.count as f64 / (seen.count.max(2) - 1) as f64;
            [
                (
                    format!("{}.running_mean", seen.norm),
                    seen.mean.clone(),
                    1.0,
                ),
                (
                    format!("{}.running_var", seen.norm),
                    seen.variance.clone(),
                    unbiased,
                ),
            ]
        });
        parameters.move_averages(towards.collect(), seen[0].momentum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Statistics of one channel.
    fn of(values: &[f32]) -> BatchStatistics {
        let count = values.len();
        let mean = values.iter().sum::<f32>() / count as f32;
        let squares = values.iter().map(|value| (value - mean).powi(2));
        let tensor = |value| Tensor::from_data(TensorData::new(vec![value], [1]), &crate::device());
        BatchStatistics {
            norm: "norm".into(),
            momentum: 0.1,
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

    #[test]
    fn statistics_become_bytes_and_the_same_again() {
        let seen = [of(&[3.0, -1.0, 4.5]), of(&[f32::MIN_POSITIVE, -0.0])];
        let bytes = statistics_to_bytes(&seen);
        let device = crate::device();
        let again = statistics_from_bytes(&bytes, &device).unwrap();
        let bits = |statistics: &[BatchStatistics]| -> Vec<_> {
            let bits = |tensor: &Tensor<1>| tensor.clone().into_scalar::<f32>().to_bits();
            let one = |seen: &BatchStatistics| {
                let numbers = [bits(&seen.mean), bits(&seen.variance)];
                (seen.norm.clone(), seen.momentum, seen.count, numbers)
            };
            statistics.iter().map(one).collect()
        };
        assert_eq!(bits(&again), bits(&seen));
        assert!(statistics_from_bytes(&[], &device).unwrap().is_empty());
        for cut in 1..bytes.len() / 2 {
            assert!(statistics_from_bytes(&bytes[..cut], &device).is_none());
        }
        assert!(statistics_from_bytes(&[255; 64], &device).is_none());
    }
}
