//! The arguments of `warmstart export`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};

use super::Threads;

#[derive(Args)]
#[command(
    group(ArgGroup::new("target").required(true).multiple(true).args(["onnx", "torch", "web"])),
    after_help = "\
Examples:
  warmstart export runs/pets --onnx pets.onnx             pixels in, probabilities out
  warmstart export runs/pets --onnx pets.onnx --half      half the size
  warmstart export runs/pets --onnx pets.onnx --preprocessing outside
  warmstart export runs/street --onnx street.onnx --raw   boxes without suppression
  warmstart export rtmdet_tiny --onnx rtmdet.onnx         a published detector
  warmstart export runs/pets --torch pets-torch/          then: python pets-torch/model.py photo.jpg
  warmstart export runs/pets --web pets-page/             then open pets-page/index.html

Before an ONNX file is written, another engine (tract) computes the network, and has
to agree with warmstart on the run's validation images, or on noise."
)]
pub struct Export {
    /// Folder of a run, a model file, a published detector's file, or its name (rtmdet_tiny)
    pub model: PathBuf,
    /// Write an ONNX file (opset 18); one that exists is replaced
    #[arg(long, value_name = "FILE")]
    pub onnx: Option<PathBuf>,
    /// Write a folder for PyTorch: the parameters, and a Python file that builds the network and has predict(path)
    #[arg(long, value_name = "DIR")]
    pub torch: Option<PathBuf>,
    /// Write a folder with a page for any browser, index.html, which needs neither a server nor a network
    #[arg(long, value_name = "DIR")]
    pub web: Option<PathBuf>,
    /// Folder with onnxruntime-web for the page [default: npm fetches it]
    #[arg(long, value_name = "DIR", requires = "web")]
    pub runtime: Option<PathBuf>,
    /// Place of resizing and normalising: inside the ONNX graph, or left to the caller, for whom a JSON file beside it
    /// says what to do
    #[arg(
        long,
        value_name = "WHERE",
        default_value = "inside",
        requires = "onnx"
    )]
    pub preprocessing: PreprocessingPlace,
    /// Classifier: logits instead of probabilities
    #[arg(long, requires = "onnx")]
    pub logits: bool,
    /// Detector: scores and boxes of all points, without suppression
    #[arg(long, requires = "onnx")]
    pub raw: bool,
    /// Store weights in 16 bits, and measure what that changes
    #[arg(long, requires = "onnx")]
    pub half: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub threads: Threads,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PreprocessingPlace {
    Inside,
    Outside,
}
