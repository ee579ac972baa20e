//! Changes of values where they are, by Pillow's formulas.

use crate::color_jitter::blend;
use crate::rgb_image::RgbImage;

/// Away from the smoothed picture: factor 0 is smooth, 1 leaves the picture. A pixel is smoothed with
/// weight 5 against 1 of each of its eight neighbours; those at the border stay.
pub(super) fn sharpen(image: &mut RgbImage, factor: f64) {
    let source = image.clone();
    let stride = source.width * 3;
    for y in 1..source.height.saturating_sub(1) {
        let rows = [y - 1, y, y + 1].map(|row| source.row(row));
        let target = &mut image.pixels[y * stride..][..stride];
        for x in 3..stride.saturating_sub(3) {
            let around: u32 = rows
                .iter()
                .flat_map(|row| [row[x - 3], row[x], row[x + 3]])
                .map(u32::from)
                .sum();
            let value = rows[1][x];
            // Thirteenths, rounded to nearest.
            let smooth = (2 * (around + 4 * u32::from(value)) + 13) / 26;
            target[x] = blend(smooth as u8, value, factor as f32);
        }
    }
}

/// Keeps the highest `bits`, 1 to 8, of every value.
pub(super) fn posterize(image: &mut RgbImage, bits: u32) {
    let mask = u8::MAX << (8 - bits);
    for value in &mut image.pixels {
        *value &= mask;
    }
}

/// Inverts the values from `threshold` on.
pub(super) fn solarize(image: &mut RgbImage, threshold: f64) {
    for value in &mut image.pixels {
        if f64::from(*value) >= threshold {
            *value = 255 - *value;
        }
    }
}

/// Stretches the values of each channel, so that they go from 0 to 255.
pub(super) fn autocontrast(image: &mut RgbImage) {
    map_channels(image, |histogram| {
        let low = histogram.iter().position(|&count| count > 0)?;
        let high = histogram.iter().rposition(|&count| count > 0)?;
        if high == low {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        // The cast cuts and saturates.
        Some(std::array::from_fn(|value| {
            (value as f64 * scale + offset) as u8
        }))
    });
}

/// Makes the histogram of each channel flat, as far as whole values allow.
pub(super) fn equalize(image: &mut RgbImage) {
    map_channels(image, |histogram| {
        let highest = histogram.iter().rfind(|count| **count > 0)?;
        let total: usize = histogram.iter().sum();
        let step = (total - highest) / 255;
        if step == 0 {
            return None;
        }
        let mut below = step / 2;
        Some(std::array::from_fn(|value| {
            let level = below / step;
            below += histogram[value];
            level.min(255) as u8
        }))
    });
}

/// Replaces the values of each channel by the table made from its histogram; `None` leaves them.
fn map_channels(image: &mut RgbImage, table: impl Fn(&[usize; 256]) -> Option<[u8; 256]>) {
    let (pixels, _) = image.pixels.as_chunks_mut::<3>();
    for channel in 0..3 {
        let mut histogram = [0; 256];
        for pixel in &*pixels {
            histogram[usize::from(pixel[channel])] += 1;
        }
        if let Some(table) = table(&histogram) {
            for pixel in &mut *pixels {
                pixel[channel] = table[usize::from(pixel[channel])];
            }
        }
    }
}
