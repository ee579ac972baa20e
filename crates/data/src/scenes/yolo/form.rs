//! Form of the lines of a data set: boxes, outlines, or boxes with keypoints, confidences or tracks after them.
//!
//! A line is `class x y width height` with the box's centre; or a class and the outline of an object,
//! `class x1 y1 x2 y2 x3 y3 …`, of which the bounding box is taken; or a box followed by the keypoints
//! of a pose, `class x y width height px1 py1 [v1] px2 …`, of which the box is taken. All are fractions
//! of the image. `kpt_shape` in the `data.yaml` declares keypoints; without it, they are known by their
//! flags of visibility alone: in two dimensions they look like an outline.

use super::super::findings::{Findings, Problem};
use super::super::named::around;
use super::text_files::numbers;
use std::path::Path;
use warmstart_files::shown;
use warmstart_language::message;

/// Label files that are looked at.
const FILES: usize = 200;

/// Numbers of a box, and of an outline of three points.
const BOX: usize = 4;
const TRIANGLE: usize = 6;

/// Lines with the same even number of numbers that prove keypoints by their flags.
const PROOF: usize = 3;

/// Form of lines that are longer than a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Outlines.
    Outlines,
    /// A box with as many numbers of keypoints after it. `declared` by `kpt_shape`, or found.
    Keypoints { numbers: usize, declared: bool },
    /// A box, its confidence and the number of its track: what Ultralytics' trackers save.
    Tracks,
}

impl Form {
    /// Corners of the box of a line, in fractions of the image: left, top, right, bottom. `position` is
    /// the line without its class. None for a line of another form.
    pub fn corners(self, position: &[f64]) -> Option<[f64; 4]> {
        let around_box =
            |[x, y, w, h]: [f64; 4]| [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
        let boxed = position.first_chunk().map(|bounds| around_box(*bounds));
        match (self, position) {
            (_, [_, _, _, _]) => boxed,
            (Self::Keypoints { numbers, .. }, _) => {
                boxed.filter(|_| position.len() == BOX + numbers)
            }
            (Self::Outlines | Self::Tracks, [.., extra]) if position.len() == BOX + 1 => {
                boxed.filter(|_| is_confidence(*extra) || is_track(*extra))
            }
            (Self::Tracks, _) => boxed.filter(|_| position.len() == BOX + 2),
            (Self::Outlines, _) => (position.len() >= TRIANGLE && position.len().is_multiple_of(2))
                .then(|| {
                    let (points, _) = position.as_chunks();
                    around(points.iter().map(|&[x, y]| (x, y))).corners()
                }),
        }
    }

    /// The form of a line, in words.
    pub fn expected(self) -> String {
        match self {
            Self::Outlines => message!(
                "class x y width height, or class and an outline of three points or more (keypoints need kpt_shape in the data.yaml)"
            ),
            Self::Keypoints {
                numbers,
                declared: true,
            } => message!(
                "class x y width height, with {numbers} numbers of keypoints as kpt_shape say or with none"
            ),
            Self::Keypoints {
                numbers,
                declared: false,
            } => message!(
                "class x y width height, with {numbers} numbers of keypoints as the other lines say or with none"
            ),
            Self::Tracks => {
                message!("class x y width height, with a confidence and a track or with none")
            }
        }
    }

    /// The problem of a line with undeclared numbers after its box.
    pub fn beside_the_box(self, position: &[f64]) -> Option<Problem> {
        let extra = position.len().saturating_sub(BOX);
        match (self, extra) {
            (_, 0) | (Self::Keypoints { declared: true, .. }, _) => None,
            (
                Self::Keypoints {
                    declared: false, ..
                },
                _,
            ) => Some(Problem::UndeclaredKeypoints),
            (Self::Tracks, _) | (Self::Outlines, 1) => Some(Problem::ExtraNumbers),
            (Self::Outlines, _) => None,
        }
    }

    /// The form of the lines in some label files, of which a few hundred are looked at.
    pub fn of(
        declared: Option<usize>,
        files: &[&Path],
        read: impl Fn(&Path) -> Option<String>,
        findings: &mut Findings,
    ) -> Self {
        if let Some(numbers) = declared {
            return Self::Keypoints {
                numbers,
                declared: true,
            };
        }
        let step = files.len().div_ceil(FILES).max(1);
        let mut long: Vec<Vec<f64>> = Vec::new();
        let mut example = None;
        for file in files.iter().step_by(step) {
            for line in read(file).unwrap_or_default().lines() {
                let Ok(numbers) = numbers(line) else { continue };
                if numbers.len() > 1 + BOX + 1 {
                    long.push(numbers[1..].to_vec());
                    example = example.or(Some(*file));
                }
            }
        }
        let (Some(first), Some(example)) = (long.first(), example) else {
            return Self::Outlines;
        };
        let count = first.len();
        if long.iter().any(|position| position.len() != count) {
            return Self::Outlines;
        }
        if count == BOX + 2 && are_tracks(&long) {
            return Self::Tracks;
        }
        if have_flags(&long, count) && (count % 2 == 1 || long.len() >= PROOF) {
            return Self::Keypoints {
                numbers: count - BOX,
                declared: false,
            };
        }
        // Four points are what tools write for a rectangle.
        if count.is_multiple_of(2) && count > 8 && long.len() >= PROOF {
            findings.add(Problem::EqualOutlines, || {
                let points = count / 2;
                message!("{}: {points} points", shown(example))
            });
        }
        Self::Outlines
    }
}

fn is_confidence(number: f64) -> bool {
    (0.0..=1.0).contains(&number)
}

fn is_track(number: f64) -> bool {
    number >= 0.0 && number.fract() == 0.0
}

/// Returns whether lines of a box and two numbers end in a confidence and the number of a track, which no outline
/// in fractions does.
fn are_tracks(long: &[Vec<f64>]) -> bool {
    let pair = |position: &Vec<f64>| (position[BOX], position[BOX + 1]);
    let fits = |(confidence, track)| is_confidence(confidence) && is_track(track);
    long.iter().map(pair).all(fits) && long.iter().map(pair).any(|(_, track)| track > 1.0)
}

/// Returns whether every third number after the box is a flag of visibility: 0, 1 or 2.
fn have_flags(long: &[Vec<f64>], count: usize) -> bool {
    let after = count - BOX;
    let flags = |position: &Vec<f64>| {
        let (keypoints, _) = position[BOX..].as_chunks::<3>();
        keypoints
            .iter()
            .all(|[_, _, flag]| [0.0, 1.0, 2.0].contains(flag))
    };
    after.is_multiple_of(3) && long.iter().all(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(lines: &str) -> (Form, Vec<Problem>) {
        let mut findings = Findings::default();
        let read = |_: &Path| Some(lines.to_owned());
        let form = Form::of(None, &[Path::new("a.txt")], read, &mut findings);
        (form, findings.iter().map(|(problem, _)| problem).collect())
    }

    fn found(numbers: usize) -> Form {
        Form::Keypoints {
            numbers,
            declared: false,
        }
    }

    #[test]
    fn keypoints_without_kpt_shape_are_known_by_their_flags() {
        let odd = "0 .5 .5 .2 .2 .1 .2 2 .3 .4 0 .1 .2 1 .3 .4 2 .5 .5 0";
        assert_eq!(form(odd), (found(15), vec![]));
        let even = "0 .5 .5 .2 .2 .1 .2 2 .3 .4 0\n";
        assert_eq!(form(even), (Form::Outlines, vec![]));
        assert_eq!(form(&even.repeat(3)), (found(6), vec![]));
    }

    #[test]
    fn lines_of_one_length_without_flags_stay_outlines_and_are_named() {
        let line = "0 .5 .5 .2 .2 .1 .2 .3 .4 .5 .6\n";
        let named = vec![Problem::EqualOutlines];
        assert_eq!(form(&line.repeat(3)), (Form::Outlines, named));
        let rectangle = "0 .1 .1 .4 .1 .4 .3 .1 .3\n";
        assert_eq!(form(&rectangle.repeat(3)), (Form::Outlines, vec![]));
        let mixed = "0 .5 .5 .2 .2 .1 .2 2 .3 .4 0\n0 .1 .1 .4 .1 .4 .3\n";
        assert_eq!(form(&mixed.repeat(3)), (Form::Outlines, vec![]));
    }

    #[test]
    fn tracks_are_known_by_whole_numbers_above_one() {
        assert_eq!(
            form("0 .5 .5 .2 .2 .9 1\n0 .5 .5 .2 .2 .8 7\n").0,
            Form::Tracks
        );
        assert_eq!(
            form("0 .5 .5 .2 .2 .9 1\n0 .5 .5 .2 .2 .8 0\n").0,
            Form::Outlines
        );
        assert_eq!(
            form("0 .5 .5 .2 .2 .9 7\n0 .5 .5 .2 .2 .8 .1\n").0,
            Form::Outlines
        );
    }

    #[test]
    fn a_fifth_number_may_be_a_confidence_or_a_track_and_no_angle() {
        let corners = |extra| Form::Outlines.corners(&[0.5, 0.5, 0.2, 0.2, extra]);
        for extra in [0.0, 0.87, 1.0, 12.0] {
            assert!(corners(extra).is_some(), "{extra}");
        }
        for extra in [-0.7, 1.57, f64::NAN] {
            assert!(corners(extra).is_none(), "{extra}");
        }
    }
}
