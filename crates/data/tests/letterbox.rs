//! A whole picture on a square canvas, and boxes there and back.

#[path = "common/scenes.rs"]
mod common;

use common::{FILTER, bounds, farthest, pattern};
use proptest::prelude::*;
use warmstart_data::{Interpolation, Letterbox, Region, letterboxed, resize};

const GREY: [u8; 3] = [114; 3];

#[test]
fn a_letterbox_is_the_resized_picture_centred_on_grey() {
    let image = pattern(40, 19, 0);
    let canvas = letterboxed(&image, 32, FILTER);
    // 19 · 32 / 40 = 15.2 rows, and 17 rows of grey: 8 above.
    let window = Region {
        left: 0,
        top: 0,
        width: 32,
        height: 15,
    };
    let resized = resize(&image, image.bounds(), (32, 15), window, FILTER);
    assert_eq!((canvas.width, canvas.height), (32, 32));
    for y in 0..32 {
        if (8..23).contains(&y) {
            assert_eq!(canvas.row(y), resized.row(y - 8));
        } else {
            assert!(canvas.row(y).as_chunks().0.iter().all(|p| *p == GREY));
        }
    }
    let letterbox = Letterbox::new(40, 19, 32);
    assert_eq!(
        letterbox.place(bounds(0.0, 0.0, 40.0, 19.0)),
        bounds(0.0, 8.0, 32.0, 23.0)
    );
    assert_eq!(
        letterbox.back(bounds(-5.0, 0.0, 16.0, 32.0)),
        bounds(0.0, 0.0, 20.0, 19.0),
        "what comes back is clipped to the picture"
    );
}

#[test]
fn a_square_picture_of_the_right_size_is_left_alone() {
    let image = pattern(32, 32, 0);
    assert_eq!(letterboxed(&image, 32, Interpolation::Bicubic), image);
}

fn picture_size() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![
        (1usize..300, 1usize..300),
        Just((1, 1)),
        Just((6000, 40)),
        Just((40, 6000)),
        Just((1, 6000)),
    ]
}

proptest! {
    #[test]
    fn a_letterbox_gives_every_box_back(
        (width, height) in picture_size(),
        size in 32usize..=640,
        corners in prop::array::uniform4(0.0..=1.0f64),
    ) {
        let letterbox = Letterbox::new(width, height, size);
        let (w, h) = (width as f64, height as f64);
        let [x, y, right, bottom] = corners;
        let original = bounds(w * x.min(right), h * y.min(bottom), w * x.max(right), h * y.max(bottom));
        let placed = letterbox.place(original);
        let canvas = size as f64;
        prop_assert!(farthest(placed, placed.clipped(canvas, canvas)) < 1e-9 * canvas);
        prop_assert!(farthest(letterbox.back(placed), original) <= 1e-9 * w.max(h));
        let whole = letterbox.place(bounds(0.0, 0.0, w, h));
        prop_assert!(whole.width() == canvas || whole.height() == canvas);
        prop_assert!((whole.left + whole.right - canvas).abs() <= 1.0, "centred");
        prop_assert!((whole.top + whole.bottom - canvas).abs() <= 1.0, "centred");
    }
}

#[test]
fn any_shape_can_be_letterboxed() {
    for (width, height) in [(1, 1), (6000, 40), (40, 6000), (1, 3000), (640, 640)] {
        for size in [1, 2, 32, 33, 640] {
            let canvas = letterboxed(&pattern(width, height, 0), size, FILTER);
            assert_eq!(canvas.pixels.len(), size * size * 3);
        }
    }
}
