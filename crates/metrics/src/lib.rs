//! How good a model is, from its outputs and the truth.
//!
//! For classification, a [`ConfusionMatrix`] counts what each class was taken for and gives
//! accuracy, the [`ClassFigures`] of every class and tables for people; [`top_k`] and [`softmax`]
//! turn one row of a model's outputs into what a person reads. Plain numbers in, plain numbers out.

mod confusion;
mod ranking;

pub use confusion::{ClassFigures, ConfusionMatrix};
pub use ranking::{softmax, top_k};
