//! Mean average precision of detected boxes, as COCO and VOC define it.

mod at_confidence;
mod box_doubt;
mod boxes;
mod coco;
mod f1;
mod figures;
mod interpolation;
mod matching;
mod overlap;
mod voc;

pub use at_confidence::{AtConfidence, FoundOfSize};
pub use box_doubt::{BoxDoubt, DoubtOfBox, box_doubts};
pub use boxes::{Detected, Truth};
pub use f1::BestF1;
pub use figures::{AveragePrecision, CocoFigures, PrecisionRecall, RecallPoint, VocFigures};
pub use matching::{MATCHING_IOU, matched};

use coco::{ALL, AT_1, AT_10, AT_100, CocoClass, IOU_THRESHOLDS, LARGE, MEDIUM, SMALL};
use f1::Counts;
use std::collections::BTreeMap;
use voc::VocClass;

/// Name of the confidence at which F1 is highest among the metrics of an epoch.
pub const CONFIDENCE: &str = "confidence";

/// Evaluation of detections, image by image, with COCO's and VOC's figures over all images.
///
/// Boxes are matched as they come and not kept: a detection takes 40 bytes afterwards, and computing the
/// figures takes as long as sorting the detections.
///
/// The order of images matters only where detections of different images have the same score: the
/// earlier image comes first. Within an image, equal scores keep the order they came in.
///
/// No value causes a panic. A score that is NaN ranks below all others. A box with a NaN overlaps
/// nothing: as a detection it is a miss at every size, as a truth it is never found. A truth whose
/// area is NaN counts at every size.
pub struct DetectionEvaluation {
    classes: Vec<String>,
    coco: Vec<CocoClass>,
    voc: Vec<VocClass>,
}

impl DetectionEvaluation {
    /// An evaluation of these classes without images.
    pub fn new(classes: Vec<String>) -> Self {
        let coco = classes.iter().map(|_| CocoClass::default()).collect();
        let voc = classes.iter().map(|_| VocClass::default()).collect();
        Self { classes, coco, voc }
    }

    /// Adds an image. Both lists may be empty, in any order and of any length; COCO's figures
    /// take the 100 detections of each class with the highest scores, VOC's all.
    ///
    /// # Panics
    /// If a class is not one of those given to [`new`](Self::new).
    pub fn add_image(&mut self, truths: &[Truth], detected: &[Detected]) {
        let mut by_class: BTreeMap<usize, (Vec<&Truth>, Vec<&Detected>)> = BTreeMap::new();
        for truth in truths {
            by_class.entry(truth.class).or_default().0.push(truth);
        }
        for detected in detected {
            by_class.entry(detected.class).or_default().1.push(detected);
        }
        for (class, (truths, detected)) in by_class {
            self.coco[class].add_image(&truths, &detected);
            self.voc[class].add_image(&truths, &detected);
        }
    }

    /// COCO's twelve figures: means over the classes that have truth of that size.
    pub fn coco(&self) -> CocoFigures {
        let precisions: Vec<_> = self
            .coco
            .iter()
            .map(|class| class.average_precisions([ALL, SMALL, MEDIUM, LARGE]))
            .collect();
        let precision = |size: usize| {
            mean(
                precisions
                    .iter()
                    .filter_map(|sizes| sizes[size])
                    .map(|at| average(&at)),
            )
        };
        let precision_at = |iou: f64| {
            let threshold = threshold(iou)?;
            mean(
                precisions
                    .iter()
                    .filter_map(|sizes| Some(sizes[ALL]?[threshold])),
            )
        };
        let recall = |size: usize, limit: usize| {
            let recalls = self
                .coco
                .iter()
                .filter_map(|class| class.recalls(size, limit));
            mean(recalls.map(|at| average(&at)))
        };
        CocoFigures {
            ap: precision(ALL),
            ap_50: precision_at(0.5),
            ap_75: precision_at(0.75),
            ap_small: precision(SMALL),
            ap_medium: precision(MEDIUM),
            ap_large: precision(LARGE),
            ar_1: recall(ALL, AT_1),
            ar_10: recall(ALL, AT_10),
            ar_100: recall(ALL, AT_100),
            ar_small: recall(SMALL, AT_100),
            ar_medium: recall(MEDIUM, AT_100),
            ar_large: recall(LARGE, AT_100),
        }
    }

    /// COCO's average precision of every class, in the order of the classes.
    pub fn per_class(&self) -> Vec<AveragePrecision> {
        let figures = |(name, class): (&String, &CocoClass)| {
            let [precisions] = class.average_precisions([ALL]);
            AveragePrecision {
                class: name.clone(),
                ap: precisions.map(|at| average(&at)),
                ap_50: precisions.map(|at| at[0]),
                truths: class.truths(),
                f1: best_f1([class]),
            }
        };
        self.classes.iter().zip(&self.coco).map(figures).collect()
    }

    /// The confidence at which the mean F1 of the classes that have truth is highest; `None` if nothing is found.
    pub fn best_f1(&self) -> Option<BestF1> {
        best_f1(&self.coco)
    }

    /// COCO's average precision of every class, and its best F1, as a text table.
    pub fn class_table(&self) -> String {
        figures::class_table(&self.per_class())
    }

    /// VOC's mean average precision at an IoU of 0.5.
    pub fn voc(&self) -> VocFigures {
        let precisions: Vec<[f64; 2]> = self
            .voc
            .iter()
            .filter_map(VocClass::average_precisions)
            .collect();
        VocFigures {
            map_11_points: mean(precisions.iter().map(|[points, _]| *points)),
            map_all_points: mean(precisions.iter().map(|[_, points]| *points)),
        }
    }

    /// Precision-recall curves of the classes that have truth, as COCO interpolates them.
    ///
    /// `None` unless `iou` is one of COCO's thresholds: 0.5, 0.55, … 0.95.
    pub fn curves(&self, iou: f64) -> Option<Vec<PrecisionRecall>> {
        let threshold = threshold(iou)?;
        let curve = |(name, class): (&String, &CocoClass)| {
            let point = |(recall, precision, score)| RecallPoint {
                recall,
                precision,
                score,
            };
            Some(PrecisionRecall {
                class: name.clone(),
                iou,
                points: class.curve(threshold)?.points().map(point).collect(),
            })
        };
        Some(
            self.classes
                .iter()
                .zip(&self.coco)
                .filter_map(curve)
                .collect(),
        )
    }
}

/// The confidence at which the mean F1 of those of some classes that have truth is highest.
fn best_f1<'a>(classes: impl IntoIterator<Item = &'a CocoClass>) -> Option<BestF1> {
    let classes = classes.into_iter().filter(|class| class.truths() > 0);
    let counts: Vec<Counts> = classes.map(CocoClass::counts).collect();
    f1::best(&counts)
}

/// Index of an IoU among COCO's thresholds; differences in the last bits are ignored.
fn threshold(iou: f64) -> Option<usize> {
    IOU_THRESHOLDS
        .iter()
        .position(|threshold| (threshold - iou).abs() < 1e-9)
}

fn average(values: &[f64; IOU_THRESHOLDS.len()]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean of the values; `None` without values.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
