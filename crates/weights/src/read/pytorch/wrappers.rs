//! Wrappers that training scripts put around the weights, and things that they keep beside them.

use std::collections::HashSet;
use std::rc::Rc;

use crate::read::pickle::{Id, Node, Pickle};

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

/// An optimizer's state has two entries or a few more.
const MAX_STATE: usize = 1_000;

/// The one entry of a dictionary that holds tensors which are no optimizer's, if it is a wrapper and no part of
/// the tensors' names.
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

/// Returns whether it is a module or a dictionary with tensors under dotted names, or wraps one.
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

pub(super) fn is_tensor(pickle: &Pickle, id: Id) -> bool {
    matches!(pickle.node(id), Node::Tensor(_) | Node::OtherTensor(_))
}

/// Returns whether it is an optimizer's state, or a list or dictionary of nothing else that has tensors.
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

/// Returns whether it is what `torch.optim.Optimizer.state_dict` gives, or an optimizer.
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
