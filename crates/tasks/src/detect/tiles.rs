//! Overlapping tiles of a picture.

use warmstart_data::{Region, RgbImage};

/// Part of a tile's side by which two neighbours overlap at least: a fifth.
const OVERLAP: usize = 5;

/// Square tiles that cover a picture, at most `side` pixels wide and high, in the order of reading. None where one
/// would be the whole picture.
pub fn tiles(width: usize, height: usize, side: usize) -> Vec<Region> {
    if width <= side && height <= side {
        return Vec::new();
    }
    let columns = starts(width, side);
    let rows = starts(height, side).into_iter();
    let tile = |left: usize, top: usize| Region {
        left,
        top,
        width: side.min(width),
        height: side.min(height),
    };
    rows.flat_map(|top| columns.iter().map(move |&left| tile(left, top)))
        .collect()
}

/// The first pixels of the tiles along a side of a picture: the first begins and the last ends with it, and the others
/// are evenly spread.
fn starts(length: usize, side: usize) -> Vec<usize> {
    let rest = length.saturating_sub(side);
    if rest == 0 {
        return vec![0];
    }
    let step = (side - side / OVERLAP).max(1);
    let gaps = rest.div_ceil(step);
    (0..=gaps).map(|number| number * rest / gaps).collect()
}

/// The pixels of a region, which lies within the picture.
pub fn part(image: &RgbImage, region: Region) -> RgbImage {
    let columns = region.left * 3..(region.left + region.width) * 3;
    let rows = region.top..region.top + region.height;
    RgbImage {
        width: region.width,
        height: region.height,
        pixels: rows
            .flat_map(|row| &image.row(row)[columns.clone()])
            .copied()
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tiles_are_evenly_spread_and_a_small_picture_has_none() {
        assert_eq!(starts(1000, 400), [0, 300, 600]);
        assert_eq!(starts(720, 400), [0, 320]);
        assert_eq!(starts(721, 400), [0, 160, 321]);
        assert_eq!(starts(400, 400), [0]);
        assert_eq!(tiles(400, 300, 400), []);
        let wide = tiles(1000, 300, 400);
        let places: Vec<[usize; 4]> = wide
            .iter()
            .map(|tile| [tile.left, tile.top, tile.width, tile.height])
            .collect();
        assert_eq!(
            places,
            [[0, 0, 400, 300], [300, 0, 400, 300], [600, 0, 400, 300]]
        );
        assert_eq!(tiles(1000, 721, 400).len(), 9);
    }

    #[test]
    fn a_part_has_the_pixels_of_its_place() {
        let image = RgbImage {
            width: 3,
            height: 2,
            pixels: (0..18).collect(),
        };
        let region = Region {
            left: 1,
            top: 1,
            width: 2,
            height: 1,
        };
        let cut = part(&image, region);
        assert_eq!(cut.pixels, [12, 13, 14, 15, 16, 17]);
        assert_eq!((cut.width, cut.height), (2, 1));
        assert_eq!(part(&image, image.bounds()), image);
    }

    proptest! {
        /// Whatever is no larger than the overlap lies whole in a tile.
        #[test]
        fn what_fits_into_the_overlap_lies_whole_in_a_tile(
            length in 1usize..3000, side in 1usize..900, at in 0.0f64..1.0
        ) {
            let starts = starts(length, side);
            let tile = side.min(length);
            prop_assert_eq!(starts[0], 0);
            prop_assert_eq!(starts[starts.len() - 1] + tile, length);
            let object = (side / OVERLAP).min(length).max(1);
            let first = (at * (length - object) as f64) as usize;
            let is_whole = |start: &usize| *start <= first && first + object <= start + tile;
            prop_assert!(object > side / OVERLAP || starts.iter().any(is_whole));
        }
    }
}
