//! Affine changes of 8-bit pictures, with the very pixels that Pillow takes.

use crate::rgb_image::RgbImage;

/// Binary places of a coordinate. They are Pillow's: another number would choose another pixel where
/// two are nearly as near.
const PRECISION: u32 = 16;

fn fixed(value: f64) -> i64 {
    (value * f64::from(1u32 << PRECISION) + 0.5).floor() as i64
}

/// Moves the pixels of a picture, whose size stays. The pixel at (x, y) is that of the source at
/// (a·x + b·y + c, d·x + e·y + f) for the `matrix` [a, b, c, d, e, f], or black where there is none.
/// Coordinates are those of pixel centres, the first at 0.5.
pub(super) fn transform(image: &mut RgbImage, [a, b, c, d, e, f]: [f64; 6]) {
    let (width, height) = (image.width, image.height);
    let first = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
    let (a, b, d, e) = (fixed(a), fixed(b), fixed(d), fixed(e));
    let whole = |place: i64, end: usize| {
        let index = usize::try_from(place >> PRECISION).ok()?;
        (index < end).then_some(index)
    };
    let source = std::mem::replace(image, RgbImage::black(width, height));
    let (from, _) = source.pixels.as_chunks::<3>();
    let (to, _) = image.pixels.as_chunks_mut::<3>();
    for (index, pixel) in to.iter_mut().enumerate() {
        let (x, y) = ((index % width) as i64, (index / width) as i64);
        let column = whole(first.0 + a * x + b * y, width);
        let row = whole(first.1 + d * x + e * y, height);
        if let (Some(column), Some(row)) = (column, row) {
            *pixel = from[row * width + column];
        }
    }
}

/// The matrix that turns a picture counterclockwise about its centre.
pub(super) fn rotation(degrees: f64, width: usize, height: usize) -> [f64; 6] {
    let (sine, cosine) = (-degrees).to_radians().sin_cos();
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    [
        cosine,
        sine,
        -cosine * x - sine * y + x,
        -sine,
        cosine,
        sine * x - cosine * y + y,
    ]
}
