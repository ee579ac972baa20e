//! The pictures of a report, each once, however many of its parts show it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use warmstart_data::{Interpolation, Region, RgbImage, decode, jpeg, resize};

/// Longest side of a picture that stands for a file, in pixels.
const SIDE: usize = 112;
/// Quality of its JPEG, of 100.
const QUALITY: u8 = 78;

/// The place of a picture among those of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureId(pub usize);

/// A picture of a report.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The file that it stands for, below the data set's folder.
    pub name: String,
    /// A JPEG; empty if the file cannot be read any more.
    pub jpeg: Vec<u8>,
    /// Width and height in pixels.
    pub size: [usize; 2],
}

/// The pictures of a report.
#[derive(Default)]
pub struct Pictures {
    pictures: Vec<Picture>,
    files: HashMap<PathBuf, PictureId>,
}

impl Pictures {
    /// The pictures in order.
    pub fn iter(&self) -> impl Iterator<Item = &Picture> {
        self.pictures.iter()
    }

    /// The small pictures that stand for files, made at once; `folder` is that of the data set.
    pub fn of_files(&mut self, paths: &[PathBuf], folder: &Path) -> Vec<PictureId> {
        let mut new: Vec<&PathBuf> = Vec::new();
        for path in paths {
            if !self.files.contains_key(path) && !new.contains(&path) {
                new.push(path);
            }
        }
        let made: Vec<Picture> = new
            .par_iter()
            .map(|path| Picture::of_file(path, folder))
            .collect();
        for (path, picture) in new.into_iter().zip(made) {
            let id = self.add(picture);
            self.files.insert(path.clone(), id);
        }
        paths.iter().map(|path| self.files[path]).collect()
    }

    /// Adds a picture.
    pub fn add(&mut self, picture: Picture) -> PictureId {
        self.pictures.push(picture);
        PictureId(self.pictures.len() - 1)
    }
}

impl Picture {
    /// A picture as it is.
    pub fn of(name: String, image: &RgbImage) -> Self {
        Self {
            name,
            jpeg: jpeg(image, QUALITY),
            size: [image.width, image.height],
        }
    }

    fn of_file(path: &Path, folder: &Path) -> Self {
        let name = name(path, folder);
        match decode(path) {
            Ok(image) => Self::of(name, &within(&image, SIDE)),
            Err(_) => Self {
                name,
                jpeg: Vec::new(),
                size: [SIDE, SIDE],
            },
        }
    }
}

/// The path of a file below the data set's folder, as text.
pub fn name(path: &Path, folder: &Path) -> String {
    let path = path.strip_prefix(folder).unwrap_or(path);
    warmstart_files::text(path).into_owned()
}

/// A picture whose longer side is at most `side` pixels; a smaller one stays as it is.
pub fn within(image: &RgbImage, side: usize) -> RgbImage {
    let longest = image.width.max(image.height);
    if longest <= side {
        return image.clone();
    }
    let scaled = |length: usize| (length * side / longest).max(1);
    let (width, height) = (scaled(image.width), scaled(image.height));
    let window = Region {
        left: 0,
        top: 0,
        width,
        height,
    };
    let filter = Interpolation::Bilinear;
    resize(image, image.bounds(), (width, height), window, filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_once_and_a_lost_one_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let lost = folder.path().join("cats/1.jpg");
        let mut pictures = Pictures::default();
        let ids = pictures.of_files(&[lost.clone(), lost.clone()], folder.path());
        assert_eq!(ids, [PictureId(0), PictureId(0)]);
        assert_eq!(pictures.of_files(&[lost], folder.path()), [PictureId(0)]);
        let picture = pictures.iter().next().unwrap();
        assert_eq!(picture.name, "cats/1.jpg");
        assert!(picture.jpeg.is_empty());
    }

    #[test]
    fn a_long_picture_stays_long() {
        let image = RgbImage::black(400, 100);
        let small = within(&image, 100);
        assert_eq!((small.width, small.height), (100, 25));
        assert_eq!(within(&image, 500), image);
        let thin = within(&RgbImage::black(1000, 1), 100);
        assert_eq!((thin.width, thin.height), (100, 1));
    }
}
