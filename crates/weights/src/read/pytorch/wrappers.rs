//! Wrappers that training scripts put around the weights, and optimizer states beside them.

use std::collections::HashSet;
use std::rc::Rc;

use crate::read::pickle::{Id, Node, Pickle};

/// Keys under which training scripts keep the weights. Another key counts as a wrapper only if its value
/// looks like weights.
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

/// Most entries of an optimizer's state, which has few more than two.
const MAX_STATE: usize = 1_000;

/// The only entry of a dictionary that holds tensors other than an optimizer's, if its key is a wrapper and
/// not part of the tensors' names.
pub(super) fn wrapper(pickle: &Pickle, reaching: &HashSet<Id>, root: Id) -> Option<(Rc<str>, Id)> {
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

/// Returns whether a value is a module or a dictionary with tensors under dotted names, or wraps one.
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
        Node::Dict(_) | Node::List(_) | Node::Tensor(_) | Node::OtherTensor(_) => false,
        Node::Plain | Node::Int(_) | Node::Text(_) | Node::Global(..) | Node::Storage(_) => false,
    }
}

pub(super) fn is_tensor(pickle: &Pickle, id: Id) -> bool {
    matches!(pickle.node(id), Node::Tensor(_) | Node::OtherTensor(_))
}

/// Returns whether a value is an optimizer's state, or a list or dictionary whose tensors are all in such
/// states. `seen` holds the values that are known to be: the first other one ends the search.
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

/// Returns whether a value is an optimizer, or what `torch.optim.Optimizer.state_dict` gives.
pub(super) fn is_optimizer(pickle: &Pickle, id: Id) -> bool {
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
