//! Errors of starting the ranks of a run.

use warmstart_language::message;

/// Why the processes that were started together cannot train together. Displayed, it is one line that names the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RanksError {
    /// Several processes were started, and this build has no MPI.
    #[error("{}", no_mpi(*processes))]
    NoMpi {
        /// Their number, where the launcher tells it.
        processes: Option<usize>,
    },
    /// MPI does not know of all processes that the launcher started: each would train alone.
    #[error("{}", message!(
        "{started} processes were started, and MPI knows of {known}: start them with the mpirun of the MPI that this \
         program was built with, or with srun --mpi=pmix"
    ))]
    Apart {
        /// The processes that the launcher started.
        started: usize,
        /// Those that MPI knows of.
        known: usize,
    },
    /// MPI was initialized before.
    #[error("{}", message!("MPI has been started in this process already: report this as a bug"))]
    Started,
    /// The MPI library does not allow calls from several threads.
    #[error("{}", message!(
        "this MPI allows calls from one thread only: use one with thread support (MPI_THREAD_SERIALIZED)"
    ))]
    OneThread,
}

fn no_mpi(processes: Option<usize>) -> String {
    match processes {
        Some(processes) => message!(
            "{processes} processes were started, and this build cannot train over several: build with --features mpi"
        ),
        None => message!(
            "started by MPI, and this build cannot train over several processes: build with --features mpi"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_mpi_names_the_feature() {
        for (processes, words) in [(Some(4), "4 processes"), (None, "several processes")] {
            let error = RanksError::NoMpi { processes }.to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.ends_with("--features mpi"), "{error}");
        }
    }
}
