//! Metrics of a model, from its outputs and the truth.
//!
//! For classification, a [`ConfusionMatrix`] counts predictions by true class and gives accuracy, the
//! [`ClassFigures`] of every class and text tables; [`softmax`] and [`top_k`] turn a row of logits into
//! probabilities and the likeliest classes. For detection, a [`DetectionEvaluation`] takes the boxes of every
//! image and gives COCO's and VOC's mean average precision and the confidence of the best F1; [`AtConfidence`]
//! counts what is found, missed and confused at one confidence, and [`box_doubts`] finds labels that the detections
//! speak against. [`wilson`] gives the confidence interval of an accuracy, [`McNemar`] compares two models on the same
//! images, [`mean_and_deviation`] summarises several runs, [`label_doubts`] finds labels that a model speaks against,
//! and [`reliability`] compares probabilities with the shares that are right.

mod class_column;
mod confusion;
mod detection;
mod deviation;
mod label_doubt;
mod paired;
mod proportion;
mod ranking;
mod reliability;

pub use confusion::{ClassFigures, ConfusionMatrix};
pub use detection::{
    AtConfidence, AveragePrecision, BestF1, BoxDoubt, CONFIDENCE, CocoFigures, Detected,
    DetectionEvaluation, DoubtOfBox, FoundOfSize, MATCHING_IOU, PrecisionRecall, RecallPoint,
    Truth, VocFigures, box_doubts, matched,
};
pub use deviation::mean_and_deviation;
pub use label_doubt::{LabelDoubt, label_doubts};
pub use paired::McNemar;
pub use proportion::{Interval, wilson};
pub use ranking::{softmax, top_k};
pub use reliability::{ReliabilityBin, calibration_error, reliability};
