//! A JPEG decoded at a fraction of its size shows what the whole one shows, whatever the file.

#[allow(dead_code, reason = "each test file uses its share")]
mod common;
#[path = "common/scenes.rs"]
mod scenes;

use common::{distance, fixture};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use warmstart_data::random::Purpose;
use warmstart_data::{
    Augmentation, Decode, DecodedPicture, Fit, Interpolation, Preprocessing, Region, RgbImage,
    ScenePlan, decode, jpeg, letterboxed, letterboxed_picture, resize, stream, training_pixels,
};

const FILTER: Interpolation = Interpolation::Bilinear;

fn scaled(fit: Fit, size: usize) -> Preprocessing {
    Preprocessing {
        resize: size,
        crop: size,
        fit,
        decode: Decode::Scaled,
        interpolation: FILTER,
        mean: [0.0; 3],
        std: [1.0; 3],
    }
}

fn image(name: &str) -> PathBuf {
    fixture(&format!("images/{name}"))
}

/// A picture decoded with its sides divided.
fn divided(path: &Path, divisor: usize) -> DecodedPicture {
    let whole = decode(path).unwrap();
    let shorter = whole.width.min(whole.height);
    let picture = scaled(Fit::Squash, shorter / divisor)
        .decoded(path)
        .unwrap();
    assert_eq!(picture.size, (whole.width, whole.height));
    picture
}

/// Means of squares of so many pixels; those at the right and the bottom are of what is there.
fn averaged(image: &RgbImage, side: usize) -> RgbImage {
    let mut small = RgbImage::black(image.width.div_ceil(side), image.height.div_ceil(side));
    for (place, value) in small.pixels.iter_mut().enumerate() {
        let (pixel, channel) = (place / 3, place % 3);
        let across = image.width.div_ceil(side);
        let (left, top) = (pixel % across * side, pixel / across * side);
        let rows = top..(top + side).min(image.height);
        let columns = left..(left + side).min(image.width);
        let count = rows.len() * columns.len();
        let values = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
        let sum: usize = values
            .map(|(x, y)| usize::from(image.row(y)[x * 3 + channel]))
            .sum();
        *value = ((sum + count / 2) / count) as u8;
    }
    small
}

/// The light of each pixel, three times (ITU-R BT.601).
fn in_grey(image: &RgbImage) -> RgbImage {
    let (pixels, _) = image.pixels.as_chunks::<3>();
    let grey = pixels.iter().flat_map(|[red, green, blue]| {
        let [red, green, blue] = [red, green, blue].map(|value| u32::from(*value));
        [((299 * red + 587 * green + 114 * blue + 500) / 1000) as u8; 3]
    });
    RgbImage {
        pixels: grey.collect(),
        ..*image
    }
}

/// Slow waves, as most of a photograph is.
fn waves(width: usize, height: usize) -> RgbImage {
    let mut image = RgbImage::black(width, height);
    for (place, value) in image.pixels.iter_mut().enumerate() {
        let (pixel, channel) = (place / 3, (place % 3) as f64);
        let (x, y) = ((pixel % width) as f64, (pixel / width) as f64);
        let wave = (x / (31.0 + channel) + channel).sin() * (y / (23.0 - channel)).cos();
        *value = (128.0 + 90.0 * wave).round() as u8;
    }
    image
}

fn written(folder: &tempfile::TempDir, image: &RgbImage) -> PathBuf {
    let path = folder.path().join("picture.jpg");
    std::fs::write(&path, jpeg(image, 95)).unwrap();
    path
}

#[test]
fn the_pixels_are_averages_of_the_whole_picture() {
    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(320, 240), (301, 203), (97, 130), (64, 65)] {
        let path = written(&folder, &waves(width, height));
        let whole = decode(&path).unwrap();
        for divisor in [2, 4, 8] {
            let picture = divided(&path, divisor).image;
            let (_, mean) = distance(&picture, &averaged(&whole, divisor));
            assert!(mean <= 1.5, "{width}×{height}/{divisor}: {mean}");
        }
    }
}

/// Where colour is stored at half the width and height, it has half those of the fraction, too, so it differs by more
/// than the light does.
#[test]
fn the_pixels_of_files_of_every_kind_are_close_to_averages_of_the_whole_picture() {
    for (name, light, colours) in [
        ("444_q75.jpg", [2.0, 2.5, 2.0], [2.5, 3.0, 2.5]),
        ("444_q95.jpg", [2.5, 4.0, 4.0], [3.0, 5.0, 5.0]),
        ("rgb_colours.jpg", [2.5, 4.0, 4.0], [3.0, 5.0, 5.0]),
        ("420_q75.jpg", [2.0, 2.5, 3.0], [3.0, 6.0, 13.0]),
        ("progressive.jpg", [2.0, 2.5, 3.0], [3.0, 6.0, 13.0]),
        ("large.jpg", [1.5, 2.0, 2.0], [2.0, 3.5, 7.0]),
        ("grey.jpg", [2.5, 4.0, 4.0], [2.5, 4.0, 4.0]),
    ] {
        let whole = decode(&image(name)).unwrap();
        for ((divisor, light), colours) in [2, 4, 8].into_iter().zip(light).zip(colours) {
            let picture = divided(&image(name), divisor).image;
            let expected = averaged(&whole, divisor);
            let (_, in_light) = distance(&in_grey(&picture), &in_grey(&expected));
            let (_, in_colours) = distance(&picture, &expected);
            assert!(
                in_light <= light && in_colours <= colours,
                "{name}/{divisor}: {in_light}, {in_colours}"
            );
        }
    }
}

#[test]
fn sides_are_divided_and_rounded_up_down_to_one_pixel() {
    let folder = tempfile::tempdir().unwrap();
    let colour = [200, 120, 40];
    for (width, height, divisor) in [
        (1, 64, 8),
        (64, 1, 8),
        (7, 129, 8),
        (33, 65, 4),
        (17, 16, 2),
        (100, 99, 2),
        (1, 1, 1),
        (255, 3, 8),
    ] {
        let flat = RgbImage {
            width,
            height,
            pixels: colour.repeat(width * height),
        };
        let path = written(&folder, &flat);
        let size = width.max(height) / divisor;
        let picture = scaled(Fit::Letterbox, size).decoded(&path).unwrap();
        assert_eq!(picture.size, (width, height));
        let found = (picture.image.width, picture.image.height);
        let expected = (width.div_ceil(divisor), height.div_ceil(divisor));
        assert_eq!(found, expected, "{width}×{height}/{divisor}");
        let expected = colour.repeat(expected.0 * expected.1);
        let pairs = picture.image.pixels.iter().zip(&expected);
        let largest = pairs.map(|(a, b)| a.abs_diff(*b)).max();
        assert!(largest <= Some(4), "{width}×{height}: {largest:?}");
    }
}

#[test]
fn exif_orientation_is_applied() {
    for orientation in 1..=8 {
        let path = image(&format!("turned_{orientation}.jpg"));
        let whole = decode(&path).unwrap();
        let picture = divided(&path, 2).image;
        let (width, height) = (picture.width, picture.height);
        assert_eq!(width, whole.width.div_ceil(2));
        assert_eq!(height, whole.height.div_ceil(2));
        let window = Region {
            left: 0,
            top: 0,
            width,
            height,
        };
        let expected = resize(&whole, whole.bounds(), (width, height), window, FILTER);
        let (_, mean) = distance(&picture, &expected);
        assert!(mean <= 10.0, "{orientation}: {mean}");
    }
}

#[test]
fn other_files_are_decoded_fully() {
    for name in [
        "cmyk.jpg",
        "cmyk_undeclared.jpg",
        "ycck.jpg",
        "rgb.png",
        "rgb.bmp",
        "lossy.webp",
        "turned_6.png",
    ] {
        let whole = decode(&image(name)).unwrap();
        let picture = scaled(Fit::Squash, 1).decoded(&image(name)).unwrap();
        assert_eq!(picture, DecodedPicture::from(whole), "{name}");
    }
}

#[test]
fn a_picture_that_is_not_far_larger_than_needed_is_decoded_fully() {
    let path = image("large.jpg");
    let whole = DecodedPicture::from(decode(&path).unwrap());
    assert_eq!(scaled(Fit::Crop, 400).decoded(&path).unwrap(), whole);
    let full = Preprocessing {
        decode: Decode::Full,
        ..scaled(Fit::Crop, 32)
    };
    assert_eq!(full.decoded(&path).unwrap(), whole);
}

#[test]
fn a_network_sees_nearly_what_it_sees_of_the_whole_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, &waves(640, 480));
    let mean_difference = |a: &[f32], b: &[f32]| {
        let pairs = a.iter().zip(b);
        let sum: f32 = pairs.map(|(a, b)| (a - b).abs()).sum();
        255.0 * sum / a.len() as f32
    };
    for fit in [Fit::Crop, Fit::Squash, Fit::Letterbox] {
        let scaled = scaled(fit, 48);
        let full = Preprocessing {
            decode: Decode::Full,
            ..scaled.clone()
        };
        let [small, whole] = [&scaled, &full]
            .map(|preprocessing| warmstart_data::evaluation_pixels(&path, preprocessing).unwrap());
        let difference = mean_difference(&small, &whole);
        assert!(difference < 2.0, "{fit}: {difference}");
        // The whole picture as every view, so that the two draw alike.
        let augmentation = Augmentation {
            scale: [1.0, 1.0],
            ratio: [4.0 / 3.0, 4.0 / 3.0],
            flip: 0.0,
            ..Augmentation::default()
        };
        let view = |preprocessing: &Preprocessing| {
            let mut random = stream(1, 1, 1, Purpose::Augmentation);
            training_pixels(&path, preprocessing, &augmentation, &mut random).unwrap()
        };
        if fit == Fit::Crop {
            let difference = mean_difference(&view(&scaled), &view(&full));
            assert!(difference < 2.0, "{difference}");
        }
    }
}

#[test]
fn a_smaller_picture_lies_on_the_canvas_where_the_whole_one_lies() {
    let path = image("large.jpg");
    let whole = decode(&path).unwrap();
    let picture = scaled(Fit::Letterbox, 100).decoded(&path).unwrap();
    assert_eq!((picture.image.width, picture.size.0), (113, 900));
    let small = letterboxed_picture(&picture, 100, FILTER);
    let expected = letterboxed(&whole, 100, FILTER);
    for row in [0, 10, 11, 88, 89, 99] {
        let is_grey = |image: &RgbImage| image.row(row).iter().all(|value| *value == 114);
        assert_eq!(is_grey(&small), is_grey(&expected), "{row}");
    }
    let (_, mean) = distance(&in_grey(&small), &in_grey(&expected));
    assert!(mean <= 3.0, "{mean}");
}

#[test]
fn boxes_of_a_view_are_those_of_the_whole_picture() {
    let mut scenes = vec![scenes::sample(
        900,
        700,
        vec![scenes::object(0, scenes::bounds(90.0, 70.0, 450.0, 350.0))],
    )];
    scenes[0].path = image("large.jpg");
    let plan = ScenePlan::draw(0, &scenes, &scenes::plain(), 96, 1, 1);
    let objects = plan.objects();
    let view = plan.render_files(&scaled(Fit::Letterbox, 96)).unwrap();
    let expected = plan
        .render(FILTER, |sample| decode(&scenes[sample].path))
        .unwrap();
    let (_, mean) = distance(&in_grey(&view), &in_grey(&expected));
    assert!(mean <= 3.0, "{mean}");
    assert_eq!(objects.len(), 1);
    assert_eq!(plan.objects()[0].bounds, objects[0].bounds);
    scenes[0].label.width = 901;
    let plan = ScenePlan::draw(0, &scenes, &scenes::plain(), 96, 1, 1);
    let error = plan.render_files(&scaled(Fit::Letterbox, 96)).unwrap_err();
    assert!(error.to_string().contains("900 x 700"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What the decoder of whole pictures reads is read at a fraction, too.
    #[test]
    fn damaged_files_end_as_a_picture_or_an_error(
        name in prop_oneof![
            Just("420_q95.jpg"), Just("progressive.jpg"), Just("restart.jpg"), Just("grey.jpg"),
            Just("rgb_colours.jpg"),
        ],
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        side in 1usize..40,
    ) {
        let mut bytes = std::fs::read(image(name)).unwrap();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let whole = warmstart_data::decode_bytes(&bytes);
        let small = scaled(Fit::Squash, side).decoded_bytes(&bytes);
        if let Ok(whole) = whole {
            let small = small.expect("what is read as a whole");
            prop_assert_eq!(small.size, (whole.width, whole.height));
        } else if let Ok(small) = small {
            let RgbImage { width, height, ref pixels } = small.image;
            prop_assert_eq!(pixels.len(), width * height * 3);
        }
    }
}
