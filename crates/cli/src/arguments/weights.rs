//! The arguments of the commands on networks and weights.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use warmstart_language::message;

use super::Threads;
use super::choices::Library;

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart models
  warmstart models --measure --threads 2

Parameters and multiply-adds are those of a classifier of a thousand classes. With
--measure, each network computes a few single images; reading them is not part of
the time.")]
pub struct Models {
    /// Measure the time for an image on this machine
    #[arg(long)]
    pub measure: bool,
    /// Print one JSON object per line, with all published weights for the network
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub threads: Threads,
}

#[derive(Args)]
pub struct Weights {
    #[command(subcommand)]
    pub command: WeightsCommand,
}

#[derive(Subcommand)]
pub enum WeightsCommand {
    /// List published weights by name
    List(WeightsList),
    /// Fetch published weights, and print where they are
    Get(WeightsGet),
    /// List a file's tensors, guess its architecture and report how much of it the file covers
    Inspect(Inspect),
    /// Write weights under the names of another library
    Convert(WeightsConvert),
    /// Compare the tensors of two files
    Diff(WeightsDiff),
}

#[derive(Args)]
#[command(after_help = "\
Example:
  warmstart weights inspect mobilenet_v2-b0353104.pth")]
pub struct Inspect {
    /// A .pth, .pt or .safetensors file, or the .index.json of several
    pub file: PathBuf,
    /// Prefix of the tensors to compare with the models, where the file has several copies of a network
    #[arg(long, value_name = "PREFIX")]
    pub weights_prefix: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct WeightsList {
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart weights get resnet50.imagenet1k_v2
  warmstart weights get mobilenet_v2 --to mobilenet_v2.pth

A folder or a mirror that WARMSTART_WEIGHTS names is asked first. HF_ENDPOINT
names a mirror of the Hugging Face Hub.")]
pub struct WeightsGet {
    /// Name of published weights (weights list), or a model for its usual ones
    pub name: String,
    /// File or folder to copy them to
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart weights convert mobilenet_v2-b0353104.pth mobilenet_v2.timm.safetensors --to timm
  warmstart weights convert runs/pets pets.timm.safetensors --to timm

The network is recognised by its tensors. Values do not change. What the library
does not know is an error: a network or padding that it does not have, or a head
that is not one linear layer.")]
pub struct WeightsConvert {
    /// A .pth, .pt or .safetensors file, or the folder of a run
    pub file: PathBuf,
    /// File to write, which must not exist
    #[arg(value_name = "OUT.safetensors", value_parser = safetensors)]
    pub out: PathBuf,
    /// The names to write
    #[arg(long)]
    pub to: Library,
    /// Prefix of the tensors to convert, where the file has several copies of a network
    #[arg(long, value_name = "PREFIX")]
    pub weights_prefix: Option<String>,
}

#[derive(Args)]
#[command(after_help = "\
Example:
  warmstart weights diff before.pth after.safetensors

Tensors are compared by name and as 32-bit floats, largest difference first. The
exit code is 1 if the files differ.")]
pub struct WeightsDiff {
    /// A .pth, .pt or .safetensors file, or the folder of a run
    pub a: PathBuf,
    /// The other one
    pub b: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The path of a file of weights that is written.
fn safetensors(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path
        .extension()
        .is_some_and(|extension| extension == "safetensors")
    {
        Ok(path)
    } else {
        Err(message!(
            "safetensors is written: expected a name that ends in .safetensors"
        ))
    }
}
