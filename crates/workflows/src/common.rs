//! What the ranks of a run have to have in common, before they train: otherwise they would compute something else.

use warmstart_language::message;
use warmstart_nn::Parameters;
use warmstart_ranks::Ranks;
use warmstart_recipe::Error;
use warmstart_run::data_files::DataFiles;
use warmstart_run::file_checksum;
use warmstart_train::lockstep::{Common, agree, require_common};
use warmstart_train::resources::Resources;

/// Digits of a checksum that a message shows.
const DIGITS: usize = 16;

/// Refuses ranks of another program, with other kernels, or that were asked for something else. `request` is everything
/// that was asked for.
///
/// # Errors
/// The same on all ranks, and names the first that differs.
pub(crate) fn require_same_request(resources: &Resources, request: &str) -> Result<(), Error> {
    let ranks = &resources.ranks;
    if ranks.is_alone() {
        return Ok(());
    }
    let program = &resources.program;
    let checksum = file_checksum(program).map_err(|error| Error::io("read", program, error));
    let checksum = agree(ranks, checksum)?;
    let version = env!("CARGO_PKG_VERSION");
    let own = [
        Common {
            what: message!("build of warmstart"),
            value: format!("{version} ({})", &checksum[..DIGITS]),
            fix: message!("start the same program on every machine"),
        },
        Common {
            what: message!("SIMD level"),
            value: warmstart_nn::simd_level().unwrap_or_default().to_owned(),
            fix: message!(
                "give all of them the lowest by WARMSTART_SIMD, which `mpirun -x WARMSTART_SIMD` passes on"
            ),
        },
        Common {
            what: message!("recipe or other options"),
            value: shortened(blake3::hash(request.as_bytes())),
            fix: message!("start every rank with the same recipe and the same options"),
        },
    ];
    require_common(ranks, &own)
}

/// Refuses ranks that train on other images, or begin with other parameters.
///
/// # Errors
/// The same on all ranks, and names the first that differs.
pub(crate) fn require_same_start(
    ranks: &Ranks,
    files: &DataFiles,
    parameters: &Parameters,
) -> Result<(), Error> {
    if ranks.is_alone() {
        return Ok(());
    }
    let own = [
        Common {
            what: message!("list of data files"),
            value: files.checksum()[..DIGITS].to_owned(),
            fix: message!("give every machine the same images under the same path"),
        },
        Common {
            what: message!("initial value of a parameter"),
            value: shortened(checksum(parameters)),
            fix: message!("give every machine the same weights under the same path"),
        },
    ];
    require_common(ranks, &own)
}

/// The checksum of every name and value.
fn checksum(parameters: &Parameters) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for name in parameters.names() {
        hasher.update(name.as_bytes());
        let values = parameters.values(name);
        hasher.update(&(values.len() as u64).to_le_bytes());
        for value in values {
            hasher.update(&value.to_le_bytes());
        }
    }
    hasher.finalize()
}

fn shortened(hash: blake3::Hash) -> String {
    hash.to_hex()[..DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_parameters_depends_on_every_name_and_bit() {
        let of = |name: &str, values: Vec<f32>| {
            let mut parameters = Parameters::new();
            let device = warmstart_nn::device();
            parameters.insert_values(name, &[values.len()], values, &device);
            checksum(&parameters)
        };
        let one = of("a", vec![1.0, 2.0]);
        assert_eq!(one, of("a", vec![1.0, 2.0]));
        assert_ne!(one, of("b", vec![1.0, 2.0]));
        assert_ne!(one, of("a", vec![1.0, 2.000_000_2]));
        assert_ne!(of("a", vec![0.0]), of("a", vec![-0.0]));
    }
}
