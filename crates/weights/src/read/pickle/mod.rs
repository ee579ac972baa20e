//! Reads the opcodes of a pickle as data, and calls nothing.
//!
//! Tensors are recognised by the few functions with which PyTorch makes them. Any other call makes an object
//! that is skipped. It is an error if Python could run anything with it ([`Trust`]), or if its arguments hold
//! a tensor, which would then be missing silently.
//!
//! Opcodes: CPython's `Lib/pickletools.py`, protocols 0 to 5. An opcode that is not supported is an error.

mod call;
mod stack;
mod stream;
mod trust;
mod value;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::BufRead;
use std::rc::Rc;

use warmstart_language::message;

use crate::text::cut_line;
use stream::Stream;
use trust::{Trust, trust};
use value::PLAIN;
pub(super) use value::{Elements, Id, Node, Storage, TensorView};

/// Limits of the stack and the memo. A pickler flushes its stack every thousand items and memoizes about ten
/// values per tensor; a file beyond these limits only serves to exhaust memory.
const MAX_STACK: usize = 1_000_000;
const MAX_MEMO: usize = 1_000_000;

/// Most values of a pickle. A value takes one byte of a pickle and about fifty in memory. Checkpoints have
/// about forty per tensor, and perhaps one per step in a list of losses.
pub(super) const MAX_VALUES: usize = 5_000_000;

/// Reasons to refuse a pickle.
#[derive(Debug)]
pub(super) enum PickleError {
    /// It is not a pickle, or a damaged one.
    Malformed(String),
    /// It would run code; the callable, or what it does.
    RunsCode(String),
}

/// A pickle as data.
#[derive(Debug)]
pub(super) struct Pickle {
    nodes: Vec<Node>,
    /// Its value.
    pub(super) root: Id,
    /// Classes and functions that it names, except PyTorch's and those of plain data: `module.name`.
    pub(super) mentioned: BTreeSet<String>,
}

impl Pickle {
    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    /// Every value that was made, including those that the root does not hold.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (Id, &Node)> {
        (0..).zip(&self.nodes)
    }

    /// Every storage.
    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }

    /// The value of a dictionary under a text.
    pub(super) fn entry(&self, entries: &[(Id, Id)], key: &str) -> Option<&Node> {
        let mut entries = entries.iter();
        let found = entries
            .rfind(|(name, _)| matches!(self.node(*name), Node::Text(text) if **text == *key));
        found.map(|(_, value)| self.node(*value))
    }

    /// A text or a number as a name.
    pub(super) fn name(&self, id: Id) -> Option<Rc<str>> {
        match self.node(id) {
            Node::Text(text) => Some(text.clone()),
            Node::Int(number) => Some(number.to_string().into()),
            _ => None,
        }
    }
}

/// Reads one pickle and leaves `reader` after its end.
pub(super) fn parse(reader: &mut impl BufRead) -> Result<Pickle, PickleError> {
    let mut machine = Machine {
        stream: Stream(reader),
        nodes: vec![Node::Plain],
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        pushed: 0,
        refused_within: HashMap::new(),
        with_tensors: HashSet::new(),
        first_refused: None,
        computed_call: None,
        mentioned: BTreeSet::new(),
    };
    while machine.step()? {}
    if let Some(what) = machine.computed_call {
        return Err(runs(machine.first_refused.as_deref().unwrap_or(&what)));
    }
    let root = machine.pop()?;
    Ok(Pickle {
        nodes: machine.nodes,
        root,
        mentioned: machine.mentioned,
    })
}

struct Machine<'a, R> {
    stream: Stream<'a, R>,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    pushed: usize,
    /// Containers that hold a refused global, and its name.
    refused_within: HashMap<Id, Rc<str>>,
    /// Containers that hold a tensor or a storage.
    with_tensors: HashSet<Id>,
    /// The first refused global, wherever it is used.
    first_refused: Option<Rc<str>>,
    /// A tensor that would be made by a function among its arguments.
    computed_call: Option<Rc<str>>,
    mentioned: BTreeSet<String>,
}

impl<R: BufRead> Machine<'_, R> {
    /// Executes one opcode. Returns false at the end of the pickle.
    fn step(&mut self) -> Result<bool, PickleError> {
        let [opcode] = self.stream.bytes()?;
        match opcode {
            b'.' => return Ok(false),
            // Protocol and frame say nothing about values.
            0x80 => self.stream.skip(1)?,
            0x95 => self.stream.skip(8)?,

            // Numbers, None and booleans.
            b'N' => self.push(PLAIN)?,
            0x88 => self.push_number(Some(1))?,
            0x89 => self.push_number(Some(0))?,
            b'F' => self.stream.line().and_then(|_| self.push(PLAIN))?,
            b'I' | b'L' => {
                let line = self.stream.line()?;
                let number = line.trim_end_matches('L').parse().ok();
                self.push_number(number)?;
            }
            b'K' => {
                let number = self.stream.number::<1>()?;
                self.push_number(i64::try_from(number).ok())?;
            }
            b'M' => {
                let number = self.stream.number::<2>()?;
                self.push_number(i64::try_from(number).ok())?;
            }
            b'J' => {
                let number = i32::from_le_bytes(self.stream.bytes()?);
                self.push_number(Some(number.into()))?;
            }
            0x8a => self.push_long::<1>()?,
            0x8b => self.push_long::<4>()?,
            b'G' => self.stream.skip(8).and_then(|()| self.push(PLAIN))?,

            // Texts and bytes, by the width of their length.
            b'V' => {
                let line = self.stream.line()?;
                self.push_text(&line)?;
            }
            b'S' => {
                let line = self.stream.line()?;
                self.push_text(line.trim_matches(['\'', '"']))?;
            }
            b'U' | 0x8c => self.push_counted::<1>()?,
            b'T' | b'X' => self.push_counted::<4>()?,
            0x8d => self.push_counted::<8>()?,
            b'C' => self.skip_counted::<1>()?,
            b'B' => self.skip_counted::<4>()?,
            0x8e | 0x96 => self.skip_counted::<8>()?,

            // Containers.
            b'(' => {
                if self.marks.len() >= MAX_STACK {
                    return Err(malformed(message!("its pickle nests too deeply")));
                }
                self.marks.push(self.stack.len());
            }
            b')' | b']' | 0x8f => self.push_new(Node::List(Vec::new()))?,
            b'}' => self.push_new(Node::Dict(Vec::new()))?,
            0x85 => self.gather(1)?,
            0x86 => self.gather(2)?,
            0x87 => self.gather(3)?,
            b't' | b'l' | 0x91 => {
                let items = self.pop_to_mark()?;
                self.push_list(items)?;
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push_new(Node::Dict(Vec::new()))?;
                self.put_entries(&items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.put_items(&[item])?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.put_entries(&[key, value])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_to_mark()?;
                self.put_items(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.put_entries(&items)?;
            }

            // Stack and memo.
            b'0' => {
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.top().and_then(|top| self.push(top))?,
            b'g' => self.stream.index_line().and_then(|i| self.recall(i))?,
            b'h' => self.stream.number::<1>().and_then(|i| self.recall(i))?,
            b'j' => self.stream.number::<4>().and_then(|i| self.recall(i))?,
            b'p' => self.stream.index_line().and_then(|i| self.remember(i))?,
            b'q' => self.stream.number::<1>().and_then(|i| self.remember(i))?,
            b'r' => self.stream.number::<4>().and_then(|i| self.remember(i))?,
            0x94 => self.remember(self.memo.len() as u64)?,

            // Storages, which are outside the pickle.
            b'P' => self.stream.line().and_then(|_| self.push(PLAIN))?,
            b'Q' => {
                let id = self.pop()?;
                self.push_stored(id)?;
            }

            // Globals, and objects made from them.
            b'c' => {
                let module = self.stream.line()?;
                let name = self.stream.line()?;
                self.push_global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Text(name), Node::Text(module)) = (self.node(name), self.node(module))
                else {
                    return Err(malformed(message!(
                        "its pickle computes the name of a global"
                    )));
                };
                let (name, module) = (name.clone(), module.clone());
                self.push_global(&module, &name)?;
            }
            b'R' => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(callable, arguments)?;
            }
            b'i' => {
                let module = self.stream.line()?;
                let name = self.stream.line()?;
                let arguments = self.pop_to_mark()?;
                self.push_list(arguments)?;
                let arguments = self.pop()?;
                self.push_global(&module, &name)?;
                let callable = self.pop()?;
                self.call(callable, arguments)?;
            }
            b'o' => {
                let mut arguments = self.pop_to_mark()?;
                if arguments.is_empty() {
                    return Err(underflow());
                }
                let callable = arguments.remove(0);
                self.push_list(arguments)?;
                let arguments = self.pop()?;
                self.call(callable, arguments)?;
            }
            0x81 => self.instantiate(1)?,
            0x92 => self.instantiate(2)?,
            b'b' => self.set_state()?,
            other => {
                return Err(malformed(message!(
                    "0x{other:02x} is not a supported pickle opcode"
                )));
            }
        }
        Ok(true)
    }

    /// NEWOBJ: `cls.__new__(cls, *arguments)`, an empty object of an installed class.
    fn instantiate(&mut self, arguments: usize) -> Result<(), PickleError> {
        let mut items = Vec::new();
        for _ in 0..arguments {
            items.push(self.pop()?);
        }
        let class = self.pop()?;
        if !matches!(self.node(class), Node::Global(..)) {
            return Err(runs(&message!("a class that it computes")));
        }
        self.push_new(Node::Object(Box::default()))?;
        self.put_items(&items)
    }

    /// BUILD: sets the state of an object. It may be set only once, because the first state could define the
    /// `__setstate__` that Python calls to set the second.
    fn set_state(&mut self) -> Result<(), PickleError> {
        let state = self.pop()?;
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::Global(name, _) => return Err(runs(&message!("a change of {name}"))),
            Node::Object(object) => {
                if object.state.replace(state).is_some() {
                    return Err(runs(&message!(
                        "an object's own __setstate__, set by the file"
                    )));
                }
            }
            // PyTorch's `_metadata` of a dictionary of tensors, or a tensor's attributes.
            Node::Dict(_) | Node::List(_) | Node::Tensor(_) | Node::OtherTensor(_) => {}
            Node::Plain | Node::Int(_) | Node::Text(_) | Node::Storage(_) => {}
        }
        self.note_within(top, &[state]);
        Ok(())
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        let full: Rc<str> = cut_line(&format!("{module}.{name}"), 200).into();
        let trust = trust(module, name);
        if trust != Trust::Plain {
            // Torch's own classes are everywhere in whole pickled modules.
            if module != "torch" && !module.starts_with("torch.") {
                self.mentioned.insert(full.to_string());
            }
        }
        if trust == Trust::Refused {
            self.first_refused.get_or_insert_with(|| full.clone());
        }
        self.push_new(Node::Global(full, trust))
    }
}

fn malformed(detail: String) -> PickleError {
    PickleError::Malformed(detail)
}

fn runs(what: &str) -> PickleError {
    PickleError::RunsCode(what.into())
}

fn underflow() -> PickleError {
    malformed(message!("its pickle takes a value from an empty stack"))
}
