//! The arguments of the commands on networks and weights.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Threads;

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
