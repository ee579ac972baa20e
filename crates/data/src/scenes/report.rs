//! The contents of a detection data set, for people and for programs.

use super::{Findings, Layout, OpenedScenes};
use crate::check::check;
use crate::sample::Sample;
use crate::scene::Scene;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use warmstart_files::{one_line, shown};
use warmstart_language::{english, message, translated};

/// Ends of the bins of box sizes, in fractions of the image's side.
const SIDES: [f64; 9] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0];

/// Areas in pixels² where COCO's small objects end and its large ones begin.
const COCO_AREAS: [f64; 2] = [32.0 * 32.0, 96.0 * 96.0];

/// The contents of a data set and its problems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The layout of the data in its folder.
    pub layout: Layout,
    /// The training, validation and perhaps test split.
    pub splits: Vec<SplitReport>,
    /// True if the validation images are a share of the training images, since there is no validation split.
    pub validates_by_share: bool,
    /// Everything wrong that was met.
    pub findings: Findings,
    /// Images that cannot be read, each as a line to show and a message that names the file: by their
    /// header, and after [`decode_images`](Self::decode_images) also by what follows it.
    pub unreadable: Vec<(String, String)>,
    /// True if every image was decoded.
    pub decoded: bool,
    /// Files skipped.
    pub ignored: usize,
}

/// The contents of one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitReport {
    /// `train`, `val` or `test`.
    pub name: String,
    /// Images that are there and whose size is known.
    pub images: usize,
    /// Those of them without a valid box.
    pub without_boxes: usize,
    /// Objects of all classes, with crowds and difficult ones.
    pub objects: usize,
    /// Boxes around crowds.
    pub crowds: usize,
    /// Objects marked as difficult.
    pub difficult: usize,
    /// Most objects in one image.
    pub most_in_an_image: usize,
    /// Objects of each class, in the order of the classes.
    pub by_class: Vec<ClassCount>,
    /// Objects by the size of their box in its image, from small to large.
    pub by_side: Vec<SideCount>,
    /// Objects by COCO's ranges of the area: below 32², up to 96², above.
    pub by_area: AreaCounts,
}

/// Objects of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// The class.
    pub class: String,
    /// Their number.
    pub objects: usize,
}

/// Objects within a range of sizes. A box has the side √(its area / the area of its image).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SideCount {
    /// Largest side in the range, which begins above the one before it.
    pub up_to: f64,
    /// Their number.
    pub objects: usize,
}

/// Objects in COCO's three ranges of the area in pixels².
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AreaCounts {
    /// Below 32².
    pub small: usize,
    /// From 32² to 96².
    pub medium: usize,
    /// Above 96².
    pub large: usize,
}

impl Report {
    /// Reports on a data set without decoding its images.
    pub fn new(opened: &OpenedScenes) -> Self {
        let dataset = &opened.dataset;
        let split = |name, samples| SplitReport::new(name, samples, &dataset.classes);
        let mut splits = vec![
            split("train", &dataset.train[..]),
            split("val", &dataset.validation),
        ];
        splits.extend(dataset.test.as_ref().map(|test| split("test", test)));
        Self {
            layout: opened.layout,
            splits,
            validates_by_share: opened.validates_by_share,
            findings: opened.findings.clone(),
            unreadable: lines(&opened.unreadable),
            decoded: false,
            ignored: dataset.ignored.count(),
        }
    }

    /// Decodes every image and notes those that cannot be decoded. `progress` is called as in
    /// [`check`](crate::check()).
    pub fn decode_images(&mut self, opened: &OpenedScenes, progress: impl Fn(usize, usize) + Sync) {
        let dataset = &opened.dataset;
        let splits = [&dataset.train, &dataset.validation];
        let splits = splits.into_iter().chain(&dataset.test);
        // The files are all that counts here: a label would only be copied.
        let mut files: Vec<Sample<()>> = splits
            .flatten()
            .map(|sample| Sample {
                path: sample.path.clone(),
                label: (),
            })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup();
        self.unreadable
            .extend(lines(&check(files, progress).unreadable));
        self.decoded = true;
    }
}

/// Paths, which need not be valid text, as lines to show.
fn lines(unreadable: &[(PathBuf, String)]) -> Vec<(String, String)> {
    let lines = unreadable.iter();
    lines
        .map(|(path, reason)| (shown(path), reason.clone()))
        .collect()
}

impl SplitReport {
    fn new(name: &str, samples: &[Sample<Scene>], classes: &[String]) -> Self {
        let mut report = Self {
            name: name.to_owned(),
            images: samples.len(),
            ..Self::default()
        };
        let mut classes_seen = vec![0; classes.len()];
        let mut sides = [0; SIDES.len()];
        for Sample { label: scene, .. } in samples {
            report.without_boxes += usize::from(scene.objects.is_empty());
            report.objects += scene.objects.len();
            report.most_in_an_image = report.most_in_an_image.max(scene.objects.len());
            for object in &scene.objects {
                report.crowds += usize::from(object.crowd);
                report.difficult += usize::from(object.difficult);
                classes_seen[object.class] += 1;
                let image = (scene.width * scene.height) as f64;
                let side = (object.bounds.area() / image).sqrt();
                let bin = SIDES.iter().position(|end| side <= *end);
                sides[bin.unwrap_or(SIDES.len() - 1)] += 1;
                let areas = &mut report.by_area;
                if object.area < COCO_AREAS[0] {
                    areas.small += 1;
                } else if object.area <= COCO_AREAS[1] {
                    areas.medium += 1;
                } else {
                    areas.large += 1;
                }
            }
        }
        let counts = classes.iter().cloned().zip(classes_seen);
        report.by_class = counts
            .map(|(class, objects)| ClassCount { class, objects })
            .collect();
        let counts = SIDES.into_iter().zip(sides);
        report.by_side = counts
            .map(|(up_to, objects)| SideCount { up_to, objects })
            .collect();
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = self.layout.name();
        let head = message!("layout {layout}, {} files skipped", self.ignored);
        writeln!(f, "{head}")?;
        if self.validates_by_share {
            let by_share =
                english!("no validation split of its own: val is a share of the training images");
            writeln!(f, "{}", translated(by_share))?;
        }
        for split in &self.splits {
            write!(f, "\n{split}")?;
        }
        if self.findings.is_empty() {
            writeln!(f, "\n{}", translated(english!("findings: none")))?;
        } else {
            let findings = translated(english!("findings"));
            write!(f, "\n{findings}\n{}", self.findings)?;
        }
        let how = translated(if self.decoded {
            english!("decoding every image")
        } else {
            english!("reading every header")
        });
        match self.unreadable.len() {
            0 => writeln!(f, "\n{}", message!("{how}: no damaged image")),
            count => {
                writeln!(f, "\n{}", message!("{how}: {count} damaged"))?;
                let mut shown = self.unreadable.iter().take(5);
                shown.try_for_each(|(_, reason)| writeln!(f, "          {}", one_line(reason)))?;
                match count.saturating_sub(5) {
                    0 => Ok(()),
                    more => writeln!(f, "          {}", message!("and {more} more")),
                }
            }
        }
    }
}

impl fmt::Display for SplitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            images,
            without_boxes,
            objects,
            most_in_an_image,
            ..
        } = self;
        let mut of_objects = vec![message!("at most {most_in_an_image} in an image")];
        if self.crowds > 0 {
            of_objects.push(message!("{} crowds", self.crowds));
        }
        if self.difficult > 0 {
            of_objects.push(message!("{} difficult", self.difficult));
        }
        let of_objects = of_objects.join(", ");
        let counts = message!(
            "{name}: {images} images ({without_boxes} without objects), {objects} objects ({of_objects})"
        );
        writeln!(f, "{counts}")?;
        writeln!(f, "  {}", translated(english!("objects by class")))?;
        for ClassCount { class, objects } in &self.by_class {
            writeln!(f, "{objects:>9} {}", one_line(class))?;
        }
        let by_side = english!("objects by the side of their box, in % of the image's");
        writeln!(f, "  {}", translated(by_side))?;
        let most = self
            .by_side
            .iter()
            .map(|bin| bin.objects)
            .max()
            .unwrap_or(0);
        let mut start = 0.0;
        for SideCount { up_to, objects } in &self.by_side {
            let bar = "#".repeat((objects * 30).div_ceil(most.max(1)));
            let (from, to) = (start * 100.0, up_to * 100.0);
            let row = message!("{objects:>9} {from:>3.0} to {to:>3.0}  {bar}");
            writeln!(f, "{row}")?;
            start = *up_to;
        }
        let AreaCounts {
            small,
            medium,
            large,
        } = self.by_area;
        let by_area = message!(
            "objects by area, as COCO has it: {small} small (below 32²), {medium} medium, {large} large (above 96²)"
        );
        writeln!(f, "  {by_area}")
    }
}
