//! What a detector finds at one confidence: how often each class is found, missed and taken for another, and the share
//! that is found of small, medium and large objects.

use serde::Serialize;
use warmstart_files::one_line;
use warmstart_language::{columns, english, message, translated};

use super::boxes::{Detected, Truth};
use super::coco::size_index;
use super::matching::{MATCHING_IOU, Of, pairing};
use crate::class_column;

/// Most columns of a matrix that fits a screen; with more classes, the mistakes are listed instead.
const MOST_COLUMNS: usize = 20;
/// Most mistakes that are listed.
const LISTED: usize = 20;
/// The row of detections without a label, and the column of labels that were not found.
const FALSE: &str = english!("false");
const MISSED: &str = english!("missed");
/// The sizes as COCO has them: up to 32² pixels², up to 96², and larger.
const SIZES: [&str; 3] = [english!("small"), english!("medium"), english!("large")];

/// Detections with a score of at least one confidence, compared with the labels at an IoU of 0.5.
///
/// A detection is of an object of its class before one of another; so what is on the diagonal is what counts as a hit
/// in F1. Crowds need not be found, and detections of their class in them don't count.
#[derive(Clone, Debug, PartialEq)]
pub struct AtConfidence {
    classes: Vec<String>,
    confidence: f64,
    /// `[label][found]`: the last row has detections without a label, the last column labels that were not found.
    counts: Vec<Vec<usize>>,
    by_size: [FoundOfSize; SIZES.len()],
}

/// Objects of a size that are found as what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FoundOfSize {
    /// `small`, `medium` or `large`.
    pub size: &'static str,
    /// Objects that are found, as their class.
    pub found: usize,
    /// All objects of the size, without crowds.
    pub truths: usize,
}

impl AtConfidence {
    /// Nothing compared yet.
    pub fn new(classes: Vec<String>, confidence: f64) -> Self {
        let side = classes.len() + 1;
        Self {
            classes,
            confidence,
            counts: vec![vec![0; side]; side],
            by_size: SIZES.map(|size| FoundOfSize {
                size,
                found: 0,
                truths: 0,
            }),
        }
    }

    /// Compares some images, each with its labelled and detected objects.
    ///
    /// # Panics
    /// If a class is not one of those given to [`new`](Self::new).
    pub fn of_images<'a>(
        classes: Vec<String>,
        confidence: f64,
        images: impl IntoIterator<Item = &'a (Vec<Truth>, Vec<Detected>)>,
    ) -> Self {
        let mut all = Self::new(classes, confidence);
        for (truths, detected) in images {
            all.add_image(truths, detected);
        }
        all
    }

    /// Compares an image. Detections of lower scores are left out.
    ///
    /// # Panics
    /// If a class is not one of those given to [`new`](Self::new).
    pub fn add_image(&mut self, truths: &[Truth], detected: &[Detected]) {
        let counting = detected.iter().filter(|it| it.score >= self.confidence);
        let counting: Vec<Detected> = counting.copied().collect();
        let none = self.classes.len();
        let mut found_as = vec![none; truths.len()];
        let of = pairing(truths, &counting, MATCHING_IOU);
        for (detected, of) in counting.iter().zip(of) {
            match of {
                Of::Label(truth) => found_as[truth] = detected.class,
                Of::Crowd => {}
                Of::Nothing => self.counts[none][detected.class] += 1,
            }
        }
        let to_find = truths
            .iter()
            .zip(found_as)
            .filter(|(truth, _)| !truth.crowd);
        for (truth, found_as) in to_find {
            self.counts[truth.class][found_as] += 1;
            let of_size = &mut self.by_size[size_index(truth.area)];
            of_size.truths += 1;
            of_size.found += usize::from(found_as == truth.class);
        }
    }

    /// The lowest score that counts.
    pub fn confidence(&self) -> f64 {
        self.confidence
    }

    /// Names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// `[label][found]`, by class; the last row has detections without a label, the last column labels that were not
    /// found.
    pub fn counts(&self) -> &[Vec<usize>] {
        &self.counts
    }

    /// The small, medium and large objects that are found.
    pub fn by_size(&self) -> [FoundOfSize; SIZES.len()] {
        self.by_size
    }

    /// The objects that are found by size, in a line.
    pub fn size_line(&self) -> String {
        let sizes = self.by_size.map(|of| {
            let size = translated(of.size);
            match of.recall() {
                Some(recall) => message!(
                    "{size} {} of {} ({:.1}%)",
                    of.found,
                    of.truths,
                    100.0 * recall
                ),
                None => message!("{size} none"),
            }
        });
        message!("found {}: {}", self.place(), sizes.join(", "))
    }

    /// The counts as a text table: rows are the labels, columns the detections. With more than 20 classes, the most
    /// frequent mistakes instead.
    pub fn table(&self) -> String {
        if self.classes.len() > MOST_COLUMNS {
            return self.mistakes();
        }
        let none = self.classes.len();
        let (false_row, missed) = (translated(FALSE).to_owned(), translated(MISSED));
        let names: Vec<String> = [self.classes.clone(), vec![false_row]].concat();
        let width = class_column::width(&names);
        let largest = self.counts.iter().flatten().max().unwrap_or(&0);
        let digits = largest.to_string().len().max(3) + 1;
        let last = digits.max(columns(missed) + 2);
        let columns: String = (1..=none).map(|n| format!("{n:digits$}")).collect();
        let mut lines = vec![
            message!(
                "confusion {}: rows are the labels, columns what is found",
                self.place()
            ),
            format!(
                "    {:width$}{columns}{}",
                "",
                class_column::right(missed, last)
            ),
        ];
        for (class, (name, row)) in names.iter().zip(&self.counts).enumerate() {
            let cells: String = row[..none]
                .iter()
                .map(|count| format!("{count:digits$}"))
                .collect();
            let name = class_column::cell(name, width);
            lines.push(if class == none {
                format!("    {name}{cells}")
            } else {
                format!("{:3} {name}{cells}{:last$}", class + 1, row[none])
            });
        }
        lines.join("\n")
    }

    fn mistakes(&self) -> String {
        let mut pairs = Vec::new();
        for (label, row) in self.counts.iter().enumerate() {
            for (found, &count) in row.iter().enumerate() {
                if count > 0 && label != found {
                    pairs.push((count, label, found));
                }
            }
        }
        pairs.sort_by_key(|&(count, label, found)| (usize::MAX - count, label, found));
        let mut lines = vec![message!(
            "{}, the most frequent of {} kinds of mistakes:",
            self.place(),
            pairs.len()
        )];
        let name = |class: usize| self.classes.get(class).map(|name| one_line(name));
        for (count, label, found) in pairs.into_iter().take(LISTED) {
            let mistake = match (name(label), name(found)) {
                (Some(label), Some(found)) => message!("{label} taken for {found}"),
                (Some(label), None) => message!("{label} missed"),
                (None, Some(found)) => message!("{found} found where none is labelled"),
                (None, None) => continue,
            };
            lines.push(format!("{count:6}  {mistake}"));
        }
        lines.join("\n")
    }

    fn place(&self) -> String {
        message!(
            "at confidence {:.3} and IoU {MATCHING_IOU}",
            self.confidence
        )
    }
}

impl FoundOfSize {
    /// Share of the objects that are found, 0 to 1; `None` without objects.
    pub fn recall(&self) -> Option<f64> {
        (self.truths > 0).then(|| self.found as f64 / self.truths as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(left: f64, side: f64) -> [f64; 4] {
        [left, 0.0, left + side, side]
    }

    fn truth(class: usize, left: f64, side: f64) -> Truth {
        Truth {
            class,
            bounds: square(left, side),
            area: side * side,
            crowd: false,
            difficult: false,
        }
    }

    fn detected(class: usize, score: f64, left: f64, side: f64) -> Detected {
        Detected {
            class,
            score,
            bounds: square(left, side),
        }
    }

    /// By hand: a cat found, one taken for a dog, one missed at this confidence; a dog found twice.
    fn by_hand() -> AtConfidence {
        let truths = [
            truth(0, 0.0, 20.0),
            truth(0, 100.0, 40.0),
            truth(0, 200.0, 40.0),
            truth(1, 300.0, 100.0),
        ];
        let found = [
            detected(0, 0.9, 0.0, 20.0),
            detected(1, 0.8, 100.0, 40.0),
            detected(0, 0.4, 200.0, 40.0),
            detected(1, 0.7, 300.0, 100.0),
            detected(1, 0.6, 301.0, 100.0),
        ];
        let crowd = Truth {
            crowd: true,
            ..truth(1, 500.0, 50.0)
        };
        let classes = vec!["cat".to_owned(), "dog".to_owned()];
        let images = [
            (truths.to_vec(), found.to_vec()),
            (vec![crowd], vec![detected(1, 0.9, 510.0, 10.0)]),
        ];
        AtConfidence::of_images(classes, 0.5, &images)
    }

    #[test]
    fn labels_are_found_missed_or_taken_for_another() {
        let all = by_hand();
        assert_eq!(all.counts(), [[1, 1, 1], [0, 1, 0], [0, 1, 0]]);
        let sizes = all.by_size().map(|of| (of.size, of.found, of.truths));
        assert_eq!(sizes, [("small", 1, 1), ("medium", 0, 2), ("large", 1, 1)]);
        assert_eq!(
            all.size_line(),
            "found at confidence 0.500 and IoU 0.5: small 1 of 1 (100.0%), medium 0 of 2 (0.0%), large 1 of 1 (100.0%)"
        );
    }

    #[test]
    fn the_table_has_what_is_missed_and_what_is_false() {
        let expected = "\
confusion at confidence 0.500 and IoU 0.5: rows are the labels, columns what is found
            1   2  missed
  1 cat     1   1       1
  2 dog     0   1       0
    false   0   1";
        assert_eq!(by_hand().table(), expected);
    }

    #[test]
    fn with_many_classes_the_mistakes_are_listed() {
        let name = |n| format!("class {n}\n");
        let mut many = AtConfidence::new((0..30).map(name).collect(), 0.0);
        let truths = [truth(3, 0.0, 9.0), truth(5, 50.0, 9.0)];
        let found = [detected(4, 0.5, 0.0, 9.0), detected(7, 0.5, 90.0, 9.0)];
        many.add_image(&truths, &found);
        let expected = "\
at confidence 0.000 and IoU 0.5, the most frequent of 3 kinds of mistakes:
     1  class 3\\n taken for class 4\\n
     1  class 5\\n missed
     1  class 7\\n found where none is labelled";
        assert_eq!(many.table(), expected);
        assert!(many.size_line().ends_with("medium none, large none"));
    }

    #[test]
    fn a_size_that_coco_counts_in_two_is_the_smaller() {
        let sizes = [0.0, 32.0, 32.1, 96.0, 96.1].map(|side| SIZES[size_index(side * side)]);
        assert_eq!(sizes, ["small", "small", "medium", "medium", "large"]);
    }
}
