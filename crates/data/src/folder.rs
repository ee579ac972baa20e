//! Listing folders: regular files only, sorted, without hidden ones, links to folders followed once.

use crate::error::DataError;
use crate::folder_names::is_of_system;
use crate::skipped::Skipped;
use std::collections::HashSet;
use std::fs::{DirEntry, Metadata};
use std::path::{Path, PathBuf};
use warmstart_language::message;

/// Extensions that are taken for images.
const EXTENSIONS: [&str; 9] = [
    "jpg", "jpeg", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff",
];

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

/// The folder of a data set that is named by its folder, or by the `data.yaml`, the `obj.data` or the text list in
/// it.
pub fn data_folder(data: &Path) -> &Path {
    let describes = ["yaml", "yml", "data", "txt"]
        .iter()
        .any(|extension| has_extension(data, extension));
    match data.parent() {
        Some(folder) if describes && data.is_file() => folder,
        Some(_) | None => data,
    }
}

/// The images that a path stands for: the file itself, or those below the folder, sorted; and what in the
/// folder is not used.
///
/// # Errors
/// If there is nothing of that name, no image in the folder, or something that is neither a folder nor a
/// regular file.
pub fn image_files(path: &Path) -> Result<(Vec<PathBuf>, Skipped), DataError> {
    let metadata = metadata(path)?;
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
    let found = images(path)?;
    if found.paths.is_empty() {
        let others = found.skipped.unsupported();
        let others = others.map_or(String::new(), |files| message!(", but {files}"));
        let problem = message!(
            "there is no image in it ({}){others}",
            EXTENSIONS.join(", ")
        );
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
    let mut visited = above(dir);
    let mut found = Images::default();
    let mut waiting = vec![dir.to_path_buf()];
    // Links wait until all real folders are listed: what lies here is called by its own name.
    let mut links = Vec::new();
    while let Some(folder) = waiting.pop().or_else(|| links.pop()) {
        if !visited.insert(identity(&folder, &metadata(&folder)?)) {
            found.skipped.add_repeated(folder);
            continue;
        }
        let inside = entries(&folder)?;
        if folder == dir {
            found.folders.clone_from(&inside.folders);
        }
        for folder in inside.folders {
            if folder.is_symlink() {
                links.push(folder);
            } else {
                waiting.push(folder);
            }
        }
        found.paths.extend(inside.images);
        found.others.extend(inside.others);
        found.skipped += inside.skipped;
    }
    found.paths.sort();
    found.others.sort();
    Ok(found)
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
        let path = entry.path();
        match visibility(&path) {
            Visibility::OfSystem => continue,
            Visibility::Hidden => {
                entries.skipped.add_hidden();
                continue;
            }
            Visibility::Visible => {}
        }
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
        list.sort();
    }
    Ok(entries)
}

/// Returns whether a file has an extension, given without its dot, in any case.
pub(crate) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

pub(crate) fn is_image(path: &Path) -> bool {
    EXTENSIONS
        .iter()
        .any(|extension| has_extension(path, extension))
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

fn visibility(path: &Path) -> Visibility {
    let name = path.file_name().unwrap_or_default();
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
