//! Layouts that are recognised but not read, each with its name and the fix.

use super::json_kind::JsonKind;
use super::label_listing::{LabelListing, is_known};
use crate::folder::is_image;
use crate::split_kind::SplitKind;
use crate::text::start_of;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use warmstart_language::{english, translated};

/// Bytes of a file that show what it is.
const START: u64 = 4096;
/// Bytes that are searched where folders of pictures suggest classes.
const LOOKED_AT: u64 = 64 << 10;

/// A layout of detection data that is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    CvatXml,
    TfRecord,
    CreateMl,
    Via,
    Datumaro,
    Supervisely,
    Csv,
    Labelbox,
    /// JSON of boxes, of an unknown tool.
    Json,
    /// Roboflow's text for Keras: a picture and its boxes in a line.
    Keras,
    LabelStudioCsv,
    Dota,
    Kitti,
    Mot,
}

impl Unread {
    /// The layout of a folder and the file that shows it. Beside folders of pictures that may be classes, a
    /// file counts only if its boxes are of other classes.
    pub(super) fn of(dir: &Path, labels: &LabelListing) -> Option<(Self, PathBuf)> {
        let json = labels.json.iter();
        let json = json.filter_map(|(path, kind)| Some((Self::of_listed(path, *kind)?, path)));
        let others = labels.others.iter();
        let others = others.filter_map(|path| Some((Self::of_file(path)?, path)));
        let mut found = json.chain(others).peekable();
        found.peek()?;
        let classes = class_folders(dir);
        let (unread, path) = if classes.len() < 2 {
            found.next()?
        } else {
            found.find(|(unread, path)| unread.outweighs_folders(path, &classes))?
        };
        Some((unread, path.clone()))
    }

    fn of_listed(path: &Path, kind: Option<JsonKind>) -> Option<Self> {
        if let Some(kind) = kind {
            return Self::of_json(kind);
        }
        let (text, _) = start_of(path, LOOKED_AT).ok()?;
        let has_class = ["\"category", "\"class", "\"label"];
        let has_class = has_class.iter().any(|key| text.contains(key));
        (text.contains("\"bbox\"") && has_class).then_some(Self::Json)
    }

    /// Returns whether a file counts for more than the folders of pictures beside it, which may be classes.
    fn outweighs_folders(self, path: &Path, folders: &BTreeSet<String>) -> bool {
        let text = || start_of(path, LOOKED_AT).map_or(String::new(), |(text, _)| text);
        let has = |words: &[&str]| {
            let text = text();
            words.iter().any(|word| text.contains(word))
        };
        match self {
            Self::CreateMl
            | Self::Via
            | Self::Labelbox
            | Self::Json
            | Self::Keras
            | Self::LabelStudioCsv
            | Self::Dota
            | Self::Kitti
            | Self::Mot => true,
            // Tags are classes of whole pictures.
            Self::CvatXml => !has(&["<tag "]) || has(&["<box ", "<polygon ", "<track "]),
            Self::Datumaro => has(&["\"bbox\"", "\"points\""]),
            Self::Supervisely => has(&["\"objects\""]),
            Self::Csv => has_other_classes(&text(), folders),
            // It may hold the same pictures and classes.
            Self::TfRecord => false,
        }
    }

    /// The layout of JSON of a kind; none if that kind is read.
    pub fn of_json(kind: JsonKind) -> Option<Self> {
        match kind {
            JsonKind::CreateMl => Some(Self::CreateMl),
            JsonKind::Via => Some(Self::Via),
            JsonKind::Datumaro => Some(Self::Datumaro),
            JsonKind::Supervisely => Some(Self::Supervisely),
            JsonKind::Coco | JsonKind::Labelme | JsonKind::LabelStudio => None,
        }
    }

    /// The layout of a file that is not JSON, by its extension and its beginning.
    pub fn of_file(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_string_lossy().to_lowercase();
        if ["tfrecord", "tfrecords", "record"].contains(&&extension[..]) {
            return path.is_file().then_some(Self::TfRecord);
        }
        let (start, _) = start_of(path, START).ok()?;
        let start = start.to_lowercase();
        match &extension[..] {
            "txt" => Self::of_text(path, &start),
            "csv" if start.contains("annotation_id") && start.contains("annotator") => {
                Some(Self::LabelStudioCsv)
            }
            "xml" => start.contains("<annotations").then_some(Self::CvatXml),
            "csv" => has_boxes(start.lines().next()?).then_some(Self::Csv),
            "ndjson" | "jsonl" => start.contains("\"data_row\"").then_some(Self::Labelbox),
            _ => None,
        }
    }

    /// The layout of a text file, by the names that its tool gives it and its folder.
    fn of_text(path: &Path, start: &str) -> Option<Self> {
        let name = |path: Option<&Path>| -> String {
            let name = path.and_then(Path::file_name).unwrap_or_default();
            name.to_string_lossy().to_lowercase()
        };
        let cells = start.lines().next()?.split(',');
        let numbers = cells.filter(|cell| cell.trim().parse::<f64>().is_ok());
        match (&name(path.parent())[..], &name(Some(path))[..]) {
            (_, "_annotations.txt") => Some(Self::Keras),
            (_, "gt.txt") if numbers.count() >= 6 => Some(Self::Mot),
            ("labeltxt", _) => Some(Self::Dota),
            ("label_2", _) => Some(Self::Kitti),
            (_, _) => None,
        }
    }

    /// The layout's name and what to do, to follow "looks like".
    pub fn advice(self) -> &'static str {
        translated(match self {
            Self::CvatXml => {
                english!(
                    "CVAT's own XML, which is not read; export the task as COCO 1.0 with its images"
                )
            }
            Self::TfRecord => {
                english!(
                    "TFRecord, which is not read; export the data set as COCO (JSON) with its images"
                )
            }
            Self::CreateMl => {
                english!("CreateML's JSON, which is not read; export the data set as COCO (JSON)")
            }
            Self::Via => {
                english!(
                    "the VGG Image Annotator's JSON, which is not read; export the annotations as COCO"
                )
            }
            Self::Datumaro => {
                english!("Datumaro's JSON, which is not read; export the data set as COCO 1.0")
            }
            Self::Supervisely => {
                english!("Supervisely's JSON, which is not read; export the project as COCO")
            }
            Self::Csv => {
                english!(
                    "a table of boxes (CSV), which is not read; export the data set as COCO, YOLO or Pascal VOC"
                )
            }
            Self::Json => {
                english!(
                    "JSON of boxes of no known tool, which is not read; export the data set as COCO (JSON)"
                )
            }
            Self::Keras => {
                english!("Roboflow's text for Keras, which is not read; export the version as COCO")
            }
            Self::LabelStudioCsv => {
                english!(
                    "Label Studio's CSV, which is not read; export the project as JSON or COCO"
                )
            }
            Self::Dota => {
                english!(
                    "DOTA's turned boxes, which are not read; export the data set as COCO, YOLO or Pascal VOC"
                )
            }
            Self::Kitti => {
                english!("KITTI's labels, which are not read; convert them to COCO (JSON)")
            }
            Self::Mot => {
                english!("MOT's list of tracks, which is not read; convert it to COCO (JSON)")
            }
            Self::Labelbox => {
                english!("Labelbox's export, which is not read; convert it to COCO (JSON)")
            }
        })
    }
}

/// Returns whether the first line of a table, in small letters, names the sides or the centres of boxes.
fn has_boxes(header: &str) -> bool {
    let columns = header.split([',', ';', '\t']);
    let columns: Vec<&str> = columns
        .map(|column| column.trim().trim_matches('"'))
        .collect();
    let corners: [&[&str]; 8] = [
        &["xmin", "ymin"],
        &["x_min", "y_min"],
        &["xcenter", "ycenter"],
        &["x_center", "y_center"],
        &["x1", "y1", "x2", "y2"],
        &["left", "top", "right", "bottom"],
        &["x", "y", "width", "height"],
        &["x", "y", "w", "h"],
    ];
    let all = |names: &&[&str]| names.iter().all(|name| columns.contains(name));
    let is_box = |column: &&str| {
        ["region_shape_attributes", "bounding_box"].contains(column) || column.starts_with("bbox")
    };
    corners.iter().any(all) || columns.iter().any(is_box)
}

/// Columns for the class of a box.
const CLASS_COLUMNS: [&str; 11] = [
    "class",
    "classes",
    "class_name",
    "classname",
    "class_id",
    "label",
    "label_name",
    "labelname",
    "category",
    "category_id",
    "name",
];

/// Returns whether a table of boxes has other classes than the names of the folders: its words for them are not
/// names of folders, or a picture has two boxes. Without a column of classes, the folders give them.
fn has_other_classes(table: &str, folders: &BTreeSet<String>) -> bool {
    let mut lines = table.lines();
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split([',', ';', '\t']);
        let cells = cells.map(|cell| cell.trim().trim_matches('"').to_lowercase());
        cells.collect()
    };
    let header = cells(lines.next().unwrap_or_default());
    let class = header
        .iter()
        .position(|name| CLASS_COLUMNS.contains(&&name[..]));
    let Some(class) = class else {
        return false;
    };
    let is_file = |name: &String| {
        ["file", "image", "path"]
            .iter()
            .any(|word| name.contains(word))
    };
    let file = header.iter().position(is_file);
    let (mut files, mut words, mut repeated) = (HashSet::new(), BTreeSet::new(), false);
    for cells in lines.map(cells) {
        let word = cells.get(class);
        words.extend(word.filter(|word| word.parse::<f64>().is_err()).cloned());
        if let Some(file) = file.and_then(|file| cells.get(file)) {
            repeated |= !files.insert(file.clone());
        }
    }
    if words.is_empty() {
        repeated
    } else {
        words.is_disjoint(folders)
    }
}

/// Names, in small letters, of the folders with pictures in a folder and in its splits, without those of
/// splits and of folders of pictures. None where no folder has two.
fn class_folders(dir: &Path) -> BTreeSet<String> {
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
    let parents = splits.chain([dir.to_path_buf()]);
    let classes = |parent: PathBuf| -> Vec<PathBuf> { folders(&parent).filter(is_class).collect() };
    let classes = parents.map(classes).filter(|classes| classes.len() > 1);
    classes.flatten().map(|path| name(&path)).collect()
}

#[cfg(test)]
mod tests {
    use super::has_boxes;

    #[test]
    fn tables_of_boxes_are_known_by_their_columns() {
        for header in [
            "filename,width,height,class,xmin,ymin,xmax,ymax",
            "image_id,width,height,bbox,source",
            "image;x1;y1;x2;y2;label",
            "\"id\",\"x_min\",\"y_min\",\"x_max\",\"y_max\"",
            "name\tclass\tx_center\ty_center\tw\th",
            "id,xcenter,ycenter,width,height",
            "id,bbox_x,bbox_y,bbox_w,bbox_h",
            "file, left, top, right, bottom",
        ] {
            assert!(has_boxes(header), "{header}");
        }
        // The last is of the German traffic signs, which lie in folders of their classes.
        for header in [
            "file,class",
            "id,width,height",
            "max1,extra",
            "filename;width;height;roi.x1;roi.y1;roi.x2;roi.y2;classid",
        ] {
            assert!(!has_boxes(header), "{header}");
        }
    }
}
