use std::path::PathBuf;

use clap::Args;

use super::{CacheFolder, Fit, Threads, text_path};

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart rank --data pets/ --weights imagenet.pth birds.safetensors runs/animals
  warmstart rank --data pets/ --model resnet18 --weights resnet18.pth none

Nothing is trained: each training image (at most 1,000) is classified by a regression on the frozen features
of the others. The features are cached, so a second ranking takes seconds.")]
pub struct Rank {
    /// Folder of a data set of classes
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Pretrained files (.pth, .pt, .safetensors) or folders of runs; "none" for random weights
    #[arg(long, value_name = "FILE", num_args = 1.., required = true, value_parser = text_path())]
    pub weights: Vec<String>,
    /// Prefix of the tensors to take, where a file has several copies of its network [default: see train]
    #[arg(long, value_name = "PREFIX")]
    pub weights_prefix: Option<String>,
    /// Architecture of all of them [default: recognised from each file's tensors]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Edge of the square image that goes into the network, in pixels [default: the model's own]
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    /// How a picture fills that square
    #[arg(long, default_value = "crop")]
    pub fit: Fit,
    /// Seed of the choice of images and of random weights [default: 42]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub cache: CacheFolder,
    #[command(flatten)]
    pub threads: Threads,
}
