use std::path::PathBuf;

use clap::Args;
use warmstart_data::Fit;
use warmstart_recipe::{Auto, Key, SEED};

use super::groups::headed;
use super::{
    CacheFolder, DeviceFlag, PartOfWork, Threads, documentation, image_size, text_path, value_of,
};

#[derive(Args)]
#[command(
    mut_args = headed,
    after_help = "\
Examples:
  warmstart rank --data pets/ --weights imagenet.pth birds.pth runs/animals
  warmstart rank --data pets/ --model resnet18 --weights resnet18.pth none

Nothing is trained: each training image (at most 1,000) is classified by a
regression on the frozen features of the others. The features are cached, so a
second ranking takes seconds. `warmstart rank --help` has every flag."
)]
pub struct Rank {
    /// Folder of a data set of classes
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Pretrained files (.pth, .pt, .safetensors), names of published weights, or folders of runs; "none" for random weights
    #[arg(long, value_name = "NAME|FILE", num_args = 1.., required = true, value_parser = text_path())]
    pub weights: Vec<String>,
    /// Prefix of the tensors to take, where a file has several copies of its network [default: see train]
    #[arg(long, value_name = "PREFIX")]
    pub weights_prefix: Option<String>,
    /// Architecture of all of them [default: recognised from each file's tensors]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    #[arg(
        long,
        value_name = "PIXELS",
        value_parser = image_size,
        help = format!("{} [default: the model's own]", documentation(Key::IMAGE_SIZE))
    )]
    pub image_size: Option<usize>,
    #[arg(
        long,
        default_value = "crop",
        value_parser = value_of::<Auto<Fit>>(Key::FIT),
        help = documentation(Key::FIT)
    )]
    pub fit: Auto<Fit>,
    /// Seed of the choice of images and of random weights
    #[arg(long, default_value_t = SEED)]
    pub seed: u64,
    #[command(flatten)]
    pub part: PartOfWork,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceFlag,
    #[command(flatten)]
    pub cache: CacheFolder,
    #[command(flatten)]
    pub threads: Threads,
}
