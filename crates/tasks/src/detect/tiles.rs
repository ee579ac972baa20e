//! Overlapping tiles of a picture.

use warmstart_data::Region;

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

/// The number of [`tiles`].
pub fn count(width: usize, height: usize, side: usize) -> usize {
    if width <= side && height <= side {
        return 0;
    }
    (gaps(width, side) + 1) * (gaps(height, side) + 1)
}

/// The first pixels of the tiles along a side of a picture: the first begins and the last ends with it, and the others
/// are evenly spread.
fn starts(length: usize, side: usize) -> Vec<usize> {
    let rest = length.saturating_sub(side);
    let gaps = gaps(length, side);
    let start = |number: usize| (number * rest).checked_div(gaps).unwrap_or(0);
    (0..=gaps).map(start).collect()
}

/// Number of tiles along a side of a picture, beside the first.
fn gaps(length: usize, side: usize) -> usize {
    let step = (side - side / OVERLAP).max(1);
    length.saturating_sub(side).div_ceil(step)
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

    proptest! {
        #[test]
        fn tiles_are_counted_without_being_made(
            width in 1usize..3000, height in 1usize..3000, side in 50usize..900
        ) {
            prop_assert_eq!(count(width, height, side), tiles(width, height, side).len());
        }

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
