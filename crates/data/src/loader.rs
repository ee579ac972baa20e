//! Preparing batches on threads of their own while the consumer trains.

use crate::batches::Batches;
use crate::error::DataError;
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use warmstart_language::message;

/// Makes one sample from its index.
pub type Prepare<T> = dyn Fn(usize) -> Result<T, DataError> + Send + Sync;

/// An iterator over prepared batches, in order.
///
/// Workers share the samples of a batch, so the first batch comes as soon as it can. What comes out
/// depends on the batches alone, never on the number of workers. The first error ends the iteration
/// after it was returned. Dropping the loader lets each worker finish the sample in hand, no more.
pub struct Loader<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared<T> {
    batches: Batches,
    ahead: usize,
    prepare: Arc<Prepare<T>>,
    state: Mutex<State<T>>,
    /// There is room for another batch, or nothing more to do.
    room: Condvar,
    /// The next batch is complete.
    ready: Condvar,
}

struct State<T> {
    /// The batch and the position in it that the next free worker takes.
    batch: usize,
    position: usize,
    /// Number of batches handed to the consumer.
    delivered: usize,
    /// Begun batches from `delivered` on.
    begun: VecDeque<Begun<T>>,
    stopped: bool,
}

struct Begun<T> {
    samples: Vec<Option<Result<T, DataError>>>,
    missing: usize,
}

struct Task {
    batch: usize,
    position: usize,
}

impl<T: Send + 'static> Loader<T> {
    /// Starts to prepare the samples of `batches` with `prepare`, on `workers` threads (at least
    /// one), never more than `ahead` batches (at least one) before the consumer.
    pub fn new(batches: Batches, workers: usize, ahead: usize, prepare: Arc<Prepare<T>>) -> Self {
        let samples = batches.all_prepared();
        let state = State {
            batch: 0,
            position: 0,
            delivered: 0,
            begun: VecDeque::new(),
            stopped: false,
        };
        let shared = Arc::new(Shared {
            batches,
            ahead: ahead.max(1),
            prepare,
            state: Mutex::new(state),
            room: Condvar::new(),
            ready: Condvar::new(),
        });
        // A system that refuses a thread still serves the others; without any, `next` says so.
        let workers = (0..workers.clamp(1, usize::max(samples, 1)))
            .map_while(|number| {
                let shared = Arc::clone(&shared);
                let name = format!("loader-{number}");
                std::thread::Builder::new()
                    .name(name)
                    .spawn(move || shared.work())
                    .ok()
            })
            .collect();
        Self { shared, workers }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(task) = self.take() {
            let prepare = || (self.prepare)(self.batches.sample(task.batch, task.position));
            let result = catch_unwind(AssertUnwindSafe(prepare)).unwrap_or_else(|panic| {
                // A panic of `prepare`, or of the order of samples.
                Err(DataError::Worker(words_of(&*panic)))
            });
            let mut state = self.lock();
            let place = task.batch - state.delivered;
            if let Some(begun) = state.begun.get_mut(place) {
                begun.samples[task.position] = Some(result);
                begun.missing -= 1;
                if begun.missing == 0 && place == 0 {
                    self.ready.notify_all();
                }
            }
        }
    }

    /// The next sample to prepare; waits for room, ends when there is nothing more.
    fn take(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.batch == self.batches.len() {
                return None;
            }
            if state.batch >= state.delivered + self.ahead {
                state = self
                    .room
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (batch, position) = (state.batch, state.position);
            let samples = self.batches.prepared(batch);
            if position == 0 {
                state.begun.push_back(Begun {
                    samples: (0..samples).map(|_| None).collect(),
                    missing: samples,
                });
            }
            if position + 1 < samples {
                state.position += 1;
            } else {
                state.batch += 1;
                state.position = 0;
            }
            if position < samples {
                return Some(Task { batch, position });
            }
            // An empty batch is complete at once.
            self.ready.notify_all();
        }
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.room.notify_all();
    }
}

impl<T> Iterator for Loader<T> {
    type Item = Result<Vec<T>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut state = self.shared.lock();
        if state.stopped || state.delivered == self.shared.batches.len() {
            return None;
        }
        if self.workers.is_empty() {
            state.stopped = true;
            return Some(Err(DataError::NoThread));
        }
        let complete = |state: &State<T>| state.begun.front().is_some_and(|b| b.missing == 0);
        let ready = &self.shared.ready;
        while !complete(&state) {
            state = ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let batch = state.begun.pop_front()?;
        state.delivered += 1;
        drop(state);
        self.shared.room.notify_all();
        let samples: Result<Vec<T>, DataError> = batch.samples.into_iter().flatten().collect();
        if samples.is_err() {
            self.shared.stop();
        }
        Some(samples)
    }
}

impl<T> Drop for Loader<T> {
    fn drop(&mut self) {
        self.shared.stop();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of `prepare`; there is nothing left to report.
            let _ = worker.join();
        }
    }
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| message!("it panicked without a message"))
}
