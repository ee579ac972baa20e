//! Boxes and captions on pictures, crops, and pictures in files.

use proptest::prelude::*;
use std::collections::HashSet;
use std::fs;
use warmstart_data::{
    BoundingBox, DataError, DrawnBox, RgbImage, crop, decode, draw_boxes, save_picture,
};

/// Neither text nor the colour of any class.
const GREY: u8 = 128;

fn grey(width: usize, height: usize) -> RgbImage {
    RgbImage {
        width,
        height,
        pixels: vec![GREY; width * height * 3],
    }
}

fn bounds(left: f64, top: f64, right: f64, bottom: f64) -> BoundingBox {
    BoundingBox {
        left,
        top,
        right,
        bottom,
    }
}

fn drawn(bounds: BoundingBox, class: usize, caption: &str) -> DrawnBox {
    DrawnBox {
        bounds,
        class,
        caption: caption.into(),
    }
}

fn pixel(image: &RgbImage, x: usize, y: usize) -> [u8; 3] {
    image.row(y)[x * 3..x * 3 + 3].try_into().unwrap()
}

/// Left, top, right and bottom of the smallest rectangle around these pixels.
fn extent(image: &RgbImage, is: impl Fn([u8; 3]) -> bool) -> Option<[usize; 4]> {
    let mut extent = None;
    for (y, x) in (0..image.height).flat_map(|y| (0..image.width).map(move |x| (y, x))) {
        if is(pixel(image, x, y)) {
            let [left, top, right, bottom] = extent.unwrap_or([x, y, x + 1, y + 1]);
            extent = Some([left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)]);
        }
    }
    extent
}

fn is_text(color: [u8; 3]) -> bool {
    color == [0; 3] || color == [255; 3]
}

fn text_pixels(image: &RgbImage) -> usize {
    let pixels = image.pixels.as_chunks().0;
    pixels.iter().filter(|&&color| is_text(color)).count()
}

/// A picture with one box in the middle, with room for the caption above.
fn captioned(caption: &str) -> RgbImage {
    let mut image = grey(400, 400);
    draw_boxes(
        &mut image,
        &[drawn(bounds(50.0, 200.0, 350.0, 350.0), 0, caption)],
    );
    image
}

/// The text as rows of `#` and `.`, cut out at its smallest rectangle.
fn text(image: &RgbImage) -> Vec<String> {
    let [left, top, right, bottom] = extent(image, is_text).expect("there is text");
    let row = |y| {
        (left..right)
            .map(|x| {
                if is_text(pixel(image, x, y)) {
                    '#'
                } else {
                    '.'
                }
            })
            .collect()
    };
    (top..bottom).map(row).collect()
}

#[test]
fn a_frame_lies_on_the_edge_of_its_box_and_leaves_the_inside_alone() {
    let mut image = grey(300, 200);
    draw_boxes(
        &mut image,
        &[drawn(bounds(40.0, 50.0, 140.0, 120.0), 3, "")],
    );
    let color = pixel(&image, 40, 50);
    assert_ne!(color, [GREY; 3]);
    for (y, x) in (0..200).flat_map(|y| (0..300).map(move |x| (y, x))) {
        let inside = (40..140).contains(&x) && (50..120).contains(&y);
        let edge = inside && (x == 40 || x == 139 || y == 50 || y == 119);
        let expected = if edge { color } else { [GREY; 3] };
        assert_eq!(pixel(&image, x, y), expected, "at {x}, {y}");
    }
}

#[test]
fn frames_and_captions_grow_with_the_picture() {
    let sizes = [(320, 320), (1600, 1200), (6000, 4000)].map(|(width, height)| {
        let mut image = grey(width, height);
        let (w, h) = (width as f64, height as f64);
        let middle = bounds(0.25 * w, 0.25 * h, 0.75 * w, 0.75 * h);
        draw_boxes(&mut image, &[drawn(middle, 0, "Ég")]);
        let thickness = (0..width / 2)
            .filter(|&x| pixel(&image, x, height / 2) != [GREY; 3])
            .count();
        let [_, top, _, bottom] = extent(&image, is_text).unwrap();
        (thickness, bottom - top)
    });
    // A capital with an accent and a letter with a descender take all 16 rows of a glyph.
    assert_eq!(sizes, [(2, 16), (4, 32), (14, 96)]);
}

#[test]
fn classes_have_colours_that_differ() {
    let color = |class| {
        let mut image = grey(20, 20);
        draw_boxes(
            &mut image,
            &[drawn(bounds(5.0, 5.0, 15.0, 15.0), class, "")],
        );
        pixel(&image, 5, 5)
    };
    let colors: Vec<_> = (0..20).map(color).collect();
    for (i, first) in colors.iter().enumerate() {
        for second in &colors[..i] {
            let most = first.iter().zip(second).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(most.unwrap() >= 40, "{first:?} and {second:?}");
        }
    }
    assert_eq!((0..100).map(color).collect::<HashSet<_>>().len(), 100);
    color(usize::MAX);
}

#[test]
fn text_is_black_on_light_plates_and_white_on_dark_ones() {
    for class in 0..60 {
        let mut image = grey(100, 100);
        draw_boxes(
            &mut image,
            &[drawn(bounds(5.0, 50.0, 90.0, 90.0), class, "dog")],
        );
        let luminance = |color: [u8; 3]| {
            let weights = [0.2126, 0.7152, 0.0722];
            let parts = color.map(|value| (f64::from(value) / 255.0).powf(2.2));
            parts.iter().zip(weights).map(|(a, b)| a * b).sum::<f64>()
        };
        let plate = luminance(pixel(&image, 5, 50));
        let mut colors = image.pixels.as_chunks().0.iter();
        let text = luminance(*colors.find(|&&color| is_text(color)).unwrap());
        let contrast = (plate.max(text) + 0.05) / (plate.min(text) + 0.05);
        assert!(contrast >= 4.5, "class {class}: {contrast}");
    }
}

#[test]
fn the_surest_box_lies_on_top() {
    let mut image = grey(100, 100);
    let sure = drawn(bounds(20.0, 20.0, 60.0, 60.0), 0, "");
    let unsure = drawn(bounds(40.0, 20.0, 80.0, 60.0), 1, "");
    draw_boxes(&mut image, std::slice::from_ref(&sure));
    let color = pixel(&image, 20, 20);
    draw_boxes(&mut image, &[sure, unsure]);
    assert_eq!(pixel(&image, 59, 20), color);
    assert_ne!(pixel(&image, 79, 20), color);
}

#[test]
fn a_caption_stands_above_its_box_or_inside_or_below_where_there_is_no_room() {
    let rows = |top, bottom| {
        let mut image = grey(300, 300);
        draw_boxes(
            &mut image,
            &[drawn(bounds(50.0, top, 250.0, bottom), 0, "dog")],
        );
        let [_, top, _, bottom] = extent(&image, is_text).unwrap();
        (top as f64, bottom as f64)
    };
    let (_, bottom) = rows(100.0, 200.0);
    assert!((82.0..=100.0).contains(&bottom), "above");
    let (top, bottom) = rows(3.0, 200.0);
    assert!(top >= 3.0 && bottom <= 3.0 + 18.0, "inside");
    let (top, _) = rows(3.0, 20.0);
    assert!((20.0..38.0).contains(&top), "below a low box");
}

#[test]
fn captions_of_boxes_at_the_same_place_avoid_each_other() {
    let each = ["dog 0.91", "wolf 0.55", "狐狸 0.32", "coyote 0.21"];
    let pixels = |captions: &[&str]| {
        let mut image = grey(320, 320);
        let boxes: Vec<_> = (0..captions.len())
            .map(|i| drawn(bounds(60.0, 80.0, 250.0, 260.0), i, captions[i]))
            .collect();
        draw_boxes(&mut image, &boxes);
        text_pixels(&image)
    };
    let alone: usize = each.iter().map(|&caption| pixels(&[caption])).sum();
    assert_eq!(pixels(&each), alone);
}

#[test]
fn chinese_captions_are_drawn_in_chinese() {
    // U+72D7 as Pillow draws it with the OpenType font of GNU Unifont at 16 pixels.
    let dog = "\
........#.....
.#...#..#.....
..#.#..#......
...#...#######
..#.#.#......#
.#..##.......#
#...#..####..#
....#..#..#..#
...##..#..#..#
..#.#..#..#..#
.#..#..####..#
#...#..#..#..#
....#........#
....#........#
.#.#......#.#.
..#........#..";
    assert_eq!(text(&captioned("狗")), dog.lines().collect::<Vec<_>>());
    let replaced = text(&captioned("\u{10ffff}"));
    for name in [
        "狗",
        "猫",
        "自行车",
        "電視",
        "ねこ",
        "개",
        "é",
        "ß",
        "ł",
        "я",
    ] {
        let drawn = text(&captioned(name));
        assert!(!drawn.is_empty() && drawn != replaced, "{name}");
    }
}

#[test]
fn accents_that_are_characters_of_their_own_go_onto_the_letter_before() {
    let width = |caption: &str| text(&captioned(caption))[0].len();
    assert_eq!(width("cafe\u{301}"), width("cafe"));
    assert_ne!(text(&captioned("cafe\u{301}")), text(&captioned("cafe")));
    assert_eq!(width("か\u{3099}く"), width("がく"));
}

#[test]
fn characters_that_the_font_lacks_are_shown_as_replaced() {
    let replaced = text(&captioned("\u{fffd}"));
    assert_eq!(text(&captioned("🐶")), replaced);
}

#[test]
fn control_characters_are_shown_as_escapes() {
    for (odd, escaped) in [
        ("\n", "\\n"),
        ("\t", "\\t"),
        ("\u{7f}", "\\u{7f}"),
        ("\0", "\\u{0}"),
    ] {
        assert_eq!(text(&captioned(odd)), text(&captioned(escaped)), "{odd:?}");
    }
}

#[test]
fn a_caption_wider_than_the_picture_ends_in_an_ellipsis() {
    let draw = |caption: &str| {
        let mut image = grey(100, 100);
        draw_boxes(
            &mut image,
            &[drawn(bounds(20.0, 40.0, 80.0, 90.0), 0, caption)],
        );
        image
    };
    // 100 pixels are 12 letters of 8 and the margins.
    assert_ne!(draw("twelve lette"), draw("twelve lett…"));
    assert_eq!(draw("thirteen letters"), draw("thirteen le…"));
    assert_eq!(draw("狗狗狗狗狗狗狗狗"), draw("狗狗狗狗狗…"));
    assert_eq!(draw("thirteen le\u{301}tters"), draw("thirteen le\u{301}…"));
}

#[test]
fn nothing_is_drawn_for_boxes_that_touch_no_pixel() {
    let (nan, infinite) = (f64::NAN, f64::INFINITY);
    let nowhere = [
        bounds(nan, 10.0, 20.0, 20.0),
        bounds(10.0, nan, 20.0, 20.0),
        bounds(10.0, 10.0, nan, 20.0),
        bounds(10.0, 10.0, 20.0, nan),
        bounds(nan, nan, nan, nan),
        bounds(20.0, 10.0, 10.0, 20.0),
        bounds(10.0, 10.0, 10.0, 20.0),
        bounds(-20.0, 10.0, 0.0, 20.0),
        bounds(100.0, 10.0, 120.0, 20.0),
        bounds(10.0, 100.0, 20.0, 1e300),
        bounds(infinite, 0.0, infinite, 10.0),
        bounds(-infinite, 0.0, -infinite, 10.0),
    ];
    for bounds in nowhere {
        let mut image = grey(100, 100);
        draw_boxes(&mut image, &[drawn(bounds, 0, "dog 0.87")]);
        assert_eq!(image, grey(100, 100), "{bounds:?}");
        assert_eq!(crop(&image, bounds), None, "{bounds:?}");
    }
    let everywhere = bounds(-infinite, -1e300, 1e300, infinite);
    assert_eq!(crop(&grey(9, 7), everywhere), Some(grey(9, 7)));
}

#[test]
fn pictures_too_small_for_text_still_get_frames() {
    for (width, height) in [(1, 1), (2, 40), (40, 2), (17, 17), (11, 100), (12, 18)] {
        let mut image = grey(width, height);
        let whole = bounds(0.0, 0.0, width as f64, height as f64);
        draw_boxes(&mut image, &[drawn(whole, 0, "dog 0.87")]);
        assert_ne!(pixel(&image, 0, height - 1), [GREY; 3]);
        let room = width >= 12 && height >= 18;
        assert_eq!(text_pixels(&image) > 0, room, "{width}×{height}");
    }
    let mut none = grey(0, 0);
    draw_boxes(&mut none, &[drawn(bounds(0.0, 0.0, 1.0, 1.0), 0, "dog")]);
    assert_eq!(none, grey(0, 0));
}

#[test]
fn a_crop_is_every_pixel_that_the_box_touches() {
    let mut image = grey(20, 10);
    image.pixels = (0..20 * 10 * 3).map(|value| (value % 251) as u8).collect();
    let cut = crop(&image, bounds(2.5, 3.0, 5.1, 5.0)).unwrap();
    assert_eq!((cut.width, cut.height), (4, 2));
    for (y, x) in (0..2).flat_map(|y| (0..4).map(move |x| (y, x))) {
        assert_eq!(pixel(&cut, x, y), pixel(&image, x + 2, y + 3));
    }
    let corner = crop(&image, bounds(-5.0, 8.0, 1.0, 50.0)).unwrap();
    assert_eq!((corner.width, corner.height), (1, 2));
    let tiny = crop(&image, bounds(7.2, 7.2, 7.3, 7.3)).unwrap();
    assert_eq!(pixel(&tiny, 0, 0), pixel(&image, 7, 7));
}

proptest! {
    #[test]
    fn the_whole_caption_is_in_the_picture_wherever_the_box_is(
        (left, top) in (-30.0..150.0, -30.0..150.0),
        (width, height) in (0.5..200.0, 0.5..200.0),
        class in 0_usize..100,
    ) {
        let draw = |bounds| {
            let mut image = grey(150, 150);
            draw_boxes(&mut image, &[drawn(bounds, class, "gelbe Katze 狗")]);
            text_pixels(&image)
        };
        let touches = left + width > 0.0 && top + height > 0.0;
        let expected = draw(bounds(10.0, 70.0, 140.0, 100.0));
        prop_assert!(expected > 100);
        let found = draw(bounds(left, top, left + width, top + height));
        prop_assert_eq!(found, if touches { expected } else { 0 });
    }

    #[test]
    fn no_box_trips_drawing_or_cropping(
        size in (0_usize..70, 0_usize..70),
        boxes in prop::collection::vec(
            (prop::array::uniform4(prop_oneof![any::<f64>(), -20.0..90.0]), any::<usize>(), ".{0,12}"),
            0..6,
        ),
    ) {
        let mut image = grey(size.0, size.1);
        let boxes: Vec<_> = boxes
            .into_iter()
            .map(|([left, top, right, bottom], class, caption)| {
                drawn(bounds(left, top, right, bottom), class, &caption)
            })
            .collect();
        draw_boxes(&mut image, &boxes);
        prop_assert_eq!(image.pixels.len(), size.0 * size.1 * 3);
        for drawn in &boxes {
            if let Some(cut) = crop(&image, drawn.bounds) {
                prop_assert!(cut.width > 0 && cut.height > 0);
                prop_assert_eq!(cut.pixels.len(), cut.width * cut.height * 3);
            }
        }
    }
}

#[test]
fn saved_pictures_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut image = grey(120, 90);
    draw_boxes(
        &mut image,
        &[drawn(bounds(10.0, 30.0, 100.0, 80.0), 0, "狗 0.87")],
    );
    for name in ["a.png", "狗.PNG"] {
        save_picture(&dir.path().join(name), &image).unwrap();
        assert_eq!(decode(&dir.path().join(name)).unwrap(), image);
    }
    for name in ["a.jpg", "b.JPEG", &format!("{}.jpg", "n".repeat(251))] {
        let path = dir.path().join(name);
        save_picture(&path, &image).unwrap();
        assert!(fs::read(&path).unwrap().starts_with(&[0xff, 0xd8, 0xff]));
        let read = decode(&path).unwrap();
        assert_eq!((read.width, read.height), (120, 90));
        let differences = read.pixels.iter().zip(&image.pixels);
        let total: u64 = differences.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = total as f64 / image.pixels.len() as f64;
        assert!(mean < 2.5, "mean difference {mean}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5);
}

#[test]
fn a_picture_that_cannot_be_saved_is_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("folder.png")).unwrap();
    let cases = [
        ("a.gif", grey(2, 2), ".jpg, .jpeg or .png"),
        ("png", grey(2, 2), ".jpg, .jpeg or .png"),
        ("empty.png", grey(0, 2), "0 x 2"),
        ("empty.jpg", grey(2, 0), "2 x 0"),
        ("wide.jpg", grey(65_536, 1), "65536"),
        ("missing/a.png", grey(2, 2), "o"),
        ("folder.png", grey(2, 2), "directory"),
    ];
    for (name, image, reason) in cases {
        let path = dir.path().join(name);
        let error = save_picture(&path, &image).unwrap_err();
        assert!(matches!(error, DataError::Write { .. }));
        let message = error.to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        assert!(message.contains(reason), "{message}");
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
