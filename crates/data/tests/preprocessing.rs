//! A network sees in evaluation exactly the pixels of torchvision's transforms.

mod common;

use common::{distance, fixture, golden};
use proptest::prelude::*;
use warmstart_data::{
    Decode, Fit, Interpolation, Preprocessing, Region, RgbImage, decode, evaluation_pixels, resize,
};

fn preprocessing(resize: usize, crop: usize, interpolation: Interpolation) -> Preprocessing {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    Preprocessing {
        resize,
        crop,
        fit: Fit::Crop,
        decode: Decode::Full,
        interpolation,
        mean,
        std,
    }
}

/// The picture of `pattern` in make_preprocessing.py.
fn pattern(width: usize, height: usize) -> RgbImage {
    let mut image = RgbImage::black(width, height);
    let mut values = image.pixels.iter_mut();
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let slope = (x * (3 + channel) + y * (5 - channel)) / 4;
                let squares = (x / 16 * 37 + y / 16 * 59) * (channel + 1);
                *values.next().unwrap() = ((slope + squares) % 256) as u8;
            }
        }
    }
    image
}

#[test]
fn resize_and_centre_crop_equal_torchvision_exactly() {
    let (linear, cubic) = (Interpolation::Bilinear, Interpolation::Bicubic);
    let (rgb, tiny) = (golden("decoded/rgb.png"), golden("decoded/tiny.png"));
    let mut cases = vec![
        (
            "rgb_256_224".to_owned(),
            rgb.clone(),
            preprocessing(256, 224, linear),
        ),
        (
            "tiny_64_56".to_owned(),
            tiny.clone(),
            preprocessing(64, 56, linear),
        ),
        (
            "tiny_64_56_bicubic".to_owned(),
            tiny,
            preprocessing(64, 56, cubic),
        ),
        // A crop larger than the picture is padded with black.
        ("rgb_33_40".to_owned(), rgb, preprocessing(33, 40, linear)),
    ];
    for (width, height) in [(900, 700), (301, 203), (203, 301)] {
        let name = format!("pattern_{width}x{height}_73_64");
        let image = pattern(width, height);
        cases.push((
            format!("{name}_bicubic"),
            image.clone(),
            preprocessing(73, 64, cubic),
        ));
        cases.push((name, image, preprocessing(73, 64, linear)));
    }
    for (name, image, preprocessing) in cases {
        let cropped = preprocessing.fitted(&image).unwrap();
        assert_eq!(
            distance(&cropped, &golden(&format!("resized/{name}"))).0,
            0,
            "{name}"
        );
    }
}

#[test]
fn a_region_is_resized_as_if_it_had_been_cut_out_first() {
    let image = pattern(301, 203);
    let region = Region {
        left: 57,
        top: 31,
        width: 143,
        height: 90,
    };
    let window = Region {
        left: 0,
        top: 0,
        width: 48,
        height: 48,
    };
    for (name, filter) in [
        ("region", Interpolation::Bilinear),
        ("region_bicubic", Interpolation::Bicubic),
    ] {
        let resized = resize(&image, region, (48, 48), window, filter);
        assert_eq!(
            distance(&resized, &golden(&format!("resized/{name}"))).0,
            0,
            "{name}"
        );
    }
}

/// End to end, the decoder's differences are averaged away by the shrinking.
#[test]
fn a_photo_sized_jpeg_equals_torchvision_within_two_levels() {
    let image = decode(&fixture("images/large.jpg")).unwrap();
    let cropped = preprocessing(256, 224, Interpolation::Bilinear)
        .fitted(&image)
        .unwrap();
    let (max, mean) = distance(&cropped, &golden("resized/large_256_224"));
    assert!(max <= 2 && mean <= 0.2, "max {max}, mean {mean}");
}

#[test]
fn a_window_is_the_same_part_of_the_whole_result() {
    let image = pattern(97, 61);
    let size = (50, 70);
    let all = Region {
        left: 0,
        top: 0,
        width: 50,
        height: 70,
    };
    let whole = resize(&image, image.bounds(), size, all, Interpolation::Bicubic);
    let window = Region {
        left: 13,
        top: 29,
        width: 20,
        height: 31,
    };
    let part = resize(&image, image.bounds(), size, window, Interpolation::Bicubic);
    for y in 0..31 {
        assert_eq!(part.row(y), &whole.row(29 + y)[13 * 3..33 * 3]);
    }
}

#[test]
fn the_same_size_leaves_the_picture_untouched() {
    let image = pattern(37, 21);
    for filter in [Interpolation::Bilinear, Interpolation::Bicubic] {
        assert_eq!(
            resize(&image, image.bounds(), (37, 21), image.bounds(), filter),
            image
        );
    }
}

#[test]
fn values_are_normalised_per_channel_in_height_width_channel_order() {
    let mut image = RgbImage::black(2, 1);
    image.pixels = vec![0, 128, 255, 255, 0, 64];
    let values = preprocessing(1, 1, Interpolation::Bilinear).normalized(&image);
    // torchvision 0.29.2: Normalize(mean, std)(to_tensor(image)).permute(1, 2, 0)
    let expected = [
        -2.117904, 0.2051822, 2.64, 2.2489083, -2.0357144, -0.6889759,
    ];
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
    }
    assert_eq!(values.len(), 6);
}

#[test]
fn evaluation_pixels_fill_the_input_of_the_network() {
    let path = fixture("images/grey_alpha.png");
    let preprocessing = preprocessing(256, 224, Interpolation::Bicubic);
    let values = evaluation_pixels(&path, &preprocessing).unwrap();
    assert_eq!(values.len(), 224 * 224 * 3);
    assert!(values.iter().all(|value| value.is_finite()));
}

#[test]
fn preprocessing_survives_the_model_file() {
    let written = preprocessing(235, 224, Interpolation::Bicubic);
    let text = serde_json::to_string(&written).unwrap();
    assert!(text.contains(r#""interpolation":"bicubic""#), "{text}");
    assert_eq!(
        serde_json::from_str::<Preprocessing>(&text).unwrap(),
        written
    );
}

#[test]
fn impossible_preprocessing_is_refused() {
    let good = preprocessing(256, 224, Interpolation::Bilinear);
    let image = pattern(8, 8);
    for (bad, message) in [
        (
            Preprocessing {
                resize: 0,
                ..good.clone()
            },
            "resize is 0; expected 1 to 16384",
        ),
        (
            Preprocessing {
                crop: 1 << 40,
                ..good.clone()
            },
            "crop is 1099511627776; expected 1 to 16384",
        ),
        (
            Preprocessing {
                std: [1.0, 0.0, 1.0],
                ..good.clone()
            },
            "std is [1.0, 0.0, 1.0]; expected positive numbers",
        ),
        (
            Preprocessing {
                mean: [f32::NAN, 0.0, 1.0],
                ..good
            },
            "mean is [NaN, 0.0, 1.0]; expected finite numbers",
        ),
    ] {
        assert_eq!(bad.fitted(&image).unwrap_err().to_string(), message);
    }
}

proptest! {
    /// Weights that sum to one leave a flat picture flat, whatever the sizes.
    #[test]
    fn a_flat_picture_stays_flat(
        width in 1usize..90, height in 1usize..90, size in 1usize..60, value in any::<u8>(),
        cubic in any::<bool>(),
    ) {
        let filter = if cubic { Interpolation::Bicubic } else { Interpolation::Bilinear };
        let image = RgbImage { width, height, pixels: vec![value; width * height * 3] };
        let result = preprocessing(size, size, filter).fitted(&image).unwrap();
        prop_assert_eq!(result.pixels, vec![value; size * size * 3]);
    }
}
