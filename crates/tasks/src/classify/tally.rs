//! What an evaluation in training holds of its images. The probabilities of an image, a number for each class, end with
//! its batch: of many images and classes they fill a memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use warmstart_metrics::{McNemar, top_k, wilson};

use crate::task::Evaluation;

/// What an evaluation has found of its images, in their order: nine bytes for each, however many classes there are.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// The loss of each image.
    losses: Vec<f64>,
    /// Whether each image was classified correctly.
    correct: Vec<bool>,
}

impl Tally {
    /// Adds an image of a class, with the probability of each class.
    pub(super) fn add(&mut self, probabilities: &[f32], class: usize) {
        let best = top_k(probabilities, 1)[0].0;
        // Bounded, so that one hopeless image cannot make the mean infinite.
        let probability = probabilities[class].max(f32::MIN_POSITIVE);
        self.losses.push(-f64::from(probability).ln());
        self.correct.push(best == class);
    }

    /// Adds the images that follow.
    pub(super) fn append(&mut self, more: Self) {
        self.losses.extend(more.losses);
        self.correct.extend(more.correct);
    }

    /// The metrics of the images.
    pub(super) fn evaluation(&self) -> Evaluation {
        let images = self.correct.len();
        let correct = self.correct.iter().filter(|correct| **correct).count();
        Evaluation {
            loss: self.losses.iter().sum::<f64>() / images.max(1) as f64,
            losses: self.losses.clone(),
            metric: correct as f64 / images.max(1) as f64,
            interval: Some(wilson(correct, images)),
            others: BTreeMap::new(),
        }
    }

    /// p-value of the gain from this evaluation to another of the same images: McNemar's exact test, over the images
    /// that only one of the two classifies correctly.
    pub(super) fn gain_p_value(&self, after: &Self) -> f64 {
        McNemar::of(&self.correct, &after.correct).p_value()
    }
}

/// Mean of two models' probabilities for an image.
pub(super) fn mean(one: &[f32], other: &[f32]) -> Vec<f32> {
    let pairs = one.iter().zip(other);
    pairs.map(|(one, other)| (one + other) / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use warmstart_data::random::{Purpose, below, stream};

    use super::*;

    const CLASSES: usize = 7;
    const IMAGES: usize = 300;

    /// The probabilities of all images by a model, as whole rows: many are equal, some are 0, some rows are NaN, and
    /// some have a NaN.
    fn rows(model: u64) -> Vec<Vec<f32>> {
        let mut random = stream(11, model, 0, Purpose::Resampling);
        let row = |image: usize| -> Vec<f32> {
            let mut row: Vec<f32> = (0..CLASSES)
                .map(|_| below(&mut random, 4) as f32 / 4.0)
                .collect();
            match image % 10 {
                3 => row.fill(f32::NAN),
                6 => row[below(&mut random, CLASSES)] = f32::NAN,
                _ => {}
            }
            row
        };
        (0..IMAGES).map(row).collect()
    }

    fn labels() -> Vec<usize> {
        let mut random = stream(12, 0, 0, Purpose::Resampling);
        (0..IMAGES).map(|_| below(&mut random, CLASSES)).collect()
    }

    fn tally(rows: &[Vec<f32>], labels: &[usize]) -> Tally {
        let mut tally = Tally::default();
        for (row, &label) in rows.iter().zip(labels) {
            tally.add(row, label);
        }
        tally
    }

    /// Whether a row's likeliest class is the label, by a sort of the whole row: the lower of equal ones first, NaN last.
    fn is_right(row: &[f32], label: usize) -> bool {
        let mut classes: Vec<usize> = (0..row.len()).collect();
        classes.sort_by(|&one, &other| match row[other].partial_cmp(&row[one]) {
            Some(order) => order,
            None if row[one].is_nan() && row[other].is_nan() => Ordering::Equal,
            None if row[one].is_nan() => Ordering::Greater,
            None => Ordering::Less,
        });
        classes[0] == label
    }

    /// Accuracy, loss and the loss of each image, from whole rows.
    fn figures(rows: &[Vec<f32>], labels: &[usize]) -> (f64, f64, Vec<f64>) {
        let pairs = || rows.iter().zip(labels);
        let right = pairs()
            .filter(|(row, label)| is_right(row, **label))
            .count();
        let loss = |row: &[f32], label: usize| -f64::from(row[label].max(f32::MIN_POSITIVE)).ln();
        let losses: Vec<f64> = pairs().map(|(row, &label)| loss(row, label)).collect();
        let images = rows.len() as f64;
        (
            right as f64 / images,
            losses.iter().sum::<f64>() / images,
            losses,
        )
    }

    #[track_caller]
    fn assert_figures(found: &Evaluation, rows: &[Vec<f32>], labels: &[usize]) {
        let (metric, loss, losses) = figures(rows, labels);
        assert_eq!(found.metric.to_bits(), metric.to_bits());
        assert_eq!(found.loss.to_bits(), loss.to_bits());
        let bits = |losses: &[f64]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found.losses), bits(&losses));
        let right = (metric * rows.len() as f64).round() as usize;
        assert_eq!(found.interval, Some(wilson(right, rows.len())));
    }

    #[test]
    fn figures_are_those_of_the_whole_rows_with_ties_and_nan() {
        let (rows, labels) = (rows(1), labels());
        let found = tally(&rows, &labels).evaluation();
        assert!(
            0.05 < found.metric && found.metric < 0.5,
            "{}",
            found.metric
        );
        assert_figures(&found, &rows, &labels);
    }

    #[test]
    fn the_mean_of_two_models_is_that_of_their_whole_rows() {
        let (one, other, labels) = (rows(1), rows(2), labels());
        let means = one.iter().zip(&other).map(|(one, other)| mean(one, other));
        let means: Vec<Vec<f32>> = means.collect();
        for (image, row) in means.iter().enumerate() {
            for (class, found) in row.iter().enumerate() {
                let expected = (one[image][class] + other[image][class]) / 2.0;
                assert_eq!(found.to_bits(), expected.to_bits());
            }
        }
        assert_figures(&tally(&means, &labels).evaluation(), &means, &labels);
    }

    #[test]
    fn the_paired_test_is_that_of_the_whole_rows() {
        let (one, other, labels) = (rows(1), rows(2), labels());
        let right = |rows: &[Vec<f32>]| -> Vec<bool> {
            let pairs = rows.iter().zip(&labels);
            pairs.map(|(row, &label)| is_right(row, label)).collect()
        };
        let expected = McNemar::of(&right(&one), &right(&other)).p_value();
        let found = tally(&one, &labels).gain_p_value(&tally(&other, &labels));
        assert_eq!(found.to_bits(), expected.to_bits());
        assert!(0.0 < found && found <= 1.0);
    }

    #[test]
    fn parts_that_are_appended_in_their_order_are_the_whole() {
        let (rows, labels) = (rows(1), labels());
        let whole = tally(&rows, &labels);
        for size in [1, 64, 150, IMAGES] {
            let mut joined = Tally::default();
            for (rows, labels) in rows.chunks(size).zip(labels.chunks(size)) {
                joined.append(tally(rows, labels));
            }
            assert_eq!(joined, whole);
        }
    }

    #[test]
    fn an_image_takes_nine_bytes_of_any_number_of_classes() {
        for classes in [2, 20_000] {
            let mut tally = Tally::default();
            for label in [0, 1, 0] {
                tally.add(&vec![1.0 / classes as f32; classes], label);
            }
            let Tally { losses, correct } = &tally;
            assert_eq!(size_of_val(&losses[..]) + size_of_val(&correct[..]), 3 * 9);
        }
    }
}
