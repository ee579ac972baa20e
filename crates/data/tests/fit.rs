//! The ways to fit a picture of any shape to a square, in evaluation and in random views.

use proptest::prelude::*;
use warmstart_data::random::Purpose;
use warmstart_data::{
    Augmentation, Decode, Fit, Interpolation, Preprocessing, Region, RgbImage, letterboxed, resize,
    stream,
};

const GREY: [u8; 3] = [114; 3];
const RED: [u8; 3] = [255, 0, 0];

fn preprocessing(fit: Fit) -> Preprocessing {
    Preprocessing {
        resize: 32,
        crop: 32,
        fit,
        decode: Decode::Full,
        interpolation: Interpolation::Bilinear,
        mean: [0.5; 3],
        std: [0.5; 3],
    }
}

fn random(sample: u64) -> warmstart_data::random::ChaCha8Rng {
    stream(1, 0, sample, Purpose::Augmentation)
}

/// The whole of what the fit shows, unflipped.
fn whole() -> Augmentation {
    Augmentation {
        scale: [1.0, 1.0],
        ratio: [1.0, 1.0],
        flip: 0.0,
        ..Augmentation::default()
    }
}

/// A picture without two equal neighbours.
fn pattern(width: usize, height: usize) -> RgbImage {
    let value = |i: usize| (i * 89 + i / (width * 3) * 31) as u8;
    RgbImage {
        width,
        height,
        pixels: (0..width * height * 3).map(value).collect(),
    }
}

/// Blue, with a red object in the last tenth of its width.
fn object_at_the_end(width: usize, height: usize) -> RgbImage {
    let row = (0..width).flat_map(|x| if x * 10 < width * 9 { [0, 0, 255] } else { RED });
    let row: Vec<u8> = row.collect();
    RgbImage {
        width,
        height,
        pixels: row.repeat(height),
    }
}

fn shows(image: &RgbImage, color: [u8; 3]) -> bool {
    image.pixels.as_chunks().0.contains(&color)
}

fn squashed(image: &RgbImage, size: usize) -> RgbImage {
    let window = Region {
        left: 0,
        top: 0,
        width: size,
        height: size,
    };
    let filter = Interpolation::Bilinear;
    resize(image, image.bounds(), (size, size), window, filter)
}

#[test]
fn only_a_crop_loses_what_lies_at_the_end_of_a_long_picture() {
    let image = object_at_the_end(300, 100);
    for (fit, shown) in [
        (Fit::Crop, false),
        (Fit::Squash, true),
        (Fit::Letterbox, true),
    ] {
        let fitted = preprocessing(fit).fitted(&image).unwrap();
        assert_eq!(shows(&fitted, RED), shown, "{fit:?}");
        let view = whole().view(&image, &preprocessing(fit), &mut random(0));
        assert_eq!(shows(&view.unwrap(), RED), shown, "a view, {fit:?}");
    }
}

#[test]
fn squash_is_a_resize_of_the_whole_and_letterbox_that_of_detection() {
    let image = pattern(40, 19);
    let fitted = |fit| preprocessing(fit).fitted(&image).unwrap();
    assert_eq!(fitted(Fit::Squash), squashed(&image, 32));
    let letterbox = letterboxed(&image, 32, Interpolation::Bilinear);
    assert_eq!(fitted(Fit::Letterbox), letterbox);
    assert!(shows(&letterbox, GREY));
}

#[test]
fn a_square_picture_is_the_same_in_every_fit() {
    let image = pattern(50, 50);
    for fit in [Fit::Crop, Fit::Squash, Fit::Letterbox] {
        let fitted = preprocessing(fit).fitted(&image).unwrap();
        assert_eq!(fitted, squashed(&image, 32), "{fit:?}");
    }
    for sample in 0..20 {
        let view = |fit| {
            let random = &mut random(sample);
            Augmentation::default()
                .view(&image, &preprocessing(fit), random)
                .unwrap()
        };
        assert_eq!(view(Fit::Squash), view(Fit::Crop));
    }
}

/// Columns of the picture are their number, so the first and the last value of a view give its region.
#[test]
fn a_view_of_a_squashed_picture_takes_its_share_of_either_side() {
    let (width, height) = (240, 80);
    let mut image = RgbImage::black(width, height);
    for (index, pixel) in image.pixels.as_chunks_mut().0.iter_mut().enumerate() {
        *pixel = [(index % width) as u8, (index / width) as u8, 0];
    }
    let augmentation = Augmentation {
        scale: [0.25, 0.25],
        ..whole()
    };
    let shown = |sample| {
        let view = augmentation.view(&image, &preprocessing(Fit::Squash), &mut random(sample));
        let pixels = view.unwrap().pixels;
        let span = |channel: usize| pixels[pixels.len() - 3 + channel] - pixels[channel];
        [span(0), span(1)]
    };
    for sample in 0..50 {
        let [columns, rows] = shown(sample);
        assert!((112..=122).contains(&columns), "half of 240: {columns}");
        assert!((37..=42).contains(&rows), "half of 80: {rows}");
    }
}

#[test]
fn a_view_of_a_letterbox_always_shows_some_of_the_picture() {
    let image = RgbImage {
        width: 300,
        height: 10,
        pixels: vec![255; 300 * 10 * 3],
    };
    let augmentation = Augmentation {
        scale: [0.01, 0.3],
        ..Augmentation::default()
    };
    let views = (0..200).map(|sample| {
        let fit = preprocessing(Fit::Letterbox);
        augmentation
            .view(&image, &fit, &mut random(sample))
            .unwrap()
    });
    let mut with_grey = 0;
    for view in views {
        assert!(shows(&view, [255; 3]));
        with_grey += usize::from(shows(&view, GREY));
    }
    assert!(with_grey > 150, "{with_grey} of 200 have grey");
}

/// A region of the canvas is what is cut from a canvas that was painted as a whole.
#[test]
fn a_view_of_a_letterbox_is_a_part_of_its_canvas() {
    let image = pattern(64, 20);
    let canvas = letterboxed(&image, 64, Interpolation::Bilinear);
    // Regions of half the side at the size of the picture itself: no value between pixels.
    let augmentation = Augmentation {
        scale: [0.25, 0.25],
        ..whole()
    };
    for sample in 0..20 {
        let fit = preprocessing(Fit::Letterbox);
        let view = augmentation
            .view(&image, &fit, &mut random(sample))
            .unwrap();
        let part = |left: usize, top: usize| {
            (0..32).all(|y| view.row(y) == &canvas.row(top + y)[left * 3..(left + 32) * 3])
        };
        assert!((0..=32).any(|left| (0..=32).any(|top| part(left, top))));
    }
}

#[test]
fn model_files_from_before_there_was_a_choice_are_cropped() {
    let old = r#"{"resize": 40, "crop": 32, "interpolation": "bilinear",
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}"#;
    assert_eq!(
        serde_json::from_str::<Preprocessing>(old).unwrap().fit,
        Fit::Crop
    );
    for (fit, name) in [
        (Fit::Crop, "crop"),
        (Fit::Squash, "squash"),
        (Fit::Letterbox, "letterbox"),
    ] {
        let text = serde_json::to_string(&preprocessing(fit)).unwrap();
        assert!(text.contains(&format!(r#""fit":"{name}""#)), "{text}");
        let read: Preprocessing = serde_json::from_str(&text).unwrap();
        assert_eq!(read, preprocessing(fit));
    }
}

proptest! {
    /// With the whole region, the view is what evaluation sees.
    #[test]
    fn the_whole_region_is_the_fit(
        (width, height) in prop_oneof![
            (1usize..90, 1usize..90),
            Just((1, 1)),
            Just((1, 1000)),
            Just((1000, 1)),
        ],
        crop in 1usize..60,
    ) {
        let image = pattern(width, height);
        for fit in [Fit::Squash, Fit::Letterbox] {
            let fit = Preprocessing { crop, ..preprocessing(fit) };
            let view = whole().view(&image, &fit, &mut random(0)).unwrap();
            prop_assert_eq!(view, fit.fitted(&image).unwrap());
        }
    }

    #[test]
    fn any_picture_has_views(
        (width, height) in prop_oneof![
            (1usize..90, 1usize..90),
            Just((1, 1)),
            Just((1, 1000)),
            Just((1000, 1)),
        ],
        crop in 1usize..60,
        smallest in 0.001..1.0f64,
        sample in any::<u64>(),
    ) {
        let augmentation = Augmentation { scale: [smallest, 1.0], ..Augmentation::default() };
        for fit in [Fit::Crop, Fit::Squash, Fit::Letterbox] {
            let fit = Preprocessing { crop, ..preprocessing(fit) };
            let view = augmentation.view(&pattern(width, height), &fit, &mut random(sample)).unwrap();
            prop_assert_eq!(view.pixels.len(), crop * crop * 3);
        }
    }
}
