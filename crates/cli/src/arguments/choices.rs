//! Values that flags choose from.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::{OsStringValueParser, TypedValueParser};
use warmstart_data::{SplitKind, scenes};

/// The path of a picture.
pub fn svg(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|extension| extension == "svg") {
        Ok(path)
    } else {
        Err("the picture is an SVG: expected a name that ends in .svg".into())
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
    /// Whichever a linear probe on frozen features classifies best
    Auto,
    /// Centre crop: the ends of long images are cut off
    Crop,
    /// The whole image, stretched to a square
    Squash,
    /// The whole image, padded with grey
    Letterbox,
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

impl From<Layout> for scenes::Layout {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Coco => Self::Coco,
            Layout::Yolo => Self::Yolo,
            Layout::Voc => Self::Voc,
        }
    }
}

impl From<DataSplit> for SplitKind {
    fn from(split: DataSplit) -> Self {
        match split {
            DataSplit::Train => Self::Train,
            DataSplit::Val => Self::Validation,
            DataSplit::Test => Self::Test,
        }
    }
}
