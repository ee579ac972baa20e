//! The common part of all layouts' readers: checks the boxes of an image, and reads the images of a split.

use super::findings::{Findings, Problem};
use crate::error::DataError;
use crate::picture_header::{PictureHeader, picture_header};
use crate::sample::Sample;
use crate::scene::{BoundingBox, Object, Scene};
pub(super) use crate::text::read_text;
use rayon::prelude::*;
use std::collections::HashSet;
use std::fmt::{self, Display};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use unicode_normalization::UnicodeNormalization as _;
use warmstart_files::shown;
use warmstart_language::message;

/// Distance beyond their image, in pixels, up to which boxes are there by rounding.
const ROUNDING: f64 = 0.5;

/// Boxes with sides below this, in pixels, are smaller than one pixel by more than rounding.
const TINY: f64 = 0.99;

/// The images of one split, or of one image.
#[derive(Default)]
pub(super) struct SplitRead {
    pub samples: Vec<Sample<Scene>>,
    pub unreadable: Vec<(PathBuf, String)>,
    pub findings: Findings,
}

impl SplitRead {
    fn append(&mut self, later: Self) {
        self.samples.extend(later.samples);
        self.unreadable.extend(later.unreadable);
        self.findings.append(later.findings);
    }
}

/// All splits that a layout has.
pub(super) struct SplitsRead {
    pub classes: Vec<String>,
    pub train: SplitRead,
    pub validation: Option<SplitRead>,
    pub test: Option<SplitRead>,
    /// Findings that concern no split or several.
    pub findings: Findings,
    pub ignored: usize,
    /// The folder from which paths count that decide about a split by share.
    pub root: PathBuf,
}

/// Reads every image on all threads of the rayon pool; the result does not depend on their number.
pub(super) fn read_images<T: Sync>(
    images: &[T],
    read: impl Fn(&T) -> Result<SplitRead, DataError> + Send + Sync,
) -> Result<SplitRead, DataError> {
    let parts: Vec<Result<SplitRead, DataError>> = images.par_iter().map(read).collect();
    let mut split = SplitRead::default();
    for part in parts {
        split.append(part?);
    }
    Ok(split)
}

/// Reads one image: its size from its header, its objects by `fill`, which is only called if the
/// image can be read.
pub(super) fn read_image(
    path: &Path,
    fill: impl FnOnce(&mut SceneBuilder) -> Result<(), DataError>,
) -> Result<SplitRead, DataError> {
    let mut read = SplitRead::default();
    let picture = match picture_header(path) {
        Ok(picture) => picture,
        Err(DataError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
            read.findings.add(Problem::MissingImage, || shown(path));
            return Ok(read);
        }
        Err(error) => {
            let reason = error.to_string();
            read.findings
                .add(Problem::UnreadableImage, || reason.clone());
            read.unreadable.push((path.to_path_buf(), reason));
            return Ok(read);
        }
    };
    let (width, height) = picture.upright();
    let mut builder = SceneBuilder {
        scene: Scene {
            width,
            height,
            objects: Vec::new(),
        },
        picture,
        frame: Frame::Unknown,
        seen: HashSet::new(),
        findings: Findings::default(),
    };
    fill(&mut builder)?;
    builder.note_unknown_frame(path);
    read.findings = builder.findings;
    if builder.scene.objects.is_empty() && read.findings.count(Problem::WithoutLabelFile) == 0 {
        read.findings.add(Problem::WithoutBoxes, || shown(path));
    }
    read.samples.push(Sample {
        path: path.to_path_buf(),
        label: builder.scene,
    });
    Ok(read)
}

/// The picture that a label's boxes were drawn in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// Unknown: the annotation has no size, or one that fits both or neither.
    Unknown,
    /// The picture as it is decoded, turned by its EXIF orientation.
    Shown,
    /// The picture as its file has it.
    Stored,
}

/// The scene of one image while its objects come in.
pub(super) struct SceneBuilder {
    scene: Scene,
    picture: PictureHeader,
    frame: Frame,
    seen: HashSet<(usize, bool, [u64; 4])>,
    pub findings: Findings,
}

impl SceneBuilder {
    /// Width and height of the picture in pixels, as it is decoded.
    pub fn size(&self) -> (f64, f64) {
        (self.scene.width as f64, self.scene.height as f64)
    }

    fn stored_size(&self) -> (f64, f64) {
        let (width, height) = self.picture.stored;
        (width as f64, height as f64)
    }

    /// A box in fractions of the picture that it was drawn in, in pixels of that picture.
    /// [`compare_size`](Self::compare_size) finds out which picture that is.
    pub fn in_pixels(&self, fractions: BoundingBox) -> BoundingBox {
        let (width, height) = match self.frame {
            Frame::Unknown | Frame::Shown => self.size(),
            Frame::Stored => self.stored_size(),
        };
        BoundingBox {
            left: fractions.left * width,
            top: fractions.top * height,
            right: fractions.right * width,
            bottom: fractions.bottom * height,
        }
    }

    /// Compares the size in the annotation with the picture's, before objects are added. If it is that of
    /// the picture before its EXIF orientation turns it, boxes are turned with the picture.
    pub fn compare_size(&mut self, width: f64, height: f64, place: impl Display) {
        let stored = self.stored_size();
        if self.size() == (width, height) {
            // A square picture, or one that is turned upside down, has this size in either case.
            if stored != self.size() {
                self.frame = Frame::Shown;
            }
            return;
        }
        if stored == (width, height) {
            self.frame = Frame::Stored;
            return self.findings.add(Problem::TurnedBoxes, || {
                message!("{place}: {width}×{height} is the size before turning")
            });
        }
        let (true_width, true_height) = (self.scene.width, self.scene.height);
        let may_be_turned = self.size() == (height, width);
        self.findings.add(Problem::OtherSize, || {
            if may_be_turned {
                message!(
                    "{place}: the annotation says {width}×{height}, the picture has {true_width}×{true_height}, perhaps turned by its EXIF orientation"
                )
            } else {
                message!(
                    "{place}: the annotation says {width}×{height}, the picture has {true_width}×{true_height}"
                )
            }
        });
    }

    /// Counts a turned picture of which it is unknown whether its boxes are turned, too.
    fn note_unknown_frame(&mut self, path: &Path) {
        let unknown = self.picture.is_turned() && self.frame == Frame::Unknown;
        if unknown && !self.scene.objects.is_empty() {
            self.findings.add(Problem::UnknownTurn, || shown(path));
        }
    }

    /// Adds an object if it is valid. Its area is `area`, or its box's where that is none; `place`
    /// says where it was found.
    pub fn add(&mut self, object: RawObject, place: impl Display) {
        let bounds = object.bounds;
        let shown = || message!("{}: {}", place, in_words(&bounds));
        if bounds.corners().iter().any(|corner| !corner.is_finite()) {
            return self.findings.add(Problem::NotFinite, shown);
        }
        if bounds.width() <= 0.0 || bounds.height() <= 0.0 {
            return self.findings.add(Problem::EmptyBox, shown);
        }
        let bounds = match self.frame {
            Frame::Unknown | Frame::Shown => bounds,
            Frame::Stored => self.picture.turned(bounds),
        };
        let corners = bounds.corners();
        let (width, height) = self.size();
        let inside = bounds.clipped(width, height);
        if inside.width() <= 0.0 || inside.height() <= 0.0 {
            return self.findings.add(Problem::OutsideBox, || {
                message!("{} in a picture of {width}×{height}", shown())
            });
        }
        let clipped = [inside.left, inside.top, inside.right, inside.bottom];
        // Adding zero makes -0 the 0 that it equals.
        let key = clipped.map(|corner| (corner + 0.0).to_bits());
        if !self.seen.insert((object.class, object.crowd, key)) {
            return self.findings.add(Problem::DuplicateBox, shown);
        }
        let beyond = |(a, b): (f64, f64)| (a - b).abs() > ROUNDING;
        if corners.into_iter().zip(clipped).any(beyond) {
            self.findings.add(Problem::ClippedBox, || {
                message!("{} in a picture of {width}×{height}", shown())
            });
        }
        if bounds.width() < TINY && bounds.height() < TINY {
            self.findings.add(Problem::TinyBox, shown);
        }
        let area = object.area.filter(|area| area.is_finite() && *area >= 0.0);
        self.scene.objects.push(Object {
            class: object.class,
            bounds: inside,
            area: area.unwrap_or(inside.area()),
            crowd: object.crowd,
            difficult: object.difficult,
        });
    }
}

/// A line of a file in messages. Most lines need none, so the words are made where they are shown.
#[derive(Clone, Copy)]
pub(super) struct Line<'a>(pub &'a Path, pub usize);

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(file, line) = self;
        f.write_str(&message!("{}, line {line}", shown(file)))
    }
}

/// An object as its file has it.
pub(super) struct RawObject {
    pub class: usize,
    pub bounds: BoundingBox,
    pub area: Option<f64>,
    pub crowd: bool,
    pub difficult: bool,
}

fn in_words(bounds: &BoundingBox) -> String {
    let BoundingBox {
        left,
        top,
        right,
        bottom,
    } = bounds;
    message!("the box x {left} to {right}, y {top} to {bottom}")
}

/// `folder/name`, unless that would lead out of the folder.
pub(super) fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut components = Path::new(name).components().peekable();
    components.peek()?;
    components
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        .then(|| folder.join(name))
}

/// Name of a class in Unicode's normal form C, as other files may have it in form D.
pub(super) fn class_name(text: &str) -> String {
    text.nfc().collect()
}

/// Fails if a class is listed twice.
pub(super) fn require_distinct(path: &Path, classes: &[String]) -> Result<(), DataError> {
    let mut seen = HashSet::new();
    match classes.iter().find(|class| !seen.insert(*class)) {
        None => Ok(()),
        Some(class) => {
            let problem = message!("the class {class:?} is listed twice; rename or remove one");
            Err(DataError::annotations(path, 1, problem))
        }
    }
}
