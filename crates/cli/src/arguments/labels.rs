use std::path::PathBuf;

use clap::Args;
use warmstart_recipe::Key;

use super::{CacheFolder, Threads, csv, documentation, image_size, text_path};

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart data labels runs/pets
  warmstart data labels runs/pets --top 50 --csv doubts.csv
  warmstart data labels pets/ --weights imagenet     without a run
  warmstart data labels runs/street                  the boxes of a detector's validation images

Each image is judged by a head that is solved on the features of all others. A
label is doubtful if the image counts as one of another class: it is as sure of
that class as the images with that label are on average.

Boxes are judged by the kept model of the run on its validation images, or by the
models of a cross-validation on all. Doubtful is what is found without a label or
as another class, and a label where nothing is found. Nothing is changed.")]
pub struct DataLabels {
    /// Folder of a run with a ridge head, which has judged its training images; a data set of classes, all images of
    /// which are judged now; or the run or cross-validation of a detector
    #[arg(value_name = "RUN|DIR")]
    pub folder: PathBuf,
    /// For a data set: pretrained file or name of published weights [default: imagenet]
    #[arg(long, value_name = "NAME|FILE", value_parser = text_path())]
    pub weights: Option<String>,
    /// For a data set: architecture [default: recognised from the weights]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    #[arg(
        long,
        value_name = "PIXELS",
        value_parser = image_size,
        help = format!("For a data set: {} [default: the model's own]", documentation(Key::IMAGE_SIZE))
    )]
    pub image_size: Option<usize>,
    /// Most labels that are printed [default: the doubtful ones, at most 20]
    #[arg(long, value_name = "N")]
    pub top: Option<usize>,
    /// Write all of them as a table, the most doubtful first
    #[arg(long, value_name = "FILE.csv", value_parser = csv)]
    pub csv: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub cache: CacheFolder,
    #[command(flatten)]
    pub threads: Threads,
}
