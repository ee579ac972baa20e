//! Random erasing: how often, how much, and with what.

use warmstart_data::random::Purpose;
use warmstart_data::{Augmentation, Decode, Fit, Interpolation, Preprocessing, RgbImage, stream};

const SIZE: usize = 64;

/// A view of a black picture.
fn view(erase: f64, size: usize, sample: u64) -> RgbImage {
    let augmentation = Augmentation {
        scale: [1.0, 1.0],
        erase,
        ..Augmentation::default()
    };
    let preprocessing = Preprocessing {
        resize: size,
        crop: size,
        fit: Fit::Crop,
        interpolation: Interpolation::Bilinear,
        mean: [0.5; 3],
        std: [0.5; 3],
        decode: Decode::Full,
    };
    let mut random = stream(1, 0, sample, Purpose::Augmentation);
    augmentation
        .view(&RgbImage::black(size, size), &preprocessing, &mut random)
        .unwrap()
}

/// Width and height of what is not black, and how many of its values are not 0.
fn erased(view: &RgbImage) -> Option<(usize, usize, usize)> {
    let coloured = |index: &usize| view.pixels[index * 3..][..3] != [0; 3];
    let places: Vec<usize> = (0..view.width * view.height).filter(coloured).collect();
    let span = |place: fn(usize, usize) -> usize| {
        let places = || places.iter().map(|index| place(*index, view.width));
        Some(places().max()? - places().min()? + 1)
    };
    let values = view.pixels.iter().filter(|value| **value > 0).count();
    Some((
        span(|index, width| index % width)?,
        span(|index, width| index / width)?,
        values,
    ))
}

#[test]
fn erased_rectangles_have_the_area_and_shape_of_the_paper() {
    let mut areas = 0.0;
    for sample in 0..500 {
        let (width, height, values) = erased(&view(1.0, SIZE, sample)).unwrap();
        let area = (width * height) as f64 / (SIZE * SIZE) as f64;
        let ratio = width as f64 / height as f64;
        // Sides are whole pixels.
        assert!((0.015..0.345).contains(&area), "{area}");
        assert!((0.26..3.8).contains(&ratio), "{ratio}");
        let filled = values as f64 / (width * height * 3) as f64;
        assert!(filled > 0.95, "one of 256 bytes is 0: {filled}");
        areas += area;
    }
    assert!((areas / 500.0 - 0.175).abs() < 0.01, "{}", areas / 500.0);
}

#[test]
fn what_is_erased_is_filled_with_every_byte_alike() {
    let mut counts = [0usize; 256];
    for sample in 0..100 {
        for value in view(1.0, SIZE, sample).pixels {
            counts[usize::from(value)] += 1;
        }
    }
    // 0 is also the rest of the picture.
    let total: usize = counts[1..].iter().sum();
    for count in &counts[1..] {
        let share = *count as f64 / total as f64 * 255.0;
        assert!((share - 1.0).abs() < 0.15, "{share}");
    }
}

#[test]
fn the_probability_decides_how_many_are_erased() {
    let count = |erase| {
        let views = (0..1000).map(|sample| view(erase, 16, sample));
        views.filter(|view| erased(view).is_some()).count()
    };
    assert_eq!(count(0.0), 0);
    assert!((200..300).contains(&count(0.25)), "{} of 1000", count(0.25));
    assert_eq!(count(1.0), 1000);
}

/// Of one pixel, no rectangle of a third can be taken.
#[test]
fn any_size_can_be_erased() {
    for size in 1..6 {
        for sample in 0..50 {
            assert_eq!(view(1.0, size, sample).width, size);
        }
    }
}
