//! The arguments of training and of the commands around it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use warmstart_run::shard::ShardWord;

use super::groups::{grouped, headed};
use super::{CacheFolder, ResumeOptions, SharingMachines, Threads, TrainOptions, svg};
use crate::progress::Output;

#[derive(Args)]
#[command(
    mut_args = grouped,
    after_help = "\
Example: warmstart train --data pets/ --model mobilenet_v2
`warmstart train --help` has every flag, and more examples.",
    after_long_help = "\
Examples:
  warmstart train --data pets/ --model mobilenet_v2 --weights mobilenet_v2.pth
  warmstart train --data pets/ --model resnet18 --weights none --epochs 30
  warmstart train --data street/ --weights rtmdet_tiny     a published detector
  warmstart train recipe.toml --seed 7 --out runs/pets-7

The data are DIR/train/<class>/… and DIR/val/<class>/… (and DIR/test/<class>/…,
evaluated once at the end), or DIR/<class>/…, a share of which is used for
validation. A detector is trained where DIR holds boxes in the layout of COCO
(annotations/instances_train.json), YOLO (data.yaml), Pascal VOC (Annotations/),
Labelme or Label Studio. DIR may also be a text list or hold one: cls_train.txt
(0;cat/1.jpg) or, with boxes, 2007_train.txt (1.jpg 10,20,110,220,0). For
classes it may be or hold TAR shards (train-00000.tar) or a table (pets.csv),
too. A detector starts from a published file of RTMDet or YOLOX, or from any
classifier's weights.

RUN/log.txt has every line that train prints, whatever the screen shows."
)]
pub struct TrainRun {
    #[command(flatten)]
    pub train: Train,
    /// With --folds: train a part of the folds only: 3/8, or auto (or auto/8) for the task that Slurm, Kubernetes,
    /// HyperQueue, MPI or GNU parallel has started; `merge RUN` then writes the result of all folds
    #[arg(long, value_name = "PART", requires = "folds")]
    pub shard: Option<ShardWord>,
    #[command(flatten)]
    pub screen: Screen,
}

#[derive(Args)]
pub struct Train {
    /// A recipe in TOML; flags override it
    pub recipe: Option<PathBuf>,
    #[command(flatten)]
    pub options: TrainOptions,
    /// Folder of the run [default: runs/ followed by the name of the data folder]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Cross-validate: K runs in RUN/fold-1, …, each validated on a different fold; repeat the command to resume
    #[arg(long, value_name = "K")]
    pub folds: Option<usize>,
    #[command(flatten)]
    pub cache: CacheFolder,
    #[command(flatten)]
    pub threads: Threads,
}

#[derive(Args)]
#[command(
    mut_args = headed,
    after_help = "\
Example: warmstart resume runs/pets
`warmstart resume --help` says what a change does to the result.",
    after_long_help = "\
Examples:
  warmstart resume runs/pets                   after a crash, Ctrl-C, or a full disk
  warmstart resume runs/pets --memory 2GB      with less memory
  warmstart resume runs/pets --epochs 40       the loss was still falling
  warmstart resume runs/pets --from-epoch 8    go back, and remove later epochs
  warmstart resume runs/pets --data /mnt/pets  the data set has moved

If nothing is changed, the result is bit-identical to an uninterrupted run, even
after a stop within an epoch. A checkpoint is written at the end of each epoch,
every five minutes (train --checkpoint-every), and after the current step on
Ctrl-C, SIGTERM or the loss of the terminal; a second signal ends the process at
once. The exit code of a stopped run is 130, 143 for SIGTERM, or 129 for SIGHUP.
Each change is printed with its effect on the result."
)]
pub struct Resume {
    /// Folder of the run
    pub run: PathBuf,
    #[command(flatten)]
    pub options: ResumeOptions,
    /// Continue after this epoch; the checkpoints after it are removed
    #[arg(long, value_name = "N")]
    pub from_epoch: Option<usize>,
    /// Continue although the data set has grown, shrunk or changed
    #[arg(long)]
    pub accept_data_change: bool,
    /// Continue with half the micro-batch, for lack of memory
    #[arg(long)]
    pub out_of_memory: bool,
    #[command(flatten)]
    pub cache: CacheFolder,
    #[command(flatten)]
    pub threads: Threads,
    #[command(flatten)]
    pub screen: Screen,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart runs
  warmstart runs experiments/ --json")]
pub struct Runs {
    /// Folder to look below
    #[arg(default_value = "runs")]
    pub folder: PathBuf,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(
    mut_args = grouped,
    after_help = "\
Example: warmstart plan --data pets/ --model resnet50
`warmstart plan --help` has every flag, and more examples.",
    after_long_help = "\
Examples:
  warmstart plan --data pets/ --model resnet50 --weights resnet50.pth
  warmstart plan recipe.toml --batch 64 --memory 4GiB
  warmstart plan recipe.toml --json
  warmstart plan recipe.toml --ranks 8 --network 10Gbit    on several machines

Takes the arguments of train; --out has no effect. A few steps are measured in a
child process; the weight file must exist but is not read."
)]
pub struct Plan {
    #[command(flatten)]
    pub train: Train,
    #[command(flatten)]
    pub machines: SharingMachines,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(
    mut_args = grouped,
    after_help = "\
Example: warmstart lr-find --data pets/ --model resnet18
`warmstart lr-find --help` has every flag, and more examples.",
    after_long_help = "\
Examples:
  warmstart lr-find --data pets/ --model resnet18 --weights resnet18.pth
  warmstart lr-find recipe.toml --picture rates.svg

Takes the arguments of train; --out has no effect, and no run is created. Each
phase takes up to a hundred steps at rates from 1e-6 to 1; a later phase starts
from what the one before has learned at its suggested rate."
)]
pub struct LrFind {
    #[command(flatten)]
    pub train: Train,
    /// Picture to write: the learning rate on a logarithmic x axis, the loss on y, for each phase; only an earlier
    /// picture of warmstart's is overwritten
    #[arg(long, value_name = "FILE", default_value = "lr-find.svg", value_parser = svg)]
    pub picture: PathBuf,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Screen {
    /// Print warnings, errors and the result only
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    /// Print events as lines of JSON (docs/screen.md)
    #[arg(long)]
    json: bool,
}

impl Screen {
    /// The places that events are told to.
    pub fn output(&self) -> Output {
        match (self.quiet, self.json) {
            (true, _) => Output::Quiet,
            (false, true) => Output::Json,
            (false, false) => Output::Lines,
        }
    }

    /// Whether results and errors are printed as JSON.
    pub fn prints_json(&self) -> bool {
        self.json
    }

    /// The flags that give another command the same setting.
    pub fn flags(&self) -> Vec<OsString> {
        match self.output() {
            Output::Quiet => vec!["--quiet".into()],
            Output::Json => vec!["--json".into()],
            Output::Lines | Output::BesideResults | Output::Own => Vec::new(),
        }
    }
}
