//! Training and what belongs to it.

use std::path::PathBuf;

use clap::Args;
use warmstart_train::recipe::{Batch, CheckpointEvery, Init, Memory, Views};

use super::{Balance, CacheFolder, Fit, OnNonFinite, Optimizer, Task, Threads, svg, text_path};

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart train --data pets/ --model mobilenet_v2 --weights mobilenet_v2.pth --out runs/pets
  warmstart train --data pets/ --model resnet18 --weights none --epochs 30 --out runs/scratch
  warmstart train recipe.toml --seed 7 --out runs/pets-7

The data are DIR/train/<class>/… and DIR/val/<class>/… (and DIR/test/<class>/…, measured once at the
end), or DIR/<class>/…, of which a share validates. A detector is trained where DIR holds boxes in the
layout of COCO (annotations/instances_train.json), YOLO (data.yaml), Pascal VOC (Annotations/), Labelme
or Label Studio; the detectors of other tools cannot be loaded, but every backbone file can.")]
pub struct Train {
    /// A recipe in TOML; flags override it
    pub recipe: Option<PathBuf>,
    /// Folder of the data set, or its data.yaml
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Architecture: mobilenet_v2, resnet18, resnet34 or resnet50
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Pretrained file (.pth, .pt, .safetensors, .index.json), the folder of another run, or "none"
    #[arg(long, value_name = "FILE", value_parser = text_path())]
    pub weights: Option<String>,
    /// Prefix of the tensors to take, where the file has several copies of the network, such as encoder_q
    /// [default: the copy with most tensors; among equals, learned weights before their moving average, a teacher
    /// before its student]
    #[arg(long, value_name = "PREFIX")]
    pub weights_prefix: Option<String>,
    /// Folder of the run [default: runs/ with the name of the data folder]
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// What to train: by default a detector where the data have boxes, else a classifier
    #[arg(long)]
    pub task: Option<Task>,
    /// Epochs of all phases together [default: 14, of a detector 20]
    #[arg(long, value_name = "TOTAL")]
    pub epochs: Option<usize>,
    /// Epochs with a frozen backbone [default: four of seven, of a detector one of five;
    /// none with --weights none]
    #[arg(long, value_name = "N")]
    pub freeze_epochs: Option<usize>,
    /// Images a step after the thaw, or auto [default: auto, which is 16, of a detector 8, or less for small data or
    /// little memory]
    #[arg(long, value_name = "N")]
    pub batch: Option<Batch>,
    /// Images a step while the backbone is frozen, or auto [default: auto, which is 32, of a detector 8, or less]
    #[arg(long, value_name = "N")]
    pub freeze_batch: Option<Batch>,
    /// Highest learning rate after the thaw [default: 3e-4, with sgd 3e-3; of a detector 1e-3, 1e-2]
    #[arg(long, value_name = "RATE")]
    pub lr: Option<f64>,
    /// Highest learning rate while the backbone is frozen [default: 3e-3, with sgd 3e-2; of a detector
    /// 1e-3, 1e-2]
    #[arg(long, value_name = "RATE")]
    pub freeze_lr: Option<f64>,
    /// Optimizer [default: adamw]
    #[arg(long)]
    pub optimizer: Option<Optimizer>,
    /// How weights that no file gives are initialized: normal(0.02), trunc_normal(0.02), xavier_uniform,
    /// xavier_normal, kaiming_uniform, kaiming_normal(out), orthogonal, lsuv [default: torchvision's way]
    #[arg(long, value_name = "SCHEME")]
    pub init: Option<Init>,
    /// Edge of the square image that goes into the network, in pixels [default: the model's own;
    /// of a detector, which wants a multiple of 32, 320]
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    /// Share of each class (of the images, where they have boxes) that validates, where the data have no
    /// val/ [default: 0.2]
    #[arg(long, value_name = "SHARE")]
    pub val_split: Option<f64>,
    /// Seed of everything random [default: 42]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Views of each image in the frozen phase, whose features are computed once and kept; "fresh" is a
    /// new view in every epoch [default: 8, of a detector 2]
    #[arg(long, value_name = "N")]
    pub views: Option<Views>,
    /// How a picture fills the network's square [default: auto; a detector has letterbox alone]
    #[arg(long)]
    pub fit: Option<Fit>,
    /// Balancing of classes with unequal numbers of images [default: loss where some are rare in training and
    /// not in validation, else none]
    #[arg(long)]
    pub balance: Option<Balance>,
    /// End a phase after this many epochs without improvement; 0 trains all epochs [default: 20 to 50, the fewer
    /// images the fewer; a detector trains all epochs]
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<usize>,
    /// Keep the epoch with the highest figure, even if the thaw does not significantly beat the frozen model
    #[arg(long)]
    pub no_guard: bool,
    /// Cross-validate: K runs in RUN/fold-1 …, each validated on another part of the images; the same
    /// command resumes them
    #[arg(long, value_name = "K")]
    pub folds: Option<usize>,
    /// Steps between two checks of gradients, updates and activations, besides that at each epoch's end
    #[arg(long, value_name = "STEPS")]
    pub health_every: Option<usize>,
    /// Interval between checkpoints within an epoch: a time, such as 90s or 5min, or a number of steps
    /// [default: 5min]
    #[arg(long, value_name = "TIME|STEPS")]
    pub checkpoint_every: Option<CheckpointEvery>,
    /// Treatment of a step whose loss or gradient is not finite: stop before it changes anything, or skip it,
    /// at most ten in a row [default: stop]
    #[arg(long)]
    pub on_nonfinite: Option<OnNonFinite>,
    /// Memory limit, such as 6GiB [default: auto, nine tenths of what there is]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Memory>,
    /// Accept a file that covers less than 95% of the backbone, or lacks its first layer
    #[arg(long)]
    pub allow_partial: bool,
    #[command(flatten)]
    pub cache: CacheFolder,
    #[command(flatten)]
    pub threads: Threads,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart resume runs/pets                     after a crash, Ctrl-C, or a full disk
  warmstart resume runs/pets --memory 2GB        with less memory
  warmstart resume runs/pets --epochs 40         the loss still fell at the end
  warmstart resume runs/pets --from-epoch 8      go back, and drop what came after
  warmstart resume runs/pets --data /mnt/pets    the data set has moved

Without a change, the run ends in the same bits as one that was never stopped, also within an epoch: a
checkpoint is made at each epoch's end, every five minutes (train --checkpoint-every), and on Ctrl-C, SIGTERM
or the loss of the terminal after the step in hand (a second signal ends the process at once). A stopped run's
exit code is 130, 143 for SIGTERM, or 129 for SIGHUP. Each change is printed with its effect on the result.")]
pub struct Resume {
    /// Folder of the run
    pub run: PathBuf,
    /// New total of epochs: the last phase gets longer or shorter; a finished run gets a phase more
    #[arg(long, value_name = "TOTAL")]
    pub epochs: Option<usize>,
    /// Continue after this epoch; the checkpoints after it are removed
    #[arg(long, value_name = "N")]
    pub from_epoch: Option<usize>,
    /// Images a step after the thaw
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Images a step while the whole backbone is frozen
    #[arg(long, value_name = "N")]
    pub freeze_batch: Option<usize>,
    /// Highest learning rate after the thaw
    #[arg(long, value_name = "RATE")]
    pub lr: Option<f64>,
    /// Highest learning rate while the whole backbone is frozen
    #[arg(long, value_name = "RATE")]
    pub freeze_lr: Option<f64>,
    /// The data set, where it has moved: the same files, sizes and labels
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Continue although the data set has grown, shrunk or changed
    #[arg(long)]
    pub accept_data_change: bool,
    /// Keep the epoch with the highest figure, even if the thaw does not significantly beat the frozen model
    #[arg(long)]
    pub no_guard: bool,
    /// Treatment of a step whose loss or gradient is not finite, from here on
    #[arg(long)]
    pub on_nonfinite: Option<OnNonFinite>,
    /// Memory limit from here on, such as 6GiB, or auto
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<Memory>,
    /// The run ended for lack of memory: continue with half as many images at a time
    #[arg(long)]
    pub out_of_memory: bool,
    #[command(flatten)]
    pub cache: CacheFolder,
    #[command(flatten)]
    pub threads: Threads,
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
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart plan --data pets/ --model resnet50 --weights resnet50.pth
  warmstart plan --data pets/ --model resnet50 --weights resnet50.pth --batch 64 --memory 4GiB
  warmstart plan recipe.toml --json

Takes the arguments of train; --out has no effect. A few steps are measured in a process of their own;
the file of weights has to be there, and is not read.")]
pub struct Plan {
    #[command(flatten)]
    pub train: Train,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart lr-find --data pets/ --model mobilenet_v2 --weights mobilenet_v2.pth
  warmstart lr-find recipe.toml --picture rates.svg

Takes the arguments of train; --out has no effect, and no run is made. Each phase takes up to a hundred steps
at rates from 1e-6 to 1; a later phase starts from what the one before has learned at its suggestion.")]
pub struct LrFind {
    #[command(flatten)]
    pub train: Train,
    /// Picture to write: the learning rate on a logarithmic x axis, the loss on y, for each phase; only an earlier
    /// picture of warmstart's is overwritten
    #[arg(long, value_name = "FILE", default_value = "lr-find.svg", value_parser = svg)]
    pub picture: PathBuf,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Probe {
    #[command(flatten)]
    pub threads: Threads,
}
