use std::path::{Path, PathBuf};

use clap::Args;

use super::image_size;

#[derive(Debug, Args)]
pub struct Views {
    /// Detector: look also at overlapping tiles of each image, for small objects in large images; PIXELS, attached as
    /// in --tile=640, is a tile's side in the image, at most 2048 and at least half of the network's input size
    /// [default: that size]
    #[arg(long, value_name = "PIXELS", num_args = 0..=1, require_equals = true, value_parser = image_size)]
    tile: Option<Option<usize>>,
    /// Detector: look at each image, and each tile, mirrored, too
    #[arg(long)]
    flip: bool,
    /// Detector: of two boxes that overlap, keep the one with the higher score even if they are of different classes
    #[arg(long)]
    across_classes: bool,
}

impl Views {
    /// Side of the tiles in pixels of the image, where they are asked for; `usual` where no number is given.
    pub fn tile(&self, usual: usize) -> Option<usize> {
        self.tile.map(|side| side.unwrap_or(usual))
    }

    /// The word among these that was meant as the side of the tiles: a number that is no path, where the flag has none.
    pub fn detached_side<'a>(
        &self,
        words: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Option<&'a Path> {
        let is_bare = matches!(self.tile, Some(None));
        let is_side = |word: &&'a PathBuf| {
            let text = word.to_str().unwrap_or_default();
            is_bare && text.parse::<usize>().is_ok() && !word.exists()
        };
        words.into_iter().find(is_side).map(PathBuf::as_path)
    }

    /// Whether each view is looked at mirrored, too.
    pub fn flip(&self) -> bool {
        self.flip
    }

    /// Whether boxes of different classes are compared, too.
    pub fn across_classes(&self) -> bool {
        self.across_classes
    }

    /// The first flag that was given, in a recipe's spelling.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            ("tile", self.tile.is_some()),
            ("flip", self.flip),
            ("across_classes", self.across_classes),
        ];
        let mut flags = flags.into_iter();
        flags.find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}
