//! The folder that a VOC data set lies in, and how it is recognised.
//!
//! ```text
//! Annotations/ JPEGImages/           the development kit, in any case of letters
//! annotations/ images/               Kaggle, and LabelImg with two folders of any name
//! train/ valid/ test/                Roboflow: annotations beside the pictures of each split
//! a.jpg a.xml                        LabelImg
//! VOCdevkit/VOC2007/…                one of them, further down
//! ```

use crate::error::DataError;
use crate::folder::is_image;
use crate::folder_names::{is_labels, is_of_system, is_pictures};
use crate::split_kind::SplitKind;
use crate::text::start_of;
use std::path::{Path, PathBuf};
use warmstart_files::shown;
use warmstart_language::message;

/// The depth below the given folder at which a data set is looked for: `archive/VOCdevkit/VOC2007`.
const MAX_DEPTH: usize = 3;

/// Bytes at the start of a file that hold its outermost element.
const START: u64 = 4096;

/// Annotations in a folder that are looked into: one may be another tool's.
const TRIED: usize = 5;

/// The folder of the data set that lies in `dir` or is all that lies in it; none if there is no VOC data
/// set.
///
/// # Errors
/// If there are several.
pub(super) fn find(dir: &Path) -> Result<Option<PathBuf>, DataError> {
    let mut roots = Vec::new();
    collect_roots(dir, 0, &mut roots);
    match &roots[..] {
        [] => Ok(None),
        [root] => Ok(Some(root.clone())),
        _ => {
            let names: Vec<String> = roots.iter().map(|root| shown(root)).collect();
            Err(DataError::Layout {
                folder: dir.to_path_buf(),
                problem: message!(
                    "there are {} Pascal VOC data sets in it; give one of {}",
                    names.len(),
                    names.join(", ")
                ),
            })
        }
    }
}

fn collect_roots(dir: &Path, depth: usize, roots: &mut Vec<PathBuf>) {
    let listing = Listing::of(dir);
    if is_root(&listing) {
        roots.push(dir.to_path_buf());
    } else if depth < MAX_DEPTH {
        let is_only = listing.folders.len() == 1;
        for (name, folder) in &listing.folders {
            if is_only || name.starts_with("voc") {
                collect_roots(folder, depth + 1, roots);
            }
        }
    }
}

/// Contents directly in a folder, in the order of names; nothing if it cannot be read.
struct Listing {
    /// Names in small letters and paths.
    folders: Vec<(String, PathBuf)>,
    has_pictures: bool,
    xml: Vec<PathBuf>,
}

impl Listing {
    fn of(dir: &Path) -> Self {
        let mut listing = Self {
            folders: Vec::new(),
            has_pictures: false,
            xml: Vec::new(),
        };
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_system = is_of_system(&entry.file_name());
            let name = entry.file_name().to_string_lossy().to_lowercase();
            if is_system || name.starts_with('.') {
                continue;
            }
            if is_image(&path) {
                listing.has_pictures = true;
            } else if name.ends_with(".xml") {
                listing.xml.push(path);
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir())
                || entry.file_type().is_ok_and(|kind| kind.is_symlink()) && path.is_dir()
            {
                listing.folders.push((name, path));
            }
        }
        listing.folders.sort();
        listing.xml.sort();
        listing
    }

    fn has_annotations(&self) -> bool {
        self.xml.iter().take(TRIED).any(|file| is_annotation(file))
    }
}

/// Returns whether a file's outermost element is VOC's.
fn is_annotation(file: &Path) -> bool {
    let Ok((start, _)) = start_of(file, START) else {
        return false;
    };
    let mut tags = start.split("<annotation").skip(1);
    tags.any(|rest| rest.starts_with(|next: char| !next.is_alphanumeric()))
}

fn is_root(listing: &Listing) -> bool {
    if has_pair(listing) {
        return true;
    }
    listing.folders.iter().any(|(name, folder)| {
        let listing = Listing::of(folder);
        match &listing.folders[..] {
            _ if SplitKind::of(name).is_some() => has_pair(&listing),
            // Kaggle's archives: train_zip/train.
            [(inner, folder)] if SplitKind::of(inner).is_some() => has_pair(&Listing::of(folder)),
            _ => false,
        }
    })
}

/// Returns whether there are annotations and pictures, in a folder each or in one.
fn has_pair(listing: &Listing) -> bool {
    let named = |name: &str| listing.folders.iter().any(|(found, _)| found == name);
    if named("annotations") && named("jpegimages")
        || listing.has_pictures && listing.has_annotations()
    {
        return true;
    }
    let inside: Vec<(&str, Listing)> = match listing.folders.len() {
        // LabelImg writes into any folder; two of them are not classes where one has no picture.
        0..=2 => listing
            .folders
            .iter()
            .map(|(name, folder)| (&name[..], Listing::of(folder)))
            .collect(),
        _ => {
            let folders = listing.folders.iter();
            let named = folders.filter(|(name, _)| is_labels(name) || is_pictures(name));
            named
                .map(|(name, folder)| (&name[..], Listing::of(folder)))
                .collect()
        }
    };
    // A folder of either kind may have folders for splits, or Oxford's xmls/, in it.
    let below = |listing: &Listing, has: fn(&Listing) -> bool| {
        has(listing)
            || listing
                .folders
                .iter()
                .any(|(_, folder)| has(&Listing::of(folder)))
    };
    let has_pictures = listing.has_pictures
        || inside
            .iter()
            .any(|(name, inner)| !is_labels(name) && below(inner, |listing| listing.has_pictures));
    let has_annotations = listing.has_annotations()
        || inside.iter().any(|(name, inner)| {
            let is_other = !is_labels(name) && below(inner, |listing| listing.has_pictures);
            !is_other && below(inner, Listing::has_annotations)
        });
    has_pictures && has_annotations
}
