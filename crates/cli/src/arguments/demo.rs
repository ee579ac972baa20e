//! The arguments of `demo`.

use std::path::PathBuf;

use clap::Args;

use super::groups::ungrouped;
use super::{CacheFolder, DeviceFlag, Threads};

#[derive(Args)]
#[command(
    mut_args = ungrouped,
    after_help = "\
Examples:
  warmstart demo
  warmstart demo shapes --data-only     the pictures, and the commands to try by hand
  warmstart demo --seeds 5

Nothing is downloaded. The pictures are drawn on the spot: textured shapes to
pretrain on, a small target of other shapes, and one of noise without shapes.
Each line of the result comes from real runs, and the commands that made them are
printed. Started again, it continues where it was stopped. It takes under three
minutes on two cores, and 2 GB on the disk."
)]
pub struct Demo {
    /// Folder of the pictures and the runs; it must be empty, not exist, or be that of an earlier start
    #[arg(default_value = "warmstart-demo")]
    pub out: PathBuf,
    /// Runs of each target and start, each with a seed and training pictures of its own
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub seeds: u8,
    /// Training pictures of each class of the source
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(1..=9999))]
    pub pictures: u16,
    /// Epochs of the pretraining, and of each run from scratch or with a thaw
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub epochs: u16,
    /// Draw the pictures and print the commands; train nothing
    #[arg(long)]
    pub data_only: bool,
    /// Print one JSON object for each run, and one for the table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceFlag,
    #[command(flatten)]
    pub cache: CacheFolder,
    #[command(flatten)]
    pub threads: Threads,
}
