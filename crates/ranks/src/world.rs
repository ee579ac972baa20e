//! Bytes between the processes that MPI knows of.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mpi::Threading;
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::{Universe, initialize_with_threading, processor_name};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};

use crate::error::RanksError;
use crate::host;
use crate::rounds::{MOST, Round};

/// An address for no bytes. That of an empty list of bytes is 1, as an empty list has no memory, and so is Open MPI's
/// `MPI_IN_PLACE`, which means something else.
static NOTHING: [u8; 1] = [0];

/// MPI, from its start to its end.
pub(crate) struct World {
    /// Held by the call in progress: MPI is told that there is one at a time.
    one_call: Mutex<()>,
    /// Dropped, it finalizes MPI.
    _universe: Universe,
}

/// The place of this process among all.
pub(crate) struct Place {
    pub rank: usize,
    pub count: usize,
    pub on_this_machine: usize,
    pub host: String,
}

impl World {
    /// Starts MPI in a process of which the launcher started so many, if it tells.
    pub fn start(started: Option<usize>) -> Result<(Self, Place), RanksError> {
        let started_mpi = initialize_with_threading(Threading::Serialized);
        let (universe, threading) = started_mpi.ok_or(RanksError::Started)?;
        if threading < Threading::Serialized {
            return Err(RanksError::OneThread);
        }
        let world = universe.world();
        let known = number(world.size());
        if let Some(started) = started.filter(|&started| started != known) {
            return Err(RanksError::Apart { started, known });
        }
        let place = Place {
            rank: number(world.rank()),
            count: known,
            on_this_machine: number(world.split_shared(world.rank()).size()),
            host: processor_name().unwrap_or_else(|_| host::name()),
        };
        let world = Self {
            one_call: Mutex::new(()),
            _universe: universe,
        };
        Ok((world, place))
    }

    fn begin_call(&self) -> (MutexGuard<'_, ()>, SimpleCommunicator) {
        let call = self.one_call.lock();
        let call = call.unwrap_or_else(PoisonError::into_inner);
        (call, SimpleCommunicator::world())
    }

    /// See [`Ranks::exchange`](crate::Ranks::exchange).
    pub fn exchange(&self, parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let (_call, world) = self.begin_call();
        let ranks = parts.len();
        let rank = number(world.rank());
        // The lengths of all parts, so that all ranks take the same number of rounds.
        let own: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
        let mut lengths = vec![0_u64; ranks * ranks];
        world.all_gather_into(&own[..], &mut lengths[..]);
        let length = |from: usize, to: usize| lengths[from * ranks + to] as usize;
        let longest = lengths.iter().max().map_or(0, |&longest| longest as usize);
        let mut received: Vec<Vec<u8>> = (0..ranks)
            .map(|from| Vec::with_capacity(length(from, rank)))
            .collect();
        let most = MOST / ranks;
        for start in (0..longest).step_by(most) {
            let sent = Round::new((0..ranks).map(|to| length(rank, to)), start, most);
            let arriving = Round::new((0..ranks).map(|from| length(from, rank)), start, most);
            let sent_bytes = sent.join(&parts);
            let mut bytes = received_bytes(arriving.bytes());
            world.all_to_all_varcount_into(
                &Partition::new(&sent_bytes[..], sent.counts(), sent.places()),
                &mut PartitionMut::new(&mut bytes[..], arriving.counts(), arriving.places()),
            );
            arriving.append(&bytes, &mut received);
        }
        received
    }

    /// See [`Ranks::gather_all`](crate::Ranks::gather_all).
    pub fn gather_all(&self, own: Vec<u8>) -> Vec<Vec<u8>> {
        let (_call, world) = self.begin_call();
        let ranks = number(world.size());
        let mut lengths = vec![0_u64; ranks];
        world.all_gather_into(&[own.len() as u64][..], &mut lengths[..]);
        let lengths: Vec<usize> = lengths.into_iter().map(|length| length as usize).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut received: Vec<Vec<u8>> = lengths
            .iter()
            .map(|&length| Vec::with_capacity(length))
            .collect();
        let most = MOST / ranks;
        for start in (0..longest).step_by(most) {
            let end = own.len().min(start + most);
            let sent = &own[start.min(own.len())..end];
            let sent = if sent.is_empty() { &NOTHING[..0] } else { sent };
            let arriving = Round::new(lengths.iter().copied(), start, most);
            let mut bytes = received_bytes(arriving.bytes());
            world.all_gather_varcount_into(
                sent,
                &mut PartitionMut::new(&mut bytes[..], arriving.counts(), arriving.places()),
            );
            arriving.append(&bytes, &mut received);
        }
        received
    }

    /// See [`Ranks::broadcast`](crate::Ranks::broadcast).
    pub fn broadcast(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let (_call, world) = self.begin_call();
        let first = world.process_at_rank(0);
        let mut length = [bytes.len() as u64];
        first.broadcast_into(&mut length[..]);
        if world.rank() != 0 {
            bytes = vec![0; length[0] as usize];
        }
        for piece in bytes.chunks_mut(MOST) {
            first.broadcast_into(piece);
        }
        bytes
    }

    /// See [`Ranks::abort`](crate::Ranks::abort).
    pub fn abort(&self) -> ! {
        SimpleCommunicator::world().abort(1)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Others may wait for this rank; finalizing MPI would wait for them.
        if std::thread::panicking() {
            self.abort();
        }
    }
}

/// A place for so many bytes. It has an address of its own even for none: [`NOTHING`].
fn received_bytes(bytes: usize) -> Vec<u8> {
    let mut place = Vec::with_capacity(bytes.max(1));
    place.resize(bytes, 0);
    place
}

/// A number of processes, or that of one, which MPI has as a signed one.
fn number(of_mpi: i32) -> usize {
    usize::try_from(of_mpi).expect("MPI counts from 0")
}
