//! Labels of boxes and outlines among pictures, known by what they look like: such pictures are no
//! classes.

use crate::error::DataError;
use crate::folder::has_extension;
use std::collections::HashSet;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use warmstart_files::shown;

/// Bytes of a file that are looked at.
const LOOKED_AT: u64 = 64 << 10;
/// Files of one extension that are looked at: the first ones of a data set may be empty.
const FILES: usize = 20;

/// Files that look like the labels of a detection data set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LabelFiles {
    /// The format.
    format: Format,
    /// One of the files.
    example: PathBuf,
}

/// Formats of labels, as far as a look at the beginning of a file can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// An XML file for each picture.
    Voc,
    /// One XML file for all pictures.
    Cvat,
    /// A text file of numbers for each picture.
    Yolo,
    /// One JSON file for all pictures.
    Coco,
    /// JSON of a labelling tool.
    Json,
    /// A text file of numbers and names for each picture, as in DOTA and KITTI.
    Text,
    /// A table with a column for each side of a box.
    Table,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Voc => "labels of Pascal VOC, which lie in Annotations/ beside JPEGImages/",
            Self::Cvat => "an export of CVAT; export it as COCO, YOLO or Pascal VOC",
            Self::Yolo => {
                "labels of YOLO, which need a data.yaml with train, val and names above them"
            }
            Self::Coco => {
                "labels of COCO, which lie in annotations/instances_train.json beside train/"
            }
            Self::Json => {
                "labels of Labelme or a tool like it; export them as COCO, YOLO or Pascal VOC"
            }
            Self::Text => "a list of boxes; export it as COCO, YOLO or Pascal VOC",
            Self::Table => "a table of boxes; export it as COCO, YOLO or Pascal VOC",
        })
    }
}

/// Refuses a folder as one of classes if there are labels of boxes or outlines among its files.
///
/// # Errors
/// If so, with one of the files and what they look like.
pub(crate) fn refuse_labels(
    folder: &Path,
    images: &[PathBuf],
    others: &[PathBuf],
) -> Result<(), DataError> {
    let Some(LabelFiles { format, example }) = look(images, others) else {
        return Ok(());
    };
    let example = example.strip_prefix(folder).unwrap_or(&example);
    let problem = format!(
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
fn look(images: &[PathBuf], others: &[PathBuf]) -> Option<LabelFiles> {
    if others.is_empty() {
        return None;
    }
    let stems: HashSet<PathBuf> = images.iter().map(|path| path.with_extension("")).collect();
    let has_picture = |path: &Path| stems.contains(&path.with_extension(""));
    let of = |extension: &'static str| {
        others
            .iter()
            .filter(move |path| has_extension(path, extension))
    };
    let found = |format, example: &PathBuf| LabelFiles {
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
        let labels = *extension != "txt" || images.is_empty();
        alone.truncate(if labels { FILES } else { 0 });
        with_picture.into_iter().chain(alone)
    });
    files.find_map(|path| Some(found(format(path, has_picture(path))?, path)))
}

/// The format of labels that a file looks like.
fn format(path: &Path, has_picture: bool) -> Option<Format> {
    let text = beginning(path)?;
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has_extension(path, "xml") {
        if has(&["<annotations"]) {
            return Some(Format::Cvat);
        }
        return has(&["<annotation", "<object", "<bndbox"]).then_some(Format::Voc);
    }
    if has_extension(path, "json") {
        let of_coco = has(&["\"categories\"", "\"annotations\""])
            || has(&["\"images\""]) && has(&["\"file_name\""]);
        if of_coco && !has_picture {
            return Some(Format::Coco);
        }
        let of_tools = ["\"shapes\"", "\"regions\"", "\"bbox\"", "\"segmentation\""];
        let of_pictures = ["\"objects\"", "\"annotations\"", "\"boxes\"", "\"points\""];
        return (has(&of_tools) || has_picture && has(&of_pictures)).then_some(Format::Json);
    }
    if has_extension(path, "txt") {
        return text.lines().find_map(of_boxes);
    }
    let header = text.lines().next()?.to_lowercase();
    let sides = ["xmin", "x_min", "bbox", "x1", "xcenter", "x_center"];
    sides
        .iter()
        .any(|side| header.contains(side))
        .then_some(Format::Table)
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

/// The first bytes of a regular file as text; characters that are not UTF-8 are replaced, zero bytes (of
/// UTF-16) are left out.
fn beginning(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = warmstart_files::open(path).ok()?;
    file.take(LOOKED_AT).read_to_end(&mut bytes).ok()?;
    bytes.retain(|byte| *byte != 0);
    let text = String::from_utf8_lossy(&bytes);
    // A byte order mark, of UTF-8 or of UTF-16.
    Some(text.trim_start_matches(['\u{feff}', '\u{fffd}']).to_owned())
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
        look(&[place("1.jpg")], &others).map(|found| found.format)
    }

    #[test]
    fn labels_beside_pictures_are_known() {
        for (name, content, format) in [
            ("1.xml", "<annotation><object/></annotation>", Format::Voc),
            ("1.XML", "", Format::Voc),
            (
                "a.xml",
                "<?xml?>\n<annotations><image/></annotations>",
                Format::Cvat,
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
            ("via.json", r#"{"1.jpg81": {"regions": []}}"#, Format::Json),
            (
                "t.csv",
                "filename,width,xmin,ymin\n1.jpg,3,1,1",
                Format::Table,
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
