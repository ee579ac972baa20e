//! Walks over the opcodes of a pickle to find what it would call, and calls nothing.
//!
//! The pickle reader behind [`super::pytorch`] executes nothing either, but it keeps silent
//! about a call it does not know: a file that runs `os.system` in Python would load here as
//! if it were harmless. This walk knows as little of a value as that question needs: is it a
//! text, a global, an object, and which global that is not on the list hides inside.
//!
//! Opcodes: CPython's `Lib/pickletools.py`, protocols 0 to 5. Whatever cannot be followed is
//! an error, never a guess.

mod stream;
mod value;

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeSet, HashMap};
use std::io::BufRead;
use std::rc::Rc;

use super::allowed::is_allowed;
use crate::text::one_line;
use stream::Stream;
use value::{Holds, Kind, Value};

/// A pickler flushes its stack every thousand items, and remembers about ten values a
/// tensor. A file beyond these numbers wants memory, not to be loaded.
const MAX_STACK: usize = 1_000_000;
const MAX_MEMO: usize = 1_000_000;

/// A value takes one byte of a pickle and a hundred in the reader's memory. Checkpoints have
/// about forty a tensor, and perhaps one for every step in a list of losses.
const MAX_VALUES: usize = 5_000_000;

/// Why a walk ended early.
#[derive(Debug)]
pub(super) enum WalkError {
    /// No pickle, or one that ends too early.
    Malformed(String),
    /// It would run code; the callable, or what it does.
    RunsCode(String),
}

/// What a harmless pickle is made of.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Whether its value is an instance of some class, as in `torch.save(model)`.
    pub(super) root_is_instance: bool,
    /// Globals off the list that are named, but not called: `module.name`.
    pub(super) mentioned: BTreeSet<String>,
}

/// The one allowed callable that calls another, which is among its arguments.
const CALLS_ITS_ARGUMENT: &str = "torch._tensor._rebuild_from_type_v2";

/// Walks over one pickle and leaves `reader` behind its end.
pub(super) fn walk(reader: &mut impl BufRead) -> Result<Walked, WalkError> {
    let mut walker = Walker {
        stream: Stream(reader),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        pushed: 0,
        off_list: None,
        calls_an_argument: false,
        walked: Walked::default(),
    };
    while walker.step()? {}
    if let (true, Some(name)) = (walker.calls_an_argument, &walker.off_list) {
        return Err(runs(name));
    }
    let root = walker.pop()?;
    walker.walked.root_is_instance = matches!(root.kind, Kind::Instance(_));
    Ok(walker.walked)
}

struct Walker<'a, R> {
    stream: Stream<'a, R>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    pushed: usize,
    /// The first global off the list, wherever it is used.
    off_list: Option<Rc<str>>,
    calls_an_argument: bool,
    walked: Walked,
}

impl<R: BufRead> Walker<'_, R> {
    /// One opcode; false at the end of the pickle.
    fn step(&mut self) -> Result<bool, WalkError> {
        let [opcode] = self.stream.bytes()?;
        match opcode {
            b'.' => return Ok(false),
            // Protocol and frame say nothing about values.
            0x80 => self.stream.skip(1)?,
            0x95 => self.stream.skip(8)?,

            // Numbers, None and booleans.
            b'N' | 0x88 | 0x89 => self.push(Value::PLAIN)?,
            b'I' | b'L' | b'F' => self.stream.line().and_then(|_| self.push(Value::PLAIN))?,
            b'K' => self.stream.skip(1).and_then(|()| self.push(Value::PLAIN))?,
            b'M' => self.stream.skip(2).and_then(|()| self.push(Value::PLAIN))?,
            b'J' => self.stream.skip(4).and_then(|()| self.push(Value::PLAIN))?,
            b'G' => self.stream.skip(8).and_then(|()| self.push(Value::PLAIN))?,

            // Texts and bytes, by the width of their length.
            b'V' => {
                let line = self.stream.line()?;
                self.push_text(&line)?;
            }
            b'S' => {
                let line = self.stream.line()?;
                self.push_text(line.trim_matches(['\'', '"']))?;
            }
            b'U' | b'C' | 0x8a | 0x8c => self.push_counted::<1>()?,
            b'T' | b'X' | b'B' | 0x8b => self.push_counted::<4>()?,
            0x8d | 0x8e | 0x96 => self.push_counted::<8>()?,

            // Containers.
            b'(' => {
                if self.marks.len() >= MAX_STACK {
                    return Err(malformed("its pickle nests without end"));
                }
                self.marks.push(self.stack.len());
            }
            b')' | b']' | b'}' | 0x8f => self.push(Value::container(None))?,
            0x85 => self.gather(1)?,
            0x86 => self.gather(2)?,
            0x87 => self.gather(3)?,
            b't' | b'l' | b'd' | 0x91 => {
                let held = self.pop_to_mark()?;
                self.push(Value::container(held))?;
            }
            b'a' => self.put_into(1)?,
            b's' => self.put_into(2)?,
            b'e' | b'u' | 0x90 => {
                let held = self.pop_to_mark()?;
                self.put(held)?;
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
            b'2' => {
                let top = self.top()?.clone();
                self.push(top)?;
            }
            b'g' => self.stream.index_line().and_then(|i| self.recall(i))?,
            b'h' => self.stream.number::<1>().and_then(|i| self.recall(i))?,
            b'j' => self.stream.number::<4>().and_then(|i| self.recall(i))?,
            b'p' => self.stream.index_line().and_then(|i| self.remember(i))?,
            b'q' => self.stream.number::<1>().and_then(|i| self.remember(i))?,
            b'r' => self.stream.number::<4>().and_then(|i| self.remember(i))?,
            0x94 => self.remember(self.memo.len() as u64)?,

            // Storages, which lie outside of the pickle.
            b'P' => self.stream.line().and_then(|_| self.push(Value::PLAIN))?,
            b'Q' => {
                self.pop()?;
                self.push(Value::PLAIN)?;
            }

            // Globals and what is done with them.
            b'c' => {
                let module = self.stream.line()?;
                let name = self.stream.line()?;
                self.global(&module, &name)?;
            }
            0x93 => match (self.pop()?.kind, self.pop()?.kind) {
                (Kind::Text(name), Kind::Text(module)) => self.global(&module, &name)?,
                _ => return Err(malformed("its pickle computes the name of a global")),
            },
            b'R' => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                self.call(&callable, arguments.held().cloned())?;
            }
            b'i' => {
                let module = self.stream.line()?;
                let name = self.stream.line()?;
                let arguments = self.pop_to_mark()?;
                self.global(&module, &name)?;
                let callable = self.pop()?;
                self.call(&callable, arguments)?;
            }
            b'o' => {
                let mark = self.marks.last().copied().unwrap_or(usize::MAX);
                let callable = self.stack.get(mark).cloned().ok_or_else(underflow)?;
                let arguments = self.pop_to_mark()?;
                self.call(&callable, arguments)?;
            }
            0x81 => self.instantiate(1)?,
            0x92 => self.instantiate(2)?,
            b'b' => self.set_state()?,
            other => {
                return Err(malformed(&format!(
                    "0x{other:02x} is no pickle opcode that is read"
                )));
            }
        }
        Ok(true)
    }

    /// REDUCE, INST and OBJ: `callable(*arguments)`. An allowed callable may itself call what
    /// it is given, so nothing off the list may be among the arguments either.
    fn call(&mut self, callable: &Value, arguments: Option<Rc<str>>) -> Result<(), WalkError> {
        let Kind::Global(name) = &callable.kind else {
            return Err(WalkError::RunsCode("a callable that it computes".into()));
        };
        if let Some(off_list) = callable.held().or(arguments.as_ref()) {
            return Err(runs(off_list));
        }
        self.calls_an_argument |= &**name == CALLS_ITS_ARGUMENT;
        self.push(Value::container(None))
    }

    /// NEWOBJ: `cls.__new__(cls, *arguments)`, an empty object of an installed class.
    fn instantiate(&mut self, arguments: usize) -> Result<(), WalkError> {
        for _ in 0..arguments {
            self.pop()?;
        }
        match self.pop()?.kind {
            Kind::Global(_) => self.push(Value {
                kind: Kind::Instance(Rc::new(Cell::new(false))),
                holds: Some(Holds::default()),
            }),
            _ => Err(WalkError::RunsCode("a class that it computes".into())),
        }
    }

    /// BUILD: the state of an object. It is set once; a second time, the state set before
    /// could itself be what Python calls to set it (`__setstate__`).
    fn set_state(&mut self) -> Result<(), WalkError> {
        let held = self.pop()?.held().cloned();
        if let Kind::Instance(built) = &self.top()?.kind
            && built.replace(true)
        {
            return Err(runs("an object's own __setstate__, set by the file"));
        }
        self.put(held)
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), WalkError> {
        let full: Rc<str> = one_line(&format!("{module}.{name}"), 200).into();
        let mut holds = None;
        if !is_allowed(module, name) {
            holds = Some(Rc::new(OnceCell::from(full.clone())));
            self.off_list.get_or_insert_with(|| full.clone());
            // Torch's own classes are everywhere in whole pickled modules.
            if module != "torch" && !module.starts_with("torch.") {
                self.walked.mentioned.insert(full.to_string());
            }
        }
        self.push(Value {
            kind: Kind::Global(full),
            holds,
        })
    }

    fn push(&mut self, value: Value) -> Result<(), WalkError> {
        self.pushed += 1;
        if self.stack.len() >= MAX_STACK || self.pushed > MAX_VALUES {
            return Err(malformed("its pickle piles up values without end"));
        }
        self.stack.push(value);
        Ok(())
    }

    fn push_text(&mut self, text: &str) -> Result<(), WalkError> {
        self.push(Value {
            kind: Kind::Text(text.into()),
            holds: None,
        })
    }

    fn push_counted<const WIDTH: usize>(&mut self) -> Result<(), WalkError> {
        match self.stream.counted_text::<WIDTH>()? {
            Some(text) => self.push_text(&text),
            None => self.push(Value::PLAIN),
        }
    }

    /// The lowest index that belongs to no open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value, WalkError> {
        if self.stack.len() <= self.floor() {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    fn top(&self) -> Result<&Value, WalkError> {
        self.stack[self.floor()..].last().ok_or_else(underflow)
    }

    fn pop_to_mark(&mut self) -> Result<Option<Rc<str>>, WalkError> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self
            .stack
            .drain(mark..)
            .rev()
            .find_map(|value| value.held().cloned()))
    }

    fn pop_several(&mut self, count: usize) -> Result<Option<Rc<str>>, WalkError> {
        let mut held = None;
        for _ in 0..count {
            held = self.pop()?.held().cloned().or(held);
        }
        Ok(held)
    }

    fn gather(&mut self, count: usize) -> Result<(), WalkError> {
        let held = self.pop_several(count)?;
        self.push(Value::container(held))
    }

    fn put_into(&mut self, count: usize) -> Result<(), WalkError> {
        let held = self.pop_several(count)?;
        self.put(held)
    }

    /// Adds to the object on top of the stack, which may be some module's own, such as
    /// `os.environ`.
    fn put(&mut self, held: Option<Rc<str>>) -> Result<(), WalkError> {
        let container = self.top()?;
        if let Kind::Global(name) = &container.kind {
            return Err(runs(&format!("a change of {name}")));
        }
        container.hold(held);
        Ok(())
    }

    fn remember(&mut self, index: u64) -> Result<(), WalkError> {
        let value = self.top()?.clone();
        if self.memo.len() >= MAX_MEMO {
            return Err(malformed("its pickle remembers values without end"));
        }
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Result<(), WalkError> {
        let value = self.memo.get(&index).cloned();
        self.push(value.ok_or_else(|| malformed("its pickle refers to a value it never stored"))?)
    }
}

fn malformed(detail: &str) -> WalkError {
    WalkError::Malformed(detail.into())
}

fn runs(what: &str) -> WalkError {
    WalkError::RunsCode(what.into())
}

fn underflow() -> WalkError {
    malformed("its pickle takes more values than it has")
}
