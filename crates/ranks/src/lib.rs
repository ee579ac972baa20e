//! The processes that train one network together, which are numbered and called ranks: they exchange bytes.
//!
//! [`Ranks`] is how a rank sees all of them. Bytes are only moved: what is added, and in which order, is decided by the
//! caller, so that a sum has the same bits on any number of ranks. MPI's own sums may round differently with another
//! number of ranks or another library.
//!
//! Every call that moves bytes is collective: all ranks make the same calls in the same order, and each returns once
//! the rank has what it asked for. A rank that ends early while others wait would let them wait for ever, so it ends all
//! of them by [`Ranks::abort`]. A panic does so by itself, if it drops the last clone of the `Ranks`.
//!
//! While a rank waits, Open MPI and MPICH poll, so that a core is busy. With more ranks than cores, Open MPI gives its
//! core away between polls (`mpi_yield_when_idle`); it knows that only if it was started with `--oversubscribe`.
//!
//! # The three kinds
//! - [`Ranks::alone`]: one rank. Its calls return what was given to them.
//! - [`Ranks::start`]: the processes of `mpirun` or `srun`. It needs the feature `mpi`.
//! - [`Ranks::of_threads`]: the threads of one process, for tests.

mod environment;
mod error;
mod host;
#[cfg_attr(
    not(feature = "mpi"),
    allow(dead_code, reason = "only MPI counts bytes in 32 bits")
)]
mod rounds;
mod threads;
#[cfg(feature = "mpi")]
mod world;

use std::fmt;
use std::sync::Arc;

use environment::Launch;
pub use error::RanksError;
use threads::Threads;
#[cfg(feature = "mpi")]
use world::World;

/// The processes that train one network together, as one of them sees them. Clones are the same rank.
#[derive(Clone)]
pub struct Ranks {
    shared: Arc<Shared>,
}

struct Shared {
    rank: usize,
    count: usize,
    on_this_machine: usize,
    host: String,
    started_by_mpi: bool,
    transport: Transport,
}

/// The way that bytes take.
enum Transport {
    Alone,
    Threads(Threads),
    #[cfg(feature = "mpi")]
    World(World),
}

impl Ranks {
    /// One rank: all that it exchanges stays with it.
    pub fn alone() -> Self {
        Self::of_one_process(false)
    }

    /// The ranks that a launcher of MPI (`mpirun`, `srun`) started this process as one of, or one rank alone. It is to be
    /// called once in a process, and never in one that a rank started.
    ///
    /// MPI is initialized only if a launcher started several processes, or does not tell how many. It is finalized when
    /// the last clone is dropped.
    ///
    /// # Errors
    /// If there are several and the build has no MPI, or MPI does not know all of them or doesn't allow calls from
    /// several threads.
    pub fn start() -> Result<Self, RanksError> {
        let launch = Launch::read(|name| std::env::var(name).ok());
        match launch.processes {
            _ if !launch.by_mpi => Ok(Self::alone()),
            Some(1) => Ok(Self::of_one_process(true)),
            Some(_) | None => Self::of_launch(launch),
        }
    }

    #[cfg(feature = "mpi")]
    fn of_launch(launch: Launch) -> Result<Self, RanksError> {
        let (world, place) = World::start(launch.processes)?;
        Ok(Self::new(Shared {
            rank: place.rank,
            count: place.count,
            on_this_machine: place.on_this_machine,
            host: place.host,
            started_by_mpi: true,
            transport: Transport::World(world),
        }))
    }

    #[cfg(not(feature = "mpi"))]
    fn of_launch(launch: Launch) -> Result<Self, RanksError> {
        Err(RanksError::NoMpi {
            processes: launch.processes,
        })
    }

    /// As many ranks as asked for, one for each of some threads of this process. A rank panics if another is dropped
    /// while it waits for it.
    pub fn of_threads(count: usize) -> Vec<Self> {
        let ranks = Threads::new(count).into_iter().enumerate();
        let ranks = ranks.map(|(rank, threads)| {
            Self::new(Shared {
                rank,
                count,
                on_this_machine: count,
                host: host::name(),
                started_by_mpi: false,
                transport: Transport::Threads(threads),
            })
        });
        ranks.collect()
    }

    fn of_one_process(started_by_mpi: bool) -> Self {
        Self::new(Shared {
            rank: 0,
            count: 1,
            on_this_machine: 1,
            host: host::name(),
            started_by_mpi,
            transport: Transport::Alone,
        })
    }

    fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The number of this rank, from 0.
    pub fn rank(&self) -> usize {
        self.shared.rank
    }

    /// The number of ranks.
    pub fn count(&self) -> usize {
        self.shared.count
    }

    /// Whether this is rank 0, which writes and reports for all.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there is no other rank.
    pub fn is_alone(&self) -> bool {
        self.count() == 1
    }

    /// Whether a launcher of MPI started this process, though it may be the only one.
    pub fn started_by_mpi(&self) -> bool {
        self.shared.started_by_mpi
    }

    /// The number of ranks on this rank's machine, itself included: they share its memory and its cores.
    pub fn on_this_machine(&self) -> usize {
        self.shared.on_this_machine
    }

    /// The name of this rank's machine.
    pub fn host(&self) -> &str {
        &self.shared.host
    }

    /// Sends part `i` to rank `i`, and returns the parts that this rank was sent: part `i` came from rank `i`. Parts can
    /// be empty and of any size.
    ///
    /// # Panics
    /// If there are not as many parts as ranks.
    pub fn exchange(&self, parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        assert_eq!(parts.len(), self.count(), "one part for each rank");
        match &self.shared.transport {
            Transport::Alone => parts,
            Transport::Threads(threads) => threads.exchange(parts),
            #[cfg(feature = "mpi")]
            Transport::World(world) => world.exchange(parts),
        }
    }

    /// Sends bytes to all ranks, and returns those of all ranks in their order. They can be of any sizes.
    pub fn gather_all(&self, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        match &self.shared.transport {
            Transport::Alone => vec![bytes],
            Transport::Threads(threads) => threads.exchange(vec![bytes; self.count()]),
            #[cfg(feature = "mpi")]
            Transport::World(world) => world.gather_all(bytes),
        }
    }

    /// The bytes of rank 0, on every rank; what the others give does not matter.
    pub fn broadcast(&self, bytes: Vec<u8>) -> Vec<u8> {
        match &self.shared.transport {
            Transport::Alone => bytes,
            Transport::Threads(threads) => {
                let given = if self.is_first() { bytes } else { Vec::new() };
                threads.exchange(vec![given; self.count()]).swap_remove(0)
            }
            #[cfg(feature = "mpi")]
            Transport::World(world) => world.broadcast(bytes),
        }
    }

    /// Ends the processes of all ranks at once, with exit status 1, without cleaning up.
    pub fn abort(&self) -> ! {
        match &self.shared.transport {
            Transport::Alone | Transport::Threads(_) => std::process::exit(1),
            #[cfg(feature = "mpi")]
            Transport::World(world) => world.abort(),
        }
    }
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Ranks")
            .field("rank", &self.rank())
            .field("count", &self.count())
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_everything_stays_as_it_was_given() {
        let ranks = Ranks::alone();
        assert_eq!((ranks.rank(), ranks.count()), (0, 1));
        assert!(ranks.is_first() && ranks.is_alone() && !ranks.started_by_mpi());
        assert_eq!(ranks.on_this_machine(), 1);
        assert!(!ranks.host().is_empty());
        assert_eq!(ranks.exchange(vec![vec![1, 2]]), [[1, 2]]);
        assert_eq!(ranks.gather_all(vec![3]), [[3]]);
        assert_eq!(ranks.broadcast(vec![4]), [4]);
    }

    #[test]
    fn threads_exchange_parts_of_any_size() {
        let ends: Vec<_> = Ranks::of_threads(3)
            .into_iter()
            .map(|ranks| {
                std::thread::spawn(move || {
                    let rank = ranks.rank();
                    // Rank i sends 2·i + j bytes to rank j.
                    let parts = (0..3).map(|to| vec![rank as u8; 2 * rank + to]);
                    let received = ranks.exchange(parts.collect());
                    let expected = (0..3).map(|from| vec![from as u8; 2 * from + rank]);
                    assert_eq!(received, expected.collect::<Vec<_>>());
                    let all = ranks.gather_all(vec![7; rank]);
                    assert_eq!(all, [vec![], vec![7], vec![7, 7]]);
                    assert_eq!(ranks.broadcast(vec![rank as u8 + 5]), [5]);
                })
            })
            .collect();
        for end in ends {
            end.join().unwrap();
        }
    }
}
