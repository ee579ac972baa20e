//! How a picture is looked at: as a whole, in tiles, and each mirrored.

use std::path::Path;

use warmstart_data::{DataError, Region, RgbImage};
use warmstart_language::message;
use warmstart_recipe::{Error, Key, Problem};

use super::nms::Selection;
use super::tiles::{self, tiles};
use super::views::View;

/// Most views of a picture: the objects of all are in memory until the last one is seen.
const MOST_VIEWS: usize = 10_000;
/// Whether a region is looked at mirrored: once as it is, or once either way.
const AS_IT_IS: &[bool] = &[false];
const EITHER_WAY: &[bool] = &[false, true];

/// The views of a picture that a detector looks at, and the objects of them that are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// The objects that are kept.
    pub selection: Selection,
    /// Side of tiles in pixels of the picture, which are looked at beside the whole; `None` for the whole alone.
    pub tile: Option<usize>,
    /// Whether each of these is looked at mirrored, too.
    pub flip: bool,
}

impl From<Selection> for Search {
    fn from(selection: Selection) -> Self {
        Self {
            selection,
            tile: None,
            flip: false,
        }
    }
}

impl Search {
    /// Whether the whole picture is the only view.
    pub(super) fn has_one_view(&self) -> bool {
        self.tile.is_none() && !self.flip
    }

    /// Refuses tiles that a network with an input of `size` pixels would see enlarged more than twice: there are many of
    /// them, with nothing to see that larger ones do not show.
    pub(super) fn require_tile(&self, size: usize) -> Result<(), Error> {
        match self.tile {
            Some(side) if 2 * side < size => {
                let what = message!(
                    "tiles of {side} pixels are below half of the network's input of {size}"
                );
                let problem = Problem::new(what).of_key(Key("tile"));
                Err(problem
                    .fix(message!("give --tile={} or more", size.div_ceil(2)))
                    .into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses a picture with too many views.
    pub(super) fn require_few(&self, path: &Path, picture: &RgbImage) -> Result<(), DataError> {
        let views = self.count(picture.width, picture.height);
        if views <= MOST_VIEWS {
            return Ok(());
        }
        Err(DataError::Layout {
            folder: path.to_owned(),
            problem: message!(
                "{} x {} pixels would be looked at in {views} views, and at most {MOST_VIEWS} are possible; give a \
                 larger --tile",
                picture.width,
                picture.height
            ),
        })
    }

    /// The number of [`views`](Self::views).
    fn count(&self, width: usize, height: usize) -> usize {
        let tiles = self.tile.map(|side| tiles::count(width, height, side));
        let ways = if self.flip { EITHER_WAY } else { AS_IT_IS };
        (1 + tiles.unwrap_or(0)) * ways.len()
    }

    /// The views of a picture of `width` × `height` pixels.
    pub(super) fn views(&self, width: usize, height: usize) -> Vec<View> {
        let whole = Region {
            left: 0,
            top: 0,
            width,
            height,
        };
        let tiles = self.tile.map(|side| tiles(width, height, side));
        let regions = [whole].into_iter().chain(tiles.unwrap_or_default());
        let ways = if self.flip { EITHER_WAY } else { AS_IT_IS };
        let views = regions.flat_map(|region| {
            ways.iter().map(move |&is_mirrored| View {
                region,
                picture: [width, height],
                is_mirrored,
            })
        });
        views.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(tile: Option<usize>, flip: bool) -> Search {
        Search {
            tile,
            flip,
            ..Selection::PREDICTION.into()
        }
    }

    #[test]
    fn the_whole_picture_comes_first_and_then_each_tile_once_or_twice() {
        assert_eq!(search(None, false).views(100, 80).len(), 1);
        assert_eq!(search(None, true).views(100, 80).len(), 2);
        assert_eq!(search(Some(64), false).views(100, 80).len(), 5);
        assert_eq!(search(Some(64), true).views(100, 80).len(), 10);
        assert_eq!(search(Some(64), false).views(60, 64).len(), 1);
        let first = search(Some(64), true).views(100, 80)[0];
        assert_eq!((first.region.width, first.region.height), (100, 80));
        assert!(!first.is_mirrored);
    }

    #[test]
    fn tiles_below_half_of_the_input_are_refused() {
        assert!(search(Some(160), false).require_tile(320).is_ok());
        assert!(search(None, true).require_tile(320).is_ok());
        let error = search(Some(159), false).require_tile(320).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("give --tile=160 or more"), "{error}");
    }

    #[test]
    fn a_picture_of_too_many_views_is_refused() {
        let picture = RgbImage::black(40_000, 20);
        let path = Path::new("strip.png");
        let require = |side, flip| search(Some(side), flip).require_few(path, &picture);
        assert!(require(20, true).is_ok());
        let error = require(4, false).unwrap_err().to_string();
        assert!(error.contains("strip.png: 40000 x 20 pixels"), "{error}");
        assert!(error.contains("give a larger --tile"), "{error}");
        for flip in [false, true] {
            let search = search(Some(64), flip);
            assert_eq!(search.count(100, 80), search.views(100, 80).len());
        }
    }
}
