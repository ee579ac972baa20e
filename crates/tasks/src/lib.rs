//! Tasks: classification and detection, each with its loss, metric and predictor.

pub mod answer;
pub mod class_names;
pub mod classify;
pub mod detect;
pub mod expectations;
pub mod kinds;
pub mod model_file;
mod model_metadata;
pub mod network;
pub mod prepared;
pub mod preprocessing;
pub mod published;
pub mod task;
pub mod task_data;

pub use warmstart_recipe::TaskKind;
