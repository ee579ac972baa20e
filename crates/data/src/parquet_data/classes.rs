//! The classes of a data set in Parquet files, in one order for all files.

use std::collections::{BTreeMap, BTreeSet};

use warmstart_language::message;

use super::reading::Label;

/// Most classes; more distinct labels are no classes.
const MOST_CLASSES: usize = 100_000;

/// The classes of a data set.
#[derive(Debug)]
pub struct Classes {
    /// Their names, in the order of their numbers.
    pub names: Vec<String>,
    /// The number of each label; `None` where labels are the numbers.
    numbers: Option<BTreeMap<Label, usize>>,
}

impl Classes {
    /// Classes whose labels are their numbers.
    pub fn named(names: Vec<String>) -> Self {
        Self {
            names,
            numbers: None,
        }
    }

    /// Classes whose labels are their names, sorted.
    ///
    /// # Errors
    /// If a label is no name of a class.
    pub fn of_labels(labels: BTreeSet<Label>) -> Result<Self, String> {
        let names: Vec<String> = labels.iter().map(Label::to_string).collect();
        require_names(&names)?;
        let numbers = labels.into_iter().enumerate();
        Ok(Self {
            names,
            numbers: Some(numbers.map(|(number, label)| (label, number)).collect()),
        })
    }

    /// The number of a label's class; `None` if it is beyond the classes.
    pub fn number(&self, label: &Label) -> Option<usize> {
        match (&self.numbers, label) {
            (Some(numbers), label) => numbers.get(label).copied(),
            (None, Label::Number(number)) => {
                let number = usize::try_from(*number).ok()?;
                (number < self.names.len()).then_some(number)
            }
            (None, Label::Text(_)) => None,
        }
    }
}

/// Adds a label to those that were seen.
///
/// # Errors
/// If there are too many for classes.
pub fn add_label(labels: &mut BTreeSet<Label>, label: Label) -> Result<(), String> {
    if !label.is_missing() {
        labels.insert(label);
    }
    if labels.len() > MOST_CLASSES {
        return Err(message!(
            "its labels have more than {MOST_CLASSES} different values, which are no classes"
        ));
    }
    Ok(())
}

/// Refuses names that a list of classes, a line each, could not hold.
///
/// # Errors
/// If there are none or too many, or one is empty, there twice or of several lines.
pub fn require_names(names: &[String]) -> Result<(), String> {
    if names.is_empty() || names.len() > MOST_CLASSES {
        let count = names.len();
        return Err(message!(
            "it has {count} classes; expected from 1 to {MOST_CLASSES}"
        ));
    }
    let mut seen = BTreeSet::new();
    for name in names {
        let is_line = name.trim() == name && !name.contains(char::is_control);
        if name.is_empty() || !is_line || !seen.insert(name) {
            return Err(message!(
                "its class {name:?} is empty, there twice, or begins or ends with a space or has a control character; \
                 rename it"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_classes_in_their_order() {
        let text = |text: &str| Label::Text(text.to_owned());
        let labels = BTreeSet::from([text("dog"), text("cat")]);
        let classes = Classes::of_labels(labels).unwrap();
        assert_eq!(classes.names, ["cat", "dog"]);
        assert_eq!(classes.number(&text("dog")), Some(1));
        let numbers = BTreeSet::from([10, 2].map(Label::Number));
        let classes = Classes::of_labels(numbers).unwrap();
        assert_eq!(classes.names, ["2", "10"]);
        assert_eq!(classes.number(&Label::Number(2)), Some(0));
        let named = Classes::named(vec!["b".to_owned(), "a".to_owned()]);
        assert_eq!(named.number(&Label::Number(1)), Some(1));
        assert_eq!(named.number(&Label::Number(2)), None);
        assert_eq!(named.number(&text("a")), None);
    }

    #[test]
    fn a_name_that_is_no_line_is_refused() {
        for names in [&["a", "a"][..], &["a\nb"], &[""], &[" a"], &[]] {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert!(require_names(&names).is_err(), "{names:?}");
        }
        assert!(require_names(&["tench, Tinca tinca".to_owned()]).is_ok());
    }

    #[test]
    fn missing_labels_are_no_class() {
        let mut labels = BTreeSet::new();
        for label in [
            Label::Number(-1),
            Label::Text(String::new()),
            Label::Number(3),
        ] {
            add_label(&mut labels, label).unwrap();
        }
        assert_eq!(labels, BTreeSet::from([Label::Number(3)]));
    }
}
