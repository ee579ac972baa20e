//! A detector's answers on labelled images, beside the labels.

use std::path::PathBuf;

use warmstart_data::Scene;
use warmstart_metrics::{
    AtConfidence, Detected, DetectionEvaluation, MATCHING_IOU, Truth, matched,
};
use warmstart_recipe::Error;

use super::found_object::{FoundObject, JudgedObject, JudgedScene};
use super::{JudgedObjects, detected, truth};
use crate::network::none_readable;

/// The labelled and detected objects of some images.
pub struct JudgedScenes {
    /// The metrics.
    pub figures: DetectionEvaluation,
    /// The images that could be read.
    pub paths: Vec<PathBuf>,
    /// The objects of each, in the order of `paths`.
    pub objects: Vec<JudgedObjects>,
    /// A message for each image that could not be read.
    pub unreadable: Vec<String>,
}

/// Evaluation of a detector on labelled images.
pub struct BoxEvaluation {
    /// Images that were measured.
    pub images: usize,
    /// The metrics.
    pub figures: DetectionEvaluation,
    /// What is found, missed and confused at the confidence of the best F1; at the model's own, where nothing is found.
    pub at_confidence: AtConfidence,
    /// A message for each image that could not be read and was left out.
    pub unreadable: Vec<String>,
}

/// A labelled object in a line: its class, the bits of its bounds and its area, whether it is a crowd, and whether it is
/// difficult.
type TruthBits = [u64; 8];
/// A detected object in a line: its class, the bits of its score, and those of its bounds.
type DetectedBits = [u64; 6];

/// The objects of an image in a line, of which no bit is lost.
pub fn line_of(objects: &JudgedObjects) -> String {
    let (truths, found) = objects;
    let truth = |truth: &Truth| -> TruthBits {
        let [left, top, right, bottom] = truth.bounds.map(f64::to_bits);
        let class = truth.class as u64;
        let area = truth.area.to_bits();
        let (crowd, difficult) = (truth.crowd.into(), truth.difficult.into());
        [class, left, top, right, bottom, area, crowd, difficult]
    };
    let found_bits = |found: &Detected| -> DetectedBits {
        let [left, top, right, bottom] = found.bounds.map(f64::to_bits);
        [
            found.class as u64,
            found.score.to_bits(),
            left,
            top,
            right,
            bottom,
        ]
    };
    let truths: Vec<TruthBits> = truths.iter().map(truth).collect();
    let found: Vec<DetectedBits> = found.iter().map(found_bits).collect();
    serde_json::to_string(&(truths, found)).expect("numbers are plain data")
}

/// The objects of an image from its line; `None` if nothing here wrote it, or a class is none of so many.
fn objects_of(line: &str, classes: usize) -> Option<JudgedObjects> {
    let (truths, found): (Vec<TruthBits>, Vec<DetectedBits>) = serde_json::from_str(line).ok()?;
    let class_of = |bits: u64| usize::try_from(bits).ok().filter(|class| *class < classes);
    let truth = |bits: TruthBits| {
        let [class, left, top, right, bottom, area, crowd, difficult] = bits;
        Some(Truth {
            class: class_of(class)?,
            bounds: [left, top, right, bottom].map(f64::from_bits),
            area: f64::from_bits(area),
            crowd: crowd != 0,
            difficult: difficult != 0,
        })
    };
    let detected = |bits: DetectedBits| {
        let [class, score, left, top, right, bottom] = bits;
        Some(Detected {
            class: class_of(class)?,
            score: f64::from_bits(score),
            bounds: [left, top, right, bottom].map(f64::from_bits),
        })
    };
    let truths = truths.into_iter().map(truth).collect::<Option<_>>()?;
    let found = found.into_iter().map(detected).collect::<Option<_>>()?;
    Some((truths, found))
}

impl JudgedScenes {
    /// Of no image yet.
    pub fn new(classes: Vec<String>) -> Self {
        Self {
            figures: DetectionEvaluation::new(classes),
            paths: Vec::new(),
            objects: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Adds an image, and returns its objects with whether each is matched.
    pub(super) fn add(
        &mut self,
        path: PathBuf,
        scene: &Scene,
        objects: Vec<FoundObject>,
    ) -> JudgedScene {
        let truths: Vec<_> = scene.objects.iter().map(truth).collect();
        let found: Vec<_> = objects
            .iter()
            .map(|object| detected(object.class, object.score, object.bounds))
            .collect();
        self.figures.add_image(&truths, &found);
        let matched = matched(&truths, &found, MATCHING_IOU);
        self.paths.push(path.clone());
        self.objects.push((truths, found));
        let objects = objects.into_iter().zip(matched);
        JudgedScene {
            path,
            objects: objects
                .map(|(found, is_matched)| JudgedObject { found, is_matched })
                .collect(),
        }
    }

    /// Adds the objects of an image by its [line](line_of); false if nothing here wrote it for these classes.
    #[must_use]
    pub fn add_line(&mut self, line: &str, classes: usize) -> bool {
        let Some((truths, found)) = objects_of(line, classes) else {
            return false;
        };
        self.figures.add_image(&truths, &found);
        self.objects.push((truths, found));
        true
    }

    /// The evaluation on all of them; `unreadable` are the images whose header could not be read, and `usual` is the
    /// detector's own confidence.
    ///
    /// # Errors
    /// If none of the images could be read.
    pub fn evaluation(
        self,
        classes: Vec<String>,
        mut unreadable: Vec<String>,
        usual: f32,
    ) -> Result<BoxEvaluation, Error> {
        unreadable.extend_from_slice(&self.unreadable);
        if self.objects.is_empty() {
            return Err(none_readable(&unreadable));
        }
        // The confidence of the best F1 is known last.
        let confidence = self.confidence(usual);
        Ok(BoxEvaluation {
            images: self.objects.len(),
            at_confidence: AtConfidence::of_images(classes, confidence, &self.objects),
            figures: self.figures,
            unreadable,
        })
    }

    /// The confidence of the best F1; the detector's `usual` one where nothing is found.
    pub fn confidence(&self, usual: f32) -> f64 {
        let best = self.figures.best_f1();
        best.map_or(usual.into(), |best| best.confidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_in_a_line_keep_every_bit() {
        let truth = Truth {
            class: 1,
            bounds: [0.1, -0.0, 1.0 / 3.0, f64::MIN_POSITIVE],
            area: 0.1 + 0.2,
            crowd: true,
            difficult: false,
        };
        let found = Detected {
            class: 0,
            score: f64::from(0.3_f32),
            bounds: [1e300, 2.5, -7.0, f64::INFINITY],
        };
        let objects = (vec![truth], vec![found, found]);
        let line = line_of(&objects);
        let again = objects_of(&line, 2).unwrap();
        assert_eq!(again, objects);
        assert!(again.0[0].bounds[1].is_sign_negative());
        assert_eq!(objects_of(&line, 1), None, "no such class");
        for odd in ["", "[[],[]", "[[[1]],[]]", "{}"] {
            assert_eq!(objects_of(odd, 2), None, "{odd}");
        }
    }
}
