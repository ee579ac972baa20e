//! Writes in the background of training: one at a time, and again where the disk refuses.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use warmstart_language::message;
use warmstart_recipe::Error;

/// Pause before a failed write is tried again; it doubles up to the longest.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Attempts while a caller waits in `flush`, and the pause between them: a write that fails once often succeeds a
/// moment later.
const ATTEMPTS: u64 = 3;
const SHORT_PAUSE: Duration = Duration::from_millis(200);

/// A thread that writes what it is given, in order. Dropping it waits for what is left; a failed write is tried once
/// more.
pub struct BackgroundWriter<C> {
    shared: Arc<Shared<C>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<C> {
    state: Mutex<State<C>>,
    changed: Condvar,
}

struct State<C> {
    /// Content not written yet, the oldest first.
    waiting: VecDeque<C>,
    writing: bool,
    /// Error of the last attempt, if it failed.
    failure: Option<String>,
    /// Finished attempts, successful or not.
    attempts: u64,
    /// Whether to skip the pause before the next attempt.
    hurry: bool,
    /// Whether a caller waits in `flush`, so that pauses are short.
    is_waited_for: bool,
    closed: bool,
    /// Messages that were not fetched yet.
    news: Vec<String>,
}

impl<C: Send + 'static> BackgroundWriter<C> {
    /// Starts the thread. `write` may be called again with content that it failed to write, and may return a message.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn new(
        write: impl FnMut(&mut C) -> Result<Option<String>, Error> + Send + 'static,
    ) -> std::io::Result<Self> {
        let state = State {
            waiting: VecDeque::new(),
            writing: false,
            failure: None,
            attempts: 0,
            hurry: false,
            is_waited_for: false,
            closed: false,
            news: Vec::new(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let work = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("writer".into())
            .spawn(move || work.run(write))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Whether a write is in flight or waiting.
    pub fn is_busy(&self) -> bool {
        let state = self.shared.lock();
        state.writing || !state.waiting.is_empty()
    }

    /// Hands over content to be written after the write in flight. It blocks only while other content is waiting
    /// already, because there is no memory for more. Where the disk refuses, the content replaces what is waiting,
    /// except what `stays`.
    pub fn submit(&self, content: C, stays: impl Fn(&C) -> bool) {
        let full = |state: &State<C>| state.failure.is_none() && !state.waiting.is_empty();
        let mut state = self.shared.wait_while(self.shared.lock(), full);
        state.waiting.retain(stays);
        state.waiting.push_back(content);
        state.hurry = true;
        self.shared.changed.notify_all();
    }

    /// Waits until everything is written; a write that the disk refuses is tried several times.
    ///
    /// # Errors
    /// The error of the disk, if it refused every time.
    pub fn flush(&self) -> Result<(), String> {
        let mut state = self.shared.lock();
        // A write in flight may have begun before the disk had room again.
        let enough = state.attempts + ATTEMPTS + u64::from(state.writing);
        (state.hurry, state.is_waited_for) = (true, true);
        self.shared.changed.notify_all();
        let unwritten = |state: &State<C>| {
            let failed = state.failure.is_some() && state.attempts >= enough;
            !failed && (state.writing || !state.waiting.is_empty())
        };
        let mut state = self.shared.wait_while(state, unwritten);
        state.is_waited_for = false;
        match (&state.failure, state.waiting.is_empty()) {
            (Some(failure), false) => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// Waits until nothing is being written and what was written is dropped, or until the disk refuses.
    pub fn wait_until_idle(&self) {
        let busy = |state: &State<C>| {
            state.failure.is_none() && (state.writing || !state.waiting.is_empty())
        };
        drop(self.shared.wait_while(self.shared.lock(), busy));
    }

    /// The messages since the last call.
    pub fn news(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().news)
    }
}

impl<C> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &'a self,
        mut state: MutexGuard<'a, State<C>>,
        condition: impl Fn(&State<C>) -> bool,
    ) -> MutexGuard<'a, State<C>> {
        while condition(&state) {
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn run(&self, mut write: impl FnMut(&mut C) -> Result<Option<String>, Error>) {
        let mut pause = PAUSE;
        while let Some(mut content) = self.next(pause) {
            // A panic must not block a caller that waits for this write.
            let result = catch_unwind(AssertUnwindSafe(|| write(&mut content)))
                .map_err(|_| message!("writing panicked"))
                .and_then(|written| written.map_err(|error| error.to_string()));
            // Before callers are notified: they may wait for the memory that it holds.
            let unwritten = result.is_err().then_some(content);
            let mut state = self.lock();
            state.writing = false;
            state.attempts += 1;
            match result {
                Ok(news) => {
                    pause = PAUSE;
                    state.news.extend(news);
                    if state.failure.take().is_some() {
                        state
                            .news
                            .push(message!("checkpoints can be written again"));
                    }
                }
                Err(error) => {
                    match state.failure {
                        None => state.news.push(message!(
                            "{error}: the run continues and retries; until then, resuming uses the previous checkpoint"
                        )),
                        Some(_) => pause = (2 * pause).min(LONGEST_PAUSE),
                    }
                    state.failure = Some(error);
                    if let Some(content) = unwritten {
                        state.waiting.push_front(content);
                    }
                    if state.closed {
                        // It was tried once more.
                        state.waiting.clear();
                    }
                }
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The next content to write, after a pause if the last write failed and nobody waits; `None` at the end.
    fn next(&self, pause: Duration) -> Option<C> {
        let mut state = self.lock();
        if state.failure.is_some() {
            let rest = |state: &mut State<C>| !state.hurry && !state.closed;
            let pause = if state.is_waited_for {
                SHORT_PAUSE
            } else {
                pause
            };
            let woken = self.changed.wait_timeout_while(state, pause, rest);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        state = self.wait_while(state, |state| state.waiting.is_empty() && !state.closed);
        let content = state.waiting.pop_front();
        state.writing = content.is_some();
        state.hurry = false;
        content
    }
}

impl<C> Drop for BackgroundWriter<C> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It catches the panics of `write`.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    fn full() -> Error {
        Error::io("write", Path::new("run"), io::ErrorKind::StorageFull.into())
    }

    /// A writer that notes what it has written, and refuses while `refuses` is set.
    fn writer(refuses: &Arc<AtomicBool>) -> (BackgroundWriter<u32>, Arc<Mutex<Vec<u32>>>) {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (list, refuses) = (Arc::clone(&written), Arc::clone(refuses));
        let write = move |content: &mut u32| {
            if refuses.load(Ordering::SeqCst) {
                return Err(full());
            }
            list.lock().unwrap().push(*content);
            Ok(None)
        };
        (BackgroundWriter::new(write).unwrap(), written)
    }

    #[test]
    fn a_slow_disk_holds_nobody_up_and_one_write_is_in_flight() {
        let gate = Arc::new((Mutex::new(0), Condvar::new()));
        let (allowed, most) = (Arc::clone(&gate), Arc::new(AtomicUsize::new(0)));
        let (begun, in_flight) = (AtomicUsize::new(0), Arc::clone(&most));
        let writer = BackgroundWriter::new(move |_: &mut u32| {
            let now = begun.fetch_add(1, Ordering::SeqCst) + 1;
            in_flight.fetch_max(now, Ordering::SeqCst);
            let left = allowed.0.lock().unwrap();
            *allowed.1.wait_while(left, |left| *left == 0).unwrap() -= 1;
            begun.fetch_sub(1, Ordering::SeqCst);
            Ok(None)
        })
        .unwrap();
        writer.submit(1, |_| false);
        while most.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        // The first cannot end yet, and this returns.
        writer.submit(2, |_| false);
        assert!(writer.is_busy());
        *gate.0.lock().unwrap() = 2;
        gate.1.notify_all();
        writer.flush().unwrap();
        assert!(!writer.is_busy());
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_write_that_panics_is_a_failure_and_nobody_waits_for_ever() {
        let mut panics = true;
        let writer = BackgroundWriter::new(move |_: &mut u32| {
            assert!(!std::mem::take(&mut panics), "the panic of this test");
            Ok(Some("written".into()))
        })
        .unwrap();
        writer.submit(1, |_| false);
        // Whether it failed before or while this waits, it is tried again.
        while writer.flush().is_err() {}
        assert!(writer.news()[0].starts_with("writing panicked: the run continues"));
        assert!(!writer.is_busy());
    }

    #[test]
    fn what_a_full_disk_refuses_is_written_once_there_is_room() {
        let refuses = Arc::new(AtomicBool::new(true));
        let (writer, written) = writer(&refuses);
        writer.submit(1, |_| false);
        assert!(writer.flush().unwrap_err().contains("could not write run"));
        let news = writer.news();
        assert!(
            news.len() == 1 && news[0].contains("the run continues"),
            "{news:?}"
        );
        // Of what waits, only what must not be lost stays.
        writer.submit(2, |_| false);
        assert!(writer.flush().is_err());
        writer.submit(3, |&waiting| waiting == 2);
        assert!(writer.flush().is_err());
        writer.submit(4, |&waiting| waiting == 2);
        refuses.store(false, Ordering::SeqCst);
        writer.flush().unwrap();
        assert_eq!(*written.lock().unwrap(), [2, 4]);
        assert_eq!(writer.news(), ["checkpoints can be written again"]);
    }

    #[test]
    fn what_the_disk_refuses_at_the_end_is_tried_again() {
        for failures in 0..ATTEMPTS {
            let mut left = failures;
            let writer = BackgroundWriter::new(move |_: &mut u32| {
                if left == 0 {
                    return Ok(None);
                }
                left -= 1;
                Err(Error::io(
                    "write",
                    Path::new("run"),
                    io::Error::other("EIO"),
                ))
            })
            .unwrap();
            writer.submit(1, |_| false);
            writer.flush().unwrap();
            assert!(!writer.is_busy());
        }
    }

    #[test]
    fn wait_until_idle_returns_once_what_was_written_is_dropped_or_the_disk_refuses() {
        let refuses = Arc::new(AtomicBool::new(false));
        let refused = Arc::clone(&refuses);
        let writer = BackgroundWriter::new(move |_: &mut Arc<()>| {
            thread::sleep(Duration::from_millis(20));
            if refused.load(Ordering::SeqCst) {
                Err(full())
            } else {
                Ok(None)
            }
        })
        .unwrap();
        let held = Arc::new(());
        for _ in 0..10 {
            writer.submit(Arc::clone(&held), |_| false);
            writer.wait_until_idle();
            assert_eq!(Arc::strong_count(&held), 1);
        }
        refuses.store(true, Ordering::SeqCst);
        writer.submit(Arc::clone(&held), |_| false);
        writer.wait_until_idle();
        assert_eq!(Arc::strong_count(&held), 2);
    }

    #[test]
    fn the_end_waits_for_what_is_left() {
        let refuses = Arc::new(AtomicBool::new(false));
        let (writer, written) = writer(&refuses);
        writer.submit(1, |_| false);
        drop(writer);
        assert_eq!(*written.lock().unwrap(), [1]);
    }
}
