//! Sums over a batch of which every process has computed a part. Bytes are moved, and added here, in the tree that the
//! virtual shards are added in: one process would get the same bits.

use std::convert::Infallible;

use serde::{Deserialize, Serialize};
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::{Parameters, statistics_from_bytes, statistics_to_bytes};
use warmstart_ranks::Ranks;

use super::non_finite::NonFinite;
use super::sums::Sums;
use crate::virtual_shards::tree_sum;

/// Name of the tensor in which a part of all gradients is added up.
const SLICE: &str = "slice";
/// Reason why a message must be readable.
const SAME_PROGRAM: &str = "all processes run the same program";

/// How far a process came with its part.
#[derive(Serialize, Deserialize)]
struct Status {
    failure: Option<NonFinite>,
    /// The bits of its loss; `None` for a part without images.
    loss: Option<u64>,
}

/// What all processes know of the sums over a batch.
#[derive(Clone, Copy)]
pub(super) struct Share<'a> {
    /// The processes.
    pub ranks: &'a Ranks,
    /// Of the shapes and on the device of the gradients.
    pub parameters: &'a Parameters,
    /// Names of the gradients, those that are exchanged together in a list.
    pub buckets: &'a [Vec<&'a str>],
}

/// The sums over a whole batch, from those over the part of each process, on every process. A part without images has
/// none. `own` are the sums without gradients; then `gradients` is asked for those of each bucket in turn, where all
/// processes could compute their parts, and may wait until they are complete.
///
/// # Errors
/// If one of them could not compute its part; of several, all return the error of the first.
pub(super) fn sum_over_ranks(
    share: Share,
    own: Result<Option<Sums>, NonFinite>,
    gradients: &mut dyn FnMut(&[&str]) -> Parameters,
) -> Result<Option<Sums>, NonFinite> {
    let Share {
        ranks,
        parameters,
        buckets,
    } = share;
    let (own, failure) = match own {
        Ok(own) => (own, None),
        Err(failure) => (None, Some(failure)),
    };
    let loss = own.as_ref().map(|own| own.loss.to_bits());
    let status = serde_json::to_vec(&Status { failure, loss }).expect("a status is plain data");
    let mut losses = Vec::with_capacity(ranks.count());
    for status in ranks.gather_all(status) {
        let status: Status = serde_json::from_slice(&status).expect(SAME_PROGRAM);
        if let Some(failure) = status.failure {
            return Err(failure);
        }
        losses.push(status.loss.map(f64::from_bits));
    }
    let first = buckets.iter().flatten().next();
    let device = parameters.device(first.expect("a phase trains something"));
    let statistics = own.as_ref().map(|own| statistics_to_bytes(&own.statistics));
    let statistics = ranks.gather_all(statistics.unwrap_or_default());
    let mut of_rank = |rank: usize| {
        let sums = losses[rank].map(|loss| Sums {
            loss,
            gradients: Parameters::new(),
            statistics: statistics_from_bytes(&statistics[rank], &device).expect(SAME_PROGRAM),
        });
        Ok::<_, Infallible>(sums)
    };
    let Ok(sums) = tree_sum(0..ranks.count(), &mut of_rank, &mut Sums::with);
    let mut whole = Parameters::new();
    for names in buckets {
        let flat = own
            .is_some()
            .then(|| gradients(names).flat_values(names, parameters));
        let flat = sum_of_flat(ranks, flat, &device);
        whole.replace(parameters.with_flat_values(names, &flat));
    }
    Ok(sums.map(|sums| Sums {
        gradients: whole,
        ..sums
    }))
}

/// The sums of the values of all processes, of which some may have none, on every process. Each process adds up an equal
/// slice of them, as tensors are added.
fn sum_of_flat(ranks: &Ranks, flat: Option<Vec<f32>>, device: &Device) -> Vec<f32> {
    let count = ranks.count();
    let parts: Vec<Vec<u8>> = match flat {
        Some(flat) => {
            let at = |rank: usize| flat.len() * rank / count;
            let part = |rank| to_bytes(&flat[at(rank)..at(rank + 1)]);
            (0..count).map(part).collect()
        }
        None => vec![Vec::new(); count],
    };
    let mut received = ranks.exchange(parts);
    let mut of_rank = |rank: usize| {
        let bytes = std::mem::take(&mut received[rank]);
        let slice = (!bytes.is_empty()).then(|| {
            let values = values(&bytes);
            let mut slice = Parameters::new();
            slice.insert_values(SLICE, &[values.len()], values, device);
            slice
        });
        Ok::<_, Infallible>(slice)
    };
    let mut add = |mut slice: Parameters, other: Parameters| {
        slice.add(other);
        slice
    };
    let Ok(sum) = tree_sum(0..count, &mut of_rank, &mut add);
    // A slice without values is as empty as one that nobody sent.
    let sum = sum.map_or_else(Vec::new, |sum| to_bytes(&sum.values(SLICE)));
    let slices = ranks.gather_all(sum);
    slices.iter().flat_map(|slice| values(slice)).collect()
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of_val(values));
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

fn values(bytes: &[u8]) -> Vec<f32> {
    let (values, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty(), "{SAME_PROGRAM}");
    values.iter().copied().map(f32::from_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use warmstart_nn::burn::tensor::{Tensor, TensorData};
    use warmstart_nn::{BatchStatistics, device};

    use super::*;

    const NAMES: [&str; 3] = ["bias", "gain", "weight"];

    /// Parameters of 17 values, which are no multiple of any number of processes.
    fn parameters(value: impl Fn(usize) -> f32) -> Parameters {
        let mut parameters = Parameters::new();
        let values = |from: usize, number: usize| (from..from + number).map(&value).collect();
        parameters.insert_values("weight", &[2, 5], values(0, 10), &device());
        parameters.insert_values("bias", &[6], values(10, 6), &device());
        parameters.insert_values("gain", &[1], values(16, 1), &device());
        parameters
    }

    /// The sums of a leaf; every third has no images.
    fn leaf(leaf: usize) -> Option<Sums> {
        if leaf % 3 == 2 {
            return None;
        }
        let noise = |index: usize| ((index * 7919 + leaf * 104_729) % 1009) as f32 / 1009.0 - 0.5;
        let tensor = |value| Tensor::from_data(TensorData::new(vec![value; 2], [2]), &device());
        Some(Sums {
            loss: f64::from(noise(40)) / 3.0,
            gradients: parameters(|index| noise(index) * 10.0_f32.powi((index % 7) as i32 - 3)),
            statistics: vec![BatchStatistics {
                norm: "bn".into(),
                momentum: 0.1,
                mean: tensor(noise(50)),
                variance: tensor(noise(60).abs()),
                count: 5 + leaf,
            }],
        })
    }

    /// Every bit of some sums.
    fn bits(sums: &Sums) -> (u64, Vec<Vec<u32>>, usize) {
        let of_f32 =
            |values: Vec<f32>| -> Vec<u32> { values.into_iter().map(f32::to_bits).collect() };
        let seen = &sums.statistics[0];
        let tensors = [&seen.mean, &seen.variance].map(|tensor| {
            let data = tensor.clone().into_data();
            of_f32(data.try_into_vec().unwrap())
        });
        let gradients = NAMES.map(|name| of_f32(sums.gradients.values(name)));
        let all = tensors.into_iter().chain(gradients).collect();
        (sums.loss.to_bits(), all, seen.count)
    }

    fn tree(leaves: std::ops::Range<usize>) -> Option<Sums> {
        let mut of_leaf = |index| Ok::<_, Infallible>(leaf(index));
        let Ok(sums) = tree_sum(leaves, &mut of_leaf, &mut Sums::with);
        sums
    }

    /// The sums of all ranks, in two buckets.
    fn summed(
        ranks: &Ranks,
        mut own: Result<Option<Sums>, NonFinite>,
    ) -> Result<Option<Sums>, NonFinite> {
        let mut gradients = match &mut own {
            Ok(Some(own)) => std::mem::take(&mut own.gradients),
            Ok(None) | Err(_) => Parameters::new(),
        };
        let share = Share {
            ranks,
            parameters: &parameters(|_| 0.0),
            buckets: &[vec!["weight"], vec!["bias", "gain"]],
        };
        sum_over_ranks(share, own, &mut |names| gradients.take_out(names))
    }

    /// What each of several threads gets, which are one rank each.
    fn on_ranks<R: Send + 'static>(count: usize, work: fn(Ranks) -> R) -> Vec<R> {
        let threads: Vec<_> = Ranks::of_threads(count)
            .into_iter()
            .map(|ranks| std::thread::spawn(move || work(ranks)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    }

    #[test]
    fn the_sums_of_any_number_of_processes_have_the_bits_of_one() {
        let expected = bits(&tree(0..32).unwrap());
        for count in [1, 2, 4, 8, 16, 32] {
            let found = on_ranks(count, |ranks| {
                let of_rank = 32 / ranks.count();
                let own = tree(ranks.rank() * of_rank..(ranks.rank() + 1) * of_rank);
                bits(&summed(&ranks, Ok(own)).unwrap().unwrap())
            });
            for (rank, found) in found.into_iter().enumerate() {
                assert!(found == expected, "rank {rank} of {count}");
            }
        }
    }

    #[test]
    fn all_processes_have_the_failure_of_the_first_that_failed() {
        let found = on_ranks(4, |ranks| {
            let own = match ranks.rank() {
                0 | 3 => Ok(leaf(ranks.rank())),
                rank => Err(NonFinite {
                    what: "the loss".to_owned(),
                    layer: format!("layer{rank}"),
                }),
            };
            summed(&ranks, own).err().map(|failure| failure.layer)
        });
        assert_eq!(found, vec![Some("layer1".to_owned()); 4]);
    }

    #[test]
    fn more_processes_than_values_are_no_mistake() {
        let found = on_ranks(8, |ranks| {
            let flat = (ranks.rank() < 6).then(|| vec![ranks.rank() as f32, 0.5, -1.0]);
            sum_of_flat(&ranks, flat, &device())
        });
        assert_eq!(found, vec![vec![15.0, 3.0, -6.0]; 8]);
    }
}
