//! The arguments of `init-check`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use warmstart_recipe::{Init, Key, SEED};
use warmstart_workflows::init_check;

use super::{Threads, documentation, image_size, svg};

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart init-check --model resnet18 --init kaiming_normal
  warmstart init-check --model plain --compare 'normal(0.01)' kaiming_normal
  warmstart init-check --model mobilenet_v2 --init lsuv --data pets/

A batch goes through the network, forward and back. `plain` is the textbook's
case: 30 linear layers of 512 ReLUs, without the batch norm that compensates for
an initialization in the other models. Schemes: torchvision, normal(deviation),
trunc_normal(deviation), xavier_uniform, xavier_normal, kaiming_uniform,
kaiming_normal (both: `in` or `out` in brackets), orthogonal, lsuv.")]
pub struct InitCheck {
    /// Architecture, or plain
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(init_check::names()))]
    pub model: String,
    /// Initialization [default: torchvision]
    #[arg(long, value_name = "SCHEME")]
    pub init: Option<Init>,
    /// Initializations to compare side by side
    #[arg(long, value_name = "SCHEME", num_args = 1..)]
    pub compare: Vec<Init>,
    /// Folder of a data set of classes, whose images go through instead of noise
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Images in the batch
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(2..=1024))]
    pub batch: u16,
    /// Edge of the square images, in pixels [default: the model's own]
    #[arg(long, value_name = "PIXELS", value_parser = image_size)]
    pub image_size: Option<usize>,
    #[arg(long, default_value_t = SEED, help = documentation(Key("seed")))]
    pub seed: u64,
    /// Picture to write: depth on x, signal and gradient on a logarithmic y axis; only an earlier picture of
    /// warmstart's is overwritten
    #[arg(long, value_name = "FILE", default_value = "init-check.svg", value_parser = svg)]
    pub picture: PathBuf,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub threads: Threads,
}
