//! The values of a pickle, as far as tensors are concerned. They lie in one vector and refer to each other by
//! index, so that neither nesting nor a cycle can end the stack.

use std::rc::Rc;

use super::trust::Trust;
use crate::read::element::ElementType;

/// Index of a value.
pub(in crate::read) type Id = u32;

/// Every value that nothing needs to be known of is this one.
pub(in crate::read) const PLAIN: Id = 0;

/// A value.
#[derive(Debug)]
pub(in crate::read) enum Node {
    /// None, a boolean, a float, bytes, a long text.
    Plain,
    /// A number that fits.
    Int(i64),
    /// A text of at most 1,024 bytes.
    Text(Rc<str>),
    /// A class or function, by its full name.
    Global(Rc<str>, Trust),
    /// A list, tuple or set.
    List(Vec<Id>),
    /// A dictionary of any class that is one of Python's.
    Dict(Vec<(Id, Id)>),
    /// An instance of a class.
    Object(Box<Object>),
    /// Numbers outside of the pickle.
    Storage(Rc<Storage>),
    /// A view of a storage.
    Tensor(Box<TensorView>),
    /// A tensor in a form that is not read: what it is.
    OtherTensor(Rc<str>),
}

/// An instance, made without a call: what the file says that it holds.
#[derive(Debug, Default)]
pub(in crate::read) struct Object {
    /// Elements, if it is a list of some kind, and what its class was made with.
    pub items: Vec<Id>,
    /// Entries, if it is a dictionary of some kind.
    pub entries: Vec<(Id, Id)>,
    /// Its attributes, once they have been set.
    pub state: Option<Id>,
}

/// An element type of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::read) enum Elements {
    /// One that can be read.
    Known(ElementType),
    /// One that cannot: its name, and bytes an element.
    Other(Rc<str>, usize),
    /// Bytes whose type the tensor names.
    Untyped,
}

impl Elements {
    /// Bytes of one element.
    pub fn size(&self) -> usize {
        match self {
            Self::Known(kind) => kind.size(),
            Self::Other(_, size) => *size,
            Self::Untyped => 1,
        }
    }
}

/// Numbers that lie outside of the pickle.
#[derive(Debug)]
pub(in crate::read) struct Storage {
    /// Its name in the container.
    pub key: Rc<str>,
    pub elements: Elements,
    /// The number of its elements.
    pub count: u64,
    /// The start of a view of it, in elements: early legacy files.
    pub offset: u64,
}

/// A tensor: a view of a storage.
#[derive(Debug, Clone)]
pub(in crate::read) struct TensorView {
    pub storage: Rc<Storage>,
    pub elements: Elements,
    /// Of its first value, in elements.
    pub offset: u64,
    pub shape: Vec<usize>,
    /// In elements.
    pub strides: Vec<usize>,
}
