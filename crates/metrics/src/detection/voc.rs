//! VOC's average precision of one class at an IoU of 0.5 (Everingham et al., "The PASCAL Visual
//! Object Classes (VOC) Challenge", IJCV 2010, section 4.2).

use super::boxes::{Detected, Truth};
use super::overlap;
use crate::ranking::falling;

/// IoU that a match must exceed.
const LEAST_OVERLAP: f64 = 0.5;

/// Matches of one class over all images so far.
#[derive(Default)]
pub(super) struct VocClass {
    /// Score of each detection and whether it is a hit. Detections of truths that need not be found are left
    /// out.
    judged: Vec<(f64, bool)>,
    /// Truths to be found.
    truths: usize,
}

fn optional(truth: &Truth) -> bool {
    truth.difficult || truth.crowd
}

impl VocClass {
    /// Matches the detections of this class in one image with its truths, and keeps the results.
    ///
    /// A detection is compared only with the truth that it overlaps most, the first among equals. If that
    /// truth was already found, the detection is a miss.
    pub(super) fn add_image(&mut self, truths: &[&Truth], detected: &[&Detected]) {
        self.truths += truths.iter().filter(|truth| !optional(truth)).count();
        let mut detected = detected.to_vec();
        detected.sort_by(|a, b| falling(a.score, b.score));
        let mut found = vec![false; truths.len()];
        for detected in detected {
            let mut nearest = None;
            let mut most = LEAST_OVERLAP;
            for (index, truth) in truths.iter().enumerate() {
                let overlap = overlap::voc(detected, truth);
                if overlap > most {
                    (nearest, most) = (Some(index), overlap);
                }
            }
            match nearest {
                Some(index) if optional(truths[index]) => {}
                Some(index) => {
                    self.judged.push((detected.score, !found[index]));
                    found[index] = true;
                }
                None => self.judged.push((detected.score, false)),
            }
        }
    }

    /// Average precision over 11 levels of recall and over all of them; `None` without truth.
    pub(super) fn average_precisions(&self) -> Option<[f64; 2]> {
        if self.truths == 0 {
            return None;
        }
        let mut ranked = self.judged.clone();
        ranked.sort_by(|(a, _), (b, _)| falling(*a, *b));
        // Number of hits and precision after each hit: recall grows only there.
        let mut steps = Vec::new();
        for (before, (_, hit)) in ranked.iter().enumerate() {
            if *hit {
                let hits = steps.len() + 1;
                steps.push((hits, hits as f64 / (before + 1) as f64));
            }
        }
        let mut highest: f64 = 0.0;
        for (_, precision) in steps.iter_mut().rev() {
            highest = highest.max(*precision);
            *precision = highest;
        }
        let at_tenth = |tenth: usize| {
            let reached = steps
                .iter()
                .find(|(hits, _)| hits * 10 >= tenth * self.truths);
            reached.map_or(0.0, |(_, precision)| *precision)
        };
        let eleven_points = (0..=10).map(at_tenth).sum::<f64>() / 11.0;
        let all_points =
            steps.iter().map(|(_, precision)| precision).sum::<f64>() / self.truths as f64;
        Some([eleven_points, all_points])
    }
}
