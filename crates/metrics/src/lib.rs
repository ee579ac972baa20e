//! How good a model is, from its outputs and the truth.
//!
//! For classification, [`Evaluation`] collects one row of scores per sample and gives top-1 and
//! top-5 accuracy, the [`ConfusionMatrix`] and the [`ClassScores`] of every class; [`top_k`] and
//! [`softmax`] turn a row into what a person reads. All are plain numbers in, plain numbers out.

mod classification;
mod ranking;
mod table;

pub use classification::{ClassScores, ConfusionMatrix, Evaluation};
pub use ranking::{softmax, top_k};
