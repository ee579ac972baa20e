//! Randomness without state: every draw is a function of (seed, epoch, sample, purpose).
//!
//! The four numbers are the key of a ChaCha8 stream (Bernstein, 2008), so there is no generator to
//! save in a checkpoint, and no draw depends on the number of workers or on what was drawn before.
//! The draws below use only the 32- and 64-bit words of that stream, so they do not change when a
//! dependency does.

pub use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The purpose of a stream of random numbers. The numbers are part of a seed's meaning: never
/// renumber them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// The order of the samples in an epoch.
    Order = 0,
    /// Augmentation of one sample.
    Augmentation = 1,
    /// The choice of the samples that go to validation.
    Split = 2,
    /// Dropout and stochastic depth masks.
    Dropout = 3,
    /// First values of fresh parameters.
    Initialization = 4,
    /// Mixing several samples into one: mixup, cutmix, mosaic.
    Mixing = 5,
    /// Drawing images again, to see how sure a figure is.
    Resampling = 6,
    /// The fold of a cross-validation in which a sample validates.
    Folds = 7,
    /// Stand-ins for pixels or features where their values do not matter.
    Noise = 8,
    /// Pictures that are drawn rather than taken: those of the demonstration.
    Drawing = 9,
}

/// The random stream of one sample in one epoch for one purpose.
///
/// A purpose that is not per epoch or not per sample passes 0 there. A purpose with other coordinates (a
/// dropout mask: step, micro-batch and layer) packs them into `epoch` and `sample`.
pub fn stream(seed: u64, epoch: u64, sample: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut key = [0; 32];
    let (words, _) = key.as_chunks_mut();
    for (word, number) in words.iter_mut().zip([seed, epoch, sample, purpose as u64]) {
        *word = number.to_le_bytes();
    }
    ChaCha8Rng::from_seed(key)
}

/// A uniform draw from 0 (inclusive) to 1 (exclusive), a multiple of 2⁻⁵³.
pub fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A uniform draw between `low` and `high`, which may be equal.
pub fn between(random: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(random)
}

/// A uniform draw from the integers below `end`; 0 if `end` is 0.
///
/// The high word of a 64×64-bit product, where the few products that would favour some integers
/// are drawn again (Lemire, "Fast Random Integer Generation in an Interval", 2019).
pub fn below(random: &mut ChaCha8Rng, end: usize) -> usize {
    let end = end as u64;
    if end == 0 {
        return 0;
    }
    let unfair = end.wrapping_neg() % end;
    loop {
        let product = u128::from(random.next_u64()) * u128::from(end);
        if product as u64 >= unfair {
            return (product >> 64) as usize;
        }
    }
}

/// Shuffles in place, every order equally likely (Fisher and Yates; Durstenfeld, 1964).
pub fn shuffle<T>(random: &mut ChaCha8Rng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(random, last + 1));
    }
}

/// The order in which an epoch visits samples so that it sees each class as often: as many draws as there are
/// samples, those of a class one after another in an order of its own, again and again.
///
/// `classes` has the class of each sample.
pub fn balanced_order(seed: u64, epoch: u64, classes: &[usize]) -> Vec<usize> {
    let random = &mut stream(seed, epoch, 0, Purpose::Order);
    let mut by_class: Vec<Vec<usize>> = Vec::new();
    for (sample, &class) in classes.iter().enumerate() {
        by_class.resize_with(by_class.len().max(class + 1), Vec::new);
        by_class[class].push(sample);
    }
    by_class.retain(|samples| !samples.is_empty());
    // Where the draws do not come out even, other classes have one more in every epoch.
    shuffle(random, &mut by_class);
    let mut order = Vec::with_capacity(classes.len());
    let kinds = by_class.len();
    for (place, samples) in by_class.iter_mut().enumerate() {
        let draws = classes.len() / kinds + usize::from(place < classes.len() % kinds);
        for draw in 0..draws {
            if draw % samples.len() == 0 {
                shuffle(random, samples);
            }
            order.push(samples[draw % samples.len()]);
        }
    }
    shuffle(random, &mut order);
    order
}

/// The order in which an epoch visits `count` samples: a permutation of `0..count`.
pub fn epoch_order(seed: u64, epoch: u64, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    shuffle(&mut stream(seed, epoch, 0, Purpose::Order), &mut order);
    order
}
