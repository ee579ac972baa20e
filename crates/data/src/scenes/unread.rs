//! Layouts that are not read: they are named, with what to do.

use super::json_kind::JsonKind;
use super::label_files::{LabelFiles, is_known};
use crate::folder::is_image;
use crate::split_kind::SplitKind;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of a file that show what it is.
const START: u64 = 4096;

/// A layout of detection data that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    CvatXml,
    TfRecord,
    CreateMl,
    Via,
    Datumaro,
    Supervisely,
    Csv,
    Labelbox,
}

impl Unread {
    /// The layout of a folder and the file that shows it. None where there are folders of pictures that
    /// may be classes: beside them, a table or a record says little.
    pub fn of(dir: &Path, labels: &LabelFiles) -> Option<(Self, PathBuf)> {
        let json = labels.json.iter().filter_map(|(path, kind)| {
            let unread = match (*kind)? {
                JsonKind::CreateMl => Self::CreateMl,
                JsonKind::Via => Self::Via,
                JsonKind::Datumaro => Self::Datumaro,
                JsonKind::Supervisely => Self::Supervisely,
                JsonKind::Coco | JsonKind::Labelme | JsonKind::LabelStudio => return None,
            };
            Some((unread, path.clone()))
        });
        let others = labels.others.iter();
        let others = others.filter_map(|path| Some((Self::of_file(path)?, path.clone())));
        let found = json.chain(others).next()?;
        (!has_class_folders(dir)).then_some(found)
    }

    fn of_file(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_string_lossy().to_lowercase();
        if ["tfrecord", "tfrecords", "record"].contains(&&extension[..]) {
            return path.is_file().then_some(Self::TfRecord);
        }
        let mut start = Vec::new();
        let file = warmstart_files::open(path).ok()?;
        file.take(START).read_to_end(&mut start).ok()?;
        // Zeros are the other half of letters in UTF-16.
        start.retain(|byte| *byte != 0);
        let start = String::from_utf8_lossy(&start).to_lowercase();
        match &extension[..] {
            "xml" => start.contains("<annotations").then_some(Self::CvatXml),
            "csv" => has_boxes(start.lines().next()?).then_some(Self::Csv),
            "ndjson" | "jsonl" => start.contains("\"data_row\"").then_some(Self::Labelbox),
            _ => None,
        }
    }

    /// The layout's name and what to do, to follow "looks like".
    pub fn advice(self) -> &'static str {
        match self {
            Self::CvatXml => {
                "CVAT's own XML, which is not read; export the task as COCO 1.0 with its images"
            }
            Self::TfRecord => {
                "TFRecord, which is not read; export the data set as COCO (JSON) with its images"
            }
            Self::CreateMl => {
                "CreateML's JSON, which is not read; export the data set as COCO (JSON)"
            }
            Self::Via => {
                "the VGG Image Annotator's JSON, which is not read; export the annotations as COCO"
            }
            Self::Datumaro => "Datumaro's JSON, which is not read; export the data set as COCO 1.0",
            Self::Supervisely => {
                "Supervisely's JSON, which is not read; export the project as COCO"
            }
            Self::Csv => {
                "a table of boxes (CSV), which is not read; export the data set as COCO, YOLO or Pascal VOC"
            }
            Self::Labelbox => "Labelbox's export, which is not read; convert it to COCO (JSON)",
        }
    }
}

/// Returns whether the first line of a table names the sides of boxes.
fn has_boxes(header: &str) -> bool {
    let columns = header.split([',', ';', '\t']);
    let columns: Vec<&str> = columns
        .map(|column| column.trim().trim_matches('"'))
        .collect();
    let has = |names: &[&str]| names.iter().all(|name| columns.contains(name));
    let corners = [
        ["xmin", "ymin", "xmax", "ymax"],
        ["x_min", "y_min", "x_max", "y_max"],
        ["x1", "y1", "x2", "y2"],
        ["left", "top", "right", "bottom"],
        ["x", "y", "width", "height"],
        ["x", "y", "w", "h"],
    ];
    let boxes = ["bbox", "region_shape_attributes", "bounding_box"];
    corners.iter().any(|names| has(names)) || boxes.iter().any(|name| has(&[name]))
}

/// Returns whether two folders or more, in a folder or in one of its splits, have pictures and names that are
/// neither splits' nor those of folders of pictures.
fn has_class_folders(dir: &Path) -> bool {
    let folders = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
    };
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase()
    };
    let is_class = |path: &PathBuf| {
        let name = name(path);
        let mut entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        !is_known(&name) && entries.any(|entry| is_image(&entry.path()))
    };
    let splits = folders(dir).filter(|path| SplitKind::of(&name(path)).is_some());
    let mut parents = splits.chain([dir.to_path_buf()]);
    parents.any(|parent| folders(&parent).filter(is_class).take(2).count() == 2)
}
