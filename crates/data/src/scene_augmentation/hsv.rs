//! Hue, saturation and value changed in one pass.

use crate::rgb_image::RgbImage;

/// Pixels that are changed at once, so that they run in vector lanes.
const LANES: usize = 16;

/// A change of colour in HSV (Smith, "Color Gamut Transform Pairs", 1978), without the rounding to
/// 8 bits in between that [`adjust`](crate::adjust) shares with Pillow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HsvChange {
    /// Added to the hue, in parts of the circle, -1 to 1.
    pub(super) turn: f64,
    /// Multiplies the saturation, which stays at most 1.
    pub(super) saturation: f64,
    /// Multiplies the value, which stays at most 255.
    pub(super) value: f64,
}

impl HsvChange {
    /// Changes `image` in place.
    pub(super) fn apply(self, image: &mut RgbImage) {
        let neutral = Self {
            turn: 0.0,
            saturation: 1.0,
            value: 1.0,
        };
        if self != neutral {
            pulp::Arch::new().dispatch(Pass {
                pixels: image.pixels.as_chunks_mut().0,
                sixths: (self.turn * 6.0) as f32,
                saturation: self.saturation as f32,
                value: self.value as f32,
            });
        }
    }
}

/// The pass, compiled once for every vector instruction set.
struct Pass<'a> {
    pixels: &'a mut [[u8; 3]],
    sixths: f32,
    saturation: f32,
    value: f32,
}

impl pulp::WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let factors = [self.sixths, self.saturation, self.value];
        let (blocks, rest) = self.pixels.as_chunks_mut();
        for block in blocks {
            change_block(block, factors);
        }
        let mut block = [[0; 3]; LANES];
        block[..rest.len()].copy_from_slice(rest);
        change_block(&mut block, factors);
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

#[inline(always)]
fn change_block(block: &mut [[u8; 3]; LANES], [sixths, saturation, value]: [f32; 3]) {
    let [mut reds, mut greens, mut blues] = [[0.0; LANES]; 3];
    for lane in 0..LANES {
        [reds[lane], greens[lane], blues[lane]] = block[lane].map(f32::from);
    }
    for lane in 0..LANES {
        let pixel = [reds[lane], greens[lane], blues[lane]];
        [reds[lane], greens[lane], blues[lane]] = changed(pixel, sixths, saturation, value);
    }
    for lane in 0..LANES {
        block[lane] = [reds[lane], greens[lane], blues[lane]].map(to_byte);
    }
}

/// A level of 0 to 255, rounded. At 2²³ the last bit of an `f32` is worth 1, so a sum rounds; a cast
/// to an integer would leave the vector lanes to check for what is out of range.
#[inline(always)]
fn to_byte(level: f32) -> u8 {
    (level + 8_388_608.0).to_bits() as u8
}

/// One pixel, without branches; all values are on 0 to 255.
#[inline(always)]
fn changed([red, green, blue]: [f32; 3], sixths: f32, saturation: f32, value: f32) -> [f32; 3] {
    let high = red.max(green).max(blue);
    let range = high - red.min(green).min(blue);
    // Grey has no hue and black no saturation: the numerators are 0 then.
    let per_range = 1.0 / range.max(1.0);
    let from_green = 2.0 + (blue - red) * per_range;
    let from_blue = 4.0 + (red - green) * per_range;
    let not_red = if green == high { from_green } else { from_blue };
    let hue = if red == high {
        (green - blue) * per_range
    } else {
        not_red
    };
    let new_value = (high * value).min(255.0);
    let new_range = (range / high.max(1.0) * saturation).min(1.0) * new_value;
    [5.0, 3.0, 1.0].map(|offset| {
        let along = hue + sixths + offset;
        let along = along - 6.0 * (along / 6.0).floor();
        new_value - new_range * along.min(4.0 - along).clamp(0.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image_of(pixels: &[[u8; 3]]) -> RgbImage {
        RgbImage {
            width: pixels.len(),
            height: 1,
            pixels: pixels.as_flattened().to_vec(),
        }
    }

    fn colours() -> Vec<[u8; 3]> {
        let levels = || (0..=255).step_by(15).chain([1, 2, 254]);
        levels()
            .flat_map(|r| levels().flat_map(move |g| levels().map(move |b| [r, g, b])))
            .collect()
    }

    /// The textbook's cases, in `f64`.
    fn reference([red, green, blue]: [u8; 3], change: HsvChange) -> [f64; 3] {
        let [r, g, b] = [red, green, blue].map(|channel| f64::from(channel) / 255.0);
        let high = r.max(g).max(b);
        let range = high - r.min(g).min(b);
        let degrees = match range {
            0.0 => 0.0,
            _ if high == r => 60.0 * (g - b) / range,
            _ if high == g => 120.0 + 60.0 * (b - r) / range,
            _ => 240.0 + 60.0 * (r - g) / range,
        };
        let saturation = if high == 0.0 { 0.0 } else { range / high };
        let hue = (degrees + 360.0 * change.turn).rem_euclid(360.0) / 60.0;
        let s = (saturation * change.saturation).min(1.0);
        let v = (high * change.value).min(1.0);
        let fraction = hue.fract();
        let (p, q, t) = (
            v * (1.0 - s),
            v * (1.0 - s * fraction),
            v * (1.0 - s * (1.0 - fraction)),
        );
        let rgb = match hue as usize {
            0 => [v, t, p],
            1 => [q, v, p],
            2 => [p, v, t],
            3 => [p, q, v],
            4 => [t, p, v],
            _ => [v, p, q],
        };
        rgb.map(|channel| channel * 255.0)
    }

    #[test]
    fn colours_change_as_in_the_textbook() {
        let colours = colours();
        for (turn, saturation, value) in [
            (0.0, 1.0, 0.999_999_9),
            (0.03, 1.2, 0.8),
            (-0.5, 0.3, 1.4),
            (1.0, 0.0, 1.0),
            (-1.0, 2.0, 0.0),
            (1.0 / 3.0, 1.0, 1.0),
        ] {
            let change = HsvChange {
                turn,
                saturation,
                value,
            };
            let mut image = image_of(&colours);
            change.apply(&mut image);
            for (colour, found) in colours.iter().zip(image.pixels.as_chunks::<3>().0) {
                let expected = reference(*colour, change);
                for (found, expected) in found.iter().zip(expected) {
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error < 0.501, "{colour:?} {change:?}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_third_of_the_circle_makes_red_green_green_blue_and_blue_red() {
        let mut image = image_of(&[[200, 10, 10], [10, 200, 10], [10, 10, 200], [9, 9, 9]]);
        let change = HsvChange {
            turn: 1.0 / 3.0,
            saturation: 1.0,
            value: 1.0,
        };
        change.apply(&mut image);
        let turned = [[10, 200, 10], [10, 10, 200], [200, 10, 10], [9, 9, 9]];
        assert_eq!(image, image_of(&turned));
    }
}
