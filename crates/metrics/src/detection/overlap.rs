//! Intersection over union (IoU) of a detected and a true box.
//!
//! A box with a NaN or with swapped corners overlaps nothing.

use super::boxes::{Detected, Truth};

/// COCO's IoU, 0 to 1. With a crowd the union is the detection alone, so that one inside the crowd overlaps
/// fully.
pub(super) fn coco(detected: &Detected, truth: &Truth) -> f64 {
    if truth.crowd {
        let intersection = intersection(&detected.bounds, &truth.bounds);
        ratio(intersection, area(&detected.bounds))
    } else {
        voc(detected, truth)
    }
}

/// VOC's IoU, 0 to 1. Its development kit adds a pixel to each side, because its corners are pixels of the
/// box; bounds here already end after the last pixel.
pub(super) fn voc(detected: &Detected, truth: &Truth) -> f64 {
    of_boxes(&detected.bounds, &truth.bounds)
}

/// IoU of two boxes, 0 to 1.
pub(super) fn of_boxes(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let intersection = intersection(a, b);
    ratio(intersection, area(a) + area(b) - intersection)
}

/// Area of a box in pixels².
pub(super) fn area(&[x1, y1, x2, y2]: &[f64; 4]) -> f64 {
    (x2 - x1) * (y2 - y1)
}

fn intersection(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    // `max` and `min` would ignore a NaN.
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
    // 0 / 0 and ∞ / ∞.
    if ratio.is_nan() { 0.0 } else { ratio }
}
