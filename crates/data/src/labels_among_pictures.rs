//! Labels of boxes and outlines among pictures, recognised by their form: such pictures are not those of
//! classes.

use crate::error::DataError;
use crate::folder::has_extension;
use crate::scenes::{JsonKind, Unread};
use crate::text::start_of;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::{english, message, translated};

/// Bytes of a file that are looked at.
const LOOKED_AT: u64 = 64 << 10;
/// Files of one extension that are looked at: the first ones of a data set may be empty.
const FILES: usize = 20;

/// Keys in JSON of one picture that mean boxes or outlines.
const OF_PICTURE: [&str; 8] = [
    "\"shapes\"",
    "\"regions\"",
    "\"bbox\"",
    "\"segmentation\"",
    "\"objects\"",
    "\"annotations\"",
    "\"boxes\"",
    "\"points\"",
];
/// The same in JSON that may be about anything, where the other keys prove nothing.
const OF_ANY: [&str; 1] = ["\"bbox\""];

/// Keys for the objects in pictures, of Supervisely and Datumaro.
const OF_OBJECTS: [&str; 2] = ["\"objects\"", "\"annotations\""];

/// Files that look like the labels of a detection data set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Labels {
    /// The format.
    format: Format,
    /// One of the files.
    example: PathBuf,
}

/// Formats of labels, as far as the beginning of a file shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// An XML file for each picture.
    Voc,
    /// A text file of numbers for each picture.
    Yolo,
    /// One JSON file for all pictures.
    Coco,
    /// JSON of Labelme, or of a tool that is not known.
    Json,
    /// One JSON file of tasks.
    LabelStudio,
    /// A text file of numbers and names for each picture, as in DOTA and KITTI.
    Text,
    /// One that is not read as boxes either.
    Unread(Unread),
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Voc => {
                english!("labels of Pascal VOC, which lie in Annotations/ beside JPEGImages/")
            }
            Self::Yolo => english!(
                "labels of YOLO, which need a data.yaml with train, val and names above them"
            ),
            Self::Coco => english!(
                "labels of COCO, which lie in annotations/instances_train.json beside train/"
            ),
            Self::Json => english!(
                "labels of Labelme or a tool like it; export them as COCO, YOLO or Pascal VOC"
            ),
            Self::LabelStudio => {
                english!("an export of Label Studio, which lies above its pictures")
            }
            Self::Text => english!("a list of boxes; export it as COCO, YOLO or Pascal VOC"),
            Self::Unread(unread) => return write!(f, "{}", unread.advice()),
        };
        f.write_str(translated(words))
    }
}

/// Refuses a folder as one of classes if there are labels of boxes or outlines among its files.
///
/// # Errors
/// If so, with one of the files and what they look like.
pub(crate) fn refuse_labels<'a>(
    folder: &Path,
    images: impl ExactSizeIterator<Item = &'a Path>,
    others: &[PathBuf],
) -> Result<(), DataError> {
    let Some(Labels { format, example }) = look(images, others) else {
        return Ok(());
    };
    let example = example.strip_prefix(folder).unwrap_or(&example);
    let problem = message!(
        "{} looks like {format}; these are pictures with boxes, not classes (for classes, keep the pictures alone, one folder per class)",
        shown(example)
    );
    Err(DataError::Layout {
        folder: folder.to_path_buf(),
        problem,
    })
}

/// Looks for labels of boxes or outlines among files that are not images; `images` lie in the same
/// folders.
fn look<'a>(images: impl ExactSizeIterator<Item = &'a Path>, others: &[PathBuf]) -> Option<Labels> {
    if others.is_empty() {
        return None;
    }
    let no_image = images.len() == 0;
    let stem = |path: &Path| path.with_extension("");
    let of_others: HashSet<PathBuf> = others.iter().map(|path| stem(path)).collect();
    // Of a million pictures, few may have another file beside them.
    let of_both: HashSet<PathBuf> = images
        .map(stem)
        .filter(|stem| of_others.contains(stem))
        .collect();
    let has_picture = |path: &Path| of_both.contains(&stem(path));
    let of = |extension: &'static str| {
        others
            .iter()
            .filter(move |path| has_extension(path, extension))
    };
    let found = |format, example: &PathBuf| Labels {
        format,
        example: example.clone(),
    };
    if let Some(example) = of("xml").find(|path| has_picture(path)) {
        return Some(found(Format::Voc, example));
    }
    let looked_at = ["xml", "json", "txt", "csv"];
    let mut files = looked_at.iter().flat_map(|extension| {
        let (mut with_picture, mut alone): (Vec<_>, Vec<_>) =
            of(extension).partition(|path| has_picture(path));
        with_picture.truncate(FILES);
        // Numbers in a text of another name may be anything.
        let labels = *extension != "txt" || no_image;
        alone.truncate(if labels { FILES } else { 0 });
        with_picture.into_iter().chain(alone)
    });
    files.find_map(|path| Some(found(format(path, has_picture(path))?, path)))
}

/// The format of labels that a file looks like.
fn format(path: &Path, has_picture: bool) -> Option<Format> {
    if let Some(unread) = Unread::of_file(path) {
        return Some(Format::Unread(unread));
    }
    let has = |words: &[&str]| {
        let text = start_of(path, LOOKED_AT).map_or(String::new(), |(text, _)| text);
        words.iter().any(|word| text.contains(word))
    };
    if has_extension(path, "xml") {
        return has(&["<annotation", "<object", "<bndbox"]).then_some(Format::Voc);
    }
    if has_extension(path, "json") {
        let is_of_tool = || {
            if has_picture {
                has(&OF_PICTURE)
            } else {
                has(&OF_ANY)
            }
        };
        return match JsonKind::of(path) {
            Some(JsonKind::Coco) => Some(Format::Coco),
            Some(JsonKind::LabelStudio) => Some(Format::LabelStudio),
            Some(JsonKind::Labelme) => Some(Format::Json),
            // Lists of classes alone, which classes of pictures may have too.
            Some(JsonKind::Supervisely | JsonKind::Datumaro) if !has(&OF_OBJECTS) => None,
            Some(kind) => Unread::of_json(kind).map(Format::Unread),
            None => is_of_tool().then_some(Format::Json),
        };
    }
    if !has_extension(path, "txt") {
        return None;
    }
    let (text, _) = start_of(path, LOOKED_AT).ok()?;
    text.lines().find_map(of_boxes)
}

/// The format of a line of text if it is mostly numbers, at least four: the sides of a box.
fn of_boxes(line: &str) -> Option<Format> {
    let words = line.split([' ', '\t', ',', ';']).map(str::trim);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let numbers = words.iter().filter(|word| word.parse::<f64>().is_ok());
    match numbers.count() {
        count if count >= 5 && count == words.len() => Some(Format::Yolo),
        count if count >= 4 && 3 * count >= 2 * words.len() => Some(Format::Text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the format that the files of a folder with the picture 1.jpg look like.
    fn looks_like(files: &[(&str, &str)]) -> Option<Format> {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        for (name, content) in files {
            std::fs::write(place(name), content).unwrap();
        }
        let others: Vec<PathBuf> = files.iter().map(|(name, _)| place(name)).collect();
        let picture = place("1.jpg");
        let pictures = std::iter::once(&*picture);
        look(pictures, &others).map(|found| found.format)
    }

    #[test]
    fn labels_beside_pictures_are_known() {
        for (name, content, format) in [
            ("1.xml", "<annotation><object/></annotation>", Format::Voc),
            ("1.XML", "", Format::Voc),
            (
                "a.xml",
                "<?xml?>\n<annotations><image/></annotations>",
                Format::Unread(Unread::CvatXml),
            ),
            ("1.txt", "\n0 0.5 0.5 0.1 0.1\n", Format::Yolo),
            ("1.txt", "0 .1 .1 .2 .2 .3 .3", Format::Yolo),
            (
                "_annotations.coco.json",
                r#"{"images": [{"file_name": "1.jpg"}]}"#,
                Format::Coco,
            ),
            (
                "1.json",
                r#"{"version": "5.0", "shapes": []}"#,
                Format::Json,
            ),
            ("1.txt", "10 20 30 20 30 40 10 40 plane 0", Format::Text),
            ("1.txt", "\u{feff}0 0.5 0.5 0.1 0.1", Format::Yolo),
            (
                "via.json",
                r#"{"1.jpg81": {"filename": "1.jpg", "regions": []}}"#,
                Format::Unread(Unread::Via),
            ),
            ("1.json", r#"{"objects": [{"x": 1}]}"#, Format::Json),
            ("boxes.json", r#"[{"bbox": [1, 2, 3, 4]}]"#, Format::Json),
            (
                "all.json",
                r#"{"images": [], "annotations": [], "categories": []}"#,
                Format::Coco,
            ),
            (
                "tasks.json",
                r#"[{"id": 1, "annotations": [], "data": {"image": "1.jpg"}}]"#,
                Format::LabelStudio,
            ),
            (
                "ann.json",
                r#"{"description": "", "size": {}, "objects": []}"#,
                Format::Unread(Unread::Supervisely),
            ),
            (
                "t.csv",
                "filename,width,xmin,ymin\n1.jpg,3,1,1",
                Format::Unread(Unread::Csv),
            ),
        ] {
            assert_eq!(
                looks_like(&[(name, content)]),
                Some(format),
                "{name} {content}"
            );
        }
    }

    #[test]
    fn other_files_are_not_labels() {
        for (name, content) in [
            ("1.txt", "a cat on a mat"),
            ("1.txt", ""),
            ("1.txt", "3 cats, 2 dogs, 1 bird and 1 horse on 5 mats"),
            ("sizes.txt", "1 2 3 4 5 6"),
            ("readme.txt", "5 images"),
            ("meta.json", r#"{"licence": "CC0"}"#),
            ("meta.json", r#"{"categories": ["cat"], "regions": ["EU"]}"#),
            (
                "meta.json",
                r#"{"images": 3, "note": "no \"annotations\""}"#,
            ),
            ("meta.json", r#"{"classes": ["cat"], "tags": ["pet"]}"#),
            ("meta.json", r#"{"categories": ["cat"], "items": 20}"#),
            ("1.json", r#"{"caption": "a cat"}"#),
            ("labels.csv", "file,class\n1.jpg,cat"),
            ("sitemap.xml", "<urlset/>"),
        ] {
            assert_eq!(looks_like(&[(name, content)]), None, "{name} {content}");
        }
    }

    #[test]
    fn an_empty_label_file_does_not_hide_the_others() {
        let files = [("0.txt", ""), ("1.txt", "0 0.5 0.5 0.1 0.1")];
        assert_eq!(looks_like(&files), Some(Format::Yolo));
    }
}
