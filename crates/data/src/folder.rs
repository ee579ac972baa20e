//! Listing folders: sorted, without hidden files, following links.

use crate::error::DataError;
use std::path::{Path, PathBuf};

/// Extensions that are taken for images.
const EXTENSIONS: [&str; 6] = ["jpg", "jpeg", "jfif", "png", "webp", "bmp"];

/// Folders inside folders are searched this deep; a link that leads back to its own parent would
/// never end.
const MAX_DEPTH: usize = 32;

/// What lies directly in a folder of class folders.
pub(crate) struct Listing {
    /// Name and path of every folder, sorted by name.
    pub folders: Vec<(String, PathBuf)>,
    /// Image files beside the folders.
    pub images: usize,
    /// Everything else.
    pub ignored: usize,
}

/// The images below a class folder.
#[derive(Default)]
pub(crate) struct Images {
    /// Sorted.
    pub paths: Vec<PathBuf>,
    /// Files that are no images, and hidden files and folders.
    pub ignored: usize,
}

/// `dir/name`, if it is a folder.
pub(crate) fn subfolder(dir: &Path, name: &str) -> Result<Option<PathBuf>, DataError> {
    check_folder(dir)?;
    let path = dir.join(name);
    Ok(path.is_dir().then_some(path))
}

/// Lists a folder of class folders.
pub(crate) fn class_folders(dir: &Path) -> Result<Listing, DataError> {
    check_folder(dir)?;
    let mut listing = Listing {
        folders: Vec::new(),
        images: 0,
        ignored: 0,
    };
    for path in entries(dir)? {
        if is_hidden(&path) {
            listing.ignored += 1;
        } else if path.is_dir() {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name else {
                let problem = "its name is not valid UTF-8; rename it".into();
                return Err(DataError::Layout {
                    folder: path,
                    problem,
                });
            };
            listing.folders.push((name.to_owned(), path));
        } else if is_image(&path) {
            listing.images += 1;
        } else {
            listing.ignored += 1;
        }
    }
    listing.folders.sort();
    Ok(listing)
}

/// The folder of a data set that is named by its folder or by a file in it, such as its `data.yaml`.
pub fn data_folder(data: &Path) -> &Path {
    match data.parent() {
        Some(folder) if data.is_file() => folder,
        Some(_) | None => data,
    }
}

/// The images that a path stands for: the file itself, or those below the folder, sorted.
///
/// # Errors
/// If there is nothing of that name, or no image in it.
pub fn image_files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if path.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    check_folder(path)?;
    let found = images(path)?;
    if found.paths.is_empty() {
        let problem = format!("there is no image in it ({})", EXTENSIONS.join(", "));
        return Err(DataError::Layout {
            folder: path.to_path_buf(),
            problem,
        });
    }
    Ok(found.paths)
}

/// Finds the images in a folder and the folders inside it.
pub(crate) fn images(dir: &Path) -> Result<Images, DataError> {
    let mut found = Images::default();
    collect(dir, 0, &is_image, &mut found)?;
    found.paths.sort();
    Ok(found)
}

/// The files with an extension in a folder and the folders inside it, sorted.
pub(crate) fn files_with_extension(dir: &Path, extension: &str) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Images::default();
    let wanted = |path: &Path| {
        path.extension()
            .is_some_and(|found| found.eq_ignore_ascii_case(extension))
    };
    collect(dir, 0, &wanted, &mut found)?;
    found.paths.sort();
    Ok(found.paths)
}

fn collect(
    dir: &Path,
    depth: usize,
    wanted: &dyn Fn(&Path) -> bool,
    found: &mut Images,
) -> Result<(), DataError> {
    if depth == MAX_DEPTH {
        let problem = format!(
            "it lies {MAX_DEPTH} folders deep in the data; remove the link that leads back to a folder above"
        );
        return Err(DataError::Layout {
            folder: dir.to_path_buf(),
            problem,
        });
    }
    for path in entries(dir)? {
        if is_hidden(&path) {
            found.ignored += 1;
        } else if path.is_dir() {
            collect(&path, depth + 1, wanted, found)?;
        } else if wanted(&path) {
            found.paths.push(path);
        } else {
            found.ignored += 1;
        }
    }
    Ok(())
}

fn check_folder(dir: &Path) -> Result<(), DataError> {
    let metadata = std::fs::metadata(dir).map_err(|source| DataError::read(dir, source))?;
    match metadata.is_dir() {
        true => Ok(()),
        false => Err(DataError::NotAFolder(dir.to_path_buf())),
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable = |source| DataError::read(dir, source);
    std::fs::read_dir(dir)
        .map_err(unreadable)?
        .map(|entry| Ok(entry.map_err(unreadable)?.path()))
        .collect()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

pub(crate) fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}
