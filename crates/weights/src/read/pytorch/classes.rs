//! Names of classes that training tools keep beside the weights.

use std::collections::{BTreeMap, HashSet};

use warmstart_language::{english, message, translated};

use crate::read::pickle::{Id, Node, Pickle};
use crate::text::{cut_line, grouped};

/// The places of the names, from the outermost key on: MMDetection 3, its release candidates, other tools of MMEngine,
/// MMDetection 2, LibreYOLO.
const PLACES: [&[&str]; 5] = [
    &["meta", "dataset_meta", "classes"],
    &["meta", "dataset_meta", "CLASSES"],
    &["meta", "classes"],
    &["meta", "CLASSES"],
    &["names"],
];

/// Most names: more than any data set has. A pickle can name one text millions of times.
const MOST_NAMES: usize = 100_000;

/// Why names are not those of classes: a dictionary that does not count them.
const NOT_COUNTED: &str = english!("is a dictionary whose keys are not 0, 1, 2, …");

/// The names in the order of the logits, or why those that are there cannot be used; `None` if there are none.
pub(super) fn names(pickle: &Pickle) -> Option<Result<Vec<String>, String>> {
    let mut fault = None;
    for place in &PLACES {
        let node = at(pickle, place).filter(|node| !matches!(node, Node::Plain));
        let Some(node) = node else { continue };
        match sound(pickle, node) {
            Ok(names) if names.is_empty() => {}
            // Copied only now: the texts of sound names are no larger than the pickle.
            Ok(names) => return Some(Ok(names.into_iter().map(str::to_owned).collect())),
            Err(what) => {
                fault.get_or_insert_with(|| format!("`{}` {what}", place.join(".")));
            }
        }
    }
    fault.map(Err)
}

/// Names each of which says something and is there once; otherwise what is wrong, as the end of a sentence.
fn sound<'a>(pickle: &'a Pickle, node: &'a Node) -> Result<Vec<&'a str>, String> {
    let names = listed(pickle, node)?;
    let mut seen = HashSet::new();
    for (place, name) in names.iter().enumerate() {
        if name.trim().is_empty() {
            return Err(message!("has an empty name at place {place}"));
        }
        if !seen.insert(*name) {
            return Err(message!("has the name `{}` twice", cut_line(name, 100)));
        }
    }
    Ok(names)
}

/// The value under keys of nested dictionaries.
fn at<'a>(pickle: &'a Pickle, place: &[&str]) -> Option<&'a Node> {
    let root = pickle.node(pickle.root);
    place
        .iter()
        .try_fold(root, |node, key| pickle.entry(entries(node)?, key))
}

/// The entries of a dictionary, or of an instance of a class that is one.
fn entries(node: &Node) -> Option<&[(Id, Id)]> {
    match node {
        Node::Dict(entries) => Some(entries),
        Node::Object(object) => Some(&object.entries),
        Node::Plain | Node::Int(_) | Node::Text(_) | Node::Global(..) | Node::List(_) => None,
        Node::Storage(_) | Node::Tensor(_) | Node::OtherTensor(_) => None,
    }
}

/// Texts in a list, or in a dictionary by their numbers from 0 on; otherwise what is wrong, as the end of a sentence.
fn listed<'a>(pickle: &'a Pickle, node: &'a Node) -> Result<Vec<&'a str>, String> {
    let text = |(place, id): (usize, Id)| {
        if let Node::Text(text) = pickle.node(id) {
            Ok(&**text)
        } else {
            Err(message!(
                "has something else than a text of at most 1,024 bytes at place {place}"
            ))
        }
    };
    if let Node::List(items) = node {
        require_few(items.len())?;
        return items.iter().copied().enumerate().map(text).collect();
    }
    let Some(entries) = entries(node) else {
        return Err(message!("is not a list of names"));
    };
    require_few(entries.len())?;
    let mut numbered = BTreeMap::new();
    for (key, value) in entries {
        let Node::Int(number) = pickle.node(*key) else {
            return Err(translated(NOT_COUNTED).to_owned());
        };
        numbered.insert(*number, *value);
    }
    let are_all_there = (0..).zip(numbered.keys()).all(|(place, key)| place == *key);
    if !are_all_there {
        return Err(translated(NOT_COUNTED).to_owned());
    }
    numbered.into_values().enumerate().map(text).collect()
}

/// Refuses more names than a data set has classes.
fn require_few(number: usize) -> Result<(), String> {
    if number <= MOST_NAMES {
        return Ok(());
    }
    Err(message!(
        "has {} names, more than {}",
        grouped(number),
        grouped(MOST_NAMES)
    ))
}
