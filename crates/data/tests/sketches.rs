//! Copies are recognised, and different pictures are not taken for copies.

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use std::f64::consts::TAU;
use std::path::Path;
use warmstart_data::{
    Interpolation, RgbImage, Sample, Sketch, check, decode, decode_bytes, resize, save_picture,
};

/// A picture from a function of x and y, both 0 to 1.
fn picture(width: usize, height: usize, color: impl Fn(f64, f64) -> [u8; 3]) -> RgbImage {
    let mut image = RgbImage::black(width, height);
    for (index, pixel) in image.pixels.chunks_mut(3).enumerate() {
        let x = (index % width) as f64 + 0.5;
        let y = (index / width) as f64 + 0.5;
        pixel.copy_from_slice(&color(x / width as f64, y / height as f64));
    }
    image
}

/// Hills and stripes of three colours, in places that depend on `salt`.
fn landscape(width: usize, height: usize, salt: f64) -> RgbImage {
    picture(width, height, |x, y| {
        let wave = |turns: f64, along: f64| (TAU * (turns * along + salt)).sin();
        let level = |value: f64| (128.0 + 100.0 * value).clamp(0.0, 255.0) as u8;
        [
            level(wave(1.3, x) * wave(0.9, y)),
            level(wave(2.1, x + y) * 0.8),
            level(wave(0.7, y - x) + 0.1 * wave(40.0, x)),
        ]
    })
}

/// A disk on white.
fn disk(center: (f64, f64), color: [u8; 3]) -> RgbImage {
    picture(64, 64, |x, y| {
        if (x - center.0).hypot(y - center.1) < 0.3 {
            color
        } else {
            [255; 3]
        }
    })
}

fn photograph() -> RgbImage {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    decode(&folder.join("tests/fixtures/images/large.jpg")).unwrap()
}

fn resized(image: &RgbImage, width: usize, height: usize) -> RgbImage {
    let window = RgbImage::black(width, height).bounds();
    let filter = Interpolation::Bicubic;
    resize(image, image.bounds(), (width, height), window, filter)
}

fn recompressed(image: &RgbImage, quality: u8) -> RgbImage {
    let mut bytes = Vec::new();
    let (width, height) = (image.width as u32, image.height as u32);
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .encode(&image.pixels, width, height, ExtendedColorType::Rgb8)
        .unwrap();
    decode_bytes(&bytes).unwrap()
}

fn brightened(image: &RgbImage, levels: u8) -> RgbImage {
    let mut brighter = image.clone();
    for value in &mut brighter.pixels {
        *value = value.saturating_add(levels);
    }
    brighter
}

fn alike(a: &RgbImage, b: &RgbImage) -> bool {
    Sketch::of(a).is_near_duplicate_of(&Sketch::of(b))
}

#[test]
fn copies_are_found() {
    for original in [
        landscape(300, 200, 0.0),
        landscape(900, 1200, 0.4),
        landscape(64, 64, 0.7),
        disk((0.5, 0.5), [250, 200, 40]),
        photograph(),
    ] {
        let half = resized(&original, original.width / 2, original.height / 2);
        for (what, copy) in [
            ("the same", original.clone()),
            ("halved", half.clone()),
            ("squeezed into a square", resized(&original, 224, 224)),
            ("at quality 60", recompressed(&original, 60)),
            ("halved, at quality 60", recompressed(&half, 60)),
            ("brighter", brightened(&original, 10)),
        ] {
            assert!(alike(&original, &copy), "{what}");
        }
    }
}

#[test]
fn another_place_another_color_or_another_brightness_is_another_picture() {
    let yellow = disk((0.5, 0.5), [250, 200, 40]);
    for (what, other) in [
        ("place", disk((0.4, 0.5), [250, 200, 40])),
        ("color", disk((0.5, 0.5), [40, 200, 250])),
        ("brightness", disk((0.5, 0.5), [190, 140, 20])),
        ("nothing", disk((2.0, 2.0), [0; 3])),
    ] {
        assert!(!alike(&yellow, &other), "{what}");
    }
}

#[test]
fn pale_pictures_differ_by_their_shapes() {
    let pale = |x: f64| [230 + (22.0 * x) as u8; 3];
    let to_the_right = picture(90, 90, |x, _| pale(x));
    let to_the_left = picture(90, 90, |x, _| pale(1.0 - x));
    let downwards = picture(90, 90, |_, y| pale(y));
    assert!(!alike(&to_the_right, &to_the_left));
    assert!(!alike(&to_the_right, &downwards));
}

#[test]
fn pictures_that_differ_are_not_copies() {
    let pictures: Vec<Sketch> = (0..100)
        .map(|salt| Sketch::of(&landscape(80, 60, f64::from(salt) / 100.0)))
        .collect();
    for (index, picture) in pictures.iter().enumerate() {
        // A hundredth of a turn is nearly nothing to see; a tenth is another picture.
        for other in &pictures[(index + 10).min(100)..(index + 90).min(100)] {
            assert!(!picture.is_near_duplicate_of(other), "{index}");
        }
    }
}

#[test]
fn the_hash_says_where_it_gets_brighter_to_the_right_and_below() {
    let right = Sketch::of(&picture(90, 90, |x, _| [(x * 255.0) as u8; 3]));
    assert_eq!(right.hash, u128::from(u64::MAX) << 64);
    let below = Sketch::of(&picture(90, 900, |_, y| [(y * 255.0) as u8; 3]));
    assert_eq!(below.hash, u128::from(u64::MAX));
    assert_eq!(Sketch::of(&landscape(1, 1, 0.0)).hash, 0);
}

#[test]
fn the_thumbnail_holds_the_mean_colors_of_its_cells() {
    let quarters = picture(16, 16, |x, y| {
        [255 * u8::from(x > 0.5), 255 * u8::from(y > 0.5), 7]
    });
    let sketch = Sketch::of(&quarters);
    assert_eq!((sketch.width, sketch.height), (16, 16));
    assert_eq!(sketch.thumbnail[0], [0, 0, 7]);
    assert_eq!(sketch.thumbnail[7], [255, 0, 7]);
    assert_eq!(sketch.thumbnail[56], [0, 255, 7]);
    assert_eq!(sketch.thumbnail[63], [255, 255, 7]);
}

#[test]
fn pictures_of_a_few_pixels_and_long_ones_have_a_sketch() {
    for (width, height) in [(1, 1), (1, 3000), (3000, 1), (7, 5), (145, 145)] {
        let sketch = Sketch::of(&picture(width, height, |_, _| [9, 99, 199]));
        assert_eq!((sketch.width, sketch.height), (width, height));
        assert_eq!(sketch.hash, 0);
        assert_eq!(sketch.thumbnail, [[9, 99, 199]; 64]);
    }
}

#[test]
fn check_sketches_what_can_be_read_in_the_same_order() {
    let dir = tempfile::tempdir().unwrap();
    let pictures: Vec<RgbImage> = (1..4)
        .map(|n| landscape(20 * n, 30, n as f64 / 7.0))
        .collect();
    let mut samples = Vec::new();
    for (label, picture) in pictures.iter().enumerate() {
        let path = dir.path().join(format!("{label}.png"));
        save_picture(&path, picture).unwrap();
        samples.push(Sample { path, label });
    }
    std::fs::write(&samples[1].path, b"damaged").unwrap();
    let checked = check(samples.clone(), |_, _| ());
    assert_eq!(checked.readable, [samples[0].clone(), samples[2].clone()]);
    let expected = [&pictures[0], &pictures[2]].map(Sketch::of);
    assert_eq!(checked.sketches, expected);
}
