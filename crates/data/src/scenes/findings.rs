//! Problems of a data set that do not stop it from being used.

use crate::text::Text;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use warmstart_files::{one_line, shown};
use warmstart_language::{english, message, translated, translation};

/// Examples kept of each problem.
const EXAMPLES: usize = 5;

/// How descriptions begin in English, and how they do where there is only one case.
const SINGULAR: [(&str, &str); 31] = [
    (
        "images are turned by EXIF and their boxes are",
        "image is turned by EXIF and its boxes are",
    ),
    (
        "images are turned by EXIF, and it is unknown whether their",
        "image is turned by EXIF, and it is unknown whether its",
    ),
    (
        "images have another size than their",
        "image has another size than its",
    ),
    ("images are", "image is"),
    ("images have", "image has"),
    ("images cannot", "image cannot"),
    ("listed images are", "listed image is"),
    ("image names lead", "image name leads"),
    ("image names start", "image name starts"),
    (
        "objects are of unknown classes",
        "object is of an unknown class",
    ),
    ("objects are", "object is"),
    ("splits are", "split is"),
    ("splits have", "split has"),
    ("files or folders are", "file or folder is"),
    ("encodings of text files are", "encoding of a text file is"),
    ("annotations are malformed", "annotation is malformed"),
    (
        "annotations are of unknown images",
        "annotation is of an unknown image",
    ),
    (
        "shapes are neither boxes nor outlines",
        "shape is neither a box nor an outline",
    ),
    (
        "boxes are in fractions of their",
        "box is in fractions of its",
    ),
    (
        "boxes are wholly outside of their",
        "box is wholly outside of its",
    ),
    ("boxes are", "box is"),
    (
        "boxes have coordinates that are",
        "box has a coordinate that is",
    ),
    ("boxes reach beyond their", "box reaches beyond its"),
    (
        "classes only group others and have",
        "class only groups others and has",
    ),
    ("classes have", "class has"),
    ("paths can", "path can"),
    ("labels have", "label has"),
    ("data sets do not name their", "data set does not name its"),
    ("data sets have outlines", "data set has outlines"),
    ("folders of images are", "folder of images is"),
    (
        "lists or numbers of classes do",
        "list or number of classes does",
    ),
];

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
    /// An image name that starts on another machine or in another folder, while its end leads to an image
    /// in the data folder: that one is taken.
    ForeignName,
    /// An image listed twice in one split: it is kept once, with the objects of both entries.
    RepeatedImage,
    /// An image whose id another image has, too, so that the owner of its objects is unknown: left out.
    SharedId,
    /// An object of an image's second entry: kept with those of the first.
    MergedObject,
    /// An image that is in two splits: kept in both.
    SharedImage,
    /// A split that is named and not there: left out.
    MissingSplit,
    /// A file, folder or list of the data set that is not used.
    NotUsed,
    /// A text file that does not declare its encoding, or a wrong one: read as the example says.
    AssumedEncoding,
    /// An annotation whose size of the image is not the file's: the boxes are kept as they are.
    OtherSize,
    /// An image turned by its EXIF orientation, whose boxes are for the image before that: they are turned
    /// with it.
    TurnedBoxes,
    /// An image turned by its EXIF orientation, of which it is unknown whether its boxes are turned: they are
    /// kept as they are.
    UnknownTurn,
    /// An image with no label file: kept as an image without objects.
    WithoutLabelFile,
    /// An image that is labelled as having no object, or has no valid one: kept.
    WithoutBoxes,
    /// An annotation or a line that is not of the expected form: dropped.
    Malformed,
    /// An annotation of an image that is not listed or not there: dropped.
    UnknownImage,
    /// An object without a box or an outline to take one from: dropped.
    OtherShape,
    /// A box in fractions of its image where pixels are usual: read as such.
    FractionBox,
    /// An object of a class that is not listed: dropped.
    UnknownClass,
    /// A box with a coordinate that is not finite: dropped.
    NotFinite,
    /// A box of no width or height, or with exchanged corners: dropped.
    EmptyBox,
    /// A box wholly outside of its image: dropped.
    OutsideBox,
    /// A box that reaches more than half a pixel beyond its image: clipped to it.
    ClippedBox,
    /// A second box of the same class at the same place: dropped.
    DuplicateBox,
    /// A box that is less than a pixel wide and high: kept.
    TinyBox,
    /// A class that only says which others belong together, and has no object: left out.
    GroupClass,
    /// A split in which every box is around a crowd: there is nothing to learn or measure.
    OnlyCrowds,
    /// A class without any object in the training split: it cannot be learned.
    UntrainedClass,
    /// A path that can be understood in two ways: what lies in the data's folder was taken.
    TwoPlaces,
    /// A label with numbers after its box, a confidence or a track: the box was taken.
    ExtraNumbers,
    /// A label with keypoints that nothing declares: its box was taken.
    UndeclaredKeypoints,
    /// Outlines that all have the same number of points, as keypoints have.
    EqualOutlines,
    /// A list or a number of classes that does not go with the names that are taken, or a name that looks
    /// like a comment.
    OtherClasses,
    /// A split whose images lie outside of the data set's folder: it is used.
    OtherFolder,
    /// Classes without names: they are called by their numbers.
    UnnamedClasses,
    /// An image without a class: left out.
    Unlabelled,
}

impl Problem {
    /// A count of the problem, and what was done about it.
    pub fn counted(self, count: usize) -> String {
        format!("{count} {}", self.counted_description(count))
    }

    /// The description to follow a count, in the singular after 1.
    fn counted_description(self, count: usize) -> Cow<'static, str> {
        let plural = self.in_english();
        if let Some(translated) = translation(plural) {
            return translated.into();
        }
        let mut begins = SINGULAR.iter().filter(|_| count == 1);
        let found = begins.find_map(|(begin, one)| Some((one, plural.strip_prefix(begin)?)));
        found.map_or(plural.into(), |(one, rest)| format!("{one}{rest}").into())
    }

    /// The problem and what was done about it, to follow a count of several.
    pub fn description(self) -> &'static str {
        translated(self.in_english())
    }

    fn in_english(self) -> &'static str {
        match self {
            Self::MissingImage => english!("listed images are not there (left out)"),
            Self::UnreadableImage => english!("images cannot be read (left out)"),
            Self::OutsideFolder => english!("image names lead out of the data folder (left out)"),
            Self::ForeignName => {
                english!(
                    "image names start elsewhere, such as / or C: (found in the data folder by their end)"
                )
            }
            Self::RepeatedImage => english!("images are listed twice in a split (kept once)"),
            Self::SharedId => {
                english!("images have the id of another image (left out with their objects)")
            }
            Self::MergedObject => {
                english!("objects are of images that are listed twice (all are kept)")
            }
            Self::SharedImage => english!("images are in two splits (kept in both)"),
            Self::MissingSplit => english!("splits are named and not there (left out)"),
            Self::NotUsed => english!("files or folders are not used"),
            Self::AssumedEncoding => {
                english!(
                    "encodings of text files are assumed (check the names, or save the files as UTF-8)"
                )
            }
            Self::TurnedBoxes => {
                english!(
                    "images are turned by EXIF and their boxes are not (boxes turned with the image)"
                )
            }
            Self::UnknownTurn => {
                english!(
                    "images are turned by EXIF, and it is unknown whether their boxes are (boxes kept)"
                )
            }
            Self::OtherSize => {
                english!("images have another size than their annotation says (boxes kept)")
            }
            Self::WithoutLabelFile => {
                english!("images have no label file (kept as images without objects)")
            }
            Self::WithoutBoxes => english!("images have no valid box (kept)"),
            Self::Malformed => english!("annotations are malformed (dropped)"),
            Self::UnknownImage => english!("annotations are of unknown images (dropped)"),
            Self::OtherShape => english!("shapes are neither boxes nor outlines (dropped)"),
            Self::FractionBox => english!("boxes are in fractions of their image (read as such)"),
            Self::UnknownClass => english!("objects are of unknown classes (dropped)"),
            Self::NotFinite => english!("boxes have coordinates that are not finite (dropped)"),
            Self::EmptyBox => english!("boxes are empty or inverted (dropped)"),
            Self::OutsideBox => english!("boxes are wholly outside of their image (dropped)"),
            Self::ClippedBox => english!("boxes reach beyond their image (clipped)"),
            Self::DuplicateBox => english!("boxes are there twice (dropped)"),
            Self::TinyBox => english!("boxes are less than a pixel wide and high (kept)"),
            Self::GroupClass => english!("classes only group others and have no object (left out)"),
            Self::OnlyCrowds => {
                english!("splits have only boxes around crowds (iscrowd 1), which are not learned")
            }
            Self::UntrainedClass => english!("classes have no object in the training split"),
            Self::TwoPlaces => {
                english!(
                    "paths can be understood in two ways (what lies in the data's folder was taken)"
                )
            }
            Self::ExtraNumbers => {
                english!(
                    "labels have a confidence or a track after the box, as predictions have (the box was taken)"
                )
            }
            Self::UndeclaredKeypoints => {
                english!(
                    "labels have keypoints after the box, by their flags of visibility (the box was taken)"
                )
            }
            Self::EqualOutlines => {
                english!(
                    "data sets have outlines that all have the same number of points (if they are boxes with keypoints, declare kpt_shape)"
                )
            }
            Self::OtherClasses => {
                english!(
                    "lists or numbers of classes do not go with the names that were taken (check the names)"
                )
            }
            Self::OtherFolder => {
                english!(
                    "folders of images are outside of the data set's folder (used; check that they belong to it)"
                )
            }
            Self::UnnamedClasses => {
                english!("data sets do not name their classes (called class_0, class_1, …)")
            }
            Self::Unlabelled => english!("images have no label (left out)"),
        }
    }
}

/// The occurrences of one problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Their number.
    pub count: usize,
    /// The first few, each with its file and its line or id.
    pub examples: Vec<String>,
}

/// Everything wrong that was met, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Findings(BTreeMap<Problem, Finding>);

impl Findings {
    /// The number of occurrences of a problem.
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

    /// Returns whether there are no problems.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The reason that cost the most boxes, with an example.
    pub(crate) fn main_loss(&self) -> Option<String> {
        let losses = [
            Problem::MissingImage,
            Problem::UnreadableImage,
            Problem::OutsideFolder,
            Problem::SharedId,
            Problem::WithoutLabelFile,
            Problem::Malformed,
            Problem::UnknownImage,
            Problem::OtherShape,
            Problem::UnknownClass,
            Problem::NotFinite,
            Problem::EmptyBox,
            Problem::OutsideBox,
        ];
        // The last of equals is taken: the list is reversed so that causes win over their effects.
        let worst = losses
            .into_iter()
            .rev()
            .max_by_key(|problem| self.count(*problem));
        let worst = worst.filter(|problem| self.count(*problem) > 0)?;
        let example = self.examples(worst).first().cloned().unwrap_or_default();
        let count = self.count(worst);
        let problem = worst.description();
        Some(message!("{problem}: {count}, such as {example}"))
    }

    pub(crate) fn add(&mut self, problem: Problem, example: impl FnOnce() -> String) {
        let finding = self.0.entry(problem).or_default();
        finding.count += 1;
        if finding.examples.len() < EXAMPLES {
            finding.examples.push(one_line(&example()).into_owned());
        }
    }

    /// Notes the encoding that was assumed to read a text, if any.
    pub(crate) fn add_encoding(&mut self, file: &Path, text: &Text) {
        if let Some(assumed) = &text.assumed {
            let example = || message!("{}: {}", shown(file), assumed);
            self.add(Problem::AssumedEncoding, example);
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
            let count = finding.count;
            writeln!(f, "{count:>7} {}", problem.counted_description(count))?;
            for example in &finding.examples {
                writeln!(f, "          {example}")?;
            }
            match finding.count - finding.examples.len() {
                0 => {}
                more => writeln!(f, "          {}", message!("and {more} more"))?,
            }
        }
        Ok(())
    }
}
