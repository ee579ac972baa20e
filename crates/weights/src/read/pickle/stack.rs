//! The stack, the memo, and what containers hold.

use std::io::BufRead;
use std::rc::Rc;

use warmstart_language::message;

use super::stream::Counted;
use super::trust::Trust;
use super::value::{Id, Node, PLAIN};
use super::{MAX_MEMO, MAX_STACK, MAX_VALUES, Machine, PickleError, malformed, runs, underflow};

impl<R: BufRead> Machine<'_, R> {
    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    /// The refused global that a value is or holds.
    pub(super) fn refused(&self, id: Id) -> Option<&Rc<str>> {
        match self.node(id) {
            Node::Global(name, Trust::Refused) => Some(name),
            Node::Global(_, Trust::Plain | Trust::Foreign)
            | Node::Plain
            | Node::Int(_)
            | Node::Text(_)
            | Node::List(_)
            | Node::Dict(_)
            | Node::Object(_)
            | Node::Storage(_)
            | Node::Tensor(_)
            | Node::OtherTensor(_) => self.refused_within.get(&id),
        }
    }

    pub(super) fn has_tensor(&self, id: Id) -> bool {
        match self.node(id) {
            Node::Storage(_) | Node::Tensor(_) | Node::OtherTensor(_) => true,
            Node::Plain
            | Node::Int(_)
            | Node::Text(_)
            | Node::Global(..)
            | Node::List(_)
            | Node::Dict(_)
            | Node::Object(_) => self.with_tensors.contains(&id),
        }
    }

    /// Records what a container holds from now on.
    pub(super) fn note_within(&mut self, container: Id, items: &[Id]) {
        if container == PLAIN {
            return;
        }
        for item in items {
            if let Some(name) = self.refused(*item).cloned() {
                // The first name found is the one to report.
                self.refused_within.entry(container).or_insert(name);
            }
            if self.has_tensor(*item) {
                self.with_tensors.insert(container);
            }
        }
    }

    pub(super) fn push(&mut self, id: Id) -> Result<(), PickleError> {
        self.pushed += 1;
        if self.stack.len() >= MAX_STACK || self.pushed > MAX_VALUES {
            return Err(malformed(message!("its pickle has too many values")));
        }
        self.stack.push(id);
        Ok(())
    }

    /// Counts values that are copied as if they had been pushed.
    pub(super) fn charge(&mut self, values: usize) -> Result<(), PickleError> {
        self.pushed += values;
        if self.pushed > MAX_VALUES {
            return Err(malformed(message!("its pickle has too many values")));
        }
        Ok(())
    }

    pub(super) fn push_new(&mut self, node: Node) -> Result<(), PickleError> {
        // At most `MAX_VALUES` were pushed, so the index fits.
        let id = self.nodes.len() as Id;
        self.nodes.push(node);
        self.push(id)
    }

    pub(super) fn push_number(&mut self, number: Option<i64>) -> Result<(), PickleError> {
        match number {
            Some(number) => self.push_new(Node::Int(number)),
            None => self.push(PLAIN),
        }
    }

    /// Pushes the signed little-endian number after its length.
    pub(super) fn push_long<const WIDTH: usize>(&mut self) -> Result<(), PickleError> {
        let length = self.stream.number::<WIDTH>()?;
        if length > 8 {
            self.stream.skip(length)?;
            return self.push(PLAIN);
        }
        let bytes = self.stream.some(length)?;
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) {
            0xff
        } else {
            0
        };
        let mut number = [fill; 8];
        number[..bytes.len()].copy_from_slice(&bytes);
        self.push_number(Some(i64::from_le_bytes(number)))
    }

    pub(super) fn push_text(&mut self, text: &str) -> Result<(), PickleError> {
        self.push_new(Node::Text(text.into()))
    }

    pub(super) fn push_counted<const WIDTH: usize>(&mut self) -> Result<(), PickleError> {
        match self.stream.counted_text::<WIDTH>()? {
            Counted::Text(text) => self.push_text(&text),
            Counted::TooLong => self.push(PLAIN),
        }
    }

    pub(super) fn skip_counted<const WIDTH: usize>(&mut self) -> Result<(), PickleError> {
        let length = self.stream.number::<WIDTH>()?;
        self.stream.skip(length)?;
        self.push(PLAIN)
    }

    /// The lowest index that belongs to no open mark.
    pub(super) fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Result<Id, PickleError> {
        if self.stack.len() <= self.floor() {
            return Err(underflow());
        }
        self.stack.pop().ok_or_else(underflow)
    }

    pub(super) fn top(&self) -> Result<Id, PickleError> {
        self.stack[self.floor()..]
            .last()
            .copied()
            .ok_or_else(underflow)
    }

    pub(super) fn pop_to_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn gather(&mut self, count: usize) -> Result<(), PickleError> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push_list(items)
    }

    pub(super) fn push_list(&mut self, items: Vec<Id>) -> Result<(), PickleError> {
        self.push_new(Node::List(Vec::new()))?;
        self.put_items(&items)
    }

    /// Adds items to the object on top of the stack, which may belong to a module, such as `os.environ`.
    pub(super) fn put_items(&mut self, items: &[Id]) -> Result<(), PickleError> {
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::List(list) => list.extend(items),
            Node::Object(object) => object.items.extend(items),
            other => refuse_change(other)?,
        }
        self.note_within(top, items);
        Ok(())
    }

    /// Adds alternating keys and values to the object on top of the stack.
    pub(super) fn put_entries(&mut self, items: &[Id]) -> Result<(), PickleError> {
        let top = self.top()?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(malformed(message!("its pickle has a key without a value")));
        }
        let pairs = pairs.iter().map(|[key, value]| (*key, *value));
        match &mut self.nodes[top as usize] {
            Node::Dict(entries) => entries.extend(pairs),
            Node::Object(object) => object.entries.extend(pairs),
            other => refuse_change(other)?,
        }
        self.note_within(top, items);
        Ok(())
    }

    pub(super) fn remember(&mut self, index: u64) -> Result<(), PickleError> {
        let value = self.top()?;
        if self.memo.len() >= MAX_MEMO {
            return Err(malformed(message!("its pickle memoizes too many values")));
        }
        self.memo.insert(index, value);
        Ok(())
    }

    pub(super) fn recall(&mut self, index: u64) -> Result<(), PickleError> {
        let value = self.memo.get(&index).copied();
        self.push(
            value.ok_or_else(|| {
                malformed(message!("its pickle refers to a value it never stored"))
            })?,
        )
    }
}

fn refuse_change(node: &Node) -> Result<(), PickleError> {
    match node {
        Node::Global(name, _) => Err(runs(&message!("a change of {name}"))),
        Node::Plain | Node::Int(_) | Node::Text(_) | Node::List(_) | Node::Dict(_) => Ok(()),
        Node::Object(_) | Node::Storage(_) | Node::Tensor(_) | Node::OtherTensor(_) => Ok(()),
    }
}
