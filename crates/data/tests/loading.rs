//! Batches come in order, whatever the number of workers, and no failure hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use warmstart_data::{Batches, DataError, Loader, epoch_order};

fn failure(index: usize) -> DataError {
    DataError::Worker(format!("sample {index}"))
}

#[test]
fn the_number_of_workers_does_not_change_what_comes_out() {
    let plan = Batches::of(epoch_order(1, 0, 103), 8);
    let expected: Vec<Vec<usize>> = (0..plan.len())
        .map(|batch| plan.get(batch).iter().map(|index| index * 10).collect())
        .collect();
    for workers in [0, 1, 2, 7, 64] {
        for ahead in [0, 1, 3, 100] {
            let loader = Loader::new(
                plan.clone(),
                workers,
                ahead,
                Arc::new(|index| {
                    // Later samples are often done first.
                    sleep(Duration::from_micros((index as u64 * 37) % 300));
                    Ok(index * 10)
                }),
            );
            let found: Result<Vec<_>, _> = loader.collect();
            assert_eq!(found.unwrap(), expected, "{workers} workers, {ahead} ahead");
        }
    }
}

#[test]
fn no_batches_and_empty_batches_are_fine() {
    let load = |plan: Batches| {
        Loader::new(plan, 2, 2, Arc::new(Ok))
            .collect::<Result<Vec<_>, _>>()
            .unwrap()
    };
    assert!(load(Batches::of(vec![], 4)).is_empty());
    let plan = Batches::of((0..11).collect(), 3);
    let none: Vec<Vec<usize>> = vec![vec![]; 4];
    assert_eq!(load(plan.clone().cut(|_| 0..0)), none);
    let of_last = plan.cut(|images| if images == 2 { 0..2 } else { 0..0 });
    assert_eq!(load(of_last), [vec![], vec![], vec![], vec![9, 10]]);
}

#[test]
fn an_order_that_panics_is_an_error() {
    let plan = Batches::new(0..8, 2, |place| {
        assert_ne!(place, 5, "a bug in the order");
        place
    });
    let mut loader = Loader::new(plan, 2, 2, Arc::new(Ok));
    assert_eq!(loader.next().unwrap().unwrap(), [0, 1]);
    assert_eq!(loader.next().unwrap().unwrap(), [2, 3]);
    let error = loader.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("a bug in the order"), "{error}");
    assert!(loader.next().is_none());
}

#[test]
fn workers_stay_within_the_look_ahead() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&begun);
    let prepare = Arc::new(move |index| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(index)
    });
    let mut loader = Loader::new(Batches::of(epoch_order(0, 0, 40), 4), 3, 2, prepare);
    let settled = |expected| {
        let start = Instant::now();
        while begun.load(Ordering::SeqCst) < expected && start.elapsed().as_secs() < 20 {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(50));
        begun.load(Ordering::SeqCst)
    };
    assert_eq!(settled(8), 8, "two batches, before any was taken");
    assert!(loader.next().is_some());
    assert_eq!(settled(12), 12, "one taken, one more begun");
}

#[test]
fn the_first_error_in_order_ends_the_iteration() {
    for workers in [1, 4] {
        let prepare = Arc::new(|index| match index {
            // The later failure is there first.
            5 => Err(failure(index)),
            4 => {
                sleep(Duration::from_millis(20));
                Err(failure(index))
            }
            _ => Ok(index),
        });
        let plan = Batches::of((0..8).collect(), 3);
        let mut loader = Loader::new(plan, workers, 4, prepare);
        assert_eq!(loader.next().unwrap().unwrap(), [0, 1, 2]);
        let error = loader.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("sample 4"), "{error}");
        assert!(loader.next().is_none());
    }
}

#[test]
fn a_panic_becomes_an_error() {
    let prepare = Arc::new(|index| {
        assert_ne!(index, 3, "a bug in preparing");
        Ok(index)
    });
    let mut loader = Loader::new(Batches::of(vec![0, 1, 2, 3], 2), 2, 2, prepare);
    assert!(loader.next().unwrap().is_ok());
    let error = loader.next().unwrap().unwrap_err();
    assert!(
        matches!(&error, DataError::Worker(text) if text.contains("a bug in preparing")),
        "{error}"
    );
    assert!(loader.next().is_none());
}

#[test]
fn dropping_a_loader_stops_its_workers() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&begun);
    let prepare = Arc::new(move |index| {
        counter.fetch_add(1, Ordering::SeqCst);
        sleep(Duration::from_millis(5));
        Ok(index)
    });
    let plan = Batches::of(epoch_order(0, 0, 10_000), 10);
    let mut loader = Loader::new(plan, 2, 1_000, prepare);
    assert!(loader.next().is_some());
    drop(loader);
    let after = begun.load(Ordering::SeqCst);
    assert!(after < 1_000, "{after} samples were prepared for one batch");
    sleep(Duration::from_millis(30));
    assert_eq!(
        begun.load(Ordering::SeqCst),
        after,
        "no worker outlives the loader"
    );
}

#[test]
fn batches_are_prepared_while_the_consumer_works() {
    let prepare = Arc::new(|index: usize| {
        sleep(Duration::from_millis(10));
        Ok(index)
    });
    let start = Instant::now();
    for batch in Loader::new(Batches::of(epoch_order(0, 0, 20), 1), 2, 4, prepare) {
        batch.unwrap();
        sleep(Duration::from_millis(10));
    }
    // One after the other it would be 400 ms.
    assert!(
        start.elapsed() < Duration::from_millis(350),
        "{:?}",
        start.elapsed()
    );
}
