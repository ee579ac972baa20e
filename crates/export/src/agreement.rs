//! How well two computations of one network agree.

use serde::Serialize;
use warmstart_data::{DataError, DecodedPicture, RgbImage};
use warmstart_language::message;
use warmstart_metrics::softmax;
use warmstart_tasks::detect::{detector::PointPredictions, evaluation_pixels};
use warmstart_tasks::kinds::Trained;
use warmstart_tasks::prepared::PreparedPicture;

/// Most that a probability, or a score, may differ from the trainer's.
pub const TOLERANCE: f32 = 1e-3;
/// Points whose boxes are compared: those of the highest scores.
const COMPARED_POINTS: usize = 100;

/// The trainer's results for some images, which others are compared with.
pub struct Reference {
    /// `[channels, size, size]` of each image, as the network takes it.
    pub inputs: Vec<Vec<f32>>,
    /// The result for each image.
    pub results: Vec<Outputs>,
    /// Edge of the network's input, in pixels.
    pub size: usize,
}

/// The results of a network for an image.
#[derive(Clone, Debug)]
pub enum Outputs {
    /// Probability of each class.
    Classes(Vec<f32>),
    /// Scores `[points, classes]`, and boxes `[points]` in pixels of the network's input.
    Points {
        /// 0 to 1.
        scores: Vec<f32>,
        /// Left, top, right and bottom.
        boxes: Vec<[f32; 4]>,
    },
}

/// How well results agree with those of the trainer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Agreement {
    /// Images that were compared.
    pub images: usize,
    /// Largest difference of a probability or of a score.
    pub largest_difference: f32,
    /// Number of images with the same likeliest class; for a detector, with the same class at the most certain point.
    /// Classes whose probabilities differ by no more than 0.001 count as the same.
    pub same_class: usize,
    /// Of a detector: largest difference of a side of a box, clipped to the network's input and in its pixels, among the
    /// points of the highest scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_box_difference: Option<f32>,
}

impl Reference {
    /// The trainer's results for pictures of which every pixel was decoded.
    ///
    /// # Errors
    /// If the preprocessing of the model is not sound.
    pub fn new(model: &Trained, pictures: &[RgbImage]) -> Result<Self, DataError> {
        let preprocessing = &model.info().preprocessing;
        Self::of_pixels(
            model,
            pictures.iter().map(|picture| match model {
                Trained::Classifier(_) => {
                    warmstart_data::evaluation_pixels_of(picture, preprocessing)
                }
                Trained::Detector(_) => Ok(evaluation_pixels(picture, preprocessing)),
            }),
        )
    }

    /// The trainer's results for pictures that were decoded as in training.
    ///
    /// # Errors
    /// If the preprocessing of the model is not sound.
    pub fn as_trained(model: &Trained, pictures: &[DecodedPicture]) -> Result<Self, DataError> {
        let preprocessing = &model.info().preprocessing;
        Self::of_pixels(
            model,
            pictures
                .iter()
                .map(|picture| -> Result<Vec<f32>, DataError> {
                    let prepared = match model {
                        Trained::Classifier(_) => {
                            PreparedPicture::for_classifier(picture, preprocessing)?
                        }
                        Trained::Detector(_) => {
                            PreparedPicture::for_detector(picture, preprocessing)
                        }
                    };
                    Ok(prepared.pixels().to_vec())
                }),
        )
    }

    fn of_pixels(
        model: &Trained,
        pictures: impl Iterator<Item = Result<Vec<f32>, DataError>>,
    ) -> Result<Self, DataError> {
        let info = model.info();
        let mut inputs = Vec::new();
        let mut results = Vec::new();
        for pixels in pictures {
            let pixels = pixels?;
            results.push(match model {
                Trained::Classifier(classifier) => {
                    Outputs::Classes(softmax(&classifier.logits(&[&pixels])[0]))
                }
                Trained::Detector(detector) => {
                    let PointPredictions { scores, boxes } =
                        detector.points(&[&pixels]).swap_remove(0);
                    Outputs::Points { scores, boxes }
                }
            });
            inputs.push(planes(&pixels, info.preprocessing.mean.len()));
        }
        Ok(Self {
            inputs,
            results,
            size: info.preprocessing.crop,
        })
    }

    /// Compares other results for the same images with these.
    pub fn compare(&self, others: &[Outputs]) -> Agreement {
        let mut agreement = Agreement::default();
        for (own, other) in self.results.iter().zip(others) {
            agreement.images += 1;
            let (own_scores, other_scores) = (own.scores(), other.scores());
            let difference = largest_difference(own_scores, other_scores);
            agreement.largest_difference = agreement.largest_difference.max(difference);
            agreement.same_class += usize::from(is_same_class(own_scores, other_scores));
            if let (Outputs::Points { scores, boxes }, Outputs::Points { boxes: others, .. }) =
                (own, other)
            {
                let difference = box_difference(scores, boxes, others, self.size as f32);
                let largest = agreement.largest_box_difference.get_or_insert(0.0);
                *largest = largest.max(difference);
            }
        }
        agreement
    }
}

impl Agreement {
    /// Whether the results are those of the same network, up to rounding, for images `size` pixels wide.
    pub fn is_close(&self, size: usize) -> bool {
        let boxes = self.largest_box_difference.unwrap_or(0.0);
        // NaN is not close.
        self.largest_difference <= TOLERANCE
            && boxes <= TOLERANCE * size as f32
            && self.same_class == self.images
    }

    /// In words, for people.
    pub fn words(&self) -> String {
        let boxes = self.largest_box_difference.map_or(String::new(), |pixels| {
            message!(", of a box {pixels:.2e} pixels")
        });
        message!(
            "largest difference {difference:.1e}{boxes}, same class for {same} of {images} images",
            difference = self.largest_difference,
            same = self.same_class,
            images = self.images
        )
    }
}

impl Outputs {
    /// Probabilities of the classes, or scores `[points, classes]`.
    pub fn scores(&self) -> &[f32] {
        match self {
            Self::Classes(scores) | Self::Points { scores, .. } => scores,
        }
    }
}

/// `[channels, height, width]` from `[height, width, channels]`.
fn planes(pixels: &[f32], channels: usize) -> Vec<f32> {
    let plane = |channel| pixels.iter().skip(channel).step_by(channels).copied();
    (0..channels).flat_map(plane).collect()
}

/// Infinite where the numbers of values, or a NaN, make them incomparable.
fn largest_difference(own: &[f32], other: &[f32]) -> f32 {
    if own.len() != other.len() {
        return f32::INFINITY;
    }
    let differences = own
        .iter()
        .zip(other)
        .map(|(own, other)| (own - other).abs());
    differences.fold(0.0, |largest, difference| {
        if difference.is_nan() {
            f32::INFINITY
        } else {
            largest.max(difference)
        }
    })
}

/// Whether the place that is highest in one is as high as any in the other, up to the tolerance.
fn is_same_class(own: &[f32], other: &[f32]) -> bool {
    let Some(first) = place_of_highest(other) else {
        return own.is_empty();
    };
    let highest = own.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    own.get(first)
        .is_some_and(|value| highest - value <= TOLERANCE)
}

fn place_of_highest(values: &[f32]) -> Option<usize> {
    let places = values.iter().enumerate();
    let highest = places.max_by(|(_, a), (_, b)| a.total_cmp(b));
    highest.map(|(place, _)| place)
}

fn box_difference(scores: &[f32], own: &[[f32; 4]], other: &[[f32; 4]], size: f32) -> f32 {
    if own.len() != other.len() {
        return f32::INFINITY;
    }
    let classes = scores.len() / own.len().max(1);
    let certainty = |point: usize| {
        let scores = &scores[point * classes..][..classes];
        scores.iter().copied().fold(0.0, f32::max)
    };
    let clipped = |sides: [f32; 4]| sides.map(|side| side.clamp(0.0, size));
    let mut points: Vec<usize> = (0..own.len()).collect();
    points.sort_by(|&a, &b| certainty(b).total_cmp(&certainty(a)));
    points.truncate(COMPARED_POINTS);
    let differences = points
        .into_iter()
        .map(|point| largest_difference(&clipped(own[point]), &clipped(other[point])));
    differences.fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(own: &[f32], other: &[f32]) -> Agreement {
        let reference = Reference {
            inputs: Vec::new(),
            size: 32,
            results: vec![Outputs::Classes(own.to_vec())],
        };
        reference.compare(&[Outputs::Classes(other.to_vec())])
    }

    #[test]
    fn a_tie_within_the_tolerance_is_no_other_class() {
        let agreement = compared(&[0.5, 0.4995, 0.0005], &[0.4996, 0.4999, 0.0005]);
        assert_eq!(agreement.same_class, 1);
        assert!(agreement.is_close(32));
    }

    #[test]
    fn another_class_or_a_nan_is_not_close() {
        assert!(!compared(&[0.6, 0.4], &[0.4, 0.6]).is_close(32));
        assert!(!compared(&[0.6, 0.4], &[0.6, f32::NAN]).is_close(32));
        assert!(!compared(&[0.6, 0.4], &[0.6]).is_close(32));
        assert!(!compared(&[0.6, 0.4], &[0.602, 0.398]).is_close(32));
    }

    #[test]
    fn boxes_of_certain_points_count() {
        let points = |side: f32| Outputs::Points {
            scores: vec![0.9, 0.1],
            boxes: vec![[0.0, 0.0, side, 4.0]],
        };
        let reference = Reference {
            inputs: Vec::new(),
            size: 32,
            results: vec![points(4.0)],
        };
        let agreement = reference.compare(&[points(5.0)]);
        assert_eq!(agreement.largest_box_difference, Some(1.0));
        assert!(!agreement.is_close(64));
    }

    #[test]
    fn planes_are_one_channel_after_the_other() {
        assert_eq!(
            planes(&[1., 2., 3., 4., 5., 6.], 3),
            [1., 4., 2., 5., 3., 6.]
        );
    }
}
