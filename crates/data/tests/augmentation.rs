//! Random views: what they may contain, how they are drawn, and torchvision's colours.

mod common;

use common::{distance, fixture, golden};
use warmstart_data::random::Purpose;
use warmstart_data::{
    Adjustment, Augmentation, Decode, Fit, Interpolation, Preprocessing, Region, RgbImage, adjust,
    resize, stream, training_pixels,
};

const PREPROCESSING: Preprocessing = Preprocessing {
    resize: 40,
    crop: 32,
    fit: Fit::Crop,
    decode: Decode::Full,
    interpolation: Interpolation::Bilinear,
    mean: [0.5; 3],
    std: [0.5; 3],
};

fn plain() -> Augmentation {
    Augmentation {
        scale: [1.0, 1.0],
        ratio: [1.0, 1.0],
        flip: 0.0,
        ..Augmentation::default()
    }
}

fn random(sample: u64) -> warmstart_data::random::ChaCha8Rng {
    stream(1, 0, sample, Purpose::Augmentation)
}

#[test]
fn a_crop_has_the_area_and_shape_that_were_asked_for() {
    let augmentation = Augmentation {
        scale: [0.2, 0.5],
        ..Augmentation::default()
    };
    let (width, height) = (300, 200);
    let regions: Vec<Region> = (0..500)
        .map(|sample| augmentation.random_region(width, height, &mut random(sample)))
        .collect();
    for region in &regions {
        assert!(region.left + region.width <= width && region.top + region.height <= height);
        let area = (region.width * region.height) as f64 / (width * height) as f64;
        let ratio = region.width as f64 / region.height as f64;
        // Sides are whole pixels.
        assert!((0.19..0.51).contains(&area), "{region:?}");
        assert!((0.74..1.35).contains(&ratio), "{region:?}");
    }
    let mean = |value: fn(&Region) -> f64| regions.iter().map(value).sum::<f64>() / 500.0;
    let area = mean(|region| (region.width * region.height) as f64) / 60_000.0;
    assert!((area - 0.35).abs() < 0.01, "areas are uniform: mean {area}");
    let center = mean(|region| region.left as f64 + region.width as f64 / 2.0);
    assert!(
        (center - 150.0).abs() < 6.0,
        "places are uniform: mean {center}"
    );
}

/// No square of the whole area fits into a 100 × 10 strip; the widest allowed centre does.
#[test]
fn a_shape_that_never_fits_gives_the_central_region() {
    let augmentation = Augmentation {
        scale: [1.0, 1.0],
        ..Augmentation::default()
    };
    let region = augmentation.random_region(100, 10, &mut random(0));
    assert_eq!(
        region,
        Region {
            left: 43,
            top: 0,
            width: 13,
            height: 10
        }
    );
    let region = augmentation.random_region(10, 100, &mut random(0));
    assert_eq!(
        region,
        Region {
            left: 0,
            top: 43,
            width: 10,
            height: 13
        }
    );
    let region = augmentation.random_region(1, 1, &mut random(0));
    assert_eq!(
        region,
        Region {
            left: 0,
            top: 0,
            width: 1,
            height: 1
        }
    );
}

#[test]
fn a_flip_mirrors_left_and_right() {
    let image = golden("decoded/444_q75.jpg");
    let square = RgbImage {
        width: 200,
        height: 200,
        pixels: square_of(&image),
    };
    let straight = plain()
        .view(&square, &PREPROCESSING, &mut random(0))
        .unwrap();
    let always = Augmentation {
        flip: 1.0,
        ..plain()
    };
    let flipped = always
        .view(&square, &PREPROCESSING, &mut random(0))
        .unwrap();
    assert_ne!(straight, flipped);
    for y in 0..32 {
        let mirrored: Vec<u8> = flipped.row(y).rchunks(3).flatten().copied().collect();
        assert_eq!(mirrored, straight.row(y));
    }
}

fn square_of(image: &RgbImage) -> Vec<u8> {
    (0..200)
        .flat_map(|y| image.row(y)[..600].to_vec())
        .collect()
}

#[test]
fn half_of_the_views_are_flipped() {
    let mut image = RgbImage::black(2, 2);
    image.pixels[..3].fill(255);
    image.pixels[6..9].fill(255);
    let augmentation = Augmentation {
        flip: 0.5,
        ..plain()
    };
    let preprocessing = Preprocessing {
        crop: 2,
        ..PREPROCESSING
    };
    let flipped = (0..1000)
        .filter(|sample| {
            let view = augmentation.view(&image, &preprocessing, &mut random(*sample));
            view.unwrap().pixels[0] == 0
        })
        .count();
    assert!((450..550).contains(&flipped), "{flipped} of 1000");
}

/// The whole picture, no flip, no jitter: training pixels are a plain resize.
#[test]
fn without_randomness_a_view_is_a_resize() {
    let image = golden("decoded/rgb.png");
    let augmentation = Augmentation {
        ratio: [1.5, 1.7],
        ..plain()
    };
    let view = augmentation
        .view(&image, &PREPROCESSING, &mut random(3))
        .unwrap();
    let window = Region {
        left: 0,
        top: 0,
        width: 32,
        height: 32,
    };
    let region = augmentation.random_region(97, 61, &mut random(3));
    assert_eq!(
        view,
        resize(&image, region, (32, 32), window, Interpolation::Bilinear)
    );
}

#[test]
fn colours_change_as_in_torchvision() {
    let names = [
        (Adjustment::Brightness, "brightness", &[0.6, 1.4][..]),
        (Adjustment::Contrast, "contrast", &[0.6, 1.4]),
        (Adjustment::Saturation, "saturation", &[0.0, 0.6, 1.4]),
        (Adjustment::Hue, "hue", &[-0.3, 0.1]),
    ];
    for (adjustment, name, factors) in names {
        for factor in factors {
            let mut image = golden("decoded/rgb.png");
            adjust(&mut image, adjustment, *factor);
            let (max, _) = distance(&image, &golden(&format!("adjusted/{name}_{factor:?}")));
            assert_eq!(max, 0, "{name} {factor}");
        }
    }
}

#[test]
fn jitter_leaves_a_view_alone_only_when_it_is_off() {
    let image = golden("decoded/rgb.png");
    let view = |augmentation: Augmentation| {
        augmentation
            .view(&image, &PREPROCESSING, &mut random(5))
            .unwrap()
    };
    let off = view(plain());
    assert_eq!(off, view(plain()));
    for on in [
        Augmentation {
            brightness: 0.4,
            ..plain()
        },
        Augmentation {
            contrast: 0.4,
            ..plain()
        },
        Augmentation {
            saturation: 0.4,
            ..plain()
        },
        Augmentation {
            hue: 0.1,
            ..plain()
        },
    ] {
        assert_ne!(off, view(on));
    }
}

#[test]
fn the_stream_decides_the_view() {
    let path = fixture("images/rgb.png");
    let augmentation = Augmentation {
        brightness: 0.4,
        hue: 0.1,
        ..Augmentation::default()
    };
    let pixels = |epoch, sample| {
        let mut random = stream(7, epoch, sample, Purpose::Augmentation);
        training_pixels(&path, &PREPROCESSING, &augmentation, &mut random).unwrap()
    };
    assert_eq!(pixels(2, 5), pixels(2, 5));
    assert_ne!(pixels(2, 5), pixels(3, 5));
    assert_ne!(pixels(2, 5), pixels(2, 6));
    assert_eq!(pixels(2, 5).len(), 32 * 32 * 3);
}

#[test]
fn impossible_augmentation_is_refused() {
    let image = RgbImage::black(4, 4);
    for (bad, message) in [
        (
            Augmentation {
                scale: [0.5, 0.2],
                ..plain()
            },
            "scale is [0.5, 0.2]; expected 0 < smallest <= largest <= 1",
        ),
        (
            Augmentation {
                ratio: [0.0, 1.0],
                ..plain()
            },
            "ratio is [0.0, 1.0]; expected 0 < narrowest <= widest, finite",
        ),
        (
            Augmentation {
                flip: f64::NAN,
                ..plain()
            },
            "flip is NaN; expected 0 to 1",
        ),
        (
            Augmentation {
                hue: 0.6,
                ..plain()
            },
            "hue is 0.6; expected 0 to 0.5",
        ),
        (
            Augmentation {
                rand_augment: 10.5,
                ..plain()
            },
            "rand_augment is 10.5; expected 0 to 10",
        ),
        (
            Augmentation {
                erase: -0.1,
                ..plain()
            },
            "erase is -0.1; expected 0 to 1",
        ),
        (
            Augmentation {
                mixup: 3.0,
                ..plain()
            },
            "mixup is 3; expected 0 to 2",
        ),
        (
            Augmentation {
                cutmix: f64::INFINITY,
                ..plain()
            },
            "cutmix is inf; expected 0 to 2",
        ),
    ] {
        let error = bad
            .view(&image, &PREPROCESSING, &mut random(0))
            .unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_recipe_may_name_only_what_it_changes() {
    let read: Augmentation = serde_json::from_str(r#"{"hue": 0.1}"#).unwrap();
    assert_eq!(
        read,
        Augmentation {
            hue: 0.1,
            ..Augmentation::default()
        }
    );
    assert!(serde_json::from_str::<Augmentation>(r#"{"hew": 0.1}"#).is_err());
    let written = serde_json::to_string(&read).unwrap();
    assert_eq!(
        serde_json::from_str::<Augmentation>(&written).unwrap(),
        read
    );
}

/// A seed keeps its views when options are added: these are from before RandAugment.
#[test]
fn the_views_of_a_seed_stay() {
    let image = golden("decoded/rgb.png");
    let jitter = Augmentation {
        brightness: 0.4,
        contrast: 0.4,
        saturation: 0.4,
        hue: 0.1,
        ..Augmentation::default()
    };
    let mut pixels = Vec::new();
    for sample in 0..50 {
        for augmentation in [&Augmentation::default(), &jitter] {
            let view = augmentation.view(&image, &PREPROCESSING, &mut random(sample));
            pixels.extend(view.unwrap().pixels);
        }
    }
    let digest = blake3::hash(&pixels).to_hex();
    assert_eq!(&digest[..16], "b40bd82a32240227");
}
