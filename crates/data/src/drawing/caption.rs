//! A line of text on a plate, and where the plate goes.
//!
//! The glyphs are those of GNU Unifont (SIL Open Font License 1.1): 8 or 16 dots wide and 16 high,
//! enlarged by a whole factor.

use super::paint::fill;
use crate::rgb_image::{Region, RgbImage};
use unifont::{Glyph, get_glyph};
use warmstart_files::one_line;

/// Rows of dots in a glyph.
const GLYPH_HEIGHT: usize = 16;
/// Dots between the text and the left and right end of its plate.
const SIDE_MARGIN: usize = 2;
/// Dots between the text and the upper and lower end of its plate.
const MARGIN: usize = 1;
/// Shorter side of a picture, in pixels, per pixel of a dot's side.
const PIXELS_PER_DOT: f64 = 640.0;

/// Text that fits into a picture.
pub struct Caption {
    /// Each with the column of dots at which it starts.
    glyphs: Vec<(usize, &'static Glyph)>,
    /// In dots.
    width: usize,
    /// Pixels of a dot's side.
    dot: usize,
}

impl Caption {
    /// `None` if there is no text, or no room for any.
    pub fn new(text: &str, image: &RgbImage) -> Option<Self> {
        let shorter_side = image.width.min(image.height) as f64;
        let dot = ((shorter_side / PIXELS_PER_DOT).round() as usize).max(1);
        let room = (image.width / dot).checked_sub(2 * SIDE_MARGIN)?;
        let mut caption = Self {
            glyphs: Vec::new(),
            width: 0,
            dot,
        };
        let text = one_line(text);
        text.chars().for_each(|character| caption.push(character));
        if caption.width > room {
            caption.shorten(room);
        }
        let fits = caption.plate_size().1 <= image.height;
        (fits && !caption.glyphs.is_empty()).then_some(caption)
    }

    fn push(&mut self, character: char) {
        let glyph = glyph(character);
        if is_combining(character)
            && let Some(&(column, _)) = self.glyphs.last()
        {
            self.glyphs.push((column, glyph));
        } else {
            self.glyphs.push((self.width, glyph));
            self.width += glyph.get_width();
        }
    }

    /// Replaces the end by an ellipsis; nothing is left if not even that fits.
    fn shorten(&mut self, room: usize) {
        let ellipsis = glyph('…').get_width();
        while self.width + ellipsis > room
            && let Some((column, _)) = self.glyphs.pop()
        {
            self.width = column;
        }
        if ellipsis <= room {
            // A base character takes its accents with it.
            self.glyphs.retain(|&(column, _)| column < self.width);
            self.push('…');
        }
    }

    /// Width and height of the plate in pixels.
    pub fn plate_size(&self) -> (usize, usize) {
        (
            (self.width + 2 * SIDE_MARGIN) * self.dot,
            (GLYPH_HEIGHT + 2 * MARGIN) * self.dot,
        )
    }

    /// Draws the text on the plate with that left and upper end, which must lie in the picture.
    pub fn draw(&self, image: &mut RgbImage, (left, top): (usize, usize), color: [u8; 3]) {
        for &(start, glyph) in &self.glyphs {
            for (row, column) in
                (0..GLYPH_HEIGHT).flat_map(|row| (0..glyph.get_width()).map(move |c| (row, c)))
            {
                if glyph.get_pixel(column, row) {
                    let dot = Region {
                        left: left + (SIDE_MARGIN + start + column) * self.dot,
                        top: top + (MARGIN + row) * self.dot,
                        width: self.dot,
                        height: self.dot,
                    };
                    fill(image, dot, color);
                }
            }
        }
    }
}

fn glyph(character: char) -> &'static Glyph {
    // The font shows control characters as boxes with their names, which nobody asked for.
    let shown = Some(character).filter(|character| !character.is_control());
    shown
        .and_then(get_glyph)
        .or_else(|| get_glyph(char::REPLACEMENT_CHARACTER))
        .expect("the font has a replacement character")
}

/// Accents that go onto the character before them, where the font has them at the right place:
/// combining diacritical marks, and the sound marks of kana. File names of macOS have these.
fn is_combining(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{3099}' | '\u{309a}')
}

/// The place of a plate of that size: the first one around the outline of its box that is free of
/// other plates, else the one where it covers the least of them. It must not be larger than the picture.
pub fn place(
    (width, height): (usize, usize),
    outline: Region,
    taken: &[Region],
    image: &RgbImage,
) -> Region {
    let below = outline.top + outline.height;
    let lowest = image.height - height;
    let above = outline.top.checked_sub(height);
    let below_it = Some(below).filter(|&top| top <= lowest);
    let inside = Some(outline.top.min(lowest));
    let inside_at_the_end = Some(below.saturating_sub(height).min(lowest));
    // In a low box the plate would hide what was found.
    let tops = if outline.height >= 3 * height {
        [above, inside, below_it, inside_at_the_end]
    } else {
        [above, below_it, inside, inside_at_the_end]
    };
    let lefts = [
        outline.left,
        (outline.left + outline.width).saturating_sub(width),
    ];
    tops.into_iter()
        .flatten()
        .flat_map(|top| {
            lefts.map(|left| Region {
                left: left.min(image.width - width),
                top,
                width,
                height,
            })
        })
        .min_by_key(|plate| {
            let covered = |other: &Region| overlap(*plate, *other);
            taken.iter().map(covered).sum::<usize>()
        })
        .expect("inside of the box is always a place")
}

/// Number of pixels in both regions.
fn overlap(a: Region, b: Region) -> usize {
    let common = |start: usize, length: usize, other: usize, other_length: usize| {
        (start + length)
            .min(other + other_length)
            .saturating_sub(start.max(other))
    };
    common(a.left, a.width, b.left, b.width) * common(a.top, a.height, b.top, b.height)
}
