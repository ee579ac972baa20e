//! Listing folders: regular files only, sorted, without hidden ones, links to folders followed once.

use crate::error::DataError;
use crate::file_types::{IMAGES, is_archive};
use crate::folder_names::is_of_system;
use crate::packed::pictures_in;
use crate::skipped::Skipped;
use rayon::prelude::*;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{DirEntry, Metadata};
use std::path::{Path, PathBuf};
use warmstart_language::message;

pub(crate) use crate::file_types::{has_extension, is_image};

/// Folders for each thread that are listed before their files join the others.
const FOLDERS_OF_A_THREAD: usize = 8;

/// Contents directly in a folder, in the order of names.
#[derive(Default)]
pub(crate) struct Entries {
    pub folders: Vec<PathBuf>,
    /// Files that are images by their extension.
    pub images: Vec<PathBuf>,
    /// Other regular files.
    pub others: Vec<PathBuf>,
    /// All that is neither, and the others by type.
    pub skipped: Skipped,
}

/// Contents of a folder at any depth.
#[derive(Default)]
pub(crate) struct Images {
    /// Files that are images by their extension, sorted.
    pub paths: Vec<PathBuf>,
    /// Other regular files, sorted.
    pub others: Vec<PathBuf>,
    /// All that is not listed, and the others by type.
    pub skipped: Skipped,
    /// The folders directly in it, sorted.
    pub folders: Vec<PathBuf>,
}

/// The folder of a data set that is named by its folder, or by the `data.yaml`, the `obj.data`, the text list, the
/// table or the archive in it.
pub fn data_folder(data: &Path) -> &Path {
    let describes = ["yaml", "yml", "data", "txt", "csv", "tsv", "jsonl", "tar"]
        .iter()
        .any(|extension| has_extension(data, extension));
    match data.parent() {
        Some(folder) if describes && data.is_file() => folder,
        Some(_) | None => data,
    }
}

/// The images that a path stands for: the file itself, those in the archive, or those below the folder, sorted; and
/// what in the folder is not used. A folder without an image stands for those in its archives.
///
/// # Errors
/// If there is nothing of that name, no image in the folder, or something that is neither a folder nor a
/// regular file.
pub fn image_files(path: &Path) -> Result<(Vec<PathBuf>, Skipped), DataError> {
    let metadata = metadata(path)?;
    if metadata.is_file() && is_archive(path) {
        return pictures_in(&[path.to_path_buf()]);
    }
    if metadata.is_file() {
        return Ok((vec![path.to_path_buf()], Skipped::default()));
    }
    let layout = |problem| DataError::Layout {
        folder: path.to_path_buf(),
        problem,
    };
    if !metadata.is_dir() {
        let problem = message!(
            "it is a pipe, a socket or a device; expected a picture or a folder of pictures"
        );
        return Err(layout(problem));
    }
    let mut found = images(path)?;
    found.others.retain(|file| is_archive(file));
    if found.paths.is_empty() && !found.others.is_empty() {
        return pictures_in(&found.others);
    }
    if found.paths.is_empty() {
        let others = found.skipped.unsupported();
        let others = others.map_or(String::new(), |files| message!(", but {files}"));
        let problem = message!("there is no image in it ({}){others}", IMAGES.join(", "));
        return Err(layout(problem));
    }
    Ok((found.paths, found.skipped))
}

/// Finds the images in a folder and the folders inside it.
///
/// # Errors
/// If it is not a folder, or it or one inside it cannot be read.
pub(crate) fn images(dir: &Path) -> Result<Images, DataError> {
    check_folder(dir)?;
    let mut found = Images::default();
    list_below(dir, &mut found)?;
    for list in [&mut found.paths, &mut found.others] {
        // Mostly long sorted stretches, one for each depth and each link, which this sort merges.
        if !list.is_sorted() {
            list.sort();
        }
    }
    Ok(found)
}

/// Lists a folder and the folders inside it, many at a time: the folders of one depth after those of the depth above.
fn list_below(dir: &Path, found: &mut Images) -> Result<(), DataError> {
    let mut visited = above(dir);
    let together = FOLDERS_OF_A_THREAD * rayon::current_num_threads();
    let mut waiting = vec![dir.to_path_buf()];
    // Links wait until all real folders are listed: what lies here is called by its own name.
    let mut links = Vec::new();
    loop {
        let mut linked: Vec<(PathBuf, Vec<PathBuf>)> = Vec::new();
        while !waiting.is_empty() {
            let identities = waiting.into_par_iter().map(|folder| {
                let identity = identity(&folder, &metadata(&folder)?);
                Ok((folder, identity))
            });
            let identities: Vec<Result<_, DataError>> = identities.collect();
            let mut fresh = Vec::new();
            for found_there in identities {
                let (folder, identity) = found_there?;
                if visited.insert(identity) {
                    fresh.push(folder);
                } else {
                    found.skipped.add_repeated(folder);
                }
            }
            waiting = Vec::new();
            // The lists of a few folders at a time: those of all would be there twice.
            for fresh in fresh.chunks(together) {
                let inside = fresh.par_iter().map(|folder| entries(folder));
                let inside: Vec<Result<Entries, DataError>> = inside.collect();
                for (path, inside) in fresh.iter().zip(inside) {
                    let inside = inside?;
                    if path == dir {
                        found.folders.clone_from(&inside.folders);
                    }
                    let (of_links, real): (Vec<_>, Vec<_>) = inside
                        .folders
                        .into_iter()
                        .partition(|path| path.is_symlink());
                    waiting.extend(real);
                    if !of_links.is_empty() {
                        linked.push((path.clone(), of_links));
                    }
                    found.skipped += inside.skipped;
                    found.paths.extend(inside.images);
                    found.others.extend(inside.others);
                }
            }
        }
        // The last link is followed first: of two to one folder, the one in the first folder and deepest in it names it.
        linked.sort_unstable_by(|(a, _), (b, _)| last_first(a, b));
        links.extend(linked.into_iter().flat_map(|(_, links)| links));
        match links.pop() {
            Some(link) => waiting = vec![link],
            None => return Ok(()),
        }
    }
}

/// The order of two folders in which the last of those beside each other comes first, and a folder before those inside
/// it.
fn last_first(a: &Path, b: &Path) -> Ordering {
    let (mut a, mut b) = (a.components(), b.components());
    loop {
        match (a.next(), b.next()) {
            (Some(part), Some(other)) if part == other => {}
            (Some(part), Some(other)) => return other.cmp(&part),
            (Some(_), None) => return Ordering::Greater,
            (None, Some(_)) => return Ordering::Less,
            (None, None) => return Ordering::Equal,
        }
    }
}

/// The files with an extension in a folder and the folders inside it, sorted.
pub(crate) fn files_with_extension(dir: &Path, extension: &str) -> Result<Vec<PathBuf>, DataError> {
    let mut files = images(dir)?.others;
    files.retain(|path| has_extension(path, extension));
    Ok(files)
}

/// Lists what lies directly in a folder.
///
/// # Errors
/// If it is not a folder or cannot be read.
pub(crate) fn entries(dir: &Path) -> Result<Entries, DataError> {
    check_folder(dir)?;
    let unreadable = |source| DataError::read(dir, source);
    let mut entries = Entries::default();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        match visibility(&name) {
            Visibility::OfSystem => continue,
            Visibility::Hidden => {
                entries.skipped.add_hidden();
                continue;
            }
            Visibility::Visible => {}
        }
        let path = joined(dir, &name);
        match kind(&entry, &path).map_err(|source| DataError::read(&path, source))? {
            Kind::Folder => entries.folders.push(path),
            Kind::Special => entries.skipped.add_special(path),
            Kind::File if is_image(&path) => entries.images.push(path),
            Kind::File => {
                entries.skipped.add_type(&path);
                entries.others.push(path);
            }
        }
    }
    for list in [
        &mut entries.folders,
        &mut entries.images,
        &mut entries.others,
    ] {
        list.sort_unstable();
        // There may be a million of them.
        list.shrink_to_fit();
    }
    Ok(entries)
}

/// The path of a file in a folder, in no more memory than it needs: [`Path::join`] takes up to twice of it.
fn joined(dir: &Path, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::with_capacity(dir.as_os_str().len() + 1 + name.len());
    path.push(dir);
    path.push(name);
    path
}

enum Kind {
    Folder,
    File,
    /// A pipe, a socket or a device, also behind a link.
    Special,
}

fn kind(entry: &DirEntry, path: &Path) -> std::io::Result<Kind> {
    // Known without asking for each file on most file systems.
    let mut kind = entry.file_type()?;
    if kind.is_symlink() {
        match std::fs::metadata(path) {
            Ok(target) => kind = target.file_type(),
            // Said with the files that cannot be read.
            Err(_) => return Ok(Kind::File),
        }
    }
    Ok(if kind.is_dir() {
        Kind::Folder
    } else if kind.is_file() {
        Kind::File
    } else {
        Kind::Special
    })
}

enum Visibility {
    Visible,
    Hidden,
    OfSystem,
}

fn visibility(name: &OsStr) -> Visibility {
    if is_of_system(name) {
        Visibility::OfSystem
    } else if name.as_encoded_bytes().starts_with(b".") {
        Visibility::Hidden
    } else {
        Visibility::Visible
    }
}

fn check_folder(dir: &Path) -> Result<(), DataError> {
    if metadata(dir)?.is_dir() {
        Ok(())
    } else {
        Err(DataError::NotAFolder(dir.to_path_buf()))
    }
}

fn metadata(path: &Path) -> Result<Metadata, DataError> {
    std::fs::metadata(path).map_err(|source| DataError::read(path, source))
}

/// The folders that hold a folder: a link to one of them leads out of the data, or around in it.
fn above(dir: &Path) -> HashSet<Identity> {
    let real = std::fs::canonicalize(dir).unwrap_or_default();
    let folders = real.ancestors().skip(1);
    folders
        .filter_map(|folder| Some(identity(folder, &std::fs::metadata(folder).ok()?)))
        .collect()
}

/// Device and inode of a folder or a file, the same by whatever path it is reached.
#[cfg(unix)]
pub(crate) type Identity = (u64, u64);

#[cfg(unix)]
pub(crate) fn identity(_: &Path, metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
pub(crate) type Identity = PathBuf;

#[cfg(not(unix))]
pub(crate) fn identity(folder: &Path, _: &Metadata) -> Identity {
    std::fs::canonicalize(folder).unwrap_or(folder.to_path_buf())
}
