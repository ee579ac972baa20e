//! Layouts of detection data, and the signs of each in a folder.

use super::label_listing::LabelListing;
use super::reading::SplitsRead;
use super::unread::Unread;
use super::{box_list, coco, labelme, labelstudio, voc, yolo};
use crate::class_list;
use crate::error::DataError;
use crate::split_kind::{SplitKind, split_named};
use serde::{Deserialize, Serialize};
use std::iter;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::{english, message, translated};

/// Layout of boxes and images in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// JSON files of COCO's form, such as `annotations/instances_<split>.json` or Roboflow's
    /// `<split>/_annotations.coco.json`.
    Coco,
    /// A text file for every image, and a `data.yaml`, Darknet's `obj.data`, or folders alone.
    Yolo,
    /// Text lists of images with their boxes, such as `2007_train.txt`.
    Lists,
    /// An XML file for every image: `Annotations/` and `JPEGImages/`, other pairs of folders, or beside the images.
    Voc,
    /// A JSON file of Labelme's for every image.
    Labelme,
    /// Label Studio's own JSON: a list of tasks.
    LabelStudio,
}

impl Layout {
    /// All layouts in the order in which they are looked for: the first is read if a folder has two.
    fn all() -> impl Iterator<Item = Self> {
        iter::successors(Some(Self::Coco), |layout| layout.next())
    }

    /// The layout that is looked for after this one.
    fn next(self) -> Option<Self> {
        match self {
            Self::Coco => Some(Self::Yolo),
            Self::Yolo => Some(Self::Lists),
            Self::Lists => Some(Self::Voc),
            Self::Voc => Some(Self::Labelme),
            Self::Labelme => Some(Self::LabelStudio),
            Self::LabelStudio => None,
        }
    }

    /// Name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coco => "COCO",
            Self::Yolo => "YOLO",
            Self::Lists => translated(english!("text lists")),
            Self::Voc => "Pascal VOC",
            Self::Labelme => "Labelme",
            Self::LabelStudio => "Label Studio",
        }
    }

    /// The file or folder that shows that a folder has this layout.
    fn sign(
        self,
        dir: &Path,
        labels: &LabelListing,
        yolo: Option<&yolo::Source>,
    ) -> Option<PathBuf> {
        match self {
            Self::Coco => coco::sign(labels),
            Self::Yolo => yolo.map(|source| source.sign(dir)),
            Self::Lists => box_list::sign(dir),
            Self::Voc => voc::sign(dir),
            Self::Labelme => labelme::sign(labels),
            Self::LabelStudio => labelstudio::sign(labels),
        }
    }
}

/// Layout of a folder: the first in the order COCO, YOLO, text lists, VOC, Labelme, Label Studio; none for class
/// folders and everything else.
pub fn layout(dir: &Path) -> Option<Layout> {
    Recognised::of(dir).layout()
}

/// Returns whether a folder has detection data: of a [`Layout`], or data that [`open`](super::open()) refuses with
/// a reason, since it has another layout or lies in a folder below.
pub fn is_detection(dir: &Path) -> bool {
    let recognised = Recognised::of(dir);
    recognised.layout().is_some()
        || Unread::of(dir, &recognised.labels).is_some()
        || inner(dir).is_some()
}

/// Folders that are searched for a data set of their own. There may be many class folders, without any.
const INNER: usize = 16;

/// A folder directly in another one with detection data of its own.
enum Inner {
    Layout(PathBuf, Layout),
    Unread(PathBuf, Unread),
}

impl Inner {
    fn of(folder: PathBuf) -> Option<Self> {
        let recognised = Recognised::of(&folder);
        if let Some(layout) = recognised.layout() {
            return Some(Self::Layout(folder, layout));
        }
        let (unread, sign) = Unread::of(&folder, &recognised.labels)?;
        Some(Self::Unread(sign, unread))
    }
}

/// The first folder directly below that has detection data itself, of training before others.
fn inner(dir: &Path) -> Option<Inner> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    let visible = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    let mut folders: Vec<PathBuf> = visible.map(|entry| entry.path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort_by_cached_key(|path| (is_held_out(path), path.clone()));
    folders.into_iter().take(INNER).find_map(Inner::of)
}

/// Returns whether a folder has the name of a validation or test split.
fn is_held_out(folder: &Path) -> bool {
    match split_named(folder) {
        Some(SplitKind::Validation | SplitKind::Test) => true,
        Some(SplitKind::Train) | None => false,
    }
}

/// The layouts that a folder shows signs of.
pub(super) struct Recognised {
    labels: LabelListing,
    yolo: Option<yolo::Source>,
    /// In the order of [`Layout::all`], each with its sign.
    found: Vec<(Layout, PathBuf)>,
}

impl Recognised {
    /// Looks for every layout's signs.
    pub fn of(dir: &Path) -> Self {
        let labels = LabelListing::of(dir);
        let yolo = yolo::recognised(dir);
        let sign = |layout: Layout| Some((layout, layout.sign(dir, &labels, yolo.as_ref())?));
        let found = Layout::all().filter_map(sign).collect();
        Self {
            labels,
            yolo,
            found,
        }
    }

    /// The layout that is read.
    pub fn layout(&self) -> Option<Layout> {
        self.found.first().map(|(layout, _)| *layout)
    }

    /// The others, each with its sign.
    pub fn others(&self) -> &[(Layout, PathBuf)] {
        self.found.get(1..).unwrap_or_default()
    }

    /// Reads all splits of a data set.
    pub fn read(&mut self, layout: Layout, dir: &Path) -> Result<SplitsRead, DataError> {
        let labels = &self.labels;
        match layout {
            Layout::Coco => coco::read(dir, labels),
            Layout::Yolo => match self.yolo.take() {
                Some(source) => yolo::read(dir, source),
                None => Err(self.refusal(dir)),
            },
            Layout::Lists => box_list::read(dir),
            Layout::Voc => voc::read(dir),
            Layout::Labelme => labelme::read(dir, labels),
            Layout::LabelStudio => labelstudio::read(dir, labels),
        }
    }

    /// The error for a folder without a layout, which names what it looks like.
    pub fn refusal(&self, dir: &Path) -> DataError {
        let metadata = match std::fs::metadata(dir) {
            Ok(metadata) => metadata,
            Err(source) => return DataError::read(dir, source),
        };
        let problem = if matches!(class_list::find(dir), Ok(Some(_))) {
            message!(
                "it has the classes of pictures and no boxes: it is a data set for classification, and detection data were expected"
            )
        } else if !metadata.is_dir() {
            message!("it is a file; give the folder that holds it and its images")
        } else if let Some((unread, sign)) = Unread::of(dir, &self.labels) {
            message!("{} looks like {}", shown(&sign), unread.advice())
        } else {
            match inner(dir) {
                Some(Inner::Unread(sign, unread)) => {
                    message!("{} looks like {}", shown(&sign), unread.advice())
                }
                Some(Inner::Layout(folder, layout)) if is_held_out(&folder) => message!(
                    "{} has boxes in the layout {}, and by its name it is for validation or testing; put the training split of the same layout beside it, in a folder such as train",
                    shown(&folder),
                    layout.name()
                ),
                Some(Inner::Layout(folder, layout)) => message!(
                    "{} has boxes in the layout {}; give this folder as the data (for classes, keep the pictures alone, one folder per class)",
                    shown(&folder),
                    layout.name()
                ),
                None => message!(
                    "it is not a detection data set; expected annotations/instances_train.json (COCO), data.yaml (YOLO), 2007_train.txt (lists of boxes), Annotations/ and JPEGImages/ (VOC), or JSON of Labelme or Label Studio"
                ),
            }
        };
        DataError::Layout {
            folder: dir.to_path_buf(),
            problem,
        }
    }
}
