//! The views of a picture, and the objects of all of them as one list.

use warmstart_data::{BoundingBox, Letterbox, Preprocessing, Region, RgbImage, crop};

use super::evaluation_pixels;
use super::found_object::FoundObject;
use super::nms::{Found, Selection};
use super::target::in_picture;

/// IoU above which two boxes of different views are of one object, unless the selection asks for less. Views place a
/// small object less alike than neighbouring points of one view do.
const SAME_OBJECT: f64 = 0.5;
/// Share of a cut object's box that lies in another box from which on it is a part of that.
const PART: f64 = 0.5;
/// Share of a tile's side from its edge within which a box counts as cut by it.
const EDGE: f64 = 0.02;

/// A part of a picture as a network sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct View {
    pub region: Region,
    /// Width and height of the whole picture.
    pub picture: [usize; 2],
    pub is_mirrored: bool,
}

/// An object that was found in one of several views.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    object: FoundObject,
    /// Number of the view.
    view: usize,
    /// Whether its box ends at an edge of its view where the picture goes on.
    is_cut: bool,
}

impl View {
    /// The input of the network.
    pub(super) fn pixels(&self, image: &RgbImage, preprocessing: &Preprocessing) -> Vec<f32> {
        let mut pixels = if self.region == image.bounds() {
            evaluation_pixels(image, preprocessing)
        } else {
            let part = crop(image, bounds_of(self.region));
            let part = part.expect("a region of pixels of the picture");
            evaluation_pixels(&part, preprocessing)
        };
        if self.is_mirrored {
            mirror(&mut pixels, preprocessing.crop);
        }
        pixels
    }

    /// An object of the network's input, whose side is `size`, in the picture, if it has an area there. `number` is
    /// that of this view.
    pub(super) fn seen(&self, number: usize, found: &Found, size: usize) -> Option<Seen> {
        let Region {
            left,
            top,
            width,
            height,
        } = self.region;
        let [x1, y1, x2, y2] = found.corners;
        let mirrored = Found {
            corners: [size as f32 - x2, y1, size as f32 - x1, y2],
            ..*found
        };
        let found = if self.is_mirrored { &mirrored } else { found };
        let own = in_picture(&Letterbox::new(width, height, size), found)?;
        let is_cut = is_cut([own.left, own.right], left, width, self.picture[0])
            || is_cut([own.top, own.bottom], top, height, self.picture[1]);
        let (left, top) = (left as f64, top as f64);
        Some(Seen {
            object: FoundObject {
                class: found.class,
                score: found.score,
                bounds: BoundingBox {
                    left: own.left + left,
                    top: own.top + top,
                    right: own.right + left,
                    bottom: own.bottom + top,
                },
            },
            view: number,
            is_cut,
        })
    }
}

fn bounds_of(region: Region) -> BoundingBox {
    let Region {
        left,
        top,
        width,
        height,
    } = region;
    BoundingBox {
        left: left as f64,
        top: top as f64,
        right: (left + width) as f64,
        bottom: (top + height) as f64,
    }
}

/// Whether a box reaches an end of its view where the picture goes on, along one axis: its sides within the view, and
/// the first pixel and length of the view in a picture of `whole` pixels.
fn is_cut([first, last]: [f64; 2], start: usize, length: usize, whole: usize) -> bool {
    let edge = EDGE * length as f64;
    let goes_on_before = start > 0;
    let goes_on_after = start + length < whole;
    (goes_on_before && first <= edge) || (goes_on_after && last >= length as f64 - edge)
}

/// Mirrors a square picture `[size, size, 3]`, left and right.
fn mirror(pixels: &mut [f32], size: usize) {
    for row in pixels.chunks_exact_mut(3 * size) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

impl Seen {
    /// The rank of its box: a box that was cut stands behind a whole one, unless its score is twice as high.
    fn rank(&self) -> f32 {
        if self.is_cut {
            self.object.score / 2.0
        } else {
            self.object.score
        }
    }

    /// Whether two boxes of different views are of one object.
    fn is_same(&self, other: &Self, selection: Selection) -> bool {
        let is_alike = selection.across_classes || self.object.class == other.object.class;
        if self.view == other.view || !is_alike {
            return false;
        }
        let (own, its) = (self.object.bounds, other.object.bounds);
        let width = own.right.min(its.right) - own.left.max(its.left);
        let height = own.bottom.min(its.bottom) - own.top.max(its.top);
        let shared = width.max(0.0) * height.max(0.0);
        let most = f64::from(selection.overlap).min(SAME_OBJECT);
        shared > most * (own.area() + its.area() - shared)
            || (self.is_cut && shared > PART * own.area())
            || (other.is_cut && shared > PART * its.area())
    }
}

/// The objects that were found in several views of a picture, each once, the highest score first.
pub(super) fn merged(mut seen: Vec<Seen>, selection: Selection) -> Vec<FoundObject> {
    // Stable, so that equal ones keep the order of the views: the whole picture comes first.
    seen.sort_by(|one, other| other.rank().total_cmp(&one.rank()));
    let mut kept: Vec<Seen> = Vec::new();
    for candidate in seen {
        if kept.len() == selection.boxes {
            break;
        }
        if !kept.iter().any(|it| it.is_same(&candidate, selection)) {
            kept.push(candidate);
        }
    }
    let mut objects: Vec<FoundObject> = kept.into_iter().map(|seen| seen.object).collect();
    objects.sort_by(|one, other| other.score.total_cmp(&one.score));
    objects
}

#[cfg(test)]
mod tests {
    use super::super::Search;
    use super::*;

    const SIZE: usize = 64;

    fn bounds([left, top, right, bottom]: [f64; 4]) -> BoundingBox {
        BoundingBox {
            left,
            top,
            right,
            bottom,
        }
    }

    fn seen(view: usize, class: usize, score: f32, corners: [f64; 4], is_cut: bool) -> Seen {
        Seen {
            object: FoundObject {
                class,
                score,
                bounds: bounds(corners),
            },
            view,
            is_cut,
        }
    }

    fn scores(seen: &[Seen], selection: Selection) -> Vec<f32> {
        let objects = merged(seen.to_vec(), selection).into_iter();
        objects.map(|object| object.score).collect()
    }

    /// Whatever the view, an object has one place in the picture.
    #[test]
    fn a_box_comes_back_to_its_place_from_every_view() {
        let object = bounds([40.0, 44.0, 52.0, 60.0]);
        let search = Search {
            tile: Some(SIZE),
            flip: true,
            ..Selection::PREDICTION.into()
        };
        for view in search.views(100, 80) {
            let Region {
                left,
                top,
                width,
                height,
            } = view.region;
            let (left, top) = (left as f64, top as f64);
            let own = BoundingBox {
                left: object.left - left,
                top: object.top - top,
                right: object.right - left,
                bottom: object.bottom - top,
            };
            let letterbox = Letterbox::new(width, height, SIZE);
            let mut corners = letterbox.place(own).corners().map(|at| at as f32);
            if view.is_mirrored {
                let [x1, y1, x2, y2] = corners;
                corners = [SIZE as f32 - x2, y1, SIZE as f32 - x1, y2];
            }
            let found = Found {
                class: 1,
                score: 0.5,
                corners,
            };
            let seen = view.seen(7, &found, SIZE).unwrap().object;
            let mut sides = seen.bounds.corners().into_iter().zip(object.corners());
            let is_back = sides.all(|(one, other)| (one - other).abs() < 1e-3);
            assert!(is_back, "{view:?}");
            assert_eq!((seen.class, seen.score), (1, 0.5));
            // Beside its view.
            let outside = Found {
                corners: [-9.0, 8.0, -1.0, 16.0],
                ..found
            };
            assert!(view.seen(7, &outside, SIZE).is_none(), "{view:?}");
        }
    }

    #[test]
    fn a_view_has_the_pixels_of_its_region() {
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
        let part = crop(&image, bounds_of(region)).unwrap();
        assert_eq!(part.pixels, [12, 13, 14, 15, 16, 17]);
        assert_eq!((part.width, part.height), (2, 1));
    }

    #[test]
    fn a_mirrored_view_shows_the_picture_mirrored() {
        let mut pixels: Vec<f32> = (0..12).map(|value| value as f32).collect();
        mirror(&mut pixels, 2);
        assert_eq!(pixels, [3., 4., 5., 0., 1., 2., 9., 10., 11., 6., 7., 8.]);
        mirror(&mut pixels, 2);
        assert!(pixels.is_sorted());
    }

    #[test]
    fn a_box_is_cut_only_where_the_picture_goes_on() {
        // A view of 100 pixels, first, in the middle and last in 300.
        for (start, at_start, at_end) in [(0, false, true), (100, true, true), (200, true, false)] {
            assert_eq!(is_cut([0.0, 20.0], start, 100, 300), at_start);
            assert_eq!(is_cut([80.0, 99.0], start, 100, 300), at_end);
            assert!(!is_cut([5.0, 95.0], start, 100, 300));
        }
        assert!(!is_cut([0.0, 300.0], 0, 300, 300));
    }

    #[test]
    fn one_object_in_two_views_is_one() {
        let both = [
            seen(0, 0, 0.6, [0.0, 0.0, 10.0, 10.0], false),
            seen(1, 0, 0.9, [1.0, 0.0, 11.0, 10.0], false),
            seen(1, 1, 0.7, [1.0, 0.0, 11.0, 10.0], false),
            seen(1, 0, 0.5, [40.0, 0.0, 50.0, 10.0], false),
        ];
        let usual = Selection::PREDICTION;
        assert_eq!(scores(&both, usual), [0.9, 0.7, 0.5]);
        let across = Selection {
            across_classes: true,
            ..usual
        };
        // Of one view, they were selected before.
        assert_eq!(scores(&both, across), [0.9, 0.7, 0.5]);
        assert_eq!(scores(&both[..2], usual), [0.9]);
        let few = Selection { boxes: 1, ..usual };
        assert_eq!(scores(&both, few), [0.9]);
        let other_view = [both[1], seen(2, 1, 0.7, [1.0, 0.0, 11.0, 10.0], false)];
        assert_eq!(scores(&other_view, across), [0.9]);
    }

    #[test]
    fn a_part_of_an_object_gives_way_to_the_whole() {
        let usual = Selection::PREDICTION;
        let part = seen(1, 0, 0.9, [0.0, 0.0, 20.0, 40.0], true);
        let whole = |score| seen(2, 0, score, [0.0, 0.0, 80.0, 40.0], false);
        assert_eq!(scores(&[part, whole(0.6)], usual), [0.6]);
        // Unless the whole is hardly seen.
        assert_eq!(scores(&[part, whole(0.3)], usual), [0.9]);
        // Two parts of it, each in its tile, stay two where nothing sees it whole.
        let next = seen(2, 0, 0.8, [16.0, 0.0, 60.0, 40.0], true);
        assert_eq!(scores(&[part, next], usual), [0.9, 0.8]);
        // A small object before a large one is not a part of it.
        let small = seen(1, 0, 0.7, [30.0, 10.0, 40.0, 20.0], false);
        assert_eq!(scores(&[small, whole(0.9)], usual), [0.9, 0.7]);
    }
}
