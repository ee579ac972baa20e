//! RandAugment: every operation is torchvision's, and two are drawn for a picture.

mod common;

use common::{distance, golden};
use warmstart_data::rand_augment::{Operation, apply};
use warmstart_data::random::{Purpose, unit};
use warmstart_data::{Augmentation, Decode, Fit, Interpolation, Preprocessing, RgbImage, stream};

const PREPROCESSING: Preprocessing = Preprocessing {
    resize: 40,
    crop: 32,
    fit: Fit::Crop,
    decode: Decode::Full,
    interpolation: Interpolation::Bilinear,
    mean: [0.5; 3],
    std: [0.5; 3],
};

fn random(sample: u64) -> warmstart_data::random::ChaCha8Rng {
    stream(1, 0, sample, Purpose::Augmentation)
}

fn view(rand_augment: f64, image: &RgbImage, sample: u64) -> RgbImage {
    let augmentation = Augmentation {
        scale: [1.0, 1.0],
        flip: 0.0,
        rand_augment,
        ..Augmentation::default()
    };
    augmentation
        .view(image, &PREPROCESSING, &mut random(sample))
        .unwrap()
}

#[test]
fn every_operation_is_that_of_torchvision_exactly() {
    let input = golden("rand_augment/input");
    for operation in Operation::ALL {
        let magnitudes = if operation.is_signed() {
            &[-10, -3, 3, 10][..]
        } else {
            &[3, 10]
        };
        for magnitude in magnitudes {
            let mut image = input.clone();
            apply(&mut image, operation, f64::from(*magnitude));
            let expected = golden(&format!("rand_augment/{operation:?}_{magnitude}"));
            let (max, _) = distance(&image, &expected);
            assert_eq!(max, 0, "{operation:?} {magnitude}");
            assert_eq!(image == input, operation == Operation::Identity);
        }
    }
}

#[test]
fn any_size_can_be_changed() {
    for (width, height) in [(1, 1), (2, 2), (1, 50), (50, 1), (3, 3)] {
        for operation in Operation::ALL {
            let mut image = RgbImage::black(width, height);
            image.pixels.fill(77);
            apply(&mut image, operation, 10.0);
            assert_eq!((image.width, image.height), (width, height));
            assert_eq!(image.pixels.len(), width * height * 3);
        }
    }
}

#[test]
fn a_magnitude_decides_how_much_a_view_changes() {
    let image = golden("decoded/rgb.png");
    let change = |magnitude| {
        let changes = (0..100).map(|sample| {
            let plain = view(0.0, &image, sample);
            distance(&plain, &view(magnitude, &image, sample)).1
        });
        changes.sum::<f64>() / 100.0
    };
    let (weak, strong) = (change(1.0), change(10.0));
    assert!(weak > 1.0 && strong > 2.0 * weak, "{weak}, {strong}");
}

/// Of a flat picture, what may be black is what was moved in from outside.
#[test]
fn two_operations_of_fourteen_are_drawn() {
    let mut image = RgbImage::black(32, 32);
    image.pixels.fill(100);
    let moved = (0..2000).filter(|sample| {
        let view = view(10.0, &image, *sample);
        let outside = |pixel: &[u8; 3]| *pixel == view.pixels.as_chunks().0[0];
        !view.pixels.as_chunks().0.iter().all(outside)
    });
    // Five of fourteen move pixels: 1 - (9 / 14)² of the pictures.
    let share = moved.count() as f64 / 2000.0;
    assert!((share - 0.587).abs() < 0.04, "{share} moved");
}

#[test]
fn what_is_off_draws_nothing() {
    let image = golden("decoded/rgb.png");
    let next = |augmentation: &Augmentation| {
        let mut random = random(4);
        augmentation
            .view(&image, &PREPROCESSING, &mut random)
            .unwrap();
        unit(&mut random)
    };
    let off = Augmentation::default();
    let mut random = random(4);
    off.random_region(image.width, image.height, &mut random);
    // The flip, and three swaps that order the adjustments.
    for _ in 0..4 {
        unit(&mut random);
    }
    assert_eq!(next(&off), unit(&mut random));
    let on = Augmentation {
        rand_augment: 1.0,
        ..Augmentation::default()
    };
    assert_ne!(next(&on), next(&off));
}
