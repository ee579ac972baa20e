//! Lines of label files.

use super::super::findings::{Findings, Problem};
use super::super::reading::{Line, RawObject, SceneBuilder};
use super::form::Form;
use super::text_files::numbers;
use crate::error::DataError;
use crate::scene::BoundingBox;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use warmstart_language::message;

/// A number far above any fraction of an image, whatever rounding and clipping did to it.
const LARGE: f64 = 2.0;

/// Part of the image that a box may reach out of it before it is not an accident.
const MARGIN: f64 = 0.02;

/// Fewest boxes that show what form they are of.
const ENOUGH: usize = 5;

/// Reader of the lines of one data set.
pub(super) struct Lines {
    /// Number of classes.
    pub classes: usize,
    pub form: Form,
    pub seen: Seen,
}

/// Counts over all lines, which show whether all of them are misunderstood.
#[derive(Default)]
pub(super) struct Seen {
    lines: AtomicUsize,
    /// Lines with numbers that are not fractions.
    large: AtomicUsize,
    /// Lines of class 0, of the first class that is not listed, and of those above it.
    first: AtomicUsize,
    next: AtomicUsize,
    above: AtomicUsize,
    /// Boxes; those whose third and fourth number are above their first and second, as a corner is above
    /// another; and those of them that reach out of the image.
    boxes: AtomicUsize,
    ascending: AtomicUsize,
    beyond: AtomicUsize,
}

impl Lines {
    /// Adds the object of one line to a scene.
    pub fn add(&self, scene: &mut SceneBuilder, content: &str, file: &Path, line: usize) {
        let place = Line(file, line);
        let numbers = match numbers(content) {
            Ok(numbers) => numbers,
            Err(word) => {
                let example = || message!("{place}: expected numbers, found {word:?}");
                return scene.findings.add(Problem::Malformed, example);
            }
        };
        let Some((&class, position)) = numbers.split_first() else {
            return;
        };
        let Some(corners) = self.form.corners(position) else {
            return scene.findings.add(Problem::Malformed, || {
                let (expected, found) = (self.form.expected(), numbers.len());
                message!("{place}: expected {expected}, found {found} numbers")
            });
        };
        self.seen.count(class, position, corners, self.classes);
        if !(class >= 0.0 && class < self.classes as f64 && class.fract() == 0.0) {
            return scene.findings.add(Problem::UnknownClass, || {
                let last = self.classes - 1;
                message!("{place}: expected a class from 0 to {last}, found {class}")
            });
        }
        if let Some(problem) = self.form.beside_the_box(position) {
            scene.findings.add(problem, || place.to_string());
        }
        let (width, height) = scene.size();
        let [left, top, right, bottom] = corners;
        let object = RawObject {
            class: class as usize,
            bounds: BoundingBox {
                left: left * width,
                top: top * height,
                right: right * width,
                bottom: bottom * height,
            },
            area: None,
            crowd: false,
            difficult: false,
        };
        scene.add(object, place);
    }
}

impl Seen {
    fn count(&self, class: f64, position: &[f64], corners: [f64; 4], classes: usize) {
        let add = |counter: &AtomicUsize, met: bool| {
            counter.fetch_add(usize::from(met), Ordering::Relaxed);
        };
        let classes = classes as f64;
        add(&self.lines, true);
        add(&self.large, corners.iter().any(|corner| *corner > LARGE));
        add(&self.first, class == 0.0);
        add(&self.next, class == classes);
        add(&self.above, class > classes);
        if let [x, y, w, h] = *position {
            let ascends = w > x && h > y;
            let [left, top, right, bottom] = corners;
            let inside = left.min(top) >= -MARGIN && right.max(bottom) <= 1.0 + MARGIN;
            add(&self.boxes, true);
            add(&self.ascending, ascends);
            add(&self.beyond, ascends && !inside);
        }
    }

    /// Refuses labels that are all of another form than YOLO's.
    ///
    /// # Errors
    /// If nine of ten lines are not fractions, classes are counted from 1, or boxes are two corners.
    pub fn require_understood(
        &self,
        root: &Path,
        classes: &[String],
        findings: &Findings,
    ) -> Result<(), DataError> {
        let get = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let refusal = |problem: String| {
            Err(DataError::Layout {
                folder: root.to_path_buf(),
                problem,
            })
        };
        let example = |problems: &[Problem]| {
            let mut examples = problems.iter().flat_map(|p| findings.examples(*p));
            let example = examples.next();
            example.map_or(String::new(), |example| message!(", such as {example}"))
        };
        let (lines, large) = (get(&self.lines), get(&self.large));
        if large > 0 && large * 10 >= lines * 9 {
            let example = example(&[Problem::OutsideBox, Problem::ClippedBox]);
            return refusal(message!(
                "{large} of {lines} labels are not fractions of the image{example}; they look like pixels or percent: divide x and width by the image's width, y and height by its height"
            ));
        }
        if get(&self.first) == 0 && get(&self.next) > 0 && get(&self.above) == 0 {
            let (last, next) = (classes.len() - 1, classes.len());
            let example = example(&[Problem::UnknownClass]);
            return refusal(message!(
                "no label has the class 0, and {} have the class {next}, where the {next} classes have the numbers 0 to {last}{example}; they look counted from 1: subtract 1 from every class, or add the class 0 to names",
                get(&self.next)
            ));
        }
        let (boxes, beyond) = (get(&self.boxes), get(&self.beyond));
        if boxes >= ENOUGH && get(&self.ascending) == boxes && beyond * 3 >= boxes {
            let example = example(&[Problem::ClippedBox, Problem::OutsideBox]);
            return refusal(message!(
                "{beyond} of {boxes} boxes reach out of their image{example}, and in all of them the third and fourth number are above the first and second; they look like two corners (left, top, right, bottom): write class, centre x, centre y, width and height"
            ));
        }
        Ok(())
    }
}
