//! The demonstration's pictures, drawn: each is a function of its seed and number.

use warmstart_data::RgbImage;
use warmstart_data::random::{ChaCha8Rng, below, between};

use super::shapes::Shape;

/// Edge of a picture in pixels, and of the image that goes into the network.
pub const EDGE: usize = 64;
/// Points of a pixel in each direction, whose colours are averaged.
const POINTS: usize = 2;
/// Things in the background of a shape.
const CLUTTER: usize = 6;
/// Smallest difference between the colours of a shape and of what is behind it: the sum over red, green and blue.
const CONTRAST: f64 = 220.0;

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
    fn random(random: &mut ChaCha8Rng, sizes: [f64; 2], margin: f64) -> Self {
        let size = between(random, sizes[0], sizes[1]);
        let edge = EDGE as f64;
        let least = margin * size;
        let (sine, cosine) = between(random, 0.0, std::f64::consts::TAU).sin_cos();
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

/// A shape with that texture, of random colours, place, size and direction, on a background with other things.
pub fn shape_picture(random: &mut ChaCha8Rng, shape: Shape, texture: Texture) -> RgbImage {
    let ground = [colour(random), colour(random)];
    let fade = Place::random(random, [EDGE as f64, EDGE as f64], 0.0);
    let blocks: Vec<Block> = (0..CLUTTER)
        .map(|_| Block {
            place: Place::random(random, [2.0, 9.0], 0.0),
            width: between(random, 0.15, 1.0),
            colour: colour(random),
        })
        .collect();
    let middle = mix(ground[0], ground[1], 0.5);
    let first = colour_unlike(random, &[middle]);
    let second = colour_unlike(random, &[middle, first]);
    let place = Place::random(random, [14.0, 25.0], 1.0);
    let (fineness, shift) = (between(random, 2.2, 3.2), between(random, 0.0, 1.0));
    let grain = between(random, 0.0, 14.0);
    paint(random, grain, |x, y| {
        let (in_x, in_y) = place.seen(x, y);
        if shape.contains(in_x, in_y) {
            let is_second = texture.is_second(fineness * in_x + shift, fineness * in_y + shift);
            return if is_second { second } else { first };
        }
        let hit = blocks.iter().find(|of| {
            let (x, y) = of.place.seen(x, y);
            x.abs() <= 1.0 && y.abs() <= of.width
        });
        match hit {
            Some(of) => of.colour,
            None => mix(ground[0], ground[1], fade.seen(x, y).0 * 0.5 + 0.5),
        }
    })
}

/// Noise without any shape, of one hue in degrees and of any lightness.
pub fn noise_picture(random: &mut ChaCha8Rng, hue: f64) -> RgbImage {
    let hue = hue + between(random, -14.0, 14.0);
    let lightness = between(random, 70.0, 170.0);
    let strength = between(random, 0.25, 0.6);
    let tint = hue_colour(hue).map(|part| lightness * (1.0 - strength + strength * part));
    let grain = between(random, 40.0, 80.0);
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

/// A colour of any kind.
fn colour(random: &mut ChaCha8Rng) -> Colour {
    std::array::from_fn(|_| below(random, 256) as f64)
}

/// A colour that can be told from each of `others`; the last of several tries if none could.
fn colour_unlike(random: &mut ChaCha8Rng, others: &[Colour]) -> Colour {
    let is_unlike = |colour: &Colour| {
        others.iter().all(|other| {
            let parts = colour.iter().zip(other);
            parts.map(|(a, b)| (a - b).abs()).sum::<f64>() >= CONTRAST
        })
    };
    let mut found = colour(random);
    for _ in 0..50 {
        if is_unlike(&found) {
            break;
        }
        found = colour(random);
    }
    found
}

/// A colour between two, `share` of the way to the second.
fn mix(first: Colour, second: Colour, share: f64) -> Colour {
    let share = share.clamp(0.0, 1.0);
    std::array::from_fn(|part| first[part] + share * (second[part] - first[part]))
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
