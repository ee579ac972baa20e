//! Values that flags choose from.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::{OsStringValueParser, TypedValueParser};
use warmstart_data::{SplitKind, scenes};
use warmstart_language::message;
use warmstart_recipe::IMAGE_SIZES;
use warmstart_workflows::convert::Naming;

/// The path of a picture.
pub fn svg(text: &str) -> Result<PathBuf, String> {
    ending(text, "svg").map_err(|expected| message!("the picture is an SVG: {expected}"))
}

/// The path of a table.
pub fn csv(text: &str) -> Result<PathBuf, String> {
    ending(text, "csv")
}

/// The path of a file with a JSON object a line.
pub fn json_lines(text: &str) -> Result<PathBuf, String> {
    ending(text, "jsonl")
}

/// The path of a file with JSON.
pub fn json_file(text: &str) -> Result<PathBuf, String> {
    ending(text, "json")
}

/// The path of a page.
pub fn html(text: &str) -> Result<PathBuf, String> {
    ending(text, "html")
}

/// A path with that extension.
fn ending(text: &str, extension: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|found| found == extension) {
        Ok(path)
    } else {
        Err(message!("expected a name that ends in .{extension}"))
    }
}

/// A path that a recipe can name.
pub fn text_path() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|path| {
        path.into_string().map_err(|path| {
            let shown = warmstart_files::shown(Path::new(&path));
            message!("{shown} is not valid Unicode, so no recipe could name it: rename it")
        })
    })
}

/// A number from 0 to 1.
pub fn share(text: &str) -> Result<f32, String> {
    let share = text.parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| message!("expected a number from 0 to 1"))
}

/// The edge of an image, in pixels.
pub fn image_size(text: &str) -> Result<usize, String> {
    let size = text.parse().ok();
    size.filter(|size| IMAGE_SIZES.contains(size))
        .ok_or_else(|| {
            let (least, most) = (IMAGE_SIZES.start(), IMAGE_SIZES.end());
            message!("expected a whole number from {least} to {most}")
        })
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

#[derive(Clone, Copy, ValueEnum)]
pub enum Library {
    /// torchvision's names
    Torchvision,
    /// timm's names
    Timm,
    /// The names that warmstart uses itself: torchvision's, or timm's of a network that torchvision does not have
    Native,
}

impl From<Library> for Naming {
    fn from(library: Library) -> Self {
        match library {
            Library::Torchvision => Self::Library("torchvision"),
            Library::Timm => Self::Library("timm"),
            Library::Native => Self::Native,
        }
    }
}
