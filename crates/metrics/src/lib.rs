//! How good a model is.

mod confusion;
mod ranking;

pub use confusion::{ClassFigures, ConfusionMatrix};
pub use ranking::{softmax, top_k};
