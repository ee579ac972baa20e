//! Pictures of a data set, found by the names that label files give them.

use super::splitting::folder_kind;
use crate::error::DataError;
use crate::folder;
use crate::folder_names::is_pictures;
use crate::split_kind::SplitKind;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization as _;
use warmstart_files::shown;
use warmstart_language::message;

/// Name of a picture in a label file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// Parts of the path, normalised as Unicode's NFC.
    parts: Vec<String>,
    /// True if it starts elsewhere: at the root of a file system, at a server, or in a folder above.
    pub is_foreign: bool,
}

impl Name {
    /// Reads a name with `/` or `\` between its parts. None if it is empty or names a folder.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim().replace('\\', "/");
        let (has_server, path) = match text.split_once("://") {
            Some((_, path)) => (true, path.split(['?', '#']).next().unwrap_or(path)),
            None => (false, &text[..]),
        };
        let has_drive = path.as_bytes().get(1) == Some(&b':');
        let path = if has_drive { &path[2..] } else { path };
        let mut is_foreign = has_server || has_drive || path.starts_with('/');
        let mut parts: Vec<String> = Vec::new();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => is_foreign |= parts.pop().is_none(),
                part => parts.push(part.nfc().collect()),
            }
        }
        let ends_in_a_folder = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
        (!parts.is_empty() && !ends_in_a_folder).then_some(Self { parts, is_foreign })
    }

    fn file_name(&self) -> &str {
        self.parts.last().expect("a name has a part")
    }
}

/// A picture and the parts of its path below the data set's folder.
struct Picture {
    path: PathBuf,
    parts: Vec<String>,
}

/// The pictures below a data set's folder.
pub(super) struct Pictures {
    dir: PathBuf,
    all: Vec<Picture>,
    by_name: HashMap<String, Vec<usize>>,
    by_path: HashMap<Vec<String>, usize>,
    by_stem: HashMap<String, Vec<usize>>,
    /// Other files.
    pub others: usize,
}

/// A folder of pictures, as the parts of its path below the data set's folder.
pub(super) type Base = Vec<String>;

impl Pictures {
    /// Finds the pictures below a folder.
    pub fn below(dir: &Path) -> Result<Self, DataError> {
        let found = folder::images(dir)?;
        let mut pictures = Self {
            dir: dir.to_path_buf(),
            all: Vec::with_capacity(found.paths.len()),
            by_name: HashMap::new(),
            by_path: HashMap::new(),
            by_stem: HashMap::new(),
            others: found.skipped.count(),
        };
        for path in found.paths {
            let parts = parts_below(dir, &path);
            if let Some(name) = parts.last() {
                let index = pictures.all.len();
                let by_name = &mut pictures.by_name;
                by_name.entry(name.clone()).or_default().push(index);
                let by_stem = &mut pictures.by_stem;
                by_stem
                    .entry(stem(name).to_owned())
                    .or_default()
                    .push(index);
                pictures.by_path.insert(parts.clone(), index);
                pictures.all.push(Picture { path, parts });
            }
        }
        Ok(pictures)
    }

    fn called(&self, name: &Name) -> impl Iterator<Item = &Picture> {
        let indices = self.by_name.get(name.file_name()).into_iter().flatten();
        indices.map(|index| &self.all[*index])
    }

    /// The folder that the pictures of a label file are in: that of its split if any of them is there,
    /// else the one where most of them are. Folders of the splits `others`, which have label files of
    /// their own, are left to them. None if no picture is anywhere.
    pub fn base(&self, names: &[&Name], kind: SplitKind, others: &[SplitKind]) -> Option<Base> {
        let mut found: BTreeMap<&[String], BTreeSet<usize>> = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            for picture in self.called(name) {
                let common = common_tail(&picture.parts, &name.parts);
                if name.is_foreign || common == name.parts.len() {
                    let base = &picture.parts[..picture.parts.len() - common];
                    found.entry(base).or_default().insert(index);
                }
            }
        }
        let rank = |base: &[String]| match folder_kind(&base.iter().collect::<PathBuf>()) {
            Some(found) if found == kind => Some(2),
            Some(found) if others.contains(&found) => None,
            Some(_) => Some(0),
            None => Some(1),
        };
        let ranked = found
            .into_iter()
            .filter_map(|(base, hits)| Some((rank(base)?, hits, base)));
        let mut ranked: Vec<_> = ranked.collect();
        let best = ranked.iter().map(|(rank, ..)| *rank).max()?;
        ranked.retain(|(rank, ..)| *rank == best);
        // Masks and other copies have the names of the pictures.
        let of_pictures = |base: &[String]| base.iter().any(|part| is_pictures(part));
        let all: BTreeSet<usize> = ranked
            .iter()
            .flat_map(|(_, hits, _)| hits)
            .copied()
            .collect();
        let whole = ranked.iter().filter(|(_, hits, _)| *hits == all);
        let mut whole: Vec<&[String]> = whole.map(|(.., base)| *base).collect();
        if whole.iter().any(|base| of_pictures(base)) {
            whole.retain(|base| of_pictures(base));
        }
        let several = if whole.is_empty() {
            ranked.iter().map(|(.., base)| *base).collect()
        } else {
            whole
        };
        let (first, rest) = several.split_first()?;
        let common = rest.iter().fold(*first, |common, base| {
            let same = common.iter().zip(*base).take_while(|(a, b)| a == b);
            &common[..same.count()]
        });
        Some(common.to_vec())
    }

    /// The picture of a name in a folder or below it, whether or not it is there. A foreign name
    /// counts by its longest tail that leads to one picture in the folder; none if no tail does, or if a name
    /// fits several pictures.
    pub fn of_name(&self, base: &Base, name: &Name) -> Option<PathBuf> {
        if name.is_foreign {
            return self.by_tail(base, name);
        }
        let wanted = [&base[..], &name.parts].concat();
        if let Some(index) = self.by_path.get(&wanted) {
            return Some(self.all[*index].path.clone());
        }
        match self.whole_below(base, name)[..] {
            [] => Some(
                wanted
                    .iter()
                    .fold(self.dir.clone(), |path, part| path.join(part)),
            ),
            [only] => Some(only.path.clone()),
            [_, _, ..] => None,
        }
    }

    /// The pictures below a folder whose paths end as the whole name does, without those in folders of splits.
    fn whole_below(&self, base: &[String], name: &Name) -> Vec<&Picture> {
        let is_below = |picture: &&Picture| {
            let (parts, tail) = (&picture.parts, name.parts.len());
            parts.len() >= base.len() + tail
                && parts.starts_with(base)
                && common_tail(parts, &name.parts) == tail
                && folder_kind(
                    &parts[base.len()..parts.len() - tail]
                        .iter()
                        .collect::<PathBuf>(),
                )
                .is_none()
        };
        self.called(name).filter(is_below).collect()
    }

    /// Pictures below a folder that have a name's last part.
    pub fn count_called(&self, base: &[String], name: &Name) -> usize {
        let called = self.called(name);
        called
            .filter(|picture| picture.parts.starts_with(base))
            .count()
    }

    /// The picture of a name that is nearest to a label file's folder: in it, or else of the longest common
    /// end, then the longest common beginning, then the same split. An error with two if several are as near.
    pub fn nearest(&self, folder: &[String], name: &Name) -> Result<Option<&Path>, [&Path; 2]> {
        let kind = |parts: &[String]| folder_kind(&parts.iter().collect::<PathBuf>());
        let nearness = |picture: &Picture| {
            let parts = &picture.parts;
            let above = parts.iter().zip(folder).take_while(|(a, b)| a == b).count();
            let tail = common_tail(parts, &name.parts);
            let same_split = kind(&parts[..parts.len() - 1]) == kind(folder);
            (above == folder.len(), tail, above, same_split)
        };
        let near = self
            .called(name)
            .map(|picture| (nearness(picture), picture));
        let mut near: Vec<_> = near.collect();
        let best = near.iter().map(|(nearness, _)| *nearness).max();
        near.retain(|(nearness, _)| Some(*nearness) == best);
        match near[..] {
            [] => Ok(None),
            [(_, only)] => Ok(Some(&only.path)),
            [(_, first), (_, second), ..] => Err([&first.path, &second.path]),
        }
    }

    /// The pictures of a name without its extension.
    pub fn of_stem(&self, stem: &str) -> impl Iterator<Item = &Path> {
        let stem: String = stem.nfc().collect();
        let indices = self.by_stem.get(&stem).into_iter().flatten();
        indices.map(|index| &*self.all[*index].path)
    }

    /// The picture in a folder whose path ends as the name does, in as many parts as possible; none if
    /// there is none or several are as close.
    pub fn by_tail(&self, base: &[String], name: &Name) -> Option<PathBuf> {
        if let Some(index) = self.by_path.get(&[base, &name.parts].concat()) {
            return Some(self.all[*index].path.clone());
        }
        let below = self
            .called(name)
            .filter(|picture| picture.parts.starts_with(base));
        let mut found: Vec<(usize, &Picture)> = below
            .map(|picture| (common_tail(&picture.parts, &name.parts), picture))
            .collect();
        let longest = found.iter().map(|(common, _)| *common).max()?;
        found.retain(|(common, _)| *common == longest);
        match found[..] {
            [(_, picture)] => Some(picture.path.clone()),
            _ => None,
        }
    }

    /// The pictures with their paths below the data set's folder as parts.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &[String])> {
        self.all
            .iter()
            .map(|picture| (&*picture.path, &picture.parts[..]))
    }

    /// Counts the pictures that are not among those used, and names the folders in which none is, each with its
    /// number of pictures.
    pub fn unused(&self, used: &HashSet<&Path>) -> (usize, Vec<String>) {
        let mut folders: BTreeMap<&Path, (usize, bool)> = BTreeMap::new();
        let mut unused = 0;
        for picture in &self.all {
            let folder = picture.path.parent().unwrap_or(&self.dir);
            let (count, any_used) = folders.entry(folder).or_default();
            *count += 1;
            if used.contains(&*picture.path) {
                *any_used = true;
            } else {
                unused += 1;
            }
        }
        let folders = folders.into_iter().filter(|(_, (_, any_used))| !any_used);
        let folders =
            folders.map(|(folder, (count, _))| message!("{} ({count} pictures)", shown(folder)));
        (unused, folders.collect())
    }
}

/// The parts of a path below a folder, normalised as Unicode's NFC.
pub(super) fn parts_below(dir: &Path, path: &Path) -> Vec<String> {
    let below = path.strip_prefix(dir).unwrap_or(path);
    let parts = below.components();
    parts
        .map(|part| part.as_os_str().to_string_lossy().nfc().collect())
        .collect()
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Counts the parts that two paths share at their ends.
fn common_tail(a: &[String], b: &[String]) -> usize {
    let pairs = a.iter().rev().zip(b.iter().rev());
    pairs.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(files: &[&str]) -> (tempfile::TempDir, Pictures) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let pictures = Pictures::below(dir.path()).unwrap();
        (dir, pictures)
    }

    fn base(pictures: &Pictures, names: &[&str], kind: SplitKind) -> Option<String> {
        let names: Vec<Name> = names.iter().map(|name| Name::new(name).unwrap()).collect();
        let names: Vec<&Name> = names.iter().collect();
        let others = [SplitKind::Train, SplitKind::Validation];
        let others: Vec<SplitKind> = others.into_iter().filter(|other| *other != kind).collect();
        Some(pictures.base(&names, kind, &others)?.join("/"))
    }

    #[test]
    fn names_are_read_with_either_slash_and_from_other_machines() {
        let parts =
            |text: &str| Name::new(text).map(|name| (name.parts.join("/"), name.is_foreign));
        for (text, path, is_foreign) in [
            ("a.jpg", "a.jpg", false),
            ("./x//a.jpg", "x/a.jpg", false),
            ("x\\a.jpg", "x/a.jpg", false),
            ("x/../a.jpg", "a.jpg", false),
            ("../x/a.jpg", "x/a.jpg", true),
            ("/data/a.jpg", "data/a.jpg", true),
            ("C:\\data\\a.jpg", "data/a.jpg", true),
            (
                "https://example.org/b/a.jpg?w=1",
                "example.org/b/a.jpg",
                true,
            ),
            ("cafe\u{301}.jpg", "caf\u{e9}.jpg", false),
        ] {
            assert_eq!(parts(text), Some((path.to_owned(), is_foreign)), "{text}");
        }
        for text in ["", ".", "..", "a/", "/", "a/.."] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn the_folder_of_the_split_comes_first_and_then_that_with_most() {
        let (_dir, two) = pictures(&["train/0.png", "train/1.png", "val/0.png"]);
        let train = base(&two, &["0.png", "1.png"], SplitKind::Train);
        assert_eq!(train, Some("train".into()));
        let validation = base(&two, &["0.png", "1.png"], SplitKind::Validation);
        assert_eq!(
            validation,
            Some("val".into()),
            "train has more, and is another split's"
        );
        let none = base(&two, &["1.png"], SplitKind::Validation);
        assert_eq!(
            none, None,
            "a picture of another split is not taken for a missing one"
        );
        let (_dir, one) = pictures(&[
            "images/default/0.png",
            "images/default/1.png",
            "thumbs/0.png",
        ]);
        assert_eq!(
            base(&one, &["0.png", "1.png"], SplitKind::Train),
            Some("images/default".into())
        );
        let (_dir, named) = pictures(&["images/train/0.png"]);
        assert_eq!(
            base(&named, &["train/0.png"], SplitKind::Train),
            Some("images".into())
        );
    }

    #[test]
    fn a_foreign_name_is_found_by_its_tail_within_the_folder() {
        let (dir, pictures) = pictures(&["train/x/0.png", "train/y/0.png", "val/x/0.png"]);
        let find = |base: &str, name: &str| {
            let base = base
                .split('/')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect();
            let found = pictures.of_name(&base, &Name::new(name).unwrap())?;
            Some(
                found
                    .strip_prefix(dir.path())
                    .unwrap()
                    .display()
                    .to_string(),
            )
        };
        assert_eq!(find("train", "/home/x/0.png"), Some("train/x/0.png".into()));
        assert_eq!(find("train", "/home/0.png"), None, "x and y are as close");
        assert_eq!(find("val", "/home/0.png"), Some("val/x/0.png".into()));
        assert_eq!(find("", "../../val/x/0.png"), Some("val/x/0.png".into()));
        assert_eq!(find("train", "/etc/hostname"), None);
        assert_eq!(find("train", "gone.png"), Some("train/gone.png".into()));
    }
}
