//! The tensors in a pickle's value, by the path to each.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use crate::read::pickle::{Elements, Id, MAX_VALUES, Node, Pickle, TensorView};
use crate::read::{Unreadable, unreadable_element_type};
use crate::text::{counted, one_line};

/// Keys under which training scripts keep the weights. What lies under another key is found as well; under
/// these it need not look like weights at first sight.
const WRAPPERS: [&str; 10] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "weights",
    "net",
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
];

/// What `torch.nn.Module` keeps under its attributes: tensors, tensors that do not learn, and submodules.
const MODULE_TABLES: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// Most wrappers around the weights, each in the one before.
const MAX_WRAPPERS: usize = 16;

/// An optimizer's state has two entries or a few more, a module a few dozen attributes.
const MAX_STATE: usize = 1_000;
const MAX_ATTRIBUTES: usize = 10_000;

/// Most values that are looked at. A value counts as often as it is reached.
const MAX_LOOKED_AT: usize = 4 * MAX_VALUES;

/// Bytes of all paths together: a thousand times those of a large network.
const MAX_PATHS: usize = 64 << 20;
const MAX_PATH: usize = 4096;

/// What a pickle's value has to give.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Tensors by path, segments joined by dots.
    pub(super) tensors: BTreeMap<String, TensorView>,
    /// Tensors in a form that is not read.
    pub(super) unreadable: BTreeMap<String, Unreadable>,
    /// Keys of outer dictionaries that are left out of the paths, outermost first.
    pub(super) stripped: Vec<String>,
    /// States of optimizers: where they lie, and how many tensors they have.
    pub(super) set_aside: BTreeMap<String, usize>,
    /// A path that two tensors have.
    pub(super) collision: Option<String>,
}

impl Tree {
    /// Finds every tensor. Wrappers that hold all of them but those of optimizers are left out of the paths.
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

    /// A line for each optimizer's state.
    pub(super) fn set_aside_lines(&self) -> Vec<String> {
        let line = |(path, count): (&String, &usize)| {
            format!("{} ({})", one_line(path, 60), counted(*count, "tensor"))
        };
        self.set_aside.iter().map(line).collect()
    }
}

/// Why no tree could be made: in words.
#[derive(Debug)]
pub(super) struct WalkError(pub(super) String);

/// The one entry of a dictionary that holds tensors which are no optimizer's, if it is a wrapper and no part of
/// the tensors' names.
fn wrapper(pickle: &Pickle, reaching: &HashSet<Id>, root: Id) -> Option<(Rc<str>, Id)> {
    let (key, inner) = only_holder(pickle, reaching, root)?;
    let is_known = WRAPPERS.contains(&&*key) && !is_tensor(pickle, inner);
    (is_known || is_whole(pickle, reaching, inner, 0)).then_some((key, inner))
}

fn only_holder(pickle: &Pickle, reaching: &HashSet<Id>, root: Id) -> Option<(Rc<str>, Id)> {
    let Node::Dict(entries) = pickle.node(root) else {
        return None;
    };
    let mut seen = HashSet::new();
    let mut holders = entries.iter().filter(|(_, value)| {
        reaching.contains(value) && !is_optimizer_only(pickle, reaching, *value, 0, &mut seen)
    });
    let (key, value) = holders.next()?;
    if holders.next().is_some() {
        return None;
    }
    Some((pickle.name(*key)?, *value))
}

/// Whether it is a module or a dictionary with tensors under dotted names, or wraps one.
fn is_whole(pickle: &Pickle, reaching: &HashSet<Id>, id: Id, depth: usize) -> bool {
    const DEEP: usize = 16;
    let is_dotted = |(key, value): &(Id, Id)| {
        is_tensor(pickle, *value) && pickle.name(*key).is_some_and(|name| name.contains('.'))
    };
    match pickle.node(id) {
        Node::Object(object) => object.entries.is_empty() || object.entries.iter().any(is_dotted),
        Node::Dict(entries) if entries.iter().any(is_dotted) => true,
        Node::Dict(_) if depth < DEEP => {
            only_holder(pickle, reaching, id).is_some_and(|(key, inner)| {
                let is_known = WRAPPERS.contains(&&*key) && !is_tensor(pickle, inner);
                is_known || is_whole(pickle, reaching, inner, depth + 1)
            })
        }
        _ => false,
    }
}

fn is_tensor(pickle: &Pickle, id: Id) -> bool {
    matches!(pickle.node(id), Node::Tensor(_) | Node::OtherTensor(_))
}

/// Whether it is an optimizer's state, or a list or dictionary of nothing else that has tensors.
/// `seen` has those for which it is known: the first that is none ends the search.
fn is_optimizer_only(
    pickle: &Pickle,
    reaching: &HashSet<Id>,
    id: Id,
    depth: usize,
    seen: &mut HashSet<Id>,
) -> bool {
    const DEEP: usize = 4;
    if seen.contains(&id) || is_optimizer(pickle, id) {
        return true;
    }
    let mut only = |id: &Id| {
        !reaching.contains(id)
            || (depth < DEEP && is_optimizer_only(pickle, reaching, *id, depth + 1, seen))
    };
    let is_only = match pickle.node(id) {
        Node::List(items) => items.iter().all(only),
        Node::Dict(entries) => entries.iter().all(|(_, value)| only(value)),
        Node::Object(_) | Node::Tensor(_) | Node::OtherTensor(_) | Node::Storage(_) => false,
        Node::Plain | Node::Int(_) | Node::Text(_) | Node::Global(..) => false,
    };
    if is_only {
        seen.insert(id);
    }
    is_only
}

/// Whether it is what `torch.optim.Optimizer.state_dict` gives, or an optimizer.
fn is_optimizer(pickle: &Pickle, id: Id) -> bool {
    let entries = match pickle.node(id) {
        Node::Dict(entries) => entries,
        Node::Object(object) => match object.state.map(|state| pickle.node(state)) {
            Some(Node::Dict(entries)) => entries,
            _ => return false,
        },
        _ => return false,
    };
    entries.len() <= MAX_STATE
        && ["state", "param_groups"]
            .iter()
            .all(|key| pickle.entry(entries, key).is_some())
}

/// Every value that is a tensor, or has one somewhere inside.
fn reaching_tensors(pickle: &Pickle) -> HashSet<Id> {
    // From each value to those that hold it.
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
        // Of a cycle, each value counts once; an object that is no module counts once at all.
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
                        what: format!("it is made by {what}, which is no plain tensor"),
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
                            return Err(WalkError("its tensors' names go on without end".into()));
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
        let what = match &view.elements {
            Elements::Other(name, _) => unreadable_element_type(name),
            Elements::Known(_) | Elements::Untyped => "its element type is not said".into(),
        };
        let unreadable = Unreadable {
            shape: Some(view.shape.clone()),
            what,
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

    /// Counts an optimizer's tensors, under the path to all of its kind.
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
                        // Of a class with slots: (attributes, slots).
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
            return Err(WalkError(
                "its pickle refers to its values without end".into(),
            ));
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

    /// Of a key that comes twice, the last one counts, as in Python.
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

    /// What `torch.nn.Module.state_dict` gives: no buffer that is not meant to be saved.
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
