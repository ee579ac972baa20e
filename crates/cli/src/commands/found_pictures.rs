//! The files that `predict` draws and crops: each input has its own names, and only files that `predict` wrote are
//! overwritten.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fs, iter};

use warmstart_data::{DrawnBox, crop, decode, draw_boxes, is_saved_picture, save_picture};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::Problem;
use warmstart_tasks::detect::found_object::FoundObject;

use super::Failure;

/// The paths of the pictures of some inputs.
pub struct FoundPictures<'a> {
    draw: Option<&'a Path>,
    crop: Option<&'a Path>,
    /// Name of each input's pictures without extension, in the order of the inputs.
    names: Vec<String>,
    inputs: HashSet<PathBuf>,
    /// Paths that are taken: those of drawn pictures and of the crops so far.
    taken: HashSet<PathBuf>,
}

impl<'a> FoundPictures<'a> {
    /// Creates the folders; nothing is written if this fails.
    ///
    /// # Errors
    /// If a folder holds an input, or a file that `predict` did not write and that a picture would overwrite.
    pub fn new(
        draw: Option<&'a Path>,
        crop: Option<&'a Path>,
        inputs: &[PathBuf],
    ) -> Result<Self, Failure> {
        let canonical = |path: &PathBuf| path.canonicalize().ok();
        let mut pictures = Self {
            draw,
            crop,
            names: names(inputs),
            inputs: inputs.iter().filter_map(canonical).collect(),
            taken: HashSet::new(),
        };
        for folder in [draw, crop].into_iter().flatten() {
            pictures.require_apart(folder, inputs)?;
        }
        if let Some(folder) = draw {
            for name in &pictures.names {
                let path = folder.join(format!("{name}.jpg"));
                pictures.require_free(&path)?;
                pictures.taken.insert(lowercase(&path));
            }
        }
        if let Some(folder) = crop {
            pictures.require_no_crops(folder)?;
        }
        for folder in [draw, crop].into_iter().flatten() {
            fs::create_dir_all(folder).map_err(|error| {
                Failure::failed(message!("could not create {}: {error}", shown(folder)))
            })?;
        }
        Ok(pictures)
    }

    /// Writes the pictures of an input, which is the `number`-th from 0.
    ///
    /// # Errors
    /// If the disk refuses, or another file has the name.
    pub fn save(
        &mut self,
        (number, path): (usize, &Path),
        objects: &[FoundObject],
        classes: &[String],
    ) -> Result<(), Failure> {
        if self.draw.is_none() && self.crop.is_none() {
            return Ok(());
        }
        let mut image = decode(path)?;
        if let Some(folder) = self.crop {
            for (object, number_of) in objects.iter().zip(1..) {
                if let Some(part) = crop(&image, object.bounds) {
                    // A class name may have characters that a file name must not have.
                    let class = classes[object.class].replace(|c: char| !c.is_alphanumeric(), "-");
                    let name = format!("{}-{number_of}-{class}", self.names[number]);
                    let path = self.free(folder, &name);
                    self.require_free(&path)?;
                    save_picture(&path, &part)?;
                }
            }
        }
        if let Some(folder) = self.draw {
            let boxes: Vec<DrawnBox> = objects
                .iter()
                .map(|object| DrawnBox {
                    bounds: object.bounds,
                    class: object.class,
                    caption: format!("{} {:.2}", classes[object.class], object.score),
                })
                .collect();
            draw_boxes(&mut image, &boxes);
            let path = folder.join(format!("{}.jpg", self.names[number]));
            self.require_free(&path)?;
            save_picture(&path, &image)?;
        }
        Ok(())
    }

    fn require_apart(&self, folder: &Path, inputs: &[PathBuf]) -> Result<(), Failure> {
        let Ok(folder_itself) = folder.canonicalize() else {
            return Ok(());
        };
        let folder_of = |path: &PathBuf| {
            let parent = path.parent()?;
            // The parent of a bare name is the working folder.
            let parent = if parent == Path::new("") {
                Path::new(".")
            } else {
                parent
            };
            parent.canonicalize().ok()
        };
        if inputs
            .iter()
            .filter_map(folder_of)
            .any(|input| input == folder_itself)
        {
            let what = message!("it holds the input images, which could be overwritten");
            return Err(Problem::new(what)
                .of_file(folder)
                .fix(message!("give another folder"))
                .into());
        }
        Ok(())
    }

    /// Refuses a path at which there is a file that `predict` did not write.
    fn require_free(&self, path: &Path) -> Result<(), Failure> {
        if fs::symlink_metadata(path).is_err() {
            return Ok(());
        }
        let is_input = path
            .canonicalize()
            .is_ok_and(|path| self.inputs.contains(&path));
        if !is_input && is_saved_picture(path) {
            return Ok(());
        }
        let what = message!("it exists, and predict did not write it");
        Err(Problem::new(what)
            .of_file(path)
            .fix(message!("give another folder, or remove it"))
            .into())
    }

    /// Refuses a folder with a file that has the name of a crop, and that `predict` did not write. The number of crops
    /// is not known before.
    fn require_no_crops(&self, folder: &Path) -> Result<(), Failure> {
        let names: HashSet<String> = self.names.iter().map(|name| name.to_lowercase()).collect();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.file_name();
            if is_crop_of(&file.to_string_lossy().to_lowercase(), &names) {
                self.require_free(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The path of that name, numbered if it is taken.
    fn free(&mut self, folder: &Path, name: &str) -> PathBuf {
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut paths = iter::once(name.to_owned())
            .chain(numbered)
            .map(|name| folder.join(format!("{name}.jpg")));
        let free = paths.find(|path| self.taken.insert(lowercase(path)));
        free.expect("numbers do not end")
    }
}

/// Each file's name without its extension, numbered if another file has it, regardless of case.
fn names(inputs: &[PathBuf]) -> Vec<String> {
    let mut taken = HashSet::new();
    let name = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        let mut names = iter::once(stem.to_string()).chain(numbered);
        let free = names.find(|name| taken.insert(name.to_lowercase()));
        free.expect("numbers do not end")
    };
    inputs.iter().map(name).collect()
}

/// Whether a file's name is that of a crop: an input's name, a number and a class.
fn is_crop_of(file: &str, names: &HashSet<String>) -> bool {
    file.ends_with(".jpg")
        && file.match_indices('-').any(|(end, _)| {
            let number = file[end + 1..].split('-').next().unwrap_or_default();
            let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            is_number && names.contains(&file[..end])
        })
}

/// The path in lower case, for file systems that ignore case.
fn lowercase(path: &Path) -> PathBuf {
    path.to_string_lossy().to_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_of_one_name_have_names_of_their_own() {
        let inputs = ["a.png", "b/A.jpg", "c/a-2.png", "d/a.webp"].map(PathBuf::from);
        assert_eq!(names(&inputs), ["a", "A-2", "a-2-2", "a-3"]);
    }

    #[test]
    fn two_objects_never_have_one_file() {
        let inputs = ["a.png", "a-1.png"].map(PathBuf::from);
        let mut pictures = FoundPictures::new(None, None, &inputs).unwrap_or_else(|_| panic!());
        let folder = Path::new("crops");
        assert_eq!(
            pictures.free(folder, "a-1-1-cat"),
            folder.join("a-1-1-cat.jpg")
        );
        assert_eq!(
            pictures.free(folder, "a-1-1-Cat"),
            folder.join("a-1-1-Cat-2.jpg")
        );
    }

    #[test]
    fn a_crop_is_known_by_its_name() {
        let names = ["a", "b-1"].map(str::to_owned).into();
        for (file, is_crop) in [
            ("a-1-cat.jpg", true),
            ("b-1-12-traffic-light.jpg", true),
            ("a-cat.jpg", false),
            ("b-cat-1.jpg", false),
            ("c-1-cat.jpg", false),
            ("a.jpg", false),
            ("a-1-cat.txt", false),
        ] {
            assert_eq!(is_crop_of(file, &names), is_crop, "{file}");
        }
    }
}
