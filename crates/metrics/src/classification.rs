//! Counting right and wrong answers.

use crate::ranking::rank;
use crate::table;
use serde::{Deserialize, Serialize};

/// How often each class was taken for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// Class names.
    pub classes: Vec<String>,
    /// `counts[truth][predicted]`.
    pub counts: Vec<Vec<u64>>,
}

/// How well one class is recognised. A figure whose denominator is zero is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// The class.
    pub class: String,
    /// Of the samples predicted to be of this class, the part that is.
    pub precision: Option<f64>,
    /// Of the samples of this class, the part that was predicted to be.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// Number of samples of this class.
    pub support: u64,
}

impl ConfusionMatrix {
    /// A matrix of zeros.
    pub fn new(classes: Vec<String>) -> Self {
        let counts = vec![vec![0; classes.len()]; classes.len()];
        Self { classes, counts }
    }

    /// Counts one sample.
    ///
    /// # Panics
    /// If a label is not below the number of classes.
    pub fn add(&mut self, truth: usize, predicted: usize) {
        self.counts[truth][predicted] += 1;
    }

    /// Number of samples counted.
    pub fn samples(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// The part of the samples that was predicted right (top-1), 0 to 1; `None` without samples.
    pub fn accuracy(&self) -> Option<f64> {
        let right = (0..self.classes.len())
            .map(|class| self.counts[class][class])
            .sum();
        ratio(right, self.samples())
    }

    /// Precision, recall, F1 and support of every class, in the order of the classes.
    pub fn class_scores(&self) -> Vec<ClassScores> {
        let scores = |(class, name): (usize, &String)| {
            let right = self.counts[class][class];
            let support = self.counts[class].iter().sum();
            let predicted = self.counts.iter().map(|row| row[class]).sum();
            ClassScores {
                class: name.clone(),
                precision: ratio(right, predicted),
                recall: ratio(right, support),
                f1: ratio(2 * right, predicted + support),
                support,
            }
        };
        self.classes.iter().enumerate().map(scores).collect()
    }

    /// The matrix as text. Above 20 classes it would not fit on a screen: then the 20 most frequent
    /// mistakes are listed.
    pub fn table(&self) -> String {
        table::confusion(self)
    }
}

/// Collects the scores of a model, sample by sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Truth against the highest score.
    pub confusion: ConfusionMatrix,
    /// Samples whose class was among the five highest scores.
    pub in_top5: u64,
}

impl Evaluation {
    /// Nothing collected yet.
    pub fn new(classes: Vec<String>) -> Self {
        Self {
            confusion: ConfusionMatrix::new(classes),
            in_top5: 0,
        }
    }

    /// Adds one sample: its logits or probabilities, one per class, and its true class. Equal scores
    /// rank by class, NaN last, as in [`top_k`](crate::top_k).
    ///
    /// # Panics
    /// If there is not one score per class, or `truth` is not below the number of classes.
    pub fn add(&mut self, scores: &[f32], truth: usize) {
        assert_eq!(
            scores.len(),
            self.confusion.classes.len(),
            "one score per class"
        );
        let ranked = || scores.iter().copied().enumerate();
        let ahead = ranked()
            .filter(|other| rank(*other, (truth, scores[truth])).is_lt())
            .count();
        let best = ranked()
            .min_by(|a, b| rank(*a, *b))
            .map_or(truth, |(class, _)| class);
        self.confusion.add(truth, best);
        self.in_top5 += u64::from(ahead < 5);
    }

    /// Top-1 accuracy, 0 to 1; `None` without samples.
    pub fn top1(&self) -> Option<f64> {
        self.confusion.accuracy()
    }

    /// The part of the samples whose class is among the five highest scores, 0 to 1; `None` without
    /// samples, and with five classes or fewer, where it would always be 1.
    pub fn top5(&self) -> Option<f64> {
        match self.confusion.classes.len() {
            0..=5 => None,
            _ => ratio(self.in_top5, self.confusion.samples()),
        }
    }

    /// Accuracy and the scores of every class as text.
    pub fn table(&self) -> String {
        table::evaluation(self)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
