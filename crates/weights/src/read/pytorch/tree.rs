//! The tensors in a pickle's value, by path.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use warmstart_language::message;

use super::wrappers::{is_optimizer, is_tensor, wrapper};
use crate::read::pickle::{Elements, Id, MAX_VALUES, Node, Pickle, TensorView};
use crate::read::weight_file::Unreadable;
use crate::text::{counted, cut_line};

/// Attributes in which `torch.nn.Module` keeps its contents: parameters, buffers and submodules.
const MODULE_TABLES: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// Most wrappers around the weights, nested in each other.
const MAX_WRAPPERS: usize = 16;

/// Most attributes of a module, which has a few dozen.
const MAX_ATTRIBUTES: usize = 10_000;

/// Most visits to values. A value may be visited more than once.
const MAX_LOOKED_AT: usize = 4 * MAX_VALUES;

/// Most bytes of all paths together: a thousand times those of a large network.
const MAX_PATHS: usize = 64 << 20;
/// Most bytes of one path.
const MAX_PATH: usize = 4096;

/// The tensors and other contents of a pickle's value.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Tensors by path, segments joined by dots.
    pub(super) tensors: BTreeMap<String, TensorView>,
    /// Tensors in an unsupported form.
    pub(super) unreadable: BTreeMap<String, Unreadable>,
    /// Keys of outer dictionaries that are left out of the paths, outermost first.
    pub(super) stripped: Vec<String>,
    /// Number of tensors of each optimizer state, by path.
    pub(super) set_aside: BTreeMap<String, usize>,
    /// A path that two tensors have.
    pub(super) collision: Option<String>,
}

impl Tree {
    /// Finds every tensor. A wrapper that holds all of them except an optimizer's is left out of the paths.
    pub(super) fn of(pickle: &Pickle) -> Result<Self, WalkError> {
        let reaching = reaching_tensors(pickle);
        let mut root = pickle.root;
        let mut stripped = Vec::new();
        let mut set_aside = BTreeMap::new();
        loop {
            let mut walk = Walk {
                pickle,
                reaching: &reaching,
                tree: Self::default(),
                path_bytes: 0,
                looked_at: 0,
            };
            walk.collect(root)?;
            let mut tree = walk.tree;
            tree.set_aside.append(&mut set_aside);
            let is_deep = stripped.len() == MAX_WRAPPERS;
            let Some((key, inner)) = wrapper(pickle, &reaching, root).filter(|_| !is_deep) else {
                tree.stripped = stripped;
                return Ok(tree);
            };
            stripped.push(key.to_string());
            set_aside = tree.set_aside;
            root = inner;
        }
    }

    /// One line per optimizer state.
    pub(super) fn set_aside_lines(&self) -> Vec<String> {
        let line = |(path, count): (&String, &usize)| {
            format!("{} ({})", cut_line(path, 60), counted(*count, "tensor"))
        };
        self.set_aside.iter().map(line).collect()
    }
}

/// Message why the tensors cannot be collected.
#[derive(Debug)]
pub(super) struct WalkError(pub(super) String);

/// The values that are a tensor or hold one at any depth.
fn reaching_tensors(pickle: &Pickle) -> HashSet<Id> {
    // Pairs of a value and one that holds it.
    let mut holders: Vec<(Id, Id)> = Vec::new();
    let mut open = Vec::new();
    for (id, node) in pickle.nodes() {
        match node {
            Node::List(items) => holders.extend(items.iter().map(|item| (*item, id))),
            Node::Dict(entries) => holders.extend(entries.iter().map(|(_, value)| (*value, id))),
            Node::Object(object) => {
                holders.extend(object.items.iter().map(|item| (*item, id)));
                holders.extend(object.entries.iter().map(|(_, value)| (*value, id)));
                holders.extend(object.state.map(|state| (state, id)));
            }
            Node::Tensor(_) | Node::OtherTensor(_) => open.push(id),
            Node::Plain | Node::Int(_) | Node::Text(_) | Node::Global(..) | Node::Storage(_) => {}
        }
    }
    holders.sort_unstable();
    let mut reaching: HashSet<Id> = open.iter().copied().collect();
    while let Some(id) = open.pop() {
        let from = holders.partition_point(|(held, _)| *held < id);
        for (_, holder) in holders[from..].iter().take_while(|(held, _)| *held == id) {
            if reaching.insert(*holder) {
                open.push(*holder);
            }
        }
    }
    reaching
}

struct Walk<'a> {
    pickle: &'a Pickle,
    reaching: &'a HashSet<Id>,
    tree: Tree,
    path_bytes: usize,
    looked_at: usize,
}

enum Visit {
    Enter(Id, String),
    Leave(Id),
}

impl Walk<'_> {
    fn collect(&mut self, root: Id) -> Result<(), WalkError> {
        let mut open = vec![Visit::Enter(root, String::new())];
        // In a cycle, each value is visited once; an object that is not a module is visited once overall.
        let mut on_path = HashSet::new();
        let mut objects = HashSet::new();
        while let Some(visit) = open.pop() {
            let (id, path) = match visit {
                Visit::Leave(id) => {
                    on_path.remove(&id);
                    continue;
                }
                Visit::Enter(id, path) => (id, path),
            };
            match self.pickle.node(id) {
                Node::Tensor(view) => self.place(path, view),
                Node::OtherTensor(what) => {
                    let unreadable = Unreadable {
                        shape: None,
                        dtype: None,
                        what: message!("it is made by {what}, which is not a plain tensor"),
                    };
                    self.place_unreadable(path, unreadable);
                }
                node => {
                    let is_object = matches!(node, Node::Object(_));
                    if !on_path.insert(id) {
                        continue;
                    }
                    open.push(Visit::Leave(id));
                    let children = self.children(node)?;
                    let is_module = is_object && children.is_module;
                    if is_object && !is_module && !objects.insert(id) {
                        continue;
                    }
                    if !path.is_empty() && is_optimizer(self.pickle, id) {
                        self.set_aside(id, &path)?;
                        continue;
                    }
                    for (name, child) in children.named.into_iter().rev() {
                        if !self.reaching.contains(&child) {
                            continue;
                        }
                        let path = match (path.as_str(), &*name) {
                            (path, "") => path.to_owned(),
                            ("", name) => name.to_owned(),
                            (path, name) => format!("{path}.{name}"),
                        };
                        self.path_bytes += path.len() + 1;
                        if path.len() > MAX_PATH || self.path_bytes > MAX_PATHS {
                            return Err(WalkError(message!("its tensors' names are too long")));
                        }
                        open.push(Visit::Enter(child, path));
                    }
                }
            }
        }
        Ok(())
    }

    fn place(&mut self, path: String, view: &TensorView) {
        if let Elements::Known(_) = view.elements {
            if self.tree.unreadable.contains_key(&path) || self.tree.tensors.contains_key(&path) {
                self.tree.collision.get_or_insert(path);
            } else {
                self.tree.tensors.insert(path, view.clone());
            }
            return;
        }
        let shape = Some(view.shape.clone());
        let unreadable = match &view.elements {
            Elements::Other(name, _) => Unreadable::of_element_type(name, shape),
            Elements::Known(_) | Elements::Untyped => Unreadable {
                shape,
                dtype: None,
                what: message!("its element type is missing"),
            },
        };
        self.place_unreadable(path, unreadable);
    }

    fn place_unreadable(&mut self, path: String, unreadable: Unreadable) {
        if self.tree.tensors.contains_key(&path) || self.tree.unreadable.contains_key(&path) {
            self.tree.collision.get_or_insert(path);
        } else {
            self.tree.unreadable.insert(path, unreadable);
        }
    }

    /// Counts an optimizer's tensors under its path without trailing indices.
    fn set_aside(&mut self, optimizer: Id, path: &str) -> Result<(), WalkError> {
        let mut seen = HashSet::new();
        let mut open = vec![optimizer];
        let mut count = 0;
        while let Some(id) = open.pop() {
            if !self.reaching.contains(&id) || !seen.insert(id) {
                continue;
            }
            if is_tensor(self.pickle, id) {
                count += 1;
                continue;
            }
            let children = self.children(self.pickle.node(id))?;
            open.extend(children.named.into_iter().map(|(_, child)| child));
        }
        let is_digit = |byte: char| byte.is_ascii_digit() || byte == '.';
        let name = path.trim_end_matches(is_digit);
        let name = if name.is_empty() { path } else { name };
        if count > 0 {
            *self.tree.set_aside.entry(name.to_owned()).or_default() += count;
        }
        Ok(())
    }

    fn children(&mut self, node: &Node) -> Result<Children, WalkError> {
        let mut children = Children::default();
        match node {
            Node::List(items) => children.add_items(items),
            Node::Dict(entries) => children.add_entries(self.pickle, entries),
            Node::Object(object) => {
                let attributes: &[(Id, Id)] =
                    match object.state.map(|state| self.pickle.node(state)) {
                        Some(Node::Dict(entries)) => entries,
                        // The state of a class with slots: (attributes, slots).
                        Some(Node::List(_)) => {
                            children
                                .named
                                .extend(object.state.map(|state| ("".into(), state)));
                            &[]
                        }
                        _ => &[],
                    };
                if let Some(tables) = self.module_tables(attributes) {
                    children.is_module = true;
                    children.add_module(self.pickle, attributes, tables);
                } else {
                    children.add_items(&object.items);
                    children.add_entries(self.pickle, &object.entries);
                    children.add_entries(self.pickle, attributes);
                }
            }
            Node::Plain | Node::Int(_) | Node::Text(_) | Node::Global(..) => {}
            Node::Storage(_) | Node::Tensor(_) | Node::OtherTensor(_) => {}
        }
        self.looked_at += 1 + children.named.len();
        if self.looked_at > MAX_LOOKED_AT {
            return Err(WalkError(message!(
                "its pickle refers to its values too many times"
            )));
        }
        Ok(children)
    }

    /// The three tables of a module's attributes.
    fn module_tables(&self, attributes: &[(Id, Id)]) -> Option<[&[(Id, Id)]; 3]> {
        if attributes.len() > MAX_ATTRIBUTES {
            return None;
        }
        let table = |name: &str| match self.pickle.entry(attributes, name) {
            Some(Node::Dict(entries)) => Some(entries.as_slice()),
            _ => None,
        };
        let [parameters, buffers, modules] = MODULE_TABLES.map(table);
        Some([parameters?, buffers?, modules?])
    }
}

#[derive(Default)]
struct Children {
    named: Vec<(Rc<str>, Id)>,
    is_module: bool,
}

impl Children {
    fn add_items(&mut self, items: &[Id]) {
        let items = items.iter().enumerate();
        self.named
            .extend(items.map(|(index, item)| (index.to_string().into(), *item)));
    }

    /// Adds the entries of a dictionary. The last one of equal keys counts, as in Python.
    fn add_entries(&mut self, pickle: &Pickle, entries: &[(Id, Id)]) {
        let mut names = HashSet::new();
        let first = self.named.len();
        for (place, (key, value)) in entries.iter().enumerate().rev() {
            let name = pickle
                .name(*key)
                .unwrap_or_else(|| format!("#{place}").into());
            if names.insert(name.clone()) {
                self.named.push((name, *value));
            }
        }
        self.named[first..].reverse();
    }

    /// Adds what `torch.nn.Module.state_dict` gives: everything except non-persistent buffers.
    fn add_module(&mut self, pickle: &Pickle, attributes: &[(Id, Id)], tables: [&[(Id, Id)]; 3]) {
        let unsaved: HashSet<Rc<str>> = match pickle
            .entry(attributes, "_non_persistent_buffers_set")
        {
            Some(Node::List(names)) => names.iter().filter_map(|name| pickle.name(*name)).collect(),
            _ => HashSet::new(),
        };
        let [parameters, buffers, modules] = tables;
        let is_saved = |(key, _): &&(Id, Id)| {
            pickle
                .name(*key)
                .is_none_or(|name| !unsaved.contains(&name))
        };
        let buffers: Vec<(Id, Id)> = buffers.iter().filter(is_saved).copied().collect();
        for table in [parameters, &buffers, modules] {
            self.add_entries(pickle, table);
        }
    }
}

const _: () = assert!(MAX_VALUES < Id::MAX as usize);
