//! Trained models as files of other libraries: ONNX, a folder for PyTorch, and a page for a browser.
//!
//! A network is data, so an export is a walk over it: [`onnx`] has one place that knows how each kind of layer and each
//! activation is written. A file is compared with the trainer's own inference before it is called done ([`check`]).

mod agreement;
pub mod check;
mod export;
mod model;
pub mod onnx;
mod sidecar;
mod torch;
mod web;

pub use agreement::{Agreement, Outputs, Reference};
pub use export::{Exported, OnnxRequest, export_onnx, noise};
pub use model::{Classifier, Detector, Model, Network};
pub use torch::export_torch;
pub use web::export_web;
