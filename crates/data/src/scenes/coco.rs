//! COCO: files of annotations, one for each split, and the images that they name.
//!
//! Tools put them in places of their own: `annotations/instances_<split>.json` with `<split>/` (COCO's
//! own), `annotations/<split>.json` with `images/`, `<split>/_annotations.coco.json` among the images
//! (Roboflow), `annotations/instances_default.json` with `images/default/` (CVAT), `result.json` with
//! `images/` (Label Studio). So the files are known by what is in them, and the images are looked up by
//! their names.

use super::coco_json::{Annotation, Category, CocoFile, Image, key, read as read_file};
use super::findings::{Findings, Problem};
use super::json_kind::JsonKind;
use super::label_listing::LabelListing;
use super::pictures::{Base, Name, Pictures, parts_below};
use super::reading::{RawObject, SplitRead, SplitsRead, read_image, read_images};
use super::splitting::{by_split, folder_kind};
use crate::error::DataError;
use crate::scene::BoundingBox;
use crate::split_kind::SplitKind;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// The first file of annotations in COCO's form.
pub(super) fn sign(labels: &LabelListing) -> Option<PathBuf> {
    labels.of_kind(JsonKind::Coco).next().cloned()
}

/// Reads all splits of a COCO data set. The classes are the categories of the training split in the
/// order of their ids; other splits are matched by name.
pub(super) fn read(dir: &Path, labels: &LabelListing) -> Result<SplitsRead, DataError> {
    let files: Vec<PathBuf> = labels.of_kind(JsonKind::Coco).cloned().collect();
    let split_files = by_split(dir, &files)?;
    let pictures = Pictures::below(dir)?;
    let mut findings = Findings::default();
    let others = labels.json.iter().filter(|(_, kind)| kind.is_none());
    for file in split_files
        .unused
        .iter()
        .chain(others.map(|(path, _)| path))
    {
        findings.add(Problem::NotUsed, || shown(file));
    }
    let kinds: Vec<SplitKind> = split_files.files.iter().map(|(kind, _)| *kind).collect();
    let mut reader = Reader {
        dir,
        pictures,
        classes: HashMap::new(),
        class_names: Vec::new(),
        used: HashSet::new(),
    };
    let mut splits = HashMap::new();
    for (kind, file) in &split_files.files {
        let others: Vec<SplitKind> = kinds
            .iter()
            .copied()
            .filter(|other| other != kind)
            .collect();
        splits.insert(*kind, reader.split(*kind, file, &others)?);
    }
    let used = reader.used.iter().map(PathBuf::as_path).collect();
    let (unused, folders) = reader.pictures.unused(&used);
    for folder in folders {
        findings.add(Problem::NotUsed, || folder);
    }
    let ignored = unused + reader.pictures.others;
    Ok(SplitsRead {
        classes: reader.class_names,
        train: splits.remove(&SplitKind::Train).unwrap_or_default(),
        validation: splits.remove(&SplitKind::Validation),
        test: splits.remove(&SplitKind::Test),
        findings,
        ignored: ignored.saturating_sub(kinds.len()),
        root: dir.to_path_buf(),
    })
}

struct Reader<'a> {
    dir: &'a Path,
    pictures: Pictures,
    /// Index of each class name.
    classes: HashMap<String, usize>,
    class_names: Vec<String>,
    /// Images that are in a split.
    used: HashSet<PathBuf>,
}

/// An image with the annotations of all its entries.
struct Entry {
    path: PathBuf,
    image: Image,
    /// True if another image has its id, so that the owner of the annotations is unknown.
    shares_id: bool,
    /// Each with whether it is of a later entry.
    annotations: Vec<(Annotation, bool)>,
}

impl Reader<'_> {
    fn split(
        &mut self,
        kind: SplitKind,
        path: &Path,
        others: &[SplitKind],
    ) -> Result<SplitRead, DataError> {
        let mut file = read_file(path)?;
        let mut findings = std::mem::take(&mut file.findings);
        if kind == SplitKind::Train {
            for group in file.take_groups() {
                findings.add(Problem::GroupClass, || {
                    message!("{}: {:?}", shown(path), group)
                });
            }
            self.class_names = file.categories.iter().map(|c| c.name.clone()).collect();
            self.classes = self.class_names.iter().cloned().zip(0..).collect();
        }
        let fractions = file.has_fractions();
        let CocoFile {
            images,
            annotations,
            categories,
            ..
        } = file;
        let named = images
            .into_iter()
            .map(|image| (Name::new(&image.file_name), image));
        let named: Vec<(Option<Name>, Image)> = named.collect();
        let base = self.base(kind, path, &named, others)?;
        let mut entries = Entries::default();
        for (name, image) in named {
            entries.add_image(path, &self.pictures, &base, name, image, &mut findings);
        }
        for annotation in annotations {
            entries.add_annotation(path, annotation, &mut findings);
        }
        entries.all.retain(|entry| !entry.shares_id);
        let class_of = self.class_of(&categories);
        let mut split = read_images(&entries.all, |entry| {
            read_entry(entry, path, &class_of, fractions)
        })?;
        findings.append(split.findings);
        split.findings = findings;
        self.used
            .extend(entries.all.into_iter().map(|entry| entry.path));
        Ok(split)
    }

    /// The class of every category id, none where the training split does not have it.
    fn class_of(&self, categories: &[Category]) -> HashMap<String, Option<usize>> {
        let class = |category: &Category| self.classes.get(&category.name).copied();
        let classes = categories.iter().map(|c| (c.id.clone(), class(c)));
        classes.collect()
    }

    /// The folder that the images of a file are in.
    fn base(
        &self,
        kind: SplitKind,
        file: &Path,
        named: &[(Option<Name>, Image)],
        others: &[SplitKind],
    ) -> Result<Base, DataError> {
        let names: Vec<&Name> = named.iter().filter_map(|(name, _)| name.as_ref()).collect();
        if let Some(base) = self.pictures.base(&names, kind, others) {
            return Ok(base);
        }
        // If all pictures are missing, their folder must at least exist.
        let own = parts_below(self.dir, file.parent().unwrap_or(self.dir));
        if folder_kind(&own.iter().collect::<PathBuf>()) == Some(kind) {
            return Ok(own);
        }
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = stem.strip_prefix("instances_").unwrap_or(&stem);
        let folders = [name, "images"].into_iter();
        let mut folders = folders.filter(|folder| self.dir.join(folder).is_dir());
        if let Some(folder) = folders.next() {
            return Ok(vec![folder.to_owned()]);
        }
        let (file, count) = (shown(file), named.len());
        let problem = match SplitKind::of(name) {
            Some(_) => {
                message!("{file} needs the folder {name} of its images beside annotations; add it")
            }
            None => {
                message!(
                    "{file} names {count} images, and none of them is in this folder; add them"
                )
            }
        };
        Err(DataError::Layout {
            folder: self.dir.to_path_buf(),
            problem,
        })
    }
}

/// The images of one file while their annotations come in.
#[derive(Default)]
struct Entries {
    all: Vec<Entry>,
    /// Index of the image of each id, and whether the id is of a later entry of it.
    by_id: HashMap<String, (usize, bool)>,
    by_path: HashMap<PathBuf, usize>,
    /// Ids of images that are in no folder of the data set.
    left_out: HashSet<String>,
}

impl Entries {
    fn add_image(
        &mut self,
        file: &Path,
        pictures: &Pictures,
        base: &Base,
        name: Option<Name>,
        image: Image,
        findings: &mut Findings,
    ) {
        let place = || message!("{}, image {}", shown(file), image.index);
        let Some(id) = key(&image.id) else {
            return findings.add(Problem::Malformed, || message!("{}: it has no id", place()));
        };
        let is_foreign = name.as_ref().is_some_and(|name| name.is_foreign);
        let fits = name
            .as_ref()
            .map_or(0, |name| pictures.count_called(base, name));
        let Some(path) = name.and_then(|name| pictures.of_name(base, &name)) else {
            self.left_out.insert(id);
            return findings.add(Problem::OutsideFolder, || {
                let (place, name) = (place(), &image.file_name);
                if fits > 1 {
                    message!(
                        "{place}: the file_name {name:?} fits several images in different folders; write the folder into it"
                    )
                } else if is_foreign {
                    message!(
                        "{place}: the file_name {name:?} starts elsewhere (it is absolute, or has ..), and its end leads to no image of the split; make it relative to the folder of the images"
                    )
                } else {
                    message!("{place}: the file_name {name:?} names no file")
                }
            });
        };
        if is_foreign {
            findings.add(Problem::ForeignName, || {
                message!("{}: {:?} is {}", place(), image.file_name, shown(&path))
            });
        }
        if let Some((first, _)) = self.by_id.get(&id) {
            let first = &mut self.all[*first];
            if first.path != path && path.exists() {
                let mut add = |name: &str| {
                    findings.add(Problem::SharedId, || {
                        message!("{}, id {id}: {name:?}", shown(file))
                    });
                };
                if !first.shares_id {
                    add(&first.image.file_name);
                }
                first.shares_id = true;
                return add(&image.file_name);
            }
            return findings.add(Problem::RepeatedImage, || {
                message!("{}: the id {id} is already another image's", place())
            });
        }
        if let Some(first) = self.by_path.get(&path) {
            self.by_id.insert(id, (*first, true));
            return findings.add(Problem::RepeatedImage, || {
                message!("{}: {:?} again", place(), image.file_name)
            });
        }
        self.by_id.insert(id, (self.all.len(), false));
        self.by_path.insert(path.clone(), self.all.len());
        self.all.push(Entry {
            path,
            image,
            shares_id: false,
            annotations: Vec::new(),
        });
    }

    fn add_annotation(&mut self, file: &Path, annotation: Annotation, findings: &mut Findings) {
        let id = key(&annotation.image_id);
        let image = id.as_ref().and_then(|id| self.by_id.get(id));
        let Some((image, is_later)) = image else {
            // The image's own finding covers the annotations of an image that is left out.
            if !id.is_some_and(|id| self.left_out.contains(&id)) {
                findings.add(Problem::UnknownImage, || {
                    let id = &annotation.image_id;
                    message!("{}: there is no image {id}", annotation.place(file))
                });
            }
            return;
        };
        self.all[*image].annotations.push((annotation, *is_later));
    }
}

fn read_entry(
    entry: &Entry,
    file: &Path,
    class_of: &HashMap<String, Option<usize>>,
    fractions: bool,
) -> Result<SplitRead, DataError> {
    read_image(&entry.path, |scene| {
        if let Some((width, height)) = entry.image.size() {
            scene.compare_size(width, height, shown(&entry.path));
        }
        for (annotation, is_later) in &entry.annotations {
            let place = annotation.place(file);
            let class = key(&annotation.category_id).and_then(|id| class_of.get(&id));
            let Some(Some(class)) = class else {
                let id = &annotation.category_id;
                let example = || message!("{place}: category {id}");
                scene.findings.add(Problem::UnknownClass, example);
                continue;
            };
            if *is_later {
                scene
                    .findings
                    .add(Problem::MergedObject, || place.to_string());
            }
            let [left, top, width, height] = annotation.bbox.map(|number| number.0);
            let bounds = BoundingBox {
                left,
                top,
                right: left + width,
                bottom: top + height,
            };
            let mut object = RawObject {
                class: *class,
                bounds,
                area: annotation.area(),
                crowd: annotation.is_crowd(),
                difficult: false,
            };
            if fractions {
                scene
                    .findings
                    .add(Problem::FractionBox, || place.to_string());
                object.bounds = scene.in_pixels(bounds);
                // An area of at most one is a fraction, too.
                object.area = object.area.filter(|area| *area > 1.0);
            }
            scene.add(object, place);
        }
        Ok(())
    })
}
