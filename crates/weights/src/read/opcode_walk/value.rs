//! As much of a pickled value as the walk needs to know.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

/// What a value is.
#[derive(Clone)]
pub(super) enum Kind {
    Text(Rc<str>),
    Global(Rc<str>),
    /// Made from a class without a call; whether its state has been set. Shared, as every
    /// reference through the memo means the same object.
    Instance(Rc<Cell<bool>>),
    Plain,
}

/// A global off the list, if there is one inside. Shared by all references to a container.
pub(super) type Holds = Rc<OnceCell<Rc<str>>>;

/// A value on the stack or in the memo.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) kind: Kind,
    /// None for what can hold nothing.
    pub(super) holds: Option<Holds>,
}

impl Value {
    pub(super) const PLAIN: Value = Value {
        kind: Kind::Plain,
        holds: None,
    };

    /// A list, dictionary, tuple or the result of a call.
    pub(super) fn container(held: Option<Rc<str>>) -> Self {
        Value {
            kind: Kind::Plain,
            holds: Some(Rc::new(held.map_or_else(OnceCell::new, OnceCell::from))),
        }
    }

    pub(super) fn held(&self) -> Option<&Rc<str>> {
        self.holds.as_ref()?.get()
    }

    pub(super) fn hold(&self, held: Option<Rc<str>>) {
        if let (Some(cell), Some(name)) = (&self.holds, held) {
            // The first name found is the one to report.
            let _ = cell.set(name);
        }
    }
}
