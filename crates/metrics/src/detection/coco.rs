//! COCO's average precision and recall of one class, in the semantics of pycocotools 2.0 (Lin et
//! al., "Microsoft COCO: Common Objects in Context", 2014, and <https://cocodataset.org/#detection-eval>).

use super::boxes::{Detected, Truth};
use super::f1::Counts;
use super::interpolation::{Curve, interpolate};
use super::overlap;
use crate::ranking::falling;

/// Intersection over union from which a detection matches: 0.5, 0.55, … 0.95.
///
/// They are computed, since `numpy.linspace` gives numbers that differ from the decimal ones in the
/// last bit, and a detection may sit exactly on one.
pub(super) const IOU_THRESHOLDS: [f64; 10] = {
    let mut thresholds = [0.5; 10];
    let mut index = 0;
    while index < 10 {
        thresholds[index] = 0.5 + index as f64 * ((0.95 - 0.5) / 9.0);
        index += 1;
    }
    thresholds
};

/// Smallest and largest area in pixels², both included, of the sizes all, small, medium and large.
const AREA_RANGES: [[f64; 2]; 4] = [
    [0.0, 1e10],
    [0.0, 32.0 * 32.0],
    [32.0 * 32.0, 96.0 * 96.0],
    [96.0 * 96.0, 1e10],
];
/// Indices of the sizes in [`AREA_RANGES`].
pub(super) const ALL: usize = 0;
pub(super) const SMALL: usize = 1;
pub(super) const MEDIUM: usize = 2;
pub(super) const LARGE: usize = 3;

/// Numbers of detections of a class that count in an image, highest scores first.
const LIMITS: [usize; 3] = [1, 10, 100];
/// Indices of the numbers in [`LIMITS`].
pub(super) const AT_1: usize = 0;
pub(super) const AT_10: usize = 1;
pub(super) const AT_100: usize = 2;

/// A detection after matching, by size. Bit t of a mask stands for IoU threshold t; a detection that is
/// neither a hit nor a miss is ignored there.
struct Judged {
    score: f64,
    hits: [u16; AREA_RANGES.len()],
    misses: [u16; AREA_RANGES.len()],
}

/// Matches of one class over all images so far.
#[derive(Default)]
pub(super) struct CocoClass {
    judged: Vec<Judged>,
    /// Truths to be found, by size.
    truths: [usize; AREA_RANGES.len()],
    /// Truths that were found, `[size][limit][threshold]`.
    found: [[[usize; IOU_THRESHOLDS.len()]; LIMITS.len()]; AREA_RANGES.len()],
}

impl CocoClass {
    /// Matches the detections of this class in one image with its truths, and keeps the results.
    pub(super) fn add_image(&mut self, truths: &[&Truth], detected: &[&Detected]) {
        let mut detected = detected.to_vec();
        detected.sort_by(|a, b| falling(a.score, b.score));
        detected.truncate(LIMITS[AT_100]);
        let overlaps: Vec<Vec<f64>> = detected
            .iter()
            .map(|detected| truths.iter().map(|truth| overlap::coco(detected, truth)))
            .map(Iterator::collect)
            .collect();
        let mut judged: Vec<Judged> = detected
            .iter()
            .map(|detected| Judged {
                score: detected.score,
                hits: Default::default(),
                misses: Default::default(),
            })
            .collect();
        for (size, range) in AREA_RANGES.iter().enumerate() {
            let ignored: Vec<bool> = truths
                .iter()
                .map(|truth| truth.crowd || outside(truth.area, range))
                .collect();
            self.truths[size] += ignored.iter().filter(|ignored| !**ignored).count();
            for (threshold, least) in IOU_THRESHOLDS.into_iter().enumerate() {
                let matches = match_truths(&overlaps, truths, &ignored, least);
                for (rank, matched) in matches.into_iter().enumerate() {
                    match matched {
                        Some(truth) if ignored[truth] => {}
                        Some(_) => {
                            judged[rank].hits[size] |= 1 << threshold;
                            for (limit, most) in LIMITS.into_iter().enumerate() {
                                self.found[size][limit][threshold] += usize::from(rank < most);
                            }
                        }
                        None if outside(overlap::area(&detected[rank].bounds), range) => {}
                        None => judged[rank].misses[size] |= 1 << threshold,
                    }
                }
            }
        }
        self.judged.append(&mut judged);
    }

    /// Number of truths to be found: those that are not crowds.
    pub(super) fn truths(&self) -> usize {
        self.truths[ALL]
    }

    /// Average precision at every IoU threshold for each of `sizes`; `None` for a size without truth.
    pub(super) fn average_precisions<const N: usize>(
        &self,
        sizes: [usize; N],
    ) -> [Option<[f64; IOU_THRESHOLDS.len()]>; N] {
        let ranked = self.ranked();
        sizes.map(|size| {
            (self.truths[size] > 0).then(|| {
                std::array::from_fn(|threshold| {
                    self.interpolate(&ranked, size, threshold).average()
                })
            })
        })
    }

    /// Share of the truths of a size that were found at every IoU threshold; `None` without truth.
    pub(super) fn recalls(&self, size: usize, limit: usize) -> Option<[f64; IOU_THRESHOLDS.len()]> {
        let recall = |found: usize| found as f64 / self.truths[size] as f64;
        (self.truths[size] > 0).then(|| self.found[size][limit].map(recall))
    }

    /// Precision-recall curve over all sizes; `None` without truth.
    pub(super) fn curve(&self, threshold: usize) -> Option<Curve> {
        (self.truths[ALL] > 0).then(|| self.interpolate(&self.ranked(), ALL, threshold))
    }

    /// The detections that count and the hits among them over all sizes, at an IoU of 0.5, by confidence.
    pub(super) fn counts(&self) -> Counts {
        let at_half = |judged: &Judged| {
            let [hit, miss] = [judged.hits, judged.misses].map(|masks| masks[ALL] & 1 == 1);
            (hit || miss).then_some((judged.score, hit))
        };
        let ranked: Vec<(f64, bool)> = self.ranked().into_iter().filter_map(at_half).collect();
        Counts::new(&ranked, self.truths())
    }

    /// Detections with the highest score first; equal scores in the order of the images, and within an image
    /// in the order they came in.
    fn ranked(&self) -> Vec<&Judged> {
        let mut ranked: Vec<&Judged> = self.judged.iter().collect();
        ranked.sort_by(|a, b| falling(a.score, b.score));
        ranked
    }

    fn interpolate(&self, ranked: &[&Judged], size: usize, threshold: usize) -> Curve {
        let bit = |mask: u16| usize::from(mask >> threshold & 1);
        let counts = ranked.iter().map(|judged| {
            (
                judged.score,
                bit(judged.hits[size]),
                bit(judged.misses[size]),
            )
        });
        interpolate(counts, self.truths[size])
    }
}

/// The size of an object among small, medium and large, by its area in pixels²: one for each, the smaller where COCO
/// counts it in two.
pub(super) fn size_index(area: f64) -> usize {
    let most = [SMALL, MEDIUM].map(|size| AREA_RANGES[size][1]);
    let size = most.iter().position(|most| area <= *most);
    size.unwrap_or(most.len())
}

/// Whether an area in pixels² is outside the range of a size.
fn outside(area: f64, &[least, most]: &[f64; 2]) -> bool {
    area < least || area > most
}

/// Index of the truth that each detection is matched with. `overlaps` is `[detection][truth]`, the highest
/// score first.
///
/// Matching is greedy: a detection takes the remaining truth that it overlaps most, if by at least `least`;
/// among equals, the last. It takes an ignored truth only if no other is left, and a crowd can be taken any
/// number of times.
fn match_truths(
    overlaps: &[Vec<f64>],
    truths: &[&Truth],
    ignored: &[bool],
    least: f64,
) -> Vec<Option<usize>> {
    let mut taken = vec![false; truths.len()];
    let mut best = |overlaps: &Vec<f64>| {
        let among = |of_ignored: bool| {
            (0..truths.len())
                .filter(|&truth| ignored[truth] == of_ignored)
                .filter(|&truth| !taken[truth] || truths[truth].crowd)
                .filter(|&truth| overlaps[truth] >= least)
                .max_by(|&a, &b| overlaps[a].total_cmp(&overlaps[b]))
        };
        let best = among(false).or_else(|| among(true))?;
        taken[best] = true;
        Some(best)
    };
    overlaps.iter().map(&mut best).collect()
}
