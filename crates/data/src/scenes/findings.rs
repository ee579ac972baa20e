//! What is wrong with a data set and does not stop it from being used.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Examples kept of each problem.
const EXAMPLES: usize = 5;

/// Something wrong, or worth knowing, in the annotations of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Problem {
    /// An image that is listed and not there: left out.
    MissingImage,
    /// An image whose header cannot be read, so that its size is unknown: left out.
    UnreadableImage,
    /// An image name that leads out of the data folder: left out.
    OutsideFolder,
    /// An image listed twice in one split: its first annotation counts.
    RepeatedImage,
    /// An image that is in two splits: kept in both.
    SharedImage,
    /// A split that is named and not there: left out.
    MissingSplit,
    /// An annotation whose size of the image is not the file's: the boxes are kept as they are.
    OtherSize,
    /// An image with no label file: kept as an image without objects.
    WithoutLabelFile,
    /// An image that is labelled as having no object, or has no valid one: kept.
    WithoutBoxes,
    /// An annotation or a line that is not of the expected form: dropped.
    Malformed,
    /// An annotation of an image that is not listed or not there: dropped.
    UnknownImage,
    /// An object of a class that is not listed: dropped.
    UnknownClass,
    /// A box with a coordinate that is no finite number: dropped.
    NotFinite,
    /// A box of no width or height, or with exchanged corners: dropped.
    EmptyBox,
    /// A box wholly outside of its image: dropped.
    OutsideBox,
    /// A box that reaches more than half a pixel beyond its image: clipped to it.
    ClippedBox,
    /// A second box of the same class at the same place: dropped.
    DuplicateBox,
    /// A class without any object in the training split: it cannot be learned.
    UntrainedClass,
    /// A folder or list of pictures that no split uses.
    UnusedPictures,
    /// A path of another place: what its end is called below the data's folder was taken.
    OtherPlace,
    /// A path that can be understood in two ways: what lies in the data's folder was taken.
    TwoPlaces,
    /// A label with numbers behind its box, a confidence or a track: the box was taken.
    ExtraNumbers,
    /// A label with keypoints that nothing declares: its box was taken.
    UndeclaredKeypoints,
    /// Outlines that all have the same number of points, as keypoints have.
    EqualOutlines,
    /// Classes without names: they are called by their numbers.
    UnnamedClasses,
}

impl Problem {
    /// What was met and what was done about it, to follow a count.
    pub fn description(self) -> &'static str {
        match self {
            Self::MissingImage => "listed images are not there (left out)",
            Self::UnreadableImage => "images cannot be read (left out)",
            Self::OutsideFolder => "image names lead out of the data folder (left out)",
            Self::RepeatedImage => "images are listed twice in a split (the first counts)",
            Self::SharedImage => "images are in two splits (kept in both)",
            Self::MissingSplit => "splits are named and not there (left out)",
            Self::OtherSize => "images have another size than their annotation says (boxes kept)",
            Self::WithoutLabelFile => "images have no label file (kept as images without objects)",
            Self::WithoutBoxes => "images have no valid box (kept)",
            Self::Malformed => "annotations are malformed (dropped)",
            Self::UnknownImage => "annotations are of unknown images (dropped)",
            Self::UnknownClass => "objects are of unknown classes (dropped)",
            Self::NotFinite => "boxes have coordinates that are no finite numbers (dropped)",
            Self::EmptyBox => "boxes are empty or inverted (dropped)",
            Self::OutsideBox => "boxes are wholly outside of their image (dropped)",
            Self::ClippedBox => "boxes reach beyond their image (clipped)",
            Self::DuplicateBox => "boxes are there twice (dropped)",
            Self::UntrainedClass => "classes have no object in the training split",
            Self::UnusedPictures => "folders or lists of pictures belong to no split (not used)",
            Self::OtherPlace => {
                "paths are of another place (what has the same end in the data's folder was taken)"
            }
            Self::TwoPlaces => {
                "paths can be understood in two ways (what lies in the data's folder was taken)"
            }
            Self::ExtraNumbers => {
                "labels have a confidence or a track behind the box, as predictions have (the box was taken)"
            }
            Self::UndeclaredKeypoints => {
                "labels have keypoints behind the box, by their flags of visibility (the box was taken)"
            }
            Self::EqualOutlines => {
                "data sets have outlines that all have the same number of points (if they are boxes with keypoints, declare kpt_shape)"
            }
            Self::UnnamedClasses => {
                "data sets do not name their classes (called class_0, class_1, …)"
            }
        }
    }
}

/// How often a problem was met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How often.
    pub count: usize,
    /// The first few, each with its file and its line or id.
    pub examples: Vec<String>,
}

/// Everything wrong that was met, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Findings(BTreeMap<Problem, Finding>);

impl Findings {
    /// How often a problem was met.
    pub fn count(&self, problem: Problem) -> usize {
        self.0.get(&problem).map_or(0, |finding| finding.count)
    }

    /// The first few cases of a problem.
    pub fn examples(&self, problem: Problem) -> &[String] {
        self.0
            .get(&problem)
            .map_or(&[], |finding| &finding.examples)
    }

    /// Every problem that was met.
    pub fn iter(&self) -> impl Iterator<Item = (Problem, &Finding)> {
        self.0.iter().map(|(problem, finding)| (*problem, finding))
    }

    /// Whether nothing was met.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The reason that cost the most boxes, with an example.
    pub(crate) fn main_loss(&self) -> Option<String> {
        let losses = [
            Problem::MissingImage,
            Problem::UnreadableImage,
            Problem::OutsideFolder,
            Problem::WithoutLabelFile,
            Problem::Malformed,
            Problem::UnknownImage,
            Problem::UnknownClass,
            Problem::NotFinite,
            Problem::EmptyBox,
            Problem::OutsideBox,
        ];
        let worst = losses
            .into_iter()
            .max_by_key(|problem| self.count(*problem));
        let worst = worst.filter(|problem| self.count(*problem) > 0)?;
        let example = self.examples(worst).first().cloned().unwrap_or_default();
        let count = self.count(worst);
        Some(format!(
            "{}: {count}, such as {example}",
            worst.description()
        ))
    }

    pub(crate) fn add(&mut self, problem: Problem, example: impl FnOnce() -> String) {
        let finding = self.0.entry(problem).or_default();
        finding.count += 1;
        if finding.examples.len() < EXAMPLES {
            finding.examples.push(example());
        }
    }

    /// Adds what was found later.
    pub(crate) fn append(&mut self, later: Self) {
        for (problem, found) in later.0 {
            let finding = self.0.entry(problem).or_default();
            finding.count += found.count;
            finding.examples.extend(found.examples);
            finding.examples.truncate(EXAMPLES);
        }
    }
}

impl fmt::Display for Findings {
    /// A line for every problem with its first examples below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (problem, finding) in self.iter() {
            writeln!(f, "{:>7} {}", finding.count, problem.description())?;
            for example in &finding.examples {
                writeln!(f, "          {example}")?;
            }
            match finding.count - finding.examples.len() {
                0 => {}
                more => writeln!(f, "          and {more} more")?,
            }
        }
        Ok(())
    }
}
