//! The demonstration's pictures, drawn: each is a function of its seed and number.

use warmstart_data::RgbImage;
use warmstart_data::random::{ChaCha8Rng, between};

use super::shapes::Shape;

/// Edge of a picture in pixels, and of the image that goes into the network.
pub const EDGE: usize = 64;
/// Points of a pixel in each direction, whose colours are averaged.
const POINTS: usize = 2;
/// Things in the background of a shape.
const CLUTTER: usize = 2;
/// Largest turn of a shape, in degrees.
const TURN: f64 = 25.0;
/// Grain of a picture with a shape.
const GRAIN: f64 = 8.0;

/// What a shape is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texture {
    Striped,
    Dotted,
}

/// Both textures.
pub const TEXTURES: [Texture; 2] = [Texture::Striped, Texture::Dotted];

impl Texture {
    /// Its name, which is part of that of a class.
    pub fn name(self) -> &'static str {
        match self {
            Self::Striped => "striped",
            Self::Dotted => "dotted",
        }
    }

    /// Whether a point has the second colour rather than the first.
    fn is_second(self, x: f64, y: f64) -> bool {
        match self {
            Self::Striped => x.rem_euclid(1.0) < 0.5,
            Self::Dotted => (x.rem_euclid(1.0) - 0.5).hypot(y.rem_euclid(1.0) - 0.5) < 0.32,
        }
    }
}

/// Red, green and blue, from 0 to 255.
type Colour = [f64; 3];

/// A turned and scaled place in the picture.
struct Place {
    x: f64,
    y: f64,
    size: f64,
    sine: f64,
    cosine: f64,
}

impl Place {
    fn random(random: &mut ChaCha8Rng, sizes: [f64; 2], margin: f64, turn: f64) -> Self {
        let size = between(random, sizes[0], sizes[1]);
        let edge = EDGE as f64;
        let least = margin * size;
        let (sine, cosine) = between(random, -turn, turn).to_radians().sin_cos();
        Self {
            x: between(random, least, edge - least),
            y: between(random, least, edge - least),
            size,
            sine,
            cosine,
        }
    }

    /// A point of the picture as seen from here.
    fn seen(&self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = ((x - self.x) / self.size, (y - self.y) / self.size);
        (
            self.cosine * x + self.sine * y,
            self.cosine * y - self.sine * x,
        )
    }
}

/// Something small and plain behind a shape: long or short.
struct Block {
    place: Place,
    width: f64,
    colour: Colour,
}

/// A dark shape with that texture in light, of random colours, place and size, turned a little, on a light background
/// with other things.
pub fn shape_picture(random: &mut ChaCha8Rng, shape: Shape, texture: Texture) -> RgbImage {
    let ground = colour(random, [0.0, 0.25], [0.8, 1.0]);
    let blocks: Vec<Block> = (0..CLUTTER)
        .map(|_| Block {
            place: Place::random(random, [2.0, 6.0], 0.0, 180.0),
            width: between(random, 0.2, 1.0),
            colour: colour(random, [0.5, 0.5], [0.7, 0.7]),
        })
        .collect();
    let hue = between(random, 0.0, 360.0);
    let (strength, value) = (between(random, 0.7, 1.0), between(random, 0.3, 0.7));
    let first = shade(hue, strength, value);
    let second = shade(hue + 180.0, 0.3, 0.95);
    let place = Place::random(random, [15.0, 26.0], 1.0, TURN);
    let (fineness, shift) = (2.2, between(random, 0.0, 1.0));
    paint(random, GRAIN, |x, y| {
        let (in_x, in_y) = place.seen(x, y);
        if shape.contains(in_x, in_y) {
            let is_second = texture.is_second(fineness * in_x + shift, fineness * in_y + shift);
            return if is_second { second } else { first };
        }
        let hit = blocks.iter().find(|of| {
            let (x, y) = of.place.seen(x, y);
            x.abs() <= 1.0 && y.abs() <= of.width
        });
        hit.map_or(ground, |of| of.colour)
    })
}

/// Noise without any shape, of about one hue in degrees.
pub fn noise_picture(random: &mut ChaCha8Rng, hue: f64) -> RgbImage {
    let hue = hue + between(random, -14.0, 14.0);
    let (strength, value) = (between(random, 0.7, 1.0), between(random, 0.6, 0.9));
    let tint = shade(hue, strength, value);
    let grain = between(random, 15.0, 40.0);
    paint(random, grain, |_, _| tint)
}

/// A picture of a function's colours, with grain of that height.
fn paint(random: &mut ChaCha8Rng, grain: f64, colour_at: impl Fn(f64, f64) -> Colour) -> RgbImage {
    let mut image = RgbImage::black(EDGE, EDGE);
    for row in 0..EDGE {
        for column in 0..EDGE {
            let mut sum = [0.0; 3];
            for point in 0..POINTS * POINTS {
                let at = |pixel: usize, point: usize| {
                    pixel as f64 + (point as f64 + 0.5) / POINTS as f64
                };
                let colour = colour_at(at(column, point % POINTS), at(row, point / POINTS));
                for (sum, part) in sum.iter_mut().zip(colour) {
                    *sum += part;
                }
            }
            let start = 3 * (row * EDGE + column);
            for (value, sum) in image.pixels[start..start + 3].iter_mut().zip(sum) {
                let mean = sum / (POINTS * POINTS) as f64;
                let grain = between(random, -grain, grain);
                *value = (mean + grain).round().clamp(0.0, 255.0) as u8;
            }
        }
    }
    image
}

/// A colour of any hue, of a strength and a value within those ends.
fn colour(random: &mut ChaCha8Rng, strengths: [f64; 2], values: [f64; 2]) -> Colour {
    let hue = between(random, 0.0, 360.0);
    let strength = between(random, strengths[0], strengths[1]);
    shade(hue, strength, between(random, values[0], values[1]))
}

/// A colour by its hue in degrees, strength and value, each of these from 0 to 1.
fn shade(hue: f64, strength: f64, value: f64) -> Colour {
    hue_colour(hue).map(|part| 255.0 * value * (1.0 - strength + strength * part))
}

/// The pure colour of a hue in degrees, each part from 0 to 1.
fn hue_colour(hue: f64) -> Colour {
    let part = |shift: f64| {
        let place = (hue + shift).rem_euclid(360.0) / 60.0;
        ((place - 3.0).abs() - 1.0).clamp(0.0, 1.0)
    };
    [part(0.0), part(240.0), part(120.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmstart_data::random::{Purpose, stream};

    fn drawn(number: u64) -> RgbImage {
        let mut random = stream(1, 0, number, Purpose::Drawing);
        shape_picture(&mut random, Shape::Star, Texture::Striped)
    }

    #[test]
    fn a_picture_is_a_function_of_its_number() {
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(drawn(3), drawn(4));
        assert_eq!((drawn(3).width, drawn(3).height), (EDGE, EDGE));
    }

    #[test]
    fn hues_have_their_colours() {
        assert_eq!(hue_colour(0.0), [1.0, 0.0, 0.0]);
        assert_eq!(hue_colour(120.0), [0.0, 1.0, 0.0]);
        assert_eq!(hue_colour(240.0), [0.0, 0.0, 1.0]);
        assert_eq!(hue_colour(60.0), [1.0, 1.0, 0.0]);
    }
}
