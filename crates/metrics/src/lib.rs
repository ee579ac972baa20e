//! How good a model is, from its outputs and the truth.
//!
//! For classification, a [`ConfusionMatrix`] counts what each class was taken for and gives
//! accuracy, the [`ClassFigures`] of every class and tables for people; [`top_k`] and [`softmax`]
//! turn one row of a model's outputs into what a person reads. For detection, a
//! [`DetectionEvaluation`] takes the boxes of every image and gives COCO's and VOC's mean average
//! precision. How sure a figure is, [`wilson`] says of one accuracy, [`McNemar`] of two models on the
//! same images and [`mean_and_deviation`] of several runs. Plain numbers in, plain numbers out.

mod class_column;
mod confusion;
mod detection;
mod deviation;
mod paired;
mod proportion;
mod ranking;

pub use confusion::{ClassFigures, ConfusionMatrix};
pub use detection::{
    AveragePrecision, CocoFigures, Detected, DetectionEvaluation, PrecisionRecall, RecallPoint,
    Truth, VocFigures,
};
pub use deviation::mean_and_deviation;
pub use paired::McNemar;
pub use proportion::{Interval, wilson};
pub use ranking::{softmax, top_k};
