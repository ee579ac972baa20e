//! Lists of pictures with their boxes: `2007_train.txt` with rows such as
//! `VOCdevkit/VOC2007/JPEGImages/1.jpg 10,20,110,220,0 5,5,60,40,1`.
//!
//! A box is its left, top, right and bottom edge in pixels and the number of its class, as keras-yolo3
//! (<https://github.com/qqwweee/keras-yolo3>) and the trainers of Bubbliiiing read it. A picture without
//! boxes has its path alone.

use super::findings::{Findings, Problem};
use super::reading::{Line, RawObject, SplitRead, SplitsRead, read_image, read_images};
use crate::error::DataError;
use crate::folder::is_image;
use crate::picture_lists::{
    Finder, PictureLists, beginning, class_names, class_number, folder_of, read_list,
};
use crate::scene::BoundingBox;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::{english, message, translated};

/// The usual name of the list of class names.
const CLASSES: &str = "voc_classes.txt";

/// A row of a list.
#[derive(Debug, PartialEq)]
struct Row {
    line: usize,
    path: String,
    boxes: Vec<ListedBox>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct ListedBox {
    class: usize,
    bounds: BoundingBox,
    /// Line of its row.
    line: usize,
}

/// A picture and the boxes of all its rows.
struct ListedImage {
    path: PathBuf,
    boxes: Vec<ListedBox>,
}

/// The list that shows that `data` is a list, or holds one for training; `data` itself if there are two.
pub(super) fn sign(data: &Path) -> Option<PathBuf> {
    match find(data) {
        Ok(lists) => {
            let lists = lists?;
            let train = lists.train.or(lists.validation).or(lists.test);
            train.or(Some(data.to_path_buf()))
        }
        Err(_) => Some(data.to_path_buf()),
    }
}

fn find(data: &Path) -> Result<Option<PictureLists>, DataError> {
    PictureLists::find(data, has_box)
}

/// Reads all splits of the data set whose lists `data` names or holds.
///
/// # Errors
/// If a list or that of the classes cannot be read, two lists are for one split, or none is for training.
pub(super) fn read(data: &Path) -> Result<SplitsRead, DataError> {
    let lists = find(data)?.unwrap_or_default();
    let folder = folder_of(lists.training(data)?);
    let mut findings = Findings::default();
    for list in &lists.unused {
        findings.add(Problem::NotUsed, || shown(list));
    }
    let mut rows: [Option<(&Path, Vec<Row>)>; 3] = [const { None }; 3];
    for (rows, list) in rows.iter_mut().zip(lists.all()) {
        if let Some(list) = list {
            *rows = Some((list, read_rows(list, &mut findings)?));
        }
    }
    let all = rows.iter().flatten().flat_map(|(_, rows)| rows);
    let highest = all.flat_map(|row| &row.boxes).map(|of| of.class).max();
    let count = highest.map_or(0, |highest| highest + 1);
    let classes = class_names(&folder, CLASSES, count, &mut findings)?;
    let base = [folder.clone()];
    let mut finder = Finder::new(&base);
    let mut splits: [Option<SplitRead>; 3] = [const { None }; 3];
    for (split, rows) in splits.iter_mut().zip(rows) {
        if let Some((list, rows)) = rows {
            *split = Some(read_split(list, rows, classes.len(), &mut finder)?);
        }
    }
    finder.note_outside(&mut findings);
    let [train, validation, test] = splits;
    Ok(SplitsRead {
        classes,
        train: train.unwrap_or_default(),
        validation,
        test,
        findings,
        // What else lies in a trainer's folder is not data.
        ignored: 0,
        root: folder,
    })
}

/// The rows of a list. Boxes and rows of another form are findings.
fn read_rows(list: &Path, findings: &mut Findings) -> Result<Vec<Row>, DataError> {
    let text = read_list(list, findings)?;
    let mut rows = Vec::new();
    for (line, row) in (1..).zip(text.rows().map(str::trim)) {
        if row.is_empty() {
            continue;
        }
        let mut malformed = |expected: &'static str, found: &str| {
            findings.add(Problem::Malformed, || {
                let (list, found) = (shown(list), beginning(found));
                let expected = translated(expected);
                message!("{list}, line {line}: expected {expected}, found {found:?}")
            });
        };
        let Some((path, words)) = split_row(row) else {
            malformed(
                english!("the path of a picture and its boxes, as in 1.jpg 10,20,110,220,0"),
                row,
            );
            continue;
        };
        let mut boxes = Vec::new();
        for word in words {
            match listed_box(word, line) {
                Some(listed) => boxes.push(listed),
                None => malformed(
                    english!(
                        "a box of left, top, right, bottom and the number of its class, without spaces, as in 10,20,110,220,0"
                    ),
                    word,
                ),
            }
        }
        let path = path.to_owned();
        rows.push(Row { line, path, boxes });
    }
    Ok(rows)
}

/// The path in a row, which may have spaces and ends as a picture's name does, and the words after it.
fn split_row(row: &str) -> Option<(&str, Vec<&str>)> {
    // The file name " .jpg" has an extension, which the path ".jpg" alone has not.
    let ends_path = |word: &str| is_image(Path::new(&format!("x{word}")));
    let mut words = Vec::new();
    let mut rest = row.trim();
    loop {
        let (before, word) = match rest.rsplit_once(char::is_whitespace) {
            Some((before, word)) => (before.trim_end(), word),
            None => ("", rest),
        };
        if ends_path(word) {
            words.reverse();
            return Some((rest, words));
        }
        if before.is_empty() {
            return None;
        }
        words.push(word);
        rest = before;
    }
}

fn listed_box(word: &str, line: usize) -> Option<ListedBox> {
    let mut numbers = word.split(',');
    let mut edge = || numbers.next()?.trim().parse::<f64>().ok();
    let bounds = BoundingBox {
        left: edge()?,
        top: edge()?,
        right: edge()?,
        bottom: edge()?,
    };
    let class = class_number(numbers.next()?)?;
    numbers.next().is_none().then_some(ListedBox {
        class,
        bounds,
        line,
    })
}

/// Returns whether a row has a picture and a box.
fn has_box(row: &str) -> bool {
    split_row(row).is_some_and(|(_, words)| {
        let mut boxes = words.iter().filter_map(|word| listed_box(word, 0));
        boxes.next().is_some()
    })
}

/// The pictures of a split that are there, with their boxes of classes below `classes`.
fn read_split(
    list: &Path,
    rows: Vec<Row>,
    classes: usize,
    finder: &mut Finder,
) -> Result<SplitRead, DataError> {
    let mut findings = Findings::default();
    let images = found_images(list, rows, finder, &mut findings);
    let mut split = read_images(&images, |image| {
        read_image(&image.path, |scene| {
            for listed in &image.boxes {
                let place = Line(list, listed.line);
                if listed.class >= classes {
                    scene.findings.add(Problem::UnknownClass, || {
                        message!("{place}: {}, and there are {classes} names", listed.class)
                    });
                    continue;
                }
                let object = RawObject {
                    class: listed.class,
                    bounds: listed.bounds,
                    area: None,
                    crowd: false,
                    difficult: false,
                };
                scene.add(object, place);
            }
            Ok(())
        })
    })?;
    findings.append(split.findings);
    split.findings = findings;
    Ok(split)
}

/// The pictures that are there; the boxes of several rows of one are joined.
fn found_images(
    list: &Path,
    rows: Vec<Row>,
    finder: &mut Finder,
    findings: &mut Findings,
) -> Vec<ListedImage> {
    let mut images: Vec<ListedImage> = Vec::with_capacity(rows.len());
    let mut by_path: HashMap<PathBuf, usize> = HashMap::new();
    for Row { line, path, boxes } in rows {
        let place = || message!("{}, line {line}", shown(list));
        let Some(path) = finder.find(&path, place, findings) else {
            continue;
        };
        if let Some(first) = by_path.get(&path) {
            findings.add(Problem::RepeatedImage, || {
                message!("{}: {}", place(), shown(&path))
            });
            for _ in &boxes {
                findings.add(Problem::MergedObject, place);
            }
            images[*first].boxes.extend(boxes);
            continue;
        }
        by_path.insert(path.clone(), images.len());
        images.push(ListedImage { path, boxes });
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_the_words_after_the_path_which_may_have_spaces() {
        for (row, path, words) in [
            ("a.jpg", "a.jpg", &[][..]),
            ("a.jpg 1,2,3,4,0", "a.jpg", &["1,2,3,4,0"]),
            (
                "/my photos/1, 2 .jpg  1,2,3,4,0\t5,6,7,8,1 ",
                "/my photos/1, 2 .jpg",
                &["1,2,3,4,0", "5,6,7,8,1"],
            ),
            ("D:\\a b.JPG 1,2", "D:\\a b.JPG", &["1,2"]),
        ] {
            assert_eq!(split_row(row), Some((path, words.to_vec())), "{row}");
        }
        assert_eq!(split_row("1,2,3,4,0 5,6,7,8,1"), None);
        // Each word is looked at once.
        assert_eq!(split_row(&"1,2,3,4,0 ".repeat(100_000)), None);
    }

    #[test]
    fn a_box_is_four_numbers_and_the_number_of_a_class() {
        let listed = listed_box("10,20.5,-3,40,7", 1).unwrap();
        assert_eq!(listed.bounds.corners(), [10.0, 20.5, -3.0, 40.0]);
        assert_eq!(listed.class, 7);
        for word in [
            "1,2,3,4",
            "1,2,3,4,0,5",
            "1,2,3,4,cat",
            "a,2,3,4,0",
            "1,2,3,4,-1",
            "",
        ] {
            assert_eq!(listed_box(word, 1), None, "{word}");
        }
    }
}
