//! mixup and CutMix: which images, how much of each, and where.

use proptest::prelude::*;
use warmstart_data::random::{Purpose, unit};
use warmstart_data::{Augmentation, Mixing, Region, stream};

const SIZE: usize = 32;
const IMAGES: usize = 5;
const DRAWS: u64 = 20_000;

fn random(sample: u64) -> warmstart_data::random::ChaCha8Rng {
    stream(1, 0, sample, Purpose::Mixing)
}

fn of(mixup: f64, cutmix: f64) -> Augmentation {
    Augmentation {
        mixup,
        cutmix,
        ..Augmentation::default()
    }
}

fn draws(augmentation: Augmentation) -> impl Iterator<Item = Mixing> {
    let draw = move |sample| augmentation.mixing(IMAGES, SIZE, &mut random(sample));
    (0..DRAWS).map(move |sample| draw(sample).unwrap())
}

/// Mean and variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2));
    (mean, squares.sum::<f64>() / count)
}

#[test]
fn without_mixing_nothing_is_drawn() {
    let mut drawn = random(0);
    assert_eq!(of(0.0, 0.0).mixing(IMAGES, SIZE, &mut drawn), None);
    assert_eq!(unit(&mut drawn), unit(&mut random(0)));
}

#[test]
fn shares_of_mixup_are_distributed_as_beta() {
    for alpha in [0.05, 0.2, 1.0, 2.0] {
        let mixings = draws(of(alpha, 0.0));
        let shares: Vec<f64> = mixings.map(|mixing| mixing.share).collect();
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        let (mean, variance) = moments(&shares);
        // Beta(α, α) has a mean of 1/2 and a variance of 1 / (4 · (2α + 1)).
        assert!((mean - 0.5).abs() < 0.012, "{alpha}: {mean}");
        let expected = 0.25 / (2.0 * alpha + 1.0);
        assert!(
            (variance / expected - 1.0).abs() < 0.03,
            "{alpha}: {variance} is not {expected}"
        );
    }
    // Beta(1, 1) is uniform.
    let tenth = draws(of(1.0, 0.0)).filter(|mixing| mixing.share < 0.1);
    let share = tenth.count() as f64 / DRAWS as f64;
    assert!((share - 0.1).abs() < 0.01, "{share}");
}

#[test]
fn the_smallest_alpha_takes_one_image_or_the_other() {
    for alpha in [1e-3, 1e-12, f64::MIN_POSITIVE, 5e-324] {
        for sample in 0..100 {
            let drawn = of(alpha, 0.0).mixing(IMAGES, SIZE, &mut random(sample));
            let share = drawn.unwrap().share;
            assert!((0.0..=1.0).contains(&share), "{alpha}: {share}");
        }
    }
}

#[test]
fn partners_are_uniform_and_either_way_is_as_likely() {
    let mut partners = [0.0; IMAGES];
    let mut cut = 0.0;
    for mixing in draws(of(0.4, 1.0)) {
        partners[mixing.partner] += 1.0 / DRAWS as f64;
        cut += f64::from(mixing.region.is_some()) / DRAWS as f64;
    }
    for share in partners {
        assert!((share - 0.2).abs() < 0.015, "{partners:?}");
    }
    assert!((cut - 0.5).abs() < 0.015, "{cut}");
    assert!(draws(of(0.4, 0.0)).all(|mixing| mixing.region.is_none()));
    assert!(draws(of(0.0, 0.4)).all(|mixing| mixing.region.is_some()));
}

/// A side of r, of an image of side 1, is clipped to r - r² / 4 in the mean over its centres. For a
/// uniform share, r² is uniform, and the mean area is ∫ 2r (r - r² / 4)² dr = 77 / 240.
#[test]
fn the_share_of_cutmix_is_the_true_area() {
    let size = 1000;
    let mut pasted = 0.0;
    for sample in 0..DRAWS {
        let drawn = of(0.0, 1.0).mixing(IMAGES, size, &mut random(sample));
        let Mixing { share, region, .. } = drawn.unwrap();
        let region = region.unwrap();
        assert!(region.left + region.width <= size && region.top + region.height <= size);
        let area = (region.width * region.height) as f64 / (size * size) as f64;
        assert_eq!(share, 1.0 - area);
        pasted += area / DRAWS as f64;
    }
    assert!((pasted - 77.0 / 240.0).abs() < 0.008, "{pasted}");
}

#[test]
fn mixup_is_the_weighted_mean() {
    let mixing = Mixing {
        partner: 0,
        share: 0.75,
        region: None,
    };
    let mut pixels = vec![1.0, -2.0, 0.0];
    mixing.apply(&mut pixels, &[5.0, 2.0, 4.0]);
    assert_eq!(pixels, [2.0, -1.0, 1.0]);
}

#[test]
fn cutmix_takes_the_region_of_the_partner_and_nothing_else() {
    let region = Region {
        left: 3,
        top: 1,
        width: 2,
        height: 4,
    };
    let mixing = Mixing {
        partner: 0,
        share: 0.5,
        region: Some(region),
    };
    let mut pixels = vec![0.0; 6 * 6 * 3];
    let other: Vec<f32> = (1..=6 * 6 * 3).map(|value| value as f32).collect();
    mixing.apply(&mut pixels, &other);
    for (index, value) in pixels.iter().enumerate() {
        let (x, y) = (index / 3 % 6, index / 18);
        let inside = (3..5).contains(&x) && (1..5).contains(&y);
        assert_eq!(*value, if inside { other[index] } else { 0.0 });
    }
}

proptest! {
    /// Of an image of ones and a partner of zeros, the mean is the share.
    #[test]
    fn the_share_is_what_the_pixels_have(
        size in 1usize..40,
        images in 1usize..9,
        (mixup, cutmix) in prop_oneof![
            (0.01..=2.0f64, Just(0.0)),
            (Just(0.0), 0.01..=2.0f64),
            (0.01..=2.0f64, 0.01..=2.0f64),
        ],
        sample in any::<u64>(),
    ) {
        let mixing = of(mixup, cutmix).mixing(images, size, &mut random(sample)).unwrap();
        prop_assert!(mixing.partner < images);
        let mut pixels = vec![1.0; size * size * 3];
        mixing.apply(&mut pixels, &vec![0.0; size * size * 3]);
        let sum: f64 = pixels.iter().map(|value| f64::from(*value)).sum();
        prop_assert!((sum / pixels.len() as f64 - mixing.share).abs() < 1e-6);
    }
}
