//! The values of a pickle, as far as tensors need them. They are in one vector and refer to each other by
//! index, so that neither nesting nor a cycle can overflow the stack.

use std::rc::Rc;

use super::trust::Trust;
use crate::read::element::ElementType;

/// Index of a value.
pub(in crate::read) type Id = u32;

/// The value that stands for every value whose contents do not matter.
pub(in crate::read) const PLAIN: Id = 0;

/// A value.
#[derive(Debug)]
pub(in crate::read) enum Node {
    /// None, a boolean, a float, bytes, a long text.
    Plain,
    /// An integer that fits into 64 bits.
    Int(i64),
    /// A text of at most 1,024 bytes.
    Text(Rc<str>),
    /// A class or function, by its full name.
    Global(Rc<str>, Trust),
    /// A list, tuple or set.
    List(Vec<Id>),
    /// A dictionary of any of Python's own classes.
    Dict(Vec<(Id, Id)>),
    /// An instance of a class.
    Object(Box<Object>),
    /// Tensor values outside the pickle.
    Storage(Rc<Storage>),
    /// A view of a storage.
    Tensor(Box<TensorView>),
    /// A tensor in an unsupported form: the function that makes it.
    OtherTensor(Rc<str>),
}

/// An instance, made without a call, with the contents that the file gives it.
#[derive(Debug, Default)]
pub(in crate::read) struct Object {
    /// Elements, if it is a kind of list, and the arguments of its class.
    pub items: Vec<Id>,
    /// Entries, if it is a kind of dictionary.
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

/// Tensor values that are outside the pickle.
#[derive(Debug)]
pub(in crate::read) struct Storage {
    /// Its name in the container.
    pub key: Rc<str>,
    pub elements: Elements,
    /// The number of its elements.
    pub count: u64,
    /// Start of the view of it in elements; not 0 only in early legacy files.
    pub offset: u64,
}

/// A tensor: a view of a storage.
#[derive(Debug, Clone)]
pub(in crate::read) struct TensorView {
    pub storage: Rc<Storage>,
    pub elements: Elements,
    /// Offset of its first value in elements.
    pub offset: u64,
    pub shape: Vec<usize>,
    /// Strides in elements.
    pub strides: Vec<usize>,
}
