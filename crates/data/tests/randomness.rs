//! Every draw is a function of (seed, epoch, sample, purpose), and stays what it is.

use proptest::prelude::*;
use rand_chacha::rand_core::Rng;
use warmstart_data::epoch_order;
use warmstart_data::random::{Purpose, below, between, stream, unit};

/// From an independent ChaCha8 of forty lines in Python. A change here would silently change every
/// run: these numbers must never be edited.
#[test]
fn the_streams_are_chacha8_keyed_by_the_four_numbers() {
    let mut random = stream(42, 3, 7, Purpose::Augmentation);
    assert_eq!(random.next_u64(), 0x5d61_6171_8329_76fa);
    assert_eq!(random.next_u64(), 0xb6df_42f8_fb3b_3c5e);
    let mut random = stream(0, 0, 0, Purpose::Order);
    assert_eq!(random.next_u64(), 0xd640_5f89_2fef_003e);
    let mut random = stream(42, 3, 7, Purpose::Augmentation);
    assert_eq!(unit(&mut random), 0.364_767_160_618_759_47);
    assert_eq!(epoch_order(42, 1, 10), [8, 2, 7, 0, 4, 6, 9, 3, 1, 5]);
}

#[test]
fn each_of_the_four_numbers_makes_another_stream() {
    let first = |seed, epoch, sample, purpose| stream(seed, epoch, sample, purpose).next_u64();
    let base = first(1, 2, 3, Purpose::Dropout);
    assert_ne!(base, first(0, 2, 3, Purpose::Dropout));
    assert_ne!(base, first(1, 0, 3, Purpose::Dropout));
    assert_ne!(base, first(1, 2, 0, Purpose::Dropout));
    assert_ne!(base, first(1, 2, 3, Purpose::Split));
    // Not mere sums: the numbers have places.
    assert_ne!(base, first(2, 1, 3, Purpose::Dropout));
}

#[test]
fn integers_below_an_end_are_equally_likely() {
    let mut counts = [0; 6];
    let mut random = stream(9, 0, 0, Purpose::Mixing);
    for _ in 0..60_000 {
        counts[below(&mut random, 6)] += 1;
    }
    assert!(
        counts.iter().all(|count| (9_600..10_400).contains(count)),
        "{counts:?}"
    );
    assert_eq!(below(&mut random, 0), 0);
}

#[test]
fn an_epoch_sees_every_sample_once_in_an_order_of_its_own() {
    let mut orders = vec![
        epoch_order(1, 0, 100),
        epoch_order(1, 1, 100),
        epoch_order(2, 0, 100),
    ];
    assert_eq!(orders[0], epoch_order(1, 0, 100));
    assert_ne!(orders[0], orders[1]);
    assert_ne!(orders[0], orders[2]);
    for order in &mut orders {
        order.sort_unstable();
        assert_eq!(*order, (0..100).collect::<Vec<_>>());
    }
    assert!(epoch_order(1, 0, 0).is_empty());
}

proptest! {
    #[test]
    fn draws_stay_in_their_range(seed: u64, end in 1usize.., low in -1e6..1e6, span in 0.0..1e6) {
        let mut random = stream(seed, 0, 0, Purpose::Mixing);
        prop_assert!(below(&mut random, end) < end);
        let value = between(&mut random, low, low + span);
        prop_assert!(value >= low && value <= low + span);
        prop_assert!((0.0..1.0).contains(&unit(&mut random)));
    }
}
