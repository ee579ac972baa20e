//! The confusion matrix of a classification.

use crate::class_column::{self, cell, heading};
use crate::proportion::{Interval, wilson};
use serde::Serialize;
use std::collections::BTreeMap;
use warmstart_files::one_line;
use warmstart_language::message;

/// Most columns of a matrix that fits a screen; with more classes, the confusions are listed instead.
const MOST_COLUMNS: usize = 20;
/// Most classes of which all counts are given, zeros too: the matrix grows with their square.
const MOST_WHOLE: usize = 1000;
/// Most confusions that are listed.
const LISTED: usize = 20;

/// Number of images of each true class by predicted class. It takes memory for what occurs only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: Vec<String>,
    /// By true class and predicted class; those that occur.
    counts: BTreeMap<(usize, usize), usize>,
}

/// Precision, recall and F1 of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Name of the class.
    pub class: String,
    /// Share of the images predicted as this class that are of it, 0 to 1; 0 if there are none.
    pub precision: f64,
    /// Share of its images that were recognised, 0 to 1; 0 if there are none.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 if both are 0.
    pub f1: f64,
    /// Number of its images.
    pub images: usize,
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

impl ConfusionMatrix {
    /// An empty matrix of these classes.
    pub fn new(classes: Vec<String>) -> Self {
        Self {
            classes,
            counts: BTreeMap::new(),
        }
    }

    /// Counts an image of class `label` that was predicted as class `predicted`.
    ///
    /// # Panics
    /// If there is no such class.
    pub fn add(&mut self, label: usize, predicted: usize) {
        let classes = self.classes.len();
        assert!(
            label < classes && predicted < classes,
            "a class of {classes}"
        );
        *self.counts.entry((label, predicted)).or_default() += 1;
    }

    /// Number of images counted.
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// Names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Number of images of class `label` that were predicted as class `predicted`.
    pub fn count(&self, label: usize, predicted: usize) -> usize {
        self.counts.get(&(label, predicted)).copied().unwrap_or(0)
    }

    /// True class, predicted class and number of images of all pairs that occur, in the order of the classes.
    pub fn cells(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let cells = self.counts.iter();
        cells.map(|(&(label, predicted), &count)| (label, predicted, count))
    }

    /// Predicted class and number of images of a true class, of those that occur.
    pub fn row(&self, label: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let row = self.counts.range((label, 0)..=(label, usize::MAX));
        row.map(|(&(_, predicted), &count)| (predicted, count))
    }

    /// All counts, `[true class][predicted class]`; `None` with more than 1,000 classes.
    pub fn rows(&self) -> Option<Vec<Vec<usize>>> {
        let classes = self.classes.len();
        if classes > MOST_WHOLE {
            return None;
        }
        let mut rows = vec![vec![0; classes]; classes];
        for (label, predicted, count) in self.cells() {
            rows[label][predicted] = count;
        }
        Some(rows)
    }

    /// Number of images that were recognised.
    fn correct(&self) -> usize {
        let hits = self
            .cells()
            .filter(|(label, predicted, _)| label == predicted);
        hits.map(|(_, _, count)| count).sum()
    }

    /// Share of images that were recognised (top-1), 0 to 1; 0 if there are none.
    pub fn accuracy(&self) -> f64 {
        share(self.correct(), self.total())
    }

    /// 95% confidence interval of the accuracy.
    pub fn interval(&self) -> Interval {
        wilson(self.correct(), self.total())
    }

    /// Precision, recall and F1 of each class.
    pub fn per_class(&self) -> Vec<ClassFigures> {
        let mut of_class = vec![[0; 2]; self.classes.len()];
        for (label, predicted, count) in self.cells() {
            of_class[label][0] += count;
            of_class[predicted][1] += count;
        }
        let figures = |class: usize| {
            let correct = self.count(class, class);
            let [images, predicted] = of_class[class];
            ClassFigures {
                class: self.classes[class].clone(),
                precision: share(correct, predicted),
                recall: share(correct, images),
                // 2PR / (P + R), which is this without the division by zero.
                f1: share(2 * correct, predicted + images),
                images,
            }
        };
        (0..self.classes.len()).map(figures).collect()
    }

    /// Precision, recall and F1 of each class as a text table.
    pub fn class_table(&self) -> String {
        let width = class_column::width(&self.classes);
        let mut lines = vec![message!(
            "{class}  precision  recall      F1  images",
            class = heading(width)
        )];
        for figures in self.per_class() {
            lines.push(format!(
                "{}  {:9.4}  {:6.4}  {:6.4}  {:6}",
                cell(&figures.class, width),
                figures.precision,
                figures.recall,
                figures.f1,
                figures.images
            ));
        }
        lines.join("\n")
    }

    /// The matrix as a text table: rows are the true classes, columns the predicted ones. With more than 20
    /// classes, the most frequent confusions instead.
    pub fn table(&self) -> String {
        if self.classes.len() > MOST_COLUMNS {
            return self.confusions();
        }
        let width = class_column::width(&self.classes);
        let largest = self.counts.values().max().unwrap_or(&0);
        let digits = largest.to_string().len().max(3) + 1;
        let mut lines = vec![message!(
            "confusion: rows are the true classes, columns the predicted ones"
        )];
        let columns: String = (1..=self.classes.len())
            .map(|n| format!("{n:digits$}"))
            .collect();
        lines.push(format!("    {:width$}{columns}", ""));
        for (label, class) in self.classes.iter().enumerate() {
            let row = (0..self.classes.len()).map(|predicted| self.count(label, predicted));
            let cells: String = row.map(|count| format!("{count:digits$}")).collect();
            let number = label + 1;
            lines.push(format!("{number:3} {}{cells}", cell(class, width)));
        }
        lines.join("\n")
    }

    fn confusions(&self) -> String {
        let wrong = self
            .cells()
            .filter(|(label, predicted, _)| label != predicted);
        let mut pairs: Vec<(usize, usize, usize)> = wrong.collect();
        pairs.sort_by_key(|&(label, predicted, count)| (usize::MAX - count, label, predicted));
        let mut lines = vec![message!("the most frequent of {} confusions:", pairs.len())];
        for (label, predicted, count) in pairs.into_iter().take(LISTED) {
            lines.push(message!(
                "{count:6}  {} taken for {}",
                one_line(&self.classes[label]),
                one_line(&self.classes[predicted])
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: cat 3 of 4 right, dog 2 of 3, owl neither seen nor predicted.
    fn matrix() -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(vec!["cat".into(), "dog".into(), "owl".into()]);
        for (label, predicted) in [(0, 0), (0, 0), (0, 0), (0, 1), (1, 1), (1, 1), (1, 0)] {
            matrix.add(label, predicted);
        }
        matrix
    }

    #[test]
    fn figures_worked_out_by_hand() {
        let matrix = matrix();
        assert_eq!(matrix.total(), 7);
        assert_eq!(matrix.accuracy(), 5.0 / 7.0);
        let [cat, dog, owl] = &matrix.per_class()[..] else {
            panic!()
        };
        assert_eq!(
            (cat.precision, cat.recall, cat.f1, cat.images),
            (0.75, 0.75, 0.75, 4)
        );
        assert_eq!((dog.precision, dog.recall), (2.0 / 3.0, 2.0 / 3.0));
        assert_eq!(
            (owl.precision, owl.recall, owl.f1, owl.images),
            (0.0, 0.0, 0.0, 0)
        );
        assert_eq!(ConfusionMatrix::new(Vec::new()).accuracy(), 0.0);
    }

    #[test]
    fn all_counts_are_given_of_a_thousand_classes_and_of_more_those_that_occur() {
        assert_eq!(
            matrix().rows().unwrap(),
            [vec![3, 1, 0], vec![1, 2, 0], vec![0, 0, 0]]
        );
        assert_eq!(matrix().row(1).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
        let mut many = ConfusionMatrix::new((0..20_000).map(|n| n.to_string()).collect());
        many.add(19_999, 0);
        many.add(19_999, 0);
        assert_eq!(many.rows(), None);
        assert_eq!(many.cells().collect::<Vec<_>>(), [(19_999, 0, 2)]);
        assert!(many.table().contains("19999 taken for 0"));
    }

    #[test]
    fn a_class_name_breaks_no_line_of_a_table() {
        let classes = vec!["a\nb".to_owned(), "\u{1b}[2J".to_owned()];
        let mut matrix = ConfusionMatrix::new(classes);
        matrix.add(0, 1);
        for (table, lines) in [(matrix.class_table(), 3), (matrix.table(), 4)] {
            assert_eq!(table.lines().count(), lines, "{table}");
            assert!(
                table.contains("a\\nb") && !table.contains('\u{1b}'),
                "{table}"
            );
        }
    }

    #[test]
    fn tables_stay_readable_with_long_names_and_many_classes() {
        let name = |n| format!("class {n} with a name that goes on and on");
        let mut many = ConfusionMatrix::new((0..30).map(name).collect());
        many.add(3, 4);
        let table = many.class_table();
        assert!(table.lines().all(|line| line.chars().count() < 80));
        let confusion = format!("{} taken for {}", name(3), name(4));
        assert!(many.table().contains(&confusion));
        assert!(matrix().table().contains("  1 cat"));
    }
}
