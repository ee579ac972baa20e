//! The pictures that a head was solved on, by which a picture unlike all of them is noticed.
//!
//! Two figures tell of such a picture: the cosine between its features and those of the nearest training picture, and its
//! largest probability. Each is compared with what the training pictures have, each of them judged by all others.

use rayon::prelude::*;
use serde::Serialize;
use warmstart_language::message;
use warmstart_nn::burn::tensor::Device;
use warmstart_nn::{Activation, Kind, ParameterInfo, Parameters};
use warmstart_recipe::Error;
use warmstart_weights::WeightFile;

/// Start of the names of its tensors.
pub const PREFIX: &str = "known.";
/// Features of training pictures, each of length 1, `[pictures, channels]`.
const FEATURES: &str = "known.features";
/// Quantiles of the cosine between a training picture and the nearest other one.
const COSINES: &str = "known.cosines";
/// Quantiles of the largest probability of a training picture, by the head solved on all others.
const PROBABILITIES: &str = "known.probabilities";
/// The score above which a picture counts as unknown.
const THRESHOLD: &str = "known.threshold";

/// Most pictures whose features are stored.
const MOST_PICTURES: usize = 2000;
/// Most bytes of stored features.
const MOST_BYTES: usize = 10_000_000;
/// Number of quantiles, from the least value to the largest.
const QUANTILES: usize = 101;
/// Share of the training pictures, each judged by all others, whose score is above the threshold.
const FALSE_ALARMS: f64 = 0.05;
/// Sums of a dot product that are added up beside each other.
const LANES: usize = 16;

/// Features of training pictures, and what is usual among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    features: Vec<f32>,
    channels: usize,
    cosines: Vec<f32>,
    probabilities: Vec<f32>,
    threshold: f32,
}

/// How unlike all training pictures a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Unknown {
    /// From 0 to 1: one less the mean of two ranks among the training pictures.
    pub score: f32,
    /// Whether the score is higher than that of 95% of the training pictures, each judged by all others.
    pub is_unknown: bool,
}

impl Known {
    /// The record of some training pictures, of at most 2,000 and 10 MB of them: `features` are their rows, each the
    /// means of the last layer over the picture, and `probabilities` the largest probability of each by a head that has
    /// not learned from it. `None` for fewer than two pictures.
    ///
    /// # Panics
    /// If there is not a probability for each row.
    pub fn new(features: &[&[f32]], probabilities: &[f32]) -> Option<Self> {
        assert_eq!(features.len(), probabilities.len());
        let channels = features.first()?.len();
        let most = MOST_PICTURES.min(MOST_BYTES / (size_of::<f32>() * channels.max(1)));
        let kept = features.len().min(most);
        if kept < 2 {
            return None;
        }
        // Evenly spread over the pictures, which are sorted by class.
        let places = (0..kept).map(|place| place * features.len() / kept);
        let (rows, largest): (Vec<Vec<f32>>, Vec<f32>) = places
            .map(|place| (unit(features[place]), probabilities[place]))
            .unzip();
        let rows: Vec<f32> = rows.concat();
        let nearest = |own: usize| {
            let row = &rows[own * channels..][..channels];
            let others = rows.chunks_exact(channels).enumerate();
            let others = others.filter(|(other, _)| *other != own);
            others
                .map(|(_, other)| dot(row, other))
                .fold(-1.0, f32::max)
        };
        let cosines: Vec<f32> = (0..kept).into_par_iter().map(nearest).collect();
        let mut known = Self {
            features: rows,
            channels,
            cosines: quantiles(&cosines),
            probabilities: quantiles(&largest),
            threshold: 0.0,
        };
        let scores = cosines.iter().zip(&largest);
        let mut scores: Vec<f32> = scores
            .map(|(&cosine, &largest)| known.score_of(cosine, largest))
            .collect();
        scores.sort_by(f32::total_cmp);
        let usual = (kept as f64 * (1.0 - FALSE_ALARMS)).ceil() as usize;
        known.threshold = scores[usual.clamp(1, kept) - 1];
        Some(known)
    }

    /// How unlike all training pictures a picture is, from 0 to 1: one less the mean of two ranks among them, that of
    /// the cosine to the nearest, and that of the largest probability. `features` are the means of the last layer.
    pub fn score(&self, features: &[f32], probability: f32) -> f32 {
        let own = unit(features);
        let rows = self.features.chunks_exact(self.channels);
        let nearest = rows.map(|row| dot(&own, row)).fold(-1.0, f32::max);
        self.score_of(nearest, probability)
    }

    /// [`score`](Self::score), compared with the training pictures.
    pub fn judge(&self, features: &[f32], probability: f32) -> Unknown {
        let score = self.score(features, probability);
        Unknown {
            score,
            is_unknown: score > self.threshold,
        }
    }

    fn score_of(&self, cosine: f32, probability: f32) -> f32 {
        1.0 - (rank(cosine, &self.cosines) + rank(probability, &self.probabilities)) / 2.0
    }

    /// The record as tensors.
    pub fn parameters(&self, device: &Device) -> Parameters {
        let pictures = self.features.len() / self.channels;
        let mut parameters = Parameters::new();
        let mut insert = |name: &str, shape: &[usize], values: Vec<f32>| {
            parameters.insert_values(name, shape, values, device);
        };
        insert(FEATURES, &[pictures, self.channels], self.features.clone());
        insert(COSINES, &[QUANTILES], self.cosines.clone());
        insert(PROBABILITIES, &[QUANTILES], self.probabilities.clone());
        insert(THRESHOLD, &[1], vec![self.threshold]);
        parameters
    }

    /// The record among some parameters; `None` if there is none.
    pub fn of(parameters: &Parameters) -> Option<Self> {
        if !parameters.contains(FEATURES) {
            return None;
        }
        Some(Self {
            features: parameters.values(FEATURES),
            channels: parameters.shape(FEATURES)[1],
            cosines: parameters.values(COSINES),
            probabilities: parameters.values(PROBABILITIES),
            threshold: parameters.values(THRESHOLD)[0],
        })
    }
}

/// The tensors of the record in a model file, whose names begin with `before`, for a last layer of `channels`; none if
/// there is no record.
///
/// # Errors
/// If the features have another form.
pub fn parameters_in(
    file: &WeightFile,
    before: &str,
    channels: usize,
) -> Result<Vec<ParameterInfo>, Error> {
    let name = format!("{before}{FEATURES}");
    let Some(features) = file.tensors.get(&name) else {
        return Ok(Vec::new());
    };
    let pictures = match features.shape[..] {
        [pictures, width] if width == channels && (1..=MOST_PICTURES).contains(&pictures) => {
            pictures
        }
        _ => {
            let what = message!(
                "{name} is {:?}, and the model needs [1 to {MOST_PICTURES}, {channels}]",
                features.shape
            );
            return Err(Error::model(&file.path, what));
        }
    };
    let tensor = |name: &str, shape: &[usize]| ParameterInfo {
        name: format!("{before}{name}"),
        shape: shape.to_vec(),
        // They are read, and never initialized.
        kind: Kind::LinearWeight,
        activation: Activation::Identity,
    };
    Ok(vec![
        tensor(FEATURES, &[pictures, channels]),
        tensor(COSINES, &[QUANTILES]),
        tensor(PROBABILITIES, &[QUANTILES]),
        tensor(THRESHOLD, &[1]),
    ])
}

/// A vector of length 1; one of zeros stays as it is.
fn unit(values: &[f32]) -> Vec<f32> {
    let length = dot(values, values).sqrt();
    let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
    values.iter().map(|value| value * factor).collect()
}

/// The dot product, in an order that does not depend on the processor.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (whole, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f32 = whole
        .remainder()
        .iter()
        .zip(others.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in whole.zip(others) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Evenly spaced quantiles, linear between two values.
fn quantiles(values: &[f32]) -> Vec<f32> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len() - 1;
    let quantile = |number: usize| {
        let place = (number * last) as f64 / (QUANTILES - 1) as f64;
        let below = place.floor() as usize;
        let share = (place - below as f64) as f32;
        let above = sorted[(below + 1).min(last)];
        sorted[below] + share * (above - sorted[below])
    };
    (0..QUANTILES).map(quantile).collect()
}

/// Share of a distribution that is below a value, from 0 to 1, by its quantiles; the middle of equal ones.
fn rank(value: f32, quantiles: &[f32]) -> f32 {
    let last = (quantiles.len() - 1) as f32;
    let below = quantiles.partition_point(|quantile| *quantile < value);
    let up_to = quantiles.partition_point(|quantile| *quantile <= value);
    if below < up_to {
        return (below + up_to - 1) as f32 / 2.0 / last;
    }
    match below {
        0 => 0.0,
        above if above == quantiles.len() => 1.0,
        above => {
            let (low, high) = (quantiles[above - 1], quantiles[above]);
            ((above - 1) as f32 + (value - low) / (high - low)) / last
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let rows: Vec<Vec<f32>> = (0..100)
            .map(|place| {
                let angle = place as f32 / 200.0;
                vec![3.0 * angle.cos(), 3.0 * angle.sin(), 0.0]
            })
            .collect();
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let probabilities: Vec<f32> = (0..100).map(|place| 0.5 + place as f32 / 200.0).collect();
        Known::new(&rows, &probabilities).unwrap()
    }

    #[test]
    fn what_is_far_from_every_picture_and_of_no_class_scores_highest() {
        let known = known();
        let usual = known.score(&[1.0, 0.2, 0.0], 0.75);
        let strange = known.score(&[0.0, 0.0, 1.0], 0.3);
        let unsure = known.score(&[1.0, 0.2, 0.0], 0.3);
        assert_eq!(strange, 1.0);
        assert!(usual < unsure && unsure < strange, "{usual} {unsure}");
        assert!(usual < known.threshold && known.threshold < strange);
        // The length of the features does not count.
        assert_eq!(usual, known.score(&[8.0, 1.6, 0.0], 0.75));
    }

    #[test]
    fn one_in_twenty_of_the_pictures_themselves_is_above_the_threshold() {
        let known = known();
        let rows: Vec<&[f32]> = known.features.chunks_exact(3).collect();
        let above = (0..100).filter(|&own| {
            let others = (0..100).filter(|other| *other != own);
            let nearest = others
                .map(|other| dot(rows[own], rows[other]))
                .fold(-1.0, f32::max);
            known.score_of(nearest, 0.5 + own as f32 / 200.0) > known.threshold
        });
        assert_eq!(above.count(), 5);
    }

    #[test]
    fn the_tensors_are_the_record() {
        let known = known();
        let parameters = known.parameters(&warmstart_nn::device());
        assert_eq!(Known::of(&parameters), Some(known));
        assert_eq!(Known::of(&Parameters::new()), None);
    }

    #[test]
    fn two_pictures_make_a_record_and_one_does_not() {
        assert!(Known::new(&[], &[]).is_none());
        assert!(Known::new(&[&[1.0, 0.0]], &[0.5]).is_none());
        let known = Known::new(&[&[1.0, 0.0], &[0.0, 0.0]], &[0.5, 0.6]).unwrap();
        assert!(known.score(&[0.0, 0.0], 0.1).is_finite());
    }

    #[test]
    fn of_many_pictures_an_even_part_is_kept() {
        let row = vec![1.0_f32; 2048];
        let rows = vec![&row[..]; 5000];
        let known = Known::new(&rows, &vec![0.5; 5000]).unwrap();
        assert_eq!(known.features.len() / 2048, 1220);
        assert!(known.features.len() * 4 <= MOST_BYTES);
    }
}
