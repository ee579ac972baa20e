//! YOLO: a `data.yaml`, and a text file of boxes beside or instead of every image.
//!
//! A line is a class index and a box, `class x y width height` with the box's centre, all in fractions
//! of the image; or a class index and the outline of an object, `class x1 y1 x2 y2 x3 y3 …`, of which
//! the bounding box is taken.

use super::data_yaml::read_data_yaml;
use super::findings::{Findings, Problem};
use super::reading::{
    RawObject, SceneBuilder, SplitRead, SplitsRead, read_image, read_images, read_text,
};
use crate::error::DataError;
use crate::folder;
use crate::scene::BoundingBox;
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

/// The `data.yaml` of a folder.
pub(super) fn configuration(dir: &Path) -> Option<PathBuf> {
    let files = ["data.yaml", "data.yml"].map(|name| dir.join(name));
    files.into_iter().find(|file| file.is_file())
}

/// Reads all splits of a YOLO data set.
///
/// Splits are relative to `path`, which is relative to the folder of the file; where there is no such
/// folder (it is written for the place that the data was made in), to the folder of the file.
pub(super) fn read(dir: &Path, file: &Path) -> Result<SplitsRead, DataError> {
    let data = read_data_yaml(file)?;
    let root = data.path.map(|path| dir.join(path));
    let root = root
        .filter(|root| root.is_dir())
        .unwrap_or(dir.to_path_buf());
    let mut read = SplitsRead {
        classes: data.names,
        train: SplitRead::default(),
        validation: None,
        test: None,
        findings: Findings::default(),
        ignored: 0,
        root,
    };
    let places = |names: &[String]| -> Result<Vec<PathBuf>, String> {
        let place = |name: &String| located(&read.root, name).ok_or(name.clone());
        names.iter().map(place).collect()
    };
    let required = |key: &str, names: &[String]| {
        places(names).map_err(|name| {
            let root = read.root.display();
            let problem =
                format!("{key}: there is no {name} in {root}; mend the path or path: above it");
            DataError::annotations(file, 1, problem)
        })
    };
    let train = required("train", &data.train)?;
    let validation = required("val", &data.validation)?;
    // A data.yaml that always names a test folder is common, and training can do without.
    let test = places(&data.test).unwrap_or_else(|name| {
        let example = || format!("{}, test: {name}", file.display());
        read.findings.add(Problem::MissingSplit, example);
        Vec::new()
    });
    let classes = read.classes.len();
    let mut split =
        |places: Vec<PathBuf>| read_split(&places, &read.root, classes, &mut read.ignored);
    read.train = split(train)?;
    if !validation.is_empty() {
        read.validation = Some(split(validation)?);
    }
    if !test.is_empty() {
        read.test = Some(split(test)?);
    }
    Ok(read)
}

/// Where a split is. Some exports write `../train/images` for what lies beside the file.
fn located(root: &Path, name: &str) -> Option<PathBuf> {
    let mut places = vec![root.join(name)];
    places.extend(name.strip_prefix("../").map(|below| root.join(below)));
    places.into_iter().find(|place| place.exists())
}

fn read_split(
    places: &[PathBuf],
    root: &Path,
    classes: usize,
    ignored: &mut usize,
) -> Result<SplitRead, DataError> {
    let mut findings = Findings::default();
    let mut images = Vec::new();
    for place in places {
        if place.is_dir() {
            let found = folder::images(place)?;
            let (labels, others) = stray_labels(place, &found.paths)?;
            for label in labels {
                findings.add(Problem::UnknownImage, || label.display().to_string());
            }
            *ignored += found.ignored.saturating_sub(others);
            images.extend(found.paths);
        } else {
            images.extend(listed_images(place, root)?);
        }
    }
    let mut split = read_images(&images, |image| {
        read_image(image, |scene| {
            let Some(labels) = label_file(image) else {
                let example = || image.display().to_string();
                scene.findings.add(Problem::WithoutLabelFile, example);
                return Ok(());
            };
            let bytes =
                std::fs::read(&labels).map_err(|source| DataError::read(&labels, source))?;
            // What is no UTF-8 becomes a character that is no number: one line is lost.
            let text = String::from_utf8_lossy(&bytes);
            let text = text.trim_start_matches('\u{feff}');
            for (line, content) in (1..).zip(text.lines()) {
                add_line(scene, content, classes, &labels, line);
            }
            Ok(())
        })
    })?;
    findings.append(split.findings);
    split.findings = findings;
    Ok(split)
}

/// The images in a text file with one path a line, relative to that file or to the data set.
fn listed_images(list: &Path, root: &Path) -> Result<Vec<PathBuf>, DataError> {
    let text = read_text(list)?;
    let beside = list.parent().unwrap_or(root);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines
        .map(|line| {
            let line = line.strip_prefix("./").unwrap_or(line);
            let places = [beside.join(line), root.join(line)];
            let found = places.iter().find(|place| place.exists());
            found.unwrap_or(&places[0]).clone()
        })
        .collect())
}

/// The folder or file with the last `images` in its path replaced by `labels`.
fn in_labels(path: &Path) -> Option<PathBuf> {
    let components: Vec<Component> = path.components().collect();
    let last = components
        .iter()
        .rposition(|part| part.as_os_str() == "images")?;
    let renamed = components
        .iter()
        .enumerate()
        .map(|(index, part)| match index == last {
            true => Component::Normal("labels".as_ref()),
            false => *part,
        });
    Some(renamed.collect())
}

/// The file of an image's boxes, if there is one.
fn label_file(image: &Path) -> Option<PathBuf> {
    let beside = image.with_extension("txt");
    let places = [in_labels(&beside), Some(beside)];
    places.into_iter().flatten().find(|place| place.exists())
}

/// Label files below a folder of images whose image is not there, and how many label files lie among
/// the images.
fn stray_labels(folder: &Path, images: &[PathBuf]) -> Result<(Vec<PathBuf>, usize), DataError> {
    let labels = in_labels(folder).filter(|labels| labels.is_dir());
    let place = labels.as_deref().unwrap_or(folder);
    let known: HashSet<PathBuf> = images
        .iter()
        .filter_map(|image| label_file(image))
        .collect();
    let mut stray = folder::files_with_extension(place, "txt")?;
    let all = stray.len();
    // The list of the classes that labelling tools write.
    stray.retain(|label| !known.contains(label) && !label.ends_with("classes.txt"));
    Ok((stray, if labels.is_none() { all } else { 0 }))
}

fn add_line(scene: &mut SceneBuilder, content: &str, classes: usize, file: &Path, line: usize) {
    let place = format!("{}, line {line}", file.display());
    let numbers: Vec<Result<f64, &str>> = content
        .split_whitespace()
        .map(|word| word.parse().map_err(|_| word))
        .collect();
    if numbers.is_empty() {
        return;
    }
    if let Some(word) = numbers.iter().find_map(|number| number.err()) {
        let example = || format!("{place}: expected numbers, found {word:?}");
        return scene.findings.add(Problem::Malformed, example);
    }
    let numbers: Vec<f64> = numbers.into_iter().flatten().collect();
    let (class, position) = (numbers[0], &numbers[1..]);
    let outline = position.len() >= 6 && position.len().is_multiple_of(2);
    if position.len() != 4 && !outline {
        let found = numbers.len();
        return scene.findings.add(Problem::Malformed, || {
            format!(
                "{place}: expected class x y width height, or class and an outline of three points or more, found {found} numbers"
            )
        });
    }
    if !(class >= 0.0 && class < classes as f64 && class.fract() == 0.0) {
        return scene.findings.add(Problem::UnknownClass, || {
            let last = classes - 1;
            format!("{place}: expected a class from 0 to {last}, found {class}")
        });
    }
    let (width, height) = scene.size();
    let [left, top, right, bottom] = match *position {
        [x, y, w, h] => [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0],
        _ => around(position),
    };
    let bounds = BoundingBox {
        left: left * width,
        top: top * height,
        right: right * width,
        bottom: bottom * height,
    };
    let object = RawObject {
        class: class as usize,
        bounds,
        area: None,
        crowd: false,
        difficult: false,
    };
    scene.add(object, place);
}

/// Left, top, right and bottom of points; not a number if one of them is none.
fn around(points: &[f64]) -> [f64; 4] {
    if points.iter().any(|value| value.is_nan()) {
        return [f64::NAN; 4];
    }
    let (points, _) = points.as_chunks::<2>();
    let start = [f64::INFINITY, f64::INFINITY, -f64::INFINITY, -f64::INFINITY];
    points
        .iter()
        .fold(start, |[left, top, right, bottom], [x, y]| {
            [left.min(*x), top.min(*y), right.max(*x), bottom.max(*y)]
        })
}
