//! Precision at fixed levels of recall, from detections in falling order of score.

/// Levels of recall: 0, 0.01, … 1.
const LEVELS: usize = 101;

/// Precision at every level of recall, and the score threshold that reaches it.
pub(super) struct Curve {
    precision: [f64; LEVELS],
    /// `None` where the recall is never reached.
    score: [Option<f64>; LEVELS],
}

impl Curve {
    /// Average precision, 0 to 1: the mean over the levels.
    pub(super) fn average(&self) -> f64 {
        self.precision.iter().sum::<f64>() / LEVELS as f64
    }

    /// Recall, precision and score of every level.
    pub(super) fn points(&self) -> impl Iterator<Item = (f64, f64, Option<f64>)> {
        let values = self.precision.iter().copied().zip(self.score);
        (0..)
            .zip(values)
            .map(|(index, (precision, score))| (level(index), precision, score))
    }
}

/// Recall of a level, as a product like in pycocotools: a quotient differs in the last bit, and a recall may
/// sit exactly on a level.
fn level(index: usize) -> f64 {
    index as f64 * 0.01
}

/// COCO's interpolated curve: at each level the highest precision at that recall or a higher one; 0 where the
/// recall is not reached.
///
/// `ranked` holds the score, hits and misses (0 or 1 each) of every detection, the highest score first.
/// `truths` is not 0.
pub(super) fn interpolate(
    ranked: impl Iterator<Item = (f64, usize, usize)>,
    truths: usize,
) -> Curve {
    let (mut hits, mut misses) = (0, 0);
    // Score, recall and precision after each detection.
    let mut steps: Vec<(f64, f64, f64)> = ranked
        .map(|(score, hit, miss)| {
            hits += hit;
            misses += miss;
            let precision = hits as f64 / ((hits + misses) as f64 + f64::EPSILON);
            (score, hits as f64 / truths as f64, precision)
        })
        .collect();
    let mut highest: f64 = 0.0;
    for (_, _, precision) in steps.iter_mut().rev() {
        highest = highest.max(*precision);
        *precision = highest;
    }
    let mut curve = Curve {
        precision: [0.0; LEVELS],
        score: [None; LEVELS],
    };
    for index in 0..LEVELS {
        let first = steps.partition_point(|(_, recall, _)| *recall < level(index));
        if let Some((score, _, precision)) = steps.get(first) {
            curve.precision[index] = *precision;
            curve.score[index] = Some(*score);
        }
    }
    curve
}
