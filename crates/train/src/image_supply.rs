//! The supply of images on a graphics card: how long its steps wait for them, and how many the threads that prepare them
//! can give.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use warmstart_data::Prepare;
use warmstart_language::{counted, message};
use warmstart_recipe::Key;

/// Share of the time of training above which waiting is worth a note.
const MUCH: f64 = 0.2;

/// The preparation of the images of an epoch, timed.
#[derive(Default)]
pub struct ImageSupply {
    images: AtomicU64,
    /// Time of all threads together, in nanoseconds.
    nanoseconds: AtomicU64,
}

impl ImageSupply {
    /// The same function, timed. A thread that has to wait for the disk or for a core is at work, too; one whose batch
    /// has no room yet is not.
    pub fn timed<T: 'static>(self: &Arc<Self>, prepare: Arc<Prepare<T>>) -> Arc<Prepare<T>> {
        let supply = Arc::clone(self);
        Arc::new(move |index: usize| {
            let began = Instant::now();
            let image = prepare(index);
            supply.add(began.elapsed());
            image
        })
    }

    fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.images.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Images a second that so many threads prepare while none of them has to wait for room; `None` before the first
    /// image.
    pub fn images_per_second(&self, threads: usize) -> Option<f64> {
        let images = self.images.load(Ordering::Relaxed);
        let seconds = self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        (images > 0 && seconds > 0.0).then(|| images as f64 * threads as f64 / seconds)
    }

    /// What there is to say of an epoch in which steps waited for so many seconds of those of its training; `None` where
    /// that is little.
    pub fn note(&self, waiting: f64, training: f64, threads: usize) -> Option<String> {
        if waiting <= MUCH * training {
            return None;
        }
        let share = 100.0 * waiting / training;
        let speed = self.images_per_second(threads)?;
        Some(message!(
            "the graphics card waited for images during {share:.0}% of the epoch's training: {} can prepare {speed:.0} \
             images a second; more {} help, or a cache of frozen features (--cache, and a number of {}), or pictures \
             that are stored smaller",
            counted(threads, "thread"),
            Key::THREADS,
            Key::VIEWS
        ))
    }
}

#[cfg(test)]
mod tests {
    use warmstart_data::DataError;
    use warmstart_recipe::plain;

    use super::*;

    #[test]
    fn the_speed_is_that_of_threads_which_never_wait_for_room() {
        let supply = ImageSupply::default();
        assert_eq!(supply.images_per_second(4), None);
        for _ in 0..10 {
            supply.add(Duration::from_millis(20));
        }
        let speed = supply.images_per_second(4).unwrap();
        assert!((speed - 200.0).abs() < 1e-9, "{speed}");
    }

    #[test]
    fn a_timed_function_gives_what_it_gave() {
        let supply = Arc::new(ImageSupply::default());
        let double = |index: usize| -> Result<usize, DataError> { Ok(2 * index) };
        let timed = supply.timed::<usize>(Arc::new(double));
        assert_eq!(timed(21).unwrap(), 42);
        assert_eq!(supply.images.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn only_much_waiting_is_worth_a_note() {
        let supply = ImageSupply::default();
        supply.add(Duration::from_millis(10));
        assert_eq!(supply.note(2.0, 10.0, 2), None);
        assert_eq!(supply.note(0.0, 0.0, 2), None);
        let note = plain(&supply.note(6.5, 10.0, 2).unwrap());
        for words in ["65%", "2 threads can prepare 200 images", "more threads"] {
            assert!(note.contains(words), "{note}");
        }
    }
}
