//! Values that flags choose from.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::{OsStringValueParser, TypedValueParser};
use warmstart_data::scenes;
use warmstart_train::{detector, recipe};

/// The name of a picture.
pub fn svg(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().is_some_and(|extension| extension == "svg") {
        true => Ok(path),
        false => Err("the picture is an SVG: expected a name that ends in .svg".into()),
    }
}

/// A path that a recipe can name.
pub fn text_path() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|path| {
        path.into_string().map_err(|path| {
            let shown = warmstart_files::shown(Path::new(&path));
            format!("{shown} is not valid Unicode, so no recipe could name it: rename it")
        })
    })
}

/// A number from 0 to 1.
pub fn share(text: &str) -> Result<f32, String> {
    let share = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "expected a number from 0 to 1".into())
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Task {
    Classify,
    Detect,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Layout {
    Coco,
    Yolo,
    Voc,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum DataSplit {
    Train,
    Val,
    Test,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Fit {
    /// The way by which a probe on the frozen features is most accurate
    Auto,
    /// The centre: the ends of a long picture are lost
    Crop,
    /// The whole picture, its shape changed
    Squash,
    /// The whole picture on grey
    Letterbox,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Balance {
    /// Every image once
    None,
    /// Every class as often
    Sampling,
    /// Rare classes count more in the loss
    Loss,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum OnNonFinite {
    Stop,
    Skip,
}

impl Fit {
    /// The fit that was chosen, unless the data are to decide.
    pub fn chosen(self) -> Option<warmstart_data::Fit> {
        match self {
            Fit::Auto => None,
            Fit::Crop => Some(warmstart_data::Fit::Crop),
            Fit::Squash => Some(warmstart_data::Fit::Squash),
            Fit::Letterbox => Some(warmstart_data::Fit::Letterbox),
        }
    }
}

impl From<Balance> for recipe::Balance {
    fn from(choice: Balance) -> Self {
        match choice {
            Balance::None => Self::None,
            Balance::Sampling => Self::Sampling,
            Balance::Loss => Self::Loss,
        }
    }
}

impl From<OnNonFinite> for recipe::OnNonFinite {
    fn from(choice: OnNonFinite) -> Self {
        match choice {
            OnNonFinite::Stop => Self::Stop,
            OnNonFinite::Skip => Self::Skip,
        }
    }
}

impl From<Task> for recipe::Task {
    fn from(task: Task) -> Self {
        match task {
            Task::Classify => Self::Classify,
            Task::Detect => Self::Detect,
        }
    }
}

impl From<Layout> for scenes::Layout {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Coco => Self::Coco,
            Layout::Yolo => Self::Yolo,
            Layout::Voc => Self::Voc,
        }
    }
}

impl From<DataSplit> for detector::DataSplit {
    fn from(split: DataSplit) -> Self {
        match split {
            DataSplit::Train => Self::Train,
            DataSplit::Val => Self::Validation,
            DataSplit::Test => Self::Test,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Optimizer {
    Sgd,
    Adam,
    Adamw,
}

impl From<Optimizer> for recipe::OptimizerKind {
    fn from(optimizer: Optimizer) -> Self {
        match optimizer {
            Optimizer::Sgd => Self::Sgd,
            Optimizer::Adam => Self::Adam,
            Optimizer::Adamw => Self::AdamW,
        }
    }
}
