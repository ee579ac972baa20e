//! Bytes between threads of one process.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// The channels of one of several threads to all of them, itself included.
pub(crate) struct Threads {
    to: Vec<Sender<Vec<u8>>>,
    from: Mutex<Vec<Receiver<Vec<u8>>>>,
}

impl Threads {
    /// The channels of each of `count` threads.
    pub fn new(count: usize) -> Vec<Self> {
        let mut to: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        let mut from: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for to in &mut to {
            for from in &mut from {
                let (sender, receiver) = channel();
                to.push(sender);
                from.push(receiver);
            }
        }
        let ends = to.into_iter().zip(from);
        ends.map(|(to, from)| Self {
            to,
            from: Mutex::new(from),
        })
        .collect()
    }

    /// See [`Ranks::exchange`](crate::Ranks::exchange).
    pub fn exchange(&self, parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        for (to, part) in self.to.iter().zip(parts) {
            to.send(part).expect("no rank has ended");
        }
        let received = from.iter().map(Receiver::recv);
        received
            .collect::<Result<Vec<_>, _>>()
            .expect("no rank has ended")
    }
}
