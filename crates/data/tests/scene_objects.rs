//! Pixels and boxes of a view stay together.

#[path = "common/scenes.rs"]
mod common;

use common::{FILTER, bounds, colourless, farthest, object, pattern, plain, render, sample};
use proptest::prelude::*;
use std::cell::RefCell;
use warmstart_data::{
    BoundingBox, Letterbox, MIN_VISIBLE_SHARE, MIN_VISIBLE_SIDE, Object, RgbImage, Sample, Scene,
    SceneAugmentation, ScenePlan, letterboxed,
};

/// Black, with one white box of whole pixels.
fn painted(scene: &Scene, white: Option<BoundingBox>) -> RgbImage {
    let mut image = RgbImage::black(scene.width, scene.height);
    if let Some(b) = white {
        for y in b.top as usize..b.bottom as usize {
            let row = &mut image.pixels[y * scene.width * 3..][..scene.width * 3];
            row[b.left as usize * 3..b.right as usize * 3].fill(255);
        }
    }
    image
}

/// The box around all pixels at least half white.
fn white_part(image: &RgbImage) -> Option<BoundingBox> {
    let mut found: Option<BoundingBox> = None;
    for (index, pixel) in image.pixels.as_chunks::<3>().0.iter().enumerate() {
        if pixel[0] >= 128 {
            let (x, y) = ((index % image.width) as f64, (index / image.width) as f64);
            let b = found.unwrap_or(bounds(x, y, x, y));
            found = Some(bounds(
                b.left.min(x),
                b.top,
                b.right.max(x + 1.0),
                b.bottom.max(y + 1.0),
            ));
        }
    }
    found
}

/// Pictures with up to four rectangles of whole pixels, of at least 6 × 6; the class numbers them all.
fn scenes() -> impl Strategy<Value = Vec<Sample<Scene>>> {
    let rectangle = (0.0..1.0, 0.0..1.0, 0.0..1.0, 0.0..1.0);
    let picture = (
        20usize..160,
        20usize..160,
        prop::collection::vec(rectangle, 0..4),
    );
    prop::collection::vec(picture, 1..9).prop_map(|pictures| {
        let mut class = 0;
        let mut samples = Vec::new();
        for (width, height, rectangles) in pictures {
            let side = |low: f64, share: f64, length: usize| -> (f64, f64) {
                let length = length as f64;
                let low = (low * (length - 6.0)).floor();
                (low, (low + 6.0 + share * (length - low - 6.0)).floor())
            };
            let objects = rectangles.into_iter().map(|(x, y, w, h)| {
                let ((left, right), (top, bottom)) = (side(x, w, width), side(y, h, height));
                class += 1;
                object(class, bounds(left, top, right, bottom))
            });
            samples.push(sample(width, height, objects.collect()));
        }
        samples
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn painted_rectangles_are_where_the_boxes_say(
        scenes in scenes(),
        size in 32usize..200,
        mosaic in prop::bool::ANY,
        seed in 0u64..1000,
    ) {
        let augmentation = SceneAugmentation {
            mosaic: if mosaic { 1.0 } else { 0.0 },
            ..colourless()
        };
        let plan = ScenePlan::draw(0, &scenes, &augmentation, size, seed, 3);
        let objects = plan.objects();
        let mut explained = 0;
        for of in plan.samples() {
            for wanted in &scenes[of].label.objects {
                // All black but for one rectangle: what is white is this object.
                let view = plan.render(FILTER, |index| {
                    let white = (index == of).then_some(wanted.bounds);
                    Ok(painted(&scenes[index].label, white))
                });
                let white = white_part(&view.unwrap());
                let boxes: Vec<_> = objects.iter().filter(|o| o.class == wanted.class).collect();
                explained += boxes.len();
                // A picture may be in a mosaic up to four times, and then may be its objects.
                let around = boxes.iter().map(|o| o.bounds).reduce(|a, b| bounds(
                    a.left.min(b.left), a.top.min(b.top), a.right.max(b.right), a.bottom.max(b.bottom),
                ));
                // Half of two pixels is not half white: what is thin may lose a pixel of its ends.
                let thin = boxes.iter().any(|o| o.bounds.width().min(o.bounds.height()) < 2.5);
                let reach = if thin { 2.0 } else { 1.0 };
                let once = plan.samples().len() == if mosaic { 4 } else { 1 };
                match (white, around) {
                    (Some(white), Some(around)) if once => {
                        prop_assert!(farthest(white, around) <= reach, "{white:?} {around:?}");
                    }
                    (Some(white), Some(around)) if !thin => {
                        // Repeats that are all but cut away are white and no objects.
                        prop_assert!(white.left <= around.left + 1.0 && white.right >= around.right - 1.0);
                        prop_assert!(white.top <= around.top + 1.0 && white.bottom >= around.bottom - 1.0);
                    }
                    (None, Some(around)) => {
                        prop_assert!(thin, "{around:?} is not there");
                    }
                    (Some(white), None) if once => {
                        // Left out, for what is left is little: every scale is 0.5 to 2 letterboxes.
                        let (w, h) = (scenes[of].label.width, scenes[of].label.height);
                        let largest = 2.0 * size as f64 / w.max(h) as f64 + 1.0 / w.min(h) as f64;
                        let limit = MIN_VISIBLE_SHARE * wanted.area * largest * largest;
                        let inner = (white.width() - 1.0) * (white.height() - 1.0);
                        let side = white.width().min(white.height());
                        prop_assert!(inner <= limit || side <= MIN_VISIBLE_SIDE + 1.0, "{white:?}");
                    }
                    _ => {}
                }
            }
        }
        prop_assert_eq!(explained, objects.len(), "no box without a rectangle");
        for object in objects {
            let b = object.bounds;
            prop_assert_eq!(b, b.clipped(size as f64, size as f64));
            prop_assert!(b.width() >= MIN_VISIBLE_SIDE && b.height() >= MIN_VISIBLE_SIDE);
            prop_assert!((object.area - b.area()).abs() < 1e-6 * b.area(), "the area of the box");
        }
    }
}

#[test]
fn what_is_hardly_visible_is_left_out_and_marks_are_kept() {
    // Twice the canvas: a half of each side is seen, from an offset that the whole box gives.
    let whole = bounds(0.0, 0.0, 64.0, 64.0);
    let mut objects = vec![object(0, whole)];
    for x in 0..64 {
        let x = f64::from(x);
        let column = object(1 + x as usize, bounds(x - 20.0, 0.0, x + 20.0, 64.0));
        objects.push(Object {
            area: column.area / 2.0,
            crowd: (x as usize).is_multiple_of(2),
            difficult: (x as usize).is_multiple_of(3),
            bounds: column.bounds.clipped(64.0, 64.0),
            ..column
        });
    }
    let scenes = [sample(64, 64, objects.clone())];
    let augmentation = SceneAugmentation {
        scale: [2.0, 2.0],
        ..plain()
    };
    let mut left_out = 0;
    for view in 0..20 {
        let plan = ScenePlan::draw(0, &scenes, &augmentation, 64, 3, view);
        let found = plan.objects();
        // The picture's left edge on the canvas, from any object that is cut on the right only.
        let cut = |o: &&Object| o.bounds.left > 0.0 && o.class > 20;
        let known = found
            .iter()
            .find(cut)
            .expect("some column begins in the view");
        let start = known.bounds.left - 2.0 * objects[known.class].bounds.left;
        for original in &objects {
            let (left, right) = (
                2.0 * original.bounds.left + start,
                2.0 * original.bounds.right + start,
            );
            let seen = (left.clamp(0.0, 64.0), right.clamp(0.0, 64.0));
            // Of the height, half is seen.
            let share = (seen.1 - seen.0) / (right - left) / 2.0;
            let kept = found.iter().find(|o| o.class == original.class);
            // A strip of a crowd is still not background.
            let enough = if original.crowd {
                share > 0.0
            } else {
                share >= MIN_VISIBLE_SHARE && seen.1 - seen.0 >= MIN_VISIBLE_SIDE
            };
            assert_eq!(kept.is_some(), enough);
            left_out += usize::from(kept.is_none());
            if let Some(kept) = kept {
                assert_eq!((kept.bounds.left, kept.bounds.right), seen);
                assert_eq!(
                    (kept.crowd, kept.difficult),
                    (original.crowd, original.difficult)
                );
                let expected = original.area * 4.0 * share;
                assert!((kept.area - expected).abs() < 1e-9 * expected);
            }
        }
    }
    assert!(left_out > 100, "{left_out}");
}

#[test]
fn no_object_many_objects_specks_and_boxes_on_the_border_are_fine() {
    let many = (0..500).map(|i| {
        let x = f64::from(i % 25) * 4.0;
        let y = f64::from(i / 25) * 4.0;
        object(i as usize, bounds(x, y, x + 4.0, y + 4.0))
    });
    let speck = object(0, bounds(50.0, 40.0, 51.0, 41.0));
    let threads = vec![
        object(0, bounds(50.0, 10.0, 51.0, 60.0)),
        object(1, bounds(10.0, 50.0, 60.0, 51.0)),
    ];
    let border = vec![
        object(0, bounds(0.0, 0.0, 10.0, 10.0)),
        object(1, bounds(90.0, 70.0, 100.0, 80.0)),
        object(2, bounds(-5.0, -5.0, 105.0, 85.0)),
        object(3, bounds(10.0, 10.0, 10.0, 10.0)),
        object(4, bounds(f64::NAN, 0.0, 10.0, 10.0)),
    ];
    let scenes = [
        sample(100, 80, vec![]),
        sample(100, 80, many.collect()),
        sample(100, 80, vec![speck]),
        sample(100, 80, border),
        sample(100, 80, threads),
    ];
    let counts = |sample: usize, size: usize| {
        let plan = ScenePlan::draw(sample, &scenes, &plain(), size, 1, 1);
        render(&plan, &scenes);
        plan.objects().len()
    };
    assert_eq!(counts(0, 100), 0);
    assert_eq!(counts(1, 100), 500);
    assert_eq!(counts(2, 100), 1);
    assert_eq!(counts(2, 50), 0, "a speck of half a pixel");
    assert_eq!(counts(4, 100), 2);
    assert_eq!(counts(4, 50), 0, "threads of half a pixel");
    assert_eq!(counts(3, 100), 3, "a box without area is nothing to learn");
    for view in 0..100 {
        let plan = ScenePlan::draw(
            view % 4,
            &scenes,
            &SceneAugmentation::default(),
            32,
            1,
            view as u64,
        );
        render(&plan, &scenes);
        for object in plan.objects() {
            let b = object.bounds;
            assert_eq!(b, b.clipped(32.0, 32.0));
        }
    }
}

#[test]
fn a_mosaic_of_the_only_picture_decodes_it_once() {
    let scenes = [sample(
        30,
        20,
        vec![object(0, bounds(0.0, 0.0, 30.0, 20.0))],
    )];
    let augmentation = SceneAugmentation {
        scale: [0.5, 0.5],
        flip: 0.0,
        mosaic: 1.0,
        ..colourless()
    };
    let decoded = RefCell::new(Vec::new());
    let plan = ScenePlan::draw(0, &scenes, &augmentation, 64, 1, 0);
    let view = plan.render(FILTER, |index| {
        decoded.borrow_mut().push(index);
        let mut white = painted(&scenes[index].label, None);
        white.pixels.fill(255);
        Ok(white)
    });
    assert_eq!(*decoded.borrow(), [0]);
    let objects = plan.objects();
    assert_eq!(objects.len(), 4);
    let center = (objects[0].bounds.right, objects[0].bounds.bottom);
    let corners: Vec<_> = objects.iter().map(|o| o.bounds).collect();
    for corner in &corners {
        assert_eq!(
            (corner.width(), corner.height()),
            (16.0, 11.0),
            "nothing is cut"
        );
    }
    assert_eq!((corners[1].left, corners[1].bottom), center);
    assert_eq!((corners[2].right, corners[2].top), center);
    assert_eq!((corners[3].left, corners[3].top), center);
    assert!((16.0..=48.0).contains(&center.0) && (16.0..=48.0).contains(&center.1));
    let white: f64 = corners.iter().map(BoundingBox::area).sum();
    let pixels = view.unwrap().pixels;
    let found = pixels.iter().filter(|value| **value == 255).count();
    assert_eq!(found, white as usize * 3);
}

#[test]
fn without_randomness_a_view_is_the_letterbox() {
    let all = bounds(3.0, 4.0, 30.0, 17.0);
    let scenes = [sample(40, 20, vec![object(5, all)])];
    let plan = ScenePlan::draw(0, &scenes, &plain(), 32, 1, 2);
    let letterbox = Letterbox::new(40, 20, 32);
    let [only] = plan.objects()[..] else {
        panic!("one object")
    };
    // A letterbox is centred, a view lies anywhere.
    let expected = letterbox.place(all);
    let down = only.bounds.top - expected.top;
    assert_eq!(down, down.round());
    assert_eq!(only.bounds.left, expected.left);
    assert_eq!(only.bounds.right, expected.right);
    assert_eq!(only.bounds.bottom, expected.bottom + down);
    assert!((only.area - all.area() * 0.64).abs() < 1e-9);
    assert_eq!(only.class, 5);
    let canvas = render(&plan, &scenes);
    let straight = letterboxed(&pattern(40, 20, 0), 32, FILTER);
    for y in 0..16 {
        assert_eq!(
            canvas.row((8.0 + down) as usize + y),
            straight.row(8 + y),
            "the pixels move with the box"
        );
    }
}

#[test]
fn a_flip_mirrors_pixels_and_boxes_and_twice_is_none() {
    let scenes = [sample(
        50,
        40,
        vec![object(0, bounds(2.0, 3.0, 20.0, 30.0))],
    )];
    let straight = SceneAugmentation {
        flip: 0.0,
        scale: [0.5, 2.0],
        ..plain()
    };
    let mirrored = SceneAugmentation {
        flip: 1.0,
        ..straight.clone()
    };
    for view in 0..50 {
        let once = ScenePlan::draw(0, &scenes, &straight, 32, 7, view);
        let flipped = ScenePlan::draw(0, &scenes, &mirrored, 32, 7, view);
        let mut twice = flipped.objects();
        for object in &mut twice {
            let b = object.bounds;
            object.bounds = bounds(32.0 - b.right, b.top, 32.0 - b.left, b.bottom);
        }
        assert_eq!(once.objects().len(), twice.len());
        for (a, b) in once.objects().iter().zip(&twice) {
            assert!(farthest(a.bounds, b.bounds) < 1e-12);
        }
        let (image, mirror) = (render(&once, &scenes), render(&flipped, &scenes));
        assert_ne!(image, mirror);
        for y in 0..32 {
            let back: Vec<u8> = mirror.row(y).rchunks(3).flatten().copied().collect();
            assert_eq!(back, image.row(y));
        }
    }
}
