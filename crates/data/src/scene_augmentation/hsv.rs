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
        for chunk in self.pixels.chunks_mut(LANES) {
            let mut lanes = [[0.0; LANES]; 3];
            for (lane, pixel) in chunk.iter().enumerate() {
                for channel in 0..3 {
                    lanes[channel][lane] = f32::from(pixel[channel]);
                }
            }
            let [reds, greens, blues] = &mut lanes;
            for ((red, green), blue) in reds.iter_mut().zip(greens).zip(blues) {
                let pixel = [*red, *green, *blue];
                [*red, *green, *blue] = changed(pixel, self.sixths, self.saturation, self.value);
            }
            for (lane, pixel) in chunk.iter_mut().enumerate() {
                for channel in 0..3 {
                    pixel[channel] = (lanes[channel][lane] + 0.5) as u8;
                }
            }
        }
    }
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
