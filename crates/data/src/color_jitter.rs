//! Brightness, contrast, saturation and hue of 8-bit pictures, by Pillow's formulas.

use crate::rgb_image::RgbImage;

/// The property of a picture that is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// Away from black: factor 0 is black, 1 leaves the picture.
    Brightness,
    /// Away from the mean grey: factor 0 is flat, 1 leaves the picture.
    Contrast,
    /// Away from the grey picture: factor 0 is grey, 1 leaves the picture.
    Saturation,
    /// Turns the colour circle by the factor, -0.5 to 0.5; 0 nearly leaves the picture (hue and
    /// saturation pass through 8 bits).
    Hue,
}

/// Changes `image` in place.
pub fn adjust(image: &mut RgbImage, adjustment: Adjustment, factor: f64) {
    let (pixels, _) = image.pixels.as_chunks_mut::<3>();
    let factor32 = factor as f32;
    match adjustment {
        Adjustment::Brightness => blend_with(pixels, 0, factor32),
        Adjustment::Contrast => {
            let sum: u64 = pixels.iter().map(|pixel| u64::from(luminance(pixel))).sum();
            let mean = sum as f64 / pixels.len().max(1) as f64;
            blend_with(pixels, (mean + 0.5) as u8, factor32);
        }
        Adjustment::Saturation => {
            for pixel in pixels {
                let grey = luminance(pixel);
                *pixel = pixel.map(|value| blend(grey, value, factor32));
            }
        }
        Adjustment::Hue => {
            let turn = (factor * 255.0) as i32 as u8;
            for pixel in pixels {
                let [hue, saturation, value] = to_hsv(*pixel);
                *pixel = from_hsv([hue.wrapping_add(turn), saturation, value]);
            }
        }
    }
}

/// `from` moved towards `to`, and past it for factors above 1; cut, not rounded.
pub(crate) fn blend(from: u8, to: u8, factor: f32) -> u8 {
    // The cast saturates at 0 and 255.
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

fn blend_with(pixels: &mut [[u8; 3]], from: u8, factor: f32) {
    let table: [u8; 256] = std::array::from_fn(|value| blend(from, value as u8, factor));
    for value in pixels.as_flattened_mut() {
        *value = table[usize::from(*value)];
    }
}

/// Luma of ITU-R BT.601, in 16-bit fixed point.
fn luminance([red, green, blue]: &[u8; 3]) -> u8 {
    let sum = u32::from(*red) * 19595 + u32::from(*green) * 38470 + u32::from(*blue) * 7471;
    ((sum + (1 << 15)) >> 16) as u8
}

/// Hue, saturation and value (Smith, "Color Gamut Transform Pairs", 1978), each on 0 to 255.
fn to_hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let value = red.max(green).max(blue);
    let low = red.min(green).min(blue);
    if value == low {
        return [0, 0, value];
    }
    let range = f32::from(value - low);
    let [from_red, from_green, from_blue] =
        [red, green, blue].map(|channel| f32::from(value - channel) / range);
    // The changes of precision are Pillow's: hue is cut to a whole number, and often it is one.
    let sixth = if red == value {
        f64::from(from_blue - from_green)
    } else if green == value {
        2.0 + f64::from(from_red) - f64::from(from_blue)
    } else {
        4.0 + f64::from(from_green) - f64::from(from_red)
    } as f32;
    let turned = f64::from(sixth) / 6.0;
    let hue = if turned < 0.0 { turned + 1.0 } else { turned } as f32;
    let saturation = range / f32::from(value);
    let scaled = |share: f32| (f64::from(share) * 255.0) as u8;
    [scaled(hue), scaled(saturation), value]
}

fn from_hsv([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let position = f64::from(hue) * 6.0 / 255.0;
    let sector = position as u8;
    let along = position - f64::from(sector);
    let saturation = f64::from(saturation) / 255.0;
    let scaled = |share: f64| (f64::from(value) * (1.0 - share) + 0.5) as u8;
    let low = scaled(saturation);
    let falling = scaled(saturation * along);
    let rising = scaled(saturation * (1.0 - along));
    match sector % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}
