//! The folder of `eval --mistakes`: the images that a classifier gets wrong, sorted by true and by predicted class.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::{fs, io, iter};

use warmstart_data::{DataError, open_picture};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::{Error, Key, Problem};

use super::Failure;

/// Most characters of a name that is made from a class's or a file's: with a number and an extension it fits into what
/// file systems hold.
const LONGEST: usize = 60;
/// Names that Windows keeps for devices.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// Images that a classifier gets wrong, as links or copies `DIR/<true class>/<predicted class>/<file>`.
pub struct Mistakes<'a> {
    folder: &'a Path,
    /// Name of each class's folder.
    classes: Vec<String>,
    /// The names in each folder, by true and predicted class.
    taken: HashMap<[usize; 2], Names>,
    count: usize,
}

impl<'a> Mistakes<'a> {
    /// Mistakes in a folder that does not exist, or is empty. It is made for the first of them.
    ///
    /// # Errors
    /// A usage error if it holds something.
    pub fn new(folder: &'a Path, classes: &[String]) -> Result<Self, Failure> {
        require_empty(folder)?;
        let mut names = Names::default();
        Ok(Self {
            folder,
            classes: classes.iter().map(|class| names.give(class)).collect(),
            taken: HashMap::new(),
            count: 0,
        })
    }

    /// Puts an image into the folder of its class and the predicted one: a hard link where the file system can, else a
    /// copy.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn add(&mut self, image: &Path, label: usize, predicted: usize) -> Result<(), Failure> {
        let [own, other] = [label, predicted].map(|class| &self.classes[class]);
        let folder = self.folder.join(own).join(other);
        let names = self.taken.entry([label, predicted]).or_default();
        let name = names.give(&image.file_name().unwrap_or_default().to_string_lossy());
        let target = folder.join(name);
        fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
        // A link to a symbolic link would be one, too, and lead nowhere from its new place.
        let source = image.canonicalize();
        let is_linked = source.is_ok_and(|source| fs::hard_link(source, &target).is_ok());
        if !is_linked {
            copy(image, &target)?;
        }
        self.count += 1;
        Ok(())
    }

    /// How many there are, in a line.
    pub fn line(&self) -> String {
        match self.count {
            0 => message!("no mistakes"),
            count => message!("{count} mistakes in {}", shown(self.folder)),
        }
    }
}

/// Copies an image, which may lie in an archive.
fn copy(image: &Path, target: &Path) -> Result<(), Failure> {
    let mut source = open_picture(image).map_err(|source| DataError::Read {
        path: image.to_owned(),
        source,
    })?;
    let copied = fs::File::create(target).and_then(|mut file| io::copy(&mut source, &mut file));
    copied.map_err(|error| Error::io("write", target, error))?;
    Ok(())
}

fn require_empty(folder: &Path) -> Result<(), Failure> {
    let refused = |what: String| -> Result<(), Failure> {
        let problem = Problem::new(what).of_file(folder).of_key(Key("mistakes"));
        Err(problem.fix(message!("give --mistakes a new folder")).into())
    };
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => refused(message!(
            "it is not empty, and mistakes of several evaluations would mix"
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            refused(message!("it is not a folder"))
        }
        Err(error) => Err(Error::io("list", folder, error).into()),
    }
}

/// Names in a folder: such as every file system takes, and no two that differ only in upper and lower case.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// The name that is nearest to a text.
    fn give(&mut self, text: &str) -> String {
        let safe = safe(text);
        let (stem, extension) = match safe.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            Some(_) | None => (&safe[..], String::new()),
        };
        let numbered = (2_usize..).map(|number| format!("{stem}_{number}{extension}"));
        let mut names = iter::once(safe.clone()).chain(numbered);
        let free = names.find(|name| self.taken.insert(name.to_lowercase()));
        free.expect("numbers do not end")
    }
}

/// A text without the characters that some file system does not take, and not too long; its extension stays.
fn safe(text: &str) -> String {
    let is_unsafe = |letter: char| letter.is_control() || r#"/\:*?"<>|"#.contains(letter);
    let plain = text.replace(is_unsafe, "_");
    let plain = plain.trim_end_matches(['.', ' ']).trim_start();
    let (stem, extension) = match plain.rsplit_once('.') {
        // What comes after the point of a class's name may be long.
        Some((stem, extension)) if extension.len() < 6 => (stem, format!(".{extension}")),
        Some(_) | None => (plain, String::new()),
    };
    let mut stem: String = stem.chars().take(LONGEST).collect();
    let letters = stem.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if DEVICES.contains(&letters.to_lowercase().as_str()) {
        stem.push('_');
    }
    // Hidden files are no images to most programs.
    if stem.is_empty() || stem.starts_with('.') {
        stem.insert(0, '_');
    }
    stem + &extension
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_stay_apart() {
        for (text, expected) in [
            ("tabby cat", "tabby cat"),
            ("a/b\\c:d", "a_b_c_d"),
            ("..", "_"),
            (".hidden.jpg", "_.hidden.jpg"),
            ("CON", "CON_"),
            ("com1.png", "com1_.png"),
            ("end. ", "end"),
            ("", "_"),
            ("图片.jpg", "图片.jpg"),
        ] {
            assert_eq!(safe(text), expected, "{text}");
        }
        assert!(safe(&"long".repeat(100)).len() <= LONGEST);
        let mut names = Names::default();
        let given = ["a.jpg", "A.jpg", "a.png", "a.jpg"].map(|text| names.give(text));
        assert_eq!(given, ["a.jpg", "A_2.jpg", "a.png", "a_3.jpg"]);
    }

    #[test]
    fn a_folder_that_holds_something_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("wrong");
        assert!(require_empty(&folder).is_ok());
        fs::create_dir(&folder).unwrap();
        assert!(require_empty(&folder).is_ok());
        fs::write(folder.join("a"), "").unwrap();
        assert!(require_empty(&folder).is_err());
        assert!(require_empty(&folder.join("a")).is_err());
    }

    #[test]
    fn a_mistake_lies_below_both_classes() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("a.jpg");
        fs::write(&image, "pixels").unwrap();
        let folder = dir.path().join("wrong");
        let classes = ["cat/dog", "cow"].map(str::to_owned);
        let Ok(mut mistakes) = Mistakes::new(&folder, &classes) else {
            panic!("the folder is new");
        };
        for _ in 0..2 {
            assert!(mistakes.add(&image, 0, 1).is_ok());
        }
        for name in ["a.jpg", "a_2.jpg"] {
            let path = folder.join("cat_dog/cow").join(name);
            assert_eq!(fs::read_to_string(path).unwrap(), "pixels");
        }
        assert!(mistakes.line().starts_with("2 mistakes"));
    }
}
