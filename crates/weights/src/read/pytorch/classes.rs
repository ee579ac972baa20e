//! Names of classes that training tools keep beside the weights.

use std::collections::{BTreeMap, HashSet};

use crate::read::pickle::{Id, Node, Pickle};

/// The places of the names, from the outermost key on: MMDetection 3, its release candidates, other tools of MMEngine,
/// MMDetection 2, LibreYOLO.
const PLACES: [&[&str]; 5] = [
    &["meta", "dataset_meta", "classes"],
    &["meta", "dataset_meta", "CLASSES"],
    &["meta", "classes"],
    &["meta", "CLASSES"],
    &["names"],
];

/// The names in the order of the logits; `None` if there are none, or if one is empty or there twice.
pub(super) fn names(pickle: &Pickle) -> Option<Vec<String>> {
    let mut places = PLACES.iter();
    let names = places.find_map(|place| listed(pickle, at(pickle, place)?))?;
    let mut seen = HashSet::new();
    let is_sound = |name: &String| !name.trim().is_empty() && seen.insert(name.clone());
    (!names.is_empty() && names.iter().all(is_sound)).then_some(names)
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

/// Texts in a list, or in a dictionary by their numbers from 0 on.
fn listed(pickle: &Pickle, node: &Node) -> Option<Vec<String>> {
    let text = |id: Id| {
        if let Node::Text(text) = pickle.node(id) {
            Some(text.to_string())
        } else {
            None
        }
    };
    if let Node::List(items) = node {
        return items.iter().map(|item| text(*item)).collect();
    }
    let mut numbered = BTreeMap::new();
    for (key, value) in entries(node)? {
        let Node::Int(number) = pickle.node(*key) else {
            return None;
        };
        numbered.insert(*number, text(*value)?);
    }
    let are_all_there = (0..).zip(numbered.keys()).all(|(place, key)| place == *key);
    are_all_there.then(|| numbered.into_values().collect())
}
