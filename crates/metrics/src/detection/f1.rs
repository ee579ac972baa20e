//! The confidence at which a detector's F1 is highest.

use serde::Serialize;

/// Confidences that are looked at: 0.001, 0.002, … 1.
const STEPS: usize = 1000;
/// Share of the highest F1 from which on a confidence is as good.
const AS_GOOD: f64 = 0.99;

/// The confidence at which F1 is highest at an IoU of 0.5, and the figures there. Objects are matched as for COCO's
/// figures.
///
/// F1 is almost the same over a range of confidences, and the highest of them is a matter of a few objects. So it is the
/// middle of the range around the highest F1 in which F1 is at least 99% of it, in steps of a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestF1 {
    /// Lowest score of a detection that counts, 0 to 1.
    pub confidence: f64,
    /// Harmonic mean of precision and recall; over several classes, the mean of theirs.
    pub f1: f64,
    /// Share of the detections that are hits; 0 of a class without any.
    pub precision: f64,
    /// Share of the objects that are found.
    pub recall: f64,
}

/// The detections of a class that count, and the hits among them, with at least each step of confidence.
pub(super) struct Counts {
    detections: Vec<usize>,
    hits: Vec<usize>,
    /// Objects to be found.
    truths: usize,
}

fn confidence(step: usize) -> f64 {
    (step + 1) as f64 / STEPS as f64
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

impl Counts {
    /// `ranked` has the score of each detection that counts, and whether it is a hit, the highest score first.
    pub(super) fn new(ranked: &[(f64, bool)], truths: usize) -> Self {
        let mut counts = Self {
            detections: vec![0; STEPS],
            hits: vec![0; STEPS],
            truths,
        };
        let (mut detections, mut hits) = (0_usize, 0_usize);
        for step in (0..STEPS).rev() {
            let counting = ranked[detections..]
                .iter()
                .take_while(|(score, _)| *score >= confidence(step));
            for (_, is_hit) in counting {
                detections += 1;
                hits += usize::from(*is_hit);
            }
            counts.detections[step] = detections;
            counts.hits[step] = hits;
        }
        counts
    }

    fn f1(&self, step: usize) -> f64 {
        // 2PR / (P + R), which is this without the division by zero.
        share(2 * self.hits[step], self.detections[step] + self.truths)
    }

    fn precision(&self, step: usize) -> f64 {
        share(self.hits[step], self.detections[step])
    }

    fn recall(&self, step: usize) -> f64 {
        share(self.hits[step], self.truths)
    }
}

/// The confidence at which the mean F1 of some classes is highest; `None` if nothing is a hit.
pub(super) fn best(classes: &[Counts]) -> Option<BestF1> {
    let mean = |of: fn(&Counts, usize) -> f64, step: usize| {
        let sum: f64 = classes.iter().map(|class| of(class, step)).sum();
        sum / classes.len() as f64
    };
    let f1: Vec<f64> = (0..STEPS).map(|step| mean(Counts::f1, step)).collect();
    let highest = f1.iter().copied().fold(0.0, f64::max);
    let peak = f1.iter().position(|f1| *f1 == highest && highest > 0.0)?;
    let is_as_good = |step: &usize| f1[*step] >= AS_GOOD * highest;
    let first = (0..=peak).rev().take_while(is_as_good).last();
    let last = (peak..STEPS).take_while(is_as_good).last();
    let step = (first? + last?) / 2;
    Some(BestF1 {
        confidence: confidence(step),
        f1: f1[step],
        precision: mean(Counts::precision, step),
        recall: mean(Counts::recall, step),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lies_in_the_middle_between_the_hits_and_the_false_ones() {
        let ranked = [(0.9, true), (0.8, true), (0.3, false), (0.2, false)];
        let best = best(&[Counts::new(&ranked, 2)]).unwrap();
        // As good from 0.301 to 0.8.
        assert_eq!(best.confidence, 0.55);
        assert_eq!((best.f1, best.precision, best.recall), (1.0, 1.0, 1.0));
    }

    #[test]
    fn a_false_one_is_worth_a_further_hit() {
        // With the third: precision 2/3, recall 1, F1 0.8; without it and the second: 2/3.
        let ranked = [(0.9, true), (0.6, false), (0.4, true)];
        let best = best(&[Counts::new(&ranked, 2)]).unwrap();
        assert_eq!(best.confidence, 0.2);
        assert_eq!((best.f1, best.recall), (0.8, 1.0));
        assert_eq!(best.precision, 2.0 / 3.0);
    }

    #[test]
    fn over_classes_it_is_where_the_mean_is_highest() {
        // Each alone would take 0.45 and 0.1; together, above 0.2 the second finds nothing.
        let sure = Counts::new(&[(0.9, true)], 1);
        let unsure = Counts::new(&[(0.2, true)], 1);
        assert_eq!(best(std::slice::from_ref(&sure)).unwrap().confidence, 0.45);
        let both = best(&[sure, unsure]).unwrap();
        assert_eq!((both.confidence, both.f1), (0.1, 1.0));
    }

    #[test]
    fn without_a_hit_there_is_none() {
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[Counts::new(&[(0.9, false)], 3)]), None);
        let unranked = [(1.0, true), (f64::NAN, true)];
        assert_eq!(best(&[Counts::new(&unranked, 1)]).unwrap().recall, 1.0);
    }

    #[test]
    fn it_is_the_best_of_all_thresholds_but_a_hundredth() {
        // Scores and hits that look random, judged at every threshold by counting.
        let number = |of: u64| (of.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 16_777_216.0;
        for seed in 0..20 {
            let mut ranked: Vec<(f64, bool)> = (0..60)
                .map(|place| {
                    let score = number(seed * 1000 + place);
                    (score, number(seed * 7919 + place * 31) < score)
                })
                .collect();
            ranked.sort_by(|one, other| other.0.total_cmp(&one.0));
            let hits = ranked.iter().filter(|(_, is_hit)| *is_hit).count();
            let truths = hits + 10;
            let f1 = |least: f64| {
                let counting = ranked.iter().filter(|(score, _)| *score >= least);
                let (detections, hits) = counting
                    .fold((0, 0), |(detections, hits), (_, is_hit)| {
                        (detections + 1, hits + usize::from(*is_hit))
                    });
                2.0 * hits as f64 / (detections + truths) as f64
            };
            let highest = (1..=1000).map(|step| f1(step as f64 / 1000.0));
            let highest = highest.fold(0.0, f64::max);
            let best = best(&[Counts::new(&ranked, truths)]).unwrap();
            assert_eq!(best.f1, f1(best.confidence));
            assert!(best.f1 >= 0.99 * highest, "{} of {highest}", best.f1);
        }
    }
}
