//! Pictures with labels in words or numbers, as tables and archives give them, and the classes that these are.

use crate::error::DataError;
use crate::listed_images::Splits;
use crate::sample::Sample;
use crate::scenes::{Findings, Problem, read_names};
use crate::split_kind::{SplitKind, split_named};
use rayon::prelude::*;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use unicode_normalization::UnicodeNormalization as _;
use warmstart_files::shown;
use warmstart_language::message;

/// The list of class names beside tables and archives, a class in every line.
const CLASSES: &str = "classes.txt";

/// Labelled pictures by split, in any order.
#[derive(Default)]
pub(crate) struct LabelledPictures {
    /// The labels, in Unicode's normal form C.
    labels: Vec<String>,
    /// The place of each label, as it was written.
    places: HashMap<String, usize>,
    /// Those of training, validation and test.
    pictures: [Vec<Labelled>; 3],
    /// Whether labels are names, also where they look like numbers.
    are_names: bool,
}

struct Labelled {
    path: PathBuf,
    label: usize,
    /// Line of the tables, counted through all of them; 0 for others.
    line: usize,
}

impl LabelledPictures {
    /// No pictures yet, of labels that are names and never numbers.
    pub fn of_names() -> Self {
        Self {
            are_names: true,
            ..Self::default()
        }
    }

    /// Adds a picture.
    pub fn add(&mut self, split: SplitKind, path: PathBuf, label: &str, line: usize) {
        let label = self.place_of(label);
        self.pictures[split as usize].push(Labelled { path, label, line });
    }

    /// The number of pictures in a split.
    pub fn count(&self, split: SplitKind) -> usize {
        self.pictures[split as usize].len()
    }

    fn place_of(&mut self, label: &str) -> usize {
        if let Some(place) = self.places.get(label) {
            return *place;
        }
        let normal: String = label.nfc().collect();
        let known = self.places.get(&normal).copied();
        let place = known.unwrap_or_else(|| {
            self.labels.push(normal.clone());
            self.places.insert(normal, self.labels.len() - 1);
            self.labels.len() - 1
        });
        self.places.insert(label.to_owned(), place);
        place
    }

    /// The classes and the pictures of every split that has one. If all labels are numbers, they count the names in
    /// the `classes.txt` of `folder`; without one, each number is the name of its class. Names are in their order,
    /// numbers in theirs. A picture that is there twice counts once. `place` names the place of a line.
    ///
    /// # Errors
    /// If `classes.txt` cannot be read, or numbers into it look counted from 1.
    pub fn finish(
        self,
        folder: &Path,
        place: &dyn Fn(usize) -> String,
        findings: &mut Findings,
    ) -> Result<Splits, DataError> {
        let numbers = self.labels.iter().map(|label| label.parse().ok());
        let numbers: Option<Vec<usize>> = numbers.collect();
        let numbers = numbers.filter(|_| !self.are_names);
        let list = match &numbers {
            Some(_) => class_names(folder, findings)?,
            None => None,
        };
        if let (Some(numbers), Some(names)) = (&numbers, &list) {
            refuse_counted_from_one(folder, numbers, names.len())?;
        }
        let (names, classes) = classes(&self.labels, numbers, list);
        let mut pictures = self.pictures;
        for pictures in &mut pictures {
            pictures.par_sort_unstable_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
            drop_repeated(pictures, findings, |first, again| {
                let place = place(again.line);
                let of = |picture: &Labelled| Some(&names[classes[picture.label]?]);
                match (of(first), of(again)) {
                    (Some(a), Some(b)) if a != b => message!(
                        "{}: {} is {first:?} and {again:?}; the first is taken",
                        place,
                        shown(&again.path),
                        first = a,
                        again = b
                    ),
                    (Some(_) | None, Some(_) | None) => {
                        format!("{place}: {}", shown(&again.path))
                    }
                }
            });
        }
        let [train, validation, test] = &pictures;
        for (a, b) in [(train, validation), (train, test), (validation, test)] {
            note_shared(a, b, findings);
        }
        let samples = |pictures: Vec<Labelled>| {
            let mut samples = Vec::with_capacity(pictures.len());
            for Labelled { path, label, .. } in pictures {
                match classes[label] {
                    Some(label) => samples.push(Sample { path, label }),
                    None => findings.add(Problem::Malformed, || {
                        let path = shown(&path);
                        message!(
                            "{path}: its label is not below {}, the number of names in {CLASSES}",
                            names.len()
                        )
                    }),
                }
            }
            // Stable, so that paths stay in order inside a class.
            samples.par_sort_by_key(|sample| sample.label);
            (!samples.is_empty()).then_some(samples)
        };
        let images = pictures.map(samples);
        Ok(Splits { names, images })
    }
}

/// Refuses numbers that would give every picture the class after its own.
fn refuse_counted_from_one(
    folder: &Path,
    numbers: &[usize],
    count: usize,
) -> Result<(), DataError> {
    if numbers.contains(&0) || !numbers.contains(&count) {
        return Ok(());
    }
    Err(DataError::Layout {
        folder: folder.to_path_buf(),
        problem: message!(
            "no label is 0, and some are {count}, the number of names in {CLASSES}; they look counted from 1: subtract 1 from every label, or put a name for 0 first"
        ),
    })
}

/// The names of the classes and, for each label, its class: none for a number that the list of names does not reach.
fn classes(
    labels: &[String],
    numbers: Option<Vec<usize>>,
    list: Option<Vec<String>>,
) -> (Vec<String>, Vec<Option<usize>>) {
    match (numbers, list) {
        (Some(numbers), Some(names)) => {
            let known = |number: usize| (number < names.len()).then_some(number);
            let classes = numbers.into_iter().map(known).collect();
            (names, classes)
        }
        (Some(numbers), None) => {
            let mut distinct = numbers.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let place = |number: &usize| distinct.binary_search(number).ok();
            let classes = numbers.iter().map(place).collect();
            (distinct.iter().map(usize::to_string).collect(), classes)
        }
        (None, _) => {
            let mut names = labels.to_vec();
            names.sort_unstable();
            let place = |label: &String| names.binary_search(label).ok();
            let classes = labels.iter().map(place).collect();
            (names, classes)
        }
    }
}

/// The names in the list of classes of a folder, or of the folder above that of a split; none without a list.
fn class_names(folder: &Path, findings: &mut Findings) -> Result<Option<Vec<String>>, DataError> {
    let above = folder.parent().filter(|_| split_named(folder).is_some());
    let lists = [Some(folder), above].into_iter().flatten();
    let mut lists = lists.map(|folder| folder.join(CLASSES));
    let list = lists.find(|list| list.is_file());
    list.map(|list| read_names(&list, findings)).transpose()
}

/// Keeps the first of the pictures of one path, which lie beside each other.
fn drop_repeated(
    pictures: &mut Vec<Labelled>,
    findings: &mut Findings,
    example: impl Fn(&Labelled, &Labelled) -> String,
) {
    pictures.dedup_by(|again, first| {
        let is_same = again.path == first.path;
        if is_same {
            findings.add(Problem::RepeatedImage, || example(first, again));
        }
        is_same
    });
}

/// Notes the pictures that are in two splits, each sorted by path.
fn note_shared(a: &[Labelled], b: &[Labelled], findings: &mut Findings) {
    let (mut in_a, mut in_b) = (0, 0);
    while let (Some(first), Some(second)) = (a.get(in_a), b.get(in_b)) {
        match first.path.cmp(&second.path) {
            Ordering::Less => in_a += 1,
            Ordering::Greater => in_b += 1,
            Ordering::Equal => {
                findings.add(Problem::SharedImage, || shown(&first.path));
                in_a += 1;
                in_b += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names and the classes of pictures 0.jpg, 1.jpg, … with some labels.
    fn named(
        labels: &[&str],
        list: Option<&str>,
    ) -> (Vec<String>, Vec<(PathBuf, usize)>, Findings) {
        let dir = tempfile::tempdir().unwrap();
        if let Some(list) = list {
            std::fs::write(dir.path().join(CLASSES), list).unwrap();
        }
        let mut pictures = LabelledPictures::default();
        for (number, label) in labels.iter().enumerate() {
            let path = format!("{number}.jpg").into();
            pictures.add(SplitKind::Train, path, label, number);
        }
        let mut findings = Findings::default();
        let place = |line: usize| format!("line {line}");
        let splits = pictures.finish(dir.path(), &place, &mut findings).unwrap();
        let [train, ..] = splits.images;
        let train = train.unwrap().into_iter();
        let train = train.map(|sample| (sample.path, sample.label));
        (splits.names, train.collect(), findings)
    }

    fn pictures(expected: &[(&str, usize)]) -> Vec<(PathBuf, usize)> {
        let pictures = expected.iter();
        pictures
            .map(|(path, class)| (PathBuf::from(path), *class))
            .collect()
    }

    #[test]
    fn names_are_in_the_order_of_their_letters() {
        let (names, found, _) = named(&["dog", "cat", "dog"], None);
        assert_eq!(names, ["cat", "dog"]);
        let expected = [("1.jpg", 0), ("0.jpg", 1), ("2.jpg", 1)];
        assert_eq!(found, pictures(&expected));
    }

    #[test]
    fn a_letter_in_two_normal_forms_is_one_class() {
        let (names, found, _) = named(&["e\u{301}", "\u{e9}", "a"], None);
        assert_eq!(names, ["a", "\u{e9}"]);
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn numbers_are_in_their_own_order_and_their_own_names() {
        let (names, found, _) = named(&["10", "9", "010"], None);
        assert_eq!(names, ["9", "10"]);
        let expected = [("1.jpg", 0), ("0.jpg", 1), ("2.jpg", 1)];
        assert_eq!(found, pictures(&expected));
    }

    #[test]
    fn numbers_count_the_names_of_a_list() {
        let (names, found, findings) = named(&["1", "0", "2"], Some("cat\ndog\n"));
        assert_eq!(names, ["cat", "dog"]);
        assert_eq!(found, pictures(&[("1.jpg", 0), ("0.jpg", 1)]));
        assert_eq!(findings.count(Problem::Malformed), 1);
        let (names, ..) = named(&["1", "zebra"], Some("cat\ndog\n"));
        assert_eq!(names, ["1", "zebra"], "not all are numbers");
    }

    #[test]
    fn numbers_that_look_counted_from_one_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CLASSES), "cat\ndog\n").unwrap();
        let read = |labels: &[&str]| {
            let mut pictures = LabelledPictures::default();
            for label in labels {
                pictures.add(SplitKind::Train, format!("{label}.jpg").into(), label, 0);
            }
            let mut findings = Findings::default();
            let splits = pictures.finish(dir.path(), &|_| String::new(), &mut findings);
            splits.map(|splits| splits.names)
        };
        let refusal = read(&["1", "2"]).unwrap_err().to_string();
        assert!(
            refusal.contains("no label is 0, and some are 2, the number of names in classes.txt"),
            "{refusal}"
        );
        assert_eq!(read(&["1"]).unwrap(), ["cat", "dog"]);
    }

    #[test]
    fn names_that_look_like_numbers_stay_names() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CLASSES), "cat\ndog\n").unwrap();
        let mut pictures = LabelledPictures::of_names();
        pictures.add(SplitKind::Train, "01/1.jpg".into(), "01", 0);
        pictures.add(SplitKind::Train, "00/1.jpg".into(), "00", 0);
        let mut findings = Findings::default();
        let splits = pictures.finish(dir.path(), &|_| String::new(), &mut findings);
        assert_eq!(splits.unwrap().names, ["00", "01"]);
    }

    #[test]
    fn a_picture_counts_once_and_in_two_splits_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let mut pictures = LabelledPictures::default();
        pictures.add(SplitKind::Train, "a.jpg".into(), "cat", 2);
        pictures.add(SplitKind::Train, "b.jpg".into(), "dog", 3);
        pictures.add(SplitKind::Train, "a.jpg".into(), "dog", 4);
        pictures.add(SplitKind::Test, "b.jpg".into(), "dog", 5);
        let mut findings = Findings::default();
        let place = |line: usize| format!("t.csv, line {line}");
        let splits = pictures.finish(dir.path(), &place, &mut findings).unwrap();
        let [train, validation, test] = splits
            .images
            .map(|images| images.map(|images| images.len()));
        assert_eq!([train, validation, test], [Some(2), None, Some(1)]);
        assert_eq!(
            findings.examples(Problem::RepeatedImage),
            ["t.csv, line 4: a.jpg is \"cat\" and \"dog\"; the first is taken"]
        );
        assert_eq!(findings.examples(Problem::SharedImage), ["b.jpg"]);
    }
}
