//! Pascal VOC: `Annotations/<name>.xml`, `JPEGImages/<name>.jpg`, `ImageSets/Main/<split>.txt`.
//!
//! The format is described in the VOC 2007 development kit. It counts pixels from 1 and a box holds
//! the pixels of both its corners, so that the first pixel alone is the box 1, 1, 1, 1.

use super::findings::{Findings, Problem};
use super::reading::{
    RawObject, SplitRead, SplitsRead, read_image, read_images, read_text, require_distinct,
};
use crate::error::DataError;
use crate::folder;
use crate::scene::BoundingBox;
use rayon::prelude::*;
use roxmltree::{Document, Node};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Whether a folder is a VOC data set.
pub(super) fn is_voc(dir: &Path) -> bool {
    dir.join("Annotations").is_dir() && dir.join("JPEGImages").is_dir()
}

/// What one file says.
#[derive(Default)]
struct Annotation {
    /// Width and height in pixels.
    size: Option<(f64, f64)>,
    objects: Vec<NamedObject>,
    findings: Findings,
}

struct NamedObject {
    class: String,
    bounds: BoundingBox,
    difficult: bool,
    line: usize,
}

/// An image of a split and its file of annotations, if that is there.
struct Image {
    path: PathBuf,
    file: PathBuf,
    annotation: Option<Annotation>,
}

/// Reads all splits of a VOC data set.
///
/// The training split is `train.txt`, or `trainval.txt` where that is missing, or all images where
/// there is no folder `ImageSets/Main`. The classes are the lines of `classes.txt`, or else the names
/// in all splits, sorted.
pub(super) fn read(dir: &Path) -> Result<SplitsRead, DataError> {
    let images = folder::images(&dir.join("JPEGImages"))?;
    let mut ignored = images.ignored;
    let mut paths: HashMap<String, PathBuf> = HashMap::new();
    let total = images.paths.len();
    for path in images.paths {
        let name = name_below(&dir.join("JPEGImages"), &path);
        // Of two images of one name the first in order is taken.
        paths.entry(name).or_insert(path);
    }
    ignored += total - paths.len();

    let mut findings = Findings::default();
    for file in folder::files_with_extension(&dir.join("Annotations"), "xml")? {
        if !paths.contains_key(&name_below(&dir.join("Annotations"), &file)) {
            findings.add(Problem::UnknownImage, || file.display().to_string());
        }
    }
    let sets = dir.join("ImageSets/Main");
    let listed = |split: &str| {
        let file = sets.join(split).with_extension("txt");
        let read = || listed_images(dir, &file, &paths);
        file.is_file().then(read).transpose()
    };
    let (train, validation, test) = if sets.is_dir() {
        let validation = listed("val")?;
        let train = match listed("train")? {
            Some(train) => train,
            None => without(&validation, listed("trainval")?.ok_or_else(|| DataError::Layout {
                folder: sets.clone(),
                problem: "there is neither train.txt nor trainval.txt; add one of them, or remove ImageSets to split by share".into(),
            })?),
        };
        (train, validation, listed("test")?)
    } else {
        let mut names: Vec<&String> = paths.keys().collect();
        names.sort();
        let lines = names.into_iter().map(|name| (name.clone(), String::new()));
        (named_images(dir, lines.collect(), &paths)?, None, None)
    };
    let classes = match classes_file(dir)? {
        Some(classes) => classes,
        None => {
            let splits = [Some(&train), validation.as_ref(), test.as_ref()];
            let images = splits.into_iter().flatten().flat_map(|split| &split.images);
            let objects = images.flat_map(|image| image.annotation.iter().flat_map(|a| &a.objects));
            let names: BTreeSet<&String> = objects.map(|object| &object.class).collect();
            names.into_iter().cloned().collect()
        }
    };
    let split = |split: Named| read_split(split, &classes);
    Ok(SplitsRead {
        train: split(train)?,
        validation: validation.map(split).transpose()?,
        test: test.map(split).transpose()?,
        findings,
        ignored,
        root: dir.to_path_buf(),
        classes,
    })
}

/// The path below a folder without extension, with `/` between its parts.
fn name_below(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path).with_extension("");
    let parts = below
        .components()
        .map(|part| part.as_os_str().to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

/// The images of a split and what was wrong with its list.
struct Named {
    images: Vec<Image>,
    findings: Findings,
}

/// `trainval` as what is left of it for training.
fn without(validation: &Option<Named>, mut trainval: Named) -> Named {
    let validating = validation.iter().flat_map(|named| &named.images);
    let validating: HashSet<&PathBuf> = validating.map(|image| &image.path).collect();
    trainval
        .images
        .retain(|image| !validating.contains(&image.path));
    trainval
}

fn listed_images(
    dir: &Path,
    list: &Path,
    paths: &HashMap<String, PathBuf>,
) -> Result<Named, DataError> {
    let text = read_text(list)?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let names = lines
        .filter(|(_, name)| !name.is_empty())
        .map(|(line, name)| {
            let place = format!("{}, line {line}: {name}", list.display());
            (name.to_owned(), place)
        });
    named_images(dir, names.collect(), paths)
}

/// Reads the annotations of images given by name, each with the place where it is listed. Names are
/// looked up among what lies in the folder, so that none can lead out of it.
fn named_images(
    dir: &Path,
    names: Vec<(String, String)>,
    paths: &HashMap<String, PathBuf>,
) -> Result<Named, DataError> {
    let mut findings = Findings::default();
    let mut found = Vec::new();
    for (name, place) in names {
        match paths.get(&name) {
            Some(path) => found.push((name, path.clone())),
            None => {
                let leaves = super::reading::inside(dir, &name).is_none();
                let problem = match leaves {
                    true => Problem::OutsideFolder,
                    false => Problem::MissingImage,
                };
                findings.add(problem, || place);
            }
        }
    }
    let read = |(name, path): &(String, PathBuf)| {
        let file = dir.join("Annotations").join(format!("{name}.xml"));
        let annotation = file.exists().then(|| read_annotation(&file)).transpose()?;
        Ok(Image {
            path: path.clone(),
            file,
            annotation,
        })
    };
    let images: Vec<Result<Image, DataError>> = found.par_iter().map(read).collect();
    let images = images.into_iter().collect::<Result<_, _>>()?;
    Ok(Named { images, findings })
}

fn classes_file(dir: &Path) -> Result<Option<Vec<String>>, DataError> {
    let file = dir.join("classes.txt");
    if !file.is_file() {
        return Ok(None);
    }
    let text = read_text(&file)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let classes: Vec<String> = lines.map(str::to_owned).collect();
    require_distinct(&file, &classes)?;
    Ok(Some(classes))
}

fn read_split(named: Named, classes: &[String]) -> Result<SplitRead, DataError> {
    let index: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let mut split = read_images(&named.images, |image| {
        read_image(&image.path, |scene| {
            let Some(annotation) = &image.annotation else {
                let example = || image.path.display().to_string();
                scene.findings.add(Problem::WithoutLabelFile, example);
                return Ok(());
            };
            scene.findings.append(annotation.findings.clone());
            if let Some((width, height)) = annotation.size {
                scene.compare_size(width, height, image.file.display());
            }
            for object in &annotation.objects {
                let place = format!("{}, line {}", image.file.display(), object.line);
                let Some(class) = index.get(&object.class[..]) else {
                    let example = || format!("{place}: {:?}", object.class);
                    scene.findings.add(Problem::UnknownClass, example);
                    continue;
                };
                let raw = RawObject {
                    class: *class,
                    bounds: object.bounds,
                    area: None,
                    crowd: false,
                    difficult: object.difficult,
                };
                scene.add(raw, place);
            }
            Ok(())
        })
    })?;
    let mut findings = named.findings;
    findings.append(split.findings);
    split.findings = findings;
    Ok(split)
}

fn read_annotation(file: &Path) -> Result<Annotation, DataError> {
    let text = read_text(file)?;
    let document = Document::parse(&text).map_err(|error| {
        let line = error.pos().row as usize;
        let problem = format!("expected XML; {error}; mend the file or export it again");
        DataError::annotations(file, line, problem)
    })?;
    let root = document.root_element();
    if !root.has_tag_name("annotation") {
        let found = root.tag_name().name();
        let problem = format!("expected VOC's element annotation, found {found}; export it again");
        return Err(DataError::annotations(file, 1, problem));
    }
    let mut annotation = Annotation {
        size: child(root, "size")
            .and_then(|size| Some((number(size, "width")?, number(size, "height")?))),
        ..Annotation::default()
    };
    for node in root.children().filter(|node| node.has_tag_name("object")) {
        let line = document.text_pos_at(node.range().start).row as usize;
        match read_object(node, line) {
            Ok(object) => annotation.objects.push(object),
            Err(missing) => annotation.findings.add(Problem::Malformed, || {
                format!("{}, line {line}: expected {missing}", file.display())
            }),
        }
    }
    Ok(annotation)
}

/// An object, or what it lacks. Its parts, which have boxes of their own, are passed over.
fn read_object(node: Node, line: usize) -> Result<NamedObject, &'static str> {
    let class = text(node, "name").filter(|name| !name.is_empty());
    let corners = child(node, "bndbox").ok_or("an element bndbox")?;
    let corner = |name| number(corners, name).ok_or("bndbox with numbers xmin, ymin, xmax, ymax");
    Ok(NamedObject {
        class: class.ok_or("an element name")?.to_owned(),
        bounds: BoundingBox {
            left: corner("xmin")? - 1.0,
            top: corner("ymin")? - 1.0,
            right: corner("xmax")?,
            bottom: corner("ymax")?,
        },
        difficult: text(node, "difficult") == Some("1"),
        line,
    })
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    Some(child(node, name)?.text().unwrap_or("").trim())
}

fn number(node: Node, name: &str) -> Option<f64> {
    text(node, name)?.parse().ok()
}
