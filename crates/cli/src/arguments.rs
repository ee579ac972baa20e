//! Every command and flag, with its help.

mod choices;
mod clap_errors;
mod demo;
mod devices;
mod export;
mod groups;
mod help;
mod initialization;
mod labels;
mod machine;
mod manual;
mod new;
mod options;
mod parsing;
mod rank;
mod report;
mod serve;
mod shards;
mod train;
mod views;
mod weights;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use choices::{DataSplit, Layout};
use choices::{csv, image_size, json_file, json_lines, share, svg, text_path};
pub use demo::Demo;
pub use devices::{DeviceFlag, Devices};
pub use export::{Export, PreprocessingPlace};
pub use initialization::InitCheck;
pub use labels::DataLabels;
pub use machine::{
    Cache, CacheCommand, CacheFolder, NO_CACHE_FOLDER, SharingMachines, Threads, usual_cache,
};
pub use manual::{Completions, Man};
pub use new::New;
pub use options::{ResumeOptions, TrainOptions};
use options::{documentation, value_of};
pub use parsing::arguments;
pub use rank::Rank;
pub use report::{Compare, Report};
pub use serve::Serve;
pub use shards::{Features, Merge, PartOfWork};
pub use train::{LrFind, Plan, Resume, Runs, Train, TrainRun};
pub use views::Views;
pub use weights::{
    Inspect, Models, Weights, WeightsCommand, WeightsConvert, WeightsDiff, WeightsGet, WeightsList,
};

/// Fine-tunes pretrained vision models: weights and a folder of images in, a good model out.
#[derive(Parser)]
#[command(
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    arg(crate::language::flag())
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// See what pretraining buys: real runs on pictures made on the spot, without a download
    Demo(Demo),
    /// Write a commented recipe for a data set
    New(New),
    /// Train a model: freeze, then thaw
    Train(Box<TrainRun>),
    /// Continue a run from its last checkpoint
    Resume(Resume),
    /// List runs with their state and the command that resumes each
    Runs(Runs),
    /// Show the memory, batches, steps and time of each phase of a run
    Plan(Box<Plan>),
    /// Find a learning rate for each phase, by a few steps at rising rates
    LrFind(Box<LrFind>),
    /// Rank pretrained weights by how well they suit the data, before anything is trained
    Rank(Rank),
    /// Compute the frozen features that a run will read, ahead of it, on one machine or on many
    Features(Box<Features>),
    /// Join what shards of work have computed
    Merge(Merge),
    /// Measure steps for a plan
    #[command(hide = true)]
    Probe,
    /// Make the page that shows a run: curves, mistakes, and what would help
    Report(Report),
    /// Compare runs: figures, curves, and whether they differ by more than luck
    Compare(Compare),
    /// Evaluate a model on labelled images
    Eval(Eval),
    /// Classify images, or find the objects in them
    Predict(Predict),
    /// Answer images over HTTP, with a page to try it
    Serve(Serve),
    /// Write a trained model for ONNX or PyTorch
    Export(Export),
    /// Show the effect of an initialization on signal and gradient, layer by layer
    InitCheck(InitCheck),
    /// Check or convert detection data, or list doubtful labels
    Data(Data),
    /// List networks, or what each costs on this machine
    Models(Models),
    /// List the devices to compute on, and how fast each is
    Devices(Devices),
    /// List, fetch or inspect weights
    Weights(Weights),
    /// List or clear cached features
    Cache(Cache),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print the manual page, or write those of all commands
    Man(Man),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart eval runs/pets                      the run's own validation images
  warmstart eval runs/pets --data pets/test
  warmstart eval runs/pets --csv pets.csv --mistakes wrong/
  warmstart eval runs/street --data street/ --split test
  warmstart eval runs/street --tile             small objects in large images
  warmstart eval runs/street --coco-json results.json
  warmstart eval rtmdet_tiny --data coco/       a published detector
  warmstart eval runs/pets --data pets/test --shard 3/8 --parts parts/

For a detector, it prints the metrics of COCO and of Pascal VOC, the confidence of
the best F1, and what is found, missed and confused at it.")]
pub struct Eval {
    /// Folder of a run, a model file, a published detector's file, or its name (rtmdet_tiny)
    pub model: PathBuf,
    /// Folder of class folders, a list (cls_test.txt), a table (pets.csv) or TAR shards; for a detector, a whole data
    /// set with boxes: its folder, its data.yaml or a list (2007_train.txt) [default: the run's own validation images,
    /// by which the kept epoch was chosen]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Split of the run's own images, or of a data set with boxes [default: val]
    #[arg(long)]
    pub split: Option<DataSplit>,
    /// Write a table with a row for each image; for a detector, for each object that it finds
    #[arg(long, value_name = "FILE.csv", value_parser = csv)]
    pub csv: Option<PathBuf>,
    /// Write a JSON object for each image, one per line
    #[arg(long, value_name = "FILE.jsonl", value_parser = json_lines)]
    pub lines: Option<PathBuf>,
    /// Classifier: link or copy the images that it gets wrong into DIR, by true class and then by predicted class; the
    /// folder must be empty or not exist
    #[arg(long, value_name = "DIR")]
    pub mistakes: Option<PathBuf>,
    /// Detector: write what it finds as COCO's results, which pycocotools and FiftyOne read, with the ids of the data
    /// set's annotations
    #[arg(long, value_name = "FILE.json", value_parser = json_file)]
    pub coco_json: Option<PathBuf>,
    #[command(flatten)]
    pub views: Views,
    #[command(flatten)]
    pub part: PartOfWork,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceFlag,
    #[command(flatten)]
    pub threads: Threads,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart predict runs/pets/best.safetensors photo.jpg
  warmstart predict runs/pets folder/ --json
  warmstart predict runs/pets folder/ --csv pets.csv --top 1
  warmstart predict runs/street photos/ --draw found/       images with boxes
  warmstart predict runs/street photos/ --conf 0.5 --count  objects per class
  warmstart predict runs/street photos/ --tile              small objects in large images
  warmstart predict rtmdet_tiny photos/ --draw found/       a published detector
  warmstart predict runs/pets photos/ --shard 3/8 --parts parts/

A file that cannot be read does not keep the others: it has a line with an error,
and the exit code is 1.")]
pub struct Predict {
    /// Folder of a run, a model file, a published detector's file, or its name (rtmdet_tiny)
    pub model: PathBuf,
    /// Images, and folders of images
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// Print one JSON object per line; a file that cannot be read has an "error" instead of "predictions"
    #[arg(long)]
    pub json: bool,
    /// Write a table with a row for each prediction
    #[arg(long, value_name = "FILE.csv", value_parser = csv)]
    pub csv: Option<PathBuf>,
    /// Most classes of an image, or objects in it, the likeliest first [default: 5 classes, 300 objects]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    pub top: Option<u16>,
    /// Classifier: mark images that are unlike all training images, and so perhaps of none of the classes. One in twenty
    /// of the training images would be marked, each judged by all others
    #[arg(long)]
    pub unknown: bool,
    /// Detector: lowest score of an object that is shown, 0 to 1 [default: where F1 was best on the validation images of
    /// the model's run, else 0.25]
    #[arg(long, value_name = "SCORE", value_parser = share)]
    pub conf: Option<f32>,
    /// Detector: of two boxes of one class that overlap by more than this IoU, the one with the higher score is
    /// shown [default: 0.65]
    #[arg(long, value_name = "IOU", value_parser = share)]
    pub iou: Option<f32>,
    /// Detector: write each image into this folder with the found objects drawn on it; only images that predict wrote
    /// are overwritten
    #[arg(long, value_name = "DIR")]
    pub draw: Option<PathBuf>,
    /// Detector: write each found object into this folder as an image of its own; only images that predict wrote are
    /// overwritten
    #[arg(long, value_name = "DIR")]
    pub crop: Option<PathBuf>,
    /// Detector: print how many objects of each class there are
    #[arg(long)]
    pub count: bool,
    #[command(flatten)]
    pub views: Views,
    #[command(flatten)]
    pub part: PartOfWork,
    #[command(flatten)]
    pub device: DeviceFlag,
    #[command(flatten)]
    pub threads: Threads,
}

#[derive(Args)]
pub struct Data {
    #[command(subcommand)]
    pub command: DataCommand,
}

#[derive(Subcommand)]
pub enum DataCommand {
    /// Report the content of a detection data set, and its problems
    Check(DataCheck),
    /// Write a detection data set in another layout
    Convert(DataConvert),
    /// List doubtful labels: of classes by the other images, of boxes by a detector that has not learned from them
    Labels(DataLabels),
}

#[derive(Args)]
#[command(after_help = "\
Example:
  warmstart data check street/

Nothing is changed. The exit code is 1 if an image cannot be read.")]
pub struct DataCheck {
    /// Folder of a data set in the layout of COCO, YOLO, Pascal VOC, Labelme or Label Studio, or a data.yaml, or a list
    /// (2007_train.txt)
    pub folder: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub threads: Threads,
}

#[derive(Args)]
#[command(after_help = "\
Example:
  warmstart data convert street/ street-yolo/ --to yolo

Images are linked where the file system can, else copied.")]
pub struct DataConvert {
    /// Folder of a data set in the layout of COCO, YOLO, Pascal VOC, Labelme or Label Studio, or a data.yaml, or a list
    /// (2007_train.txt)
    pub folder: PathBuf,
    /// Folder to create; it must be empty or not exist
    pub out: PathBuf,
    /// Layout to write
    #[arg(long)]
    pub to: Layout,
    #[command(flatten)]
    pub threads: Threads,
}

impl Command {
    /// Whether results and errors are printed as JSON.
    pub fn prints_json(&self) -> bool {
        match self {
            Self::Demo(arguments) => arguments.json,
            Self::Train(arguments) => arguments.screen.prints_json(),
            Self::Resume(arguments) => arguments.screen.prints_json(),
            Self::Runs(arguments) => arguments.json,
            Self::Plan(arguments) => arguments.json,
            Self::LrFind(arguments) => arguments.json,
            Self::Rank(arguments) => arguments.json,
            Self::Features(arguments) => arguments.json,
            Self::Merge(arguments) => arguments.json,
            Self::Compare(arguments) => arguments.json,
            Self::Eval(arguments) => arguments.json,
            Self::Predict(arguments) => arguments.json,
            Self::Export(arguments) => arguments.json,
            Self::InitCheck(arguments) => arguments.json,
            Self::Data(arguments) => match &arguments.command {
                DataCommand::Check(arguments) => arguments.json,
                DataCommand::Convert(_) => false,
                DataCommand::Labels(arguments) => arguments.json,
            },
            Self::Models(arguments) => arguments.json,
            Self::Devices(arguments) => arguments.json,
            Self::Weights(arguments) => match &arguments.command {
                WeightsCommand::List(arguments) => arguments.json,
                WeightsCommand::Get(_) => false,
                WeightsCommand::Inspect(arguments) => arguments.json,
                WeightsCommand::Convert(_) => false,
                WeightsCommand::Diff(arguments) => arguments.json,
            },
            Self::New(_)
            | Self::Probe
            | Self::Report(_)
            | Self::Cache(_)
            | Self::Serve(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}
