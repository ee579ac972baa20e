//! How much a detected box and a true one overlap: intersection over union.
//!
//! A box with a NaN overlaps nothing, nor does one whose corners are the wrong way round.

use super::boxes::{Detected, Truth};

/// COCO's IoU, 0 to 1. With a crowd the union is the detection alone: one that lies inside overlaps
/// fully.
pub(super) fn coco(detected: &Detected, truth: &Truth) -> f64 {
    match truth.crowd {
        true => {
            let intersection = intersection(&detected.bounds, &truth.bounds);
            ratio(intersection, area(&detected.bounds))
        }
        false => voc(detected, truth),
    }
}

/// VOC's IoU, 0 to 1. Its development kit adds a pixel to each side, for its corners are pixels that
/// belong to the box; here the box ends behind them already.
pub(super) fn voc(detected: &Detected, truth: &Truth) -> f64 {
    let intersection = intersection(&detected.bounds, &truth.bounds);
    let union = area(&detected.bounds) + area(&truth.bounds) - intersection;
    ratio(intersection, union)
}

/// Pixels² of a box.
pub(super) fn area(&[x1, y1, x2, y2]: &[f64; 4]) -> f64 {
    (x2 - x1) * (y2 - y1)
}

fn intersection(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    // `max` and `min` would pass over a NaN.
    if a.iter().chain(b).any(|bound| bound.is_nan()) {
        return 0.0;
    }
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    if width > 0.0 && height > 0.0 {
        width * height
    } else {
        0.0
    }
}

fn ratio(intersection: f64, union: f64) -> f64 {
    let ratio = intersection / union;
    // 0 over 0, and ∞ over ∞.
    if ratio.is_nan() { 0.0 } else { ratio }
}
