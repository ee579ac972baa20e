//! Files and folders of a data folder that are not used, by reason.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use warmstart_files::{one_line, shown};
use warmstart_language::{counted, english, message, translated};

/// Types that are listed one by one; the others are counted.
const TYPES: usize = 6;
/// Files and folders that are named one by one; the others are counted.
const NAMED: usize = 10;
/// The type of a file without an extension, which the user's language may have other words for.
const NO_EXTENSION: &str = english!("no extension");
/// Extensions of pictures that cannot be read; JPEG or PNG can hold what is in them.
const CONVERTIBLE: [&str; 19] = [
    ".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".svg", ".ico", ".tga", ".ppm", ".pgm",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf",
];

/// The files and folders of a data folder that are not used, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Files of unsupported types: how many of each extension, in lower case with its dot, or of `no
    /// extension`.
    types: BTreeMap<String, usize>,
    /// Hidden files and folders that are not the work of an operating system.
    hidden: usize,
    /// Pipes, sockets and devices.
    special: BTreeSet<PathBuf>,
    /// Links to folders that are listed already or hold the link.
    repeated: BTreeSet<PathBuf>,
    /// Links and files with holes in archives.
    in_pieces: BTreeSet<PathBuf>,
    /// Other files that a reader of detection data has no use for.
    others: usize,
    /// Folders that are not used, or images directly in a folder of class folders: how many images.
    unused: Vec<(PathBuf, Unused)>,
}

/// Images of a folder that no split and no class takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unused {
    /// With the images of the folders inside it.
    Whole(usize),
    /// Directly in a folder whose subfolders are used.
    Loose(usize),
}

impl Skipped {
    /// The same for a folder of detection data, whose reader does not use `ignored` files: those of
    /// unsupported types may be labels, so only pictures are listed by type.
    pub(crate) fn of_scenes(mut self, ignored: usize) -> Self {
        self.types.retain(|name, _| CONVERTIBLE.contains(&&**name));
        self.others = ignored.saturating_sub(self.count());
        self
    }

    /// The number of files and folders, with the images of unused folders.
    pub fn count(&self) -> usize {
        let unused = self.unused.iter().map(|(_, unused)| match unused {
            Unused::Whole(images) | Unused::Loose(images) => images,
        });
        self.types.values().sum::<usize>()
            + self.hidden
            + self.special.len()
            + self.repeated.len()
            + self.in_pieces.len()
            + self.others
            + unused.sum::<usize>()
    }

    /// Pipes, sockets and devices, sorted.
    pub(crate) fn special(&self) -> impl Iterator<Item = &Path> {
        self.special.iter().map(PathBuf::as_path)
    }

    /// A line for each reason that was met, with counts and names.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(types) = self.unsupported() {
            lines.push(message!("skipped {types}"));
        }
        match self.hidden {
            0 => {}
            1 => lines.push(message!("skipped 1 hidden file or folder")),
            count => lines.push(message!("skipped {count} hidden files and folders")),
        }
        match self.others {
            0 => {}
            1 => lines.push(message!(
                "skipped 1 other file: not a picture, or in no list and no label file"
            )),
            count => lines.push(message!(
                "skipped {count} other files: not pictures, or in no list and no label file"
            )),
        }
        let special = self.special.iter().map(|path| {
            message!(
                "skipped {}: a pipe, a socket or a device, not a file",
                shown(path)
            )
        });
        let repeated = self.repeated.iter().map(|path| {
            message!(
                "skipped {}: a link to a folder that is listed already or holds the link",
                shown(path)
            )
        });
        let in_pieces = self.in_pieces.iter().map(|path| {
            message!(
                "skipped {}: a link or a file with holes, which cannot be read inside an archive",
                shown(path)
            )
        });
        let unused = self.unused.iter().map(|(path, unused)| {
            let how = match *unused {
                Unused::Whole(0) => message!("no images"),
                Unused::Whole(count) => counted(count, "image"),
                Unused::Loose(count) => {
                    message!(
                        "{} directly in it, in no class folder",
                        counted(count, "image")
                    )
                }
            };
            message!("not used: {} ({how})", shown(path))
        });
        extend_named(&mut lines, special);
        extend_named(&mut lines, repeated);
        extend_named(&mut lines, in_pieces);
        extend_named(&mut lines, unused);
        lines
    }

    /// The files of unsupported types with the count of each, such as `4 files of unsupported types
    /// (.heic 3, .gif 1); save .heic as JPEG or PNG to use them`; none if there are none.
    pub(crate) fn unsupported(&self) -> Option<String> {
        let mut types: Vec<(&str, usize)> = self
            .types
            .iter()
            .map(|(name, count)| (&name[..], *count))
            .collect();
        types.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let total: usize = types.iter().map(|(_, count)| count).sum();
        let convertible: Vec<&str> = types
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| CONVERTIBLE.contains(name))
            .collect();
        let mut listed: Vec<String> = types
            .iter()
            .take(TYPES)
            .map(|(name, count)| match *name {
                NO_EXTENSION => format!("{} {count}", translated(NO_EXTENSION)),
                name => format!("{name} {count}"),
            })
            .collect();
        if types.len() > TYPES {
            let others: usize = types[TYPES..].iter().map(|(_, count)| count).sum();
            listed.push(message!("others {others}"));
        }
        let files = match total {
            0 => return None,
            1 => message!("1 file of an unsupported type"),
            _ => message!("{total} files of unsupported types"),
        };
        let advice = if convertible.is_empty() {
            String::new()
        } else {
            message!(
                "; save {} as JPEG or PNG to use them",
                convertible.join(", ")
            )
        };
        Some(message!("{files} ({}){advice}", listed.join(", ")))
    }

    pub(crate) fn add_type(&mut self, path: &Path) {
        *self.types.entry(type_of(path)).or_default() += 1;
    }

    pub(crate) fn add_hidden(&mut self) {
        self.hidden += 1;
    }

    pub(crate) fn add_special(&mut self, path: PathBuf) {
        self.special.insert(path);
    }

    pub(crate) fn add_repeated(&mut self, path: PathBuf) {
        self.repeated.insert(path);
    }

    pub(crate) fn add_in_pieces(&mut self, path: PathBuf) {
        self.in_pieces.insert(path);
    }

    pub(crate) fn add_unused(&mut self, folder: &Path, images: usize) {
        let unused = (folder.to_path_buf(), Unused::Whole(images));
        self.unused.push(unused);
    }

    /// Images directly in a folder of class folders; 0 adds nothing.
    pub(crate) fn add_loose(&mut self, folder: &Path, images: usize) {
        if images > 0 {
            let unused = (folder.to_path_buf(), Unused::Loose(images));
            self.unused.push(unused);
        }
    }
}

impl AddAssign for Skipped {
    fn add_assign(&mut self, other: Self) {
        for (name, count) in other.types {
            *self.types.entry(name).or_default() += count;
        }
        self.hidden += other.hidden;
        self.special.extend(other.special);
        self.repeated.extend(other.repeated);
        self.in_pieces.extend(other.in_pieces);
        self.others += other.others;
        self.unused.extend(other.unused);
    }
}

/// The extension of a file in lower case with its dot; `no extension` for what is too long or too odd to
/// be one.
fn type_of(path: &Path) -> String {
    let extension = path.extension().map(|found| found.to_string_lossy());
    match extension {
        Some(found) if found.len() <= 10 && !found.contains(' ') => {
            one_line(&format!(".{}", found.to_lowercase())).into_owned()
        }
        _ => NO_EXTENSION.to_owned(),
    }
}

fn extend_named(lines: &mut Vec<String>, named: impl ExactSizeIterator<Item = String>) {
    let more = named.len().saturating_sub(NAMED);
    lines.extend(named.take(NAMED));
    if more > 0 {
        lines.push(message!("  … and {more} more"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder;

    fn skipped(files: &[&str]) -> Skipped {
        let mut skipped = Skipped::default();
        files
            .iter()
            .for_each(|file| skipped.add_type(Path::new(file)));
        skipped
    }

    #[test]
    fn types_are_counted_the_most_frequent_first() {
        let files = ["a.txt", "b.HEIC", "c.heic", "README", "a. long sentence"];
        let lines = skipped(&files).lines();
        assert_eq!(
            lines,
            [
                "skipped 5 files of unsupported types (.heic 2, no extension 2, .txt 1); save .heic as JPEG or PNG to use them"
            ]
        );
        let one = skipped(&["a.csv"]).lines();
        assert_eq!(one, ["skipped 1 file of an unsupported type (.csv 1)"]);
    }

    #[test]
    fn many_types_end_in_a_count() {
        let files: Vec<String> = (0..8).map(|number| format!("x.t{number}")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let line = skipped(&files).unsupported().unwrap();
        assert!(line.ends_with(".t5 1, others 2)"), "{line}");
    }

    #[test]
    fn names_cannot_break_a_line() {
        let mut skipped = skipped(&["x.a\nb"]);
        skipped.add_special("pipe\n.jpg".into());
        skipped.add_unused(Path::new("more\u{1b}[2J"), 0);
        let lines = skipped.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains(['\n', '\u{1b}'])));
    }

    #[test]
    fn long_lists_are_cut() {
        let mut skipped = Skipped::default();
        (0..12).for_each(|number| skipped.add_unused(Path::new("x"), number));
        let lines = skipped.lines();
        assert_eq!((lines.len(), &lines[10][..]), (11, "  … and 2 more"));
        assert_eq!(lines[0], "not used: x (no images)");
        assert_eq!(lines[1], "not used: x (1 image)");
    }

    #[test]
    fn detection_data_lists_pictures_of_unsupported_types_apart_from_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.heic", "a.txt", "b.txt", ".hidden"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let skipped = folder::images(dir.path()).unwrap().skipped.of_scenes(3);
        assert_eq!(skipped.count(), 3);
        assert_eq!(
            skipped.lines(),
            [
                "skipped 1 file of an unsupported type (.heic 1); save .heic as JPEG or PNG to use them",
                "skipped 1 hidden file or folder",
                "skipped 1 other file: not a picture, or in no list and no label file",
            ]
        );
    }
}
