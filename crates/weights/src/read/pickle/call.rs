//! REDUCE, INST and OBJ: `callable(*arguments)`.

use std::io::BufRead;
use std::rc::Rc;

use warmstart_language::message;

use super::trust::Trust;
use super::value::{Elements, Id, Node, Object, PLAIN, Storage, TensorView};
use super::{Machine, PickleError, malformed, runs};
use crate::read::element::ElementType;

/// The one plain callable that calls another, which is among its arguments.
const CALLS_ITS_ARGUMENT: &str = "torch._tensor._rebuild_from_type_v2";

/// Most dimensions of a tensor (PyTorch's own limit).
const MAX_DIMENSIONS: usize = 64;

impl<R: BufRead> Machine<'_, R> {
    /// Calls nothing: pushes what the call is known to make, or an object that is skipped. A plain callable
    /// may call its arguments, so none of them may be refused either.
    pub(super) fn call(&mut self, callable: Id, arguments: Id) -> Result<(), PickleError> {
        let Node::Global(name, trust) = self.node(callable) else {
            return Err(runs(&message!("a callable that it computes")));
        };
        let (name, trust) = (name.clone(), *trust);
        if let Some(refused) = self.refused(callable).or_else(|| self.refused(arguments)) {
            return Err(runs(refused));
        }
        match trust {
            Trust::Refused => Err(runs(&name)),
            // It would make a tensor in a way that only its code defines.
            Trust::Foreign if self.has_tensor(arguments) => Err(runs(&name)),
            Trust::Foreign => self.push_new(Node::Object(Box::default())),
            Trust::Plain => {
                let arguments = self.items(arguments)?;
                self.call_plain(&name, arguments)
            }
        }
    }

    /// The items of a list; none for any other value.
    fn items(&mut self, list: Id) -> Result<Vec<Id>, PickleError> {
        let Node::List(items) = self.node(list) else {
            return Ok(Vec::new());
        };
        let items = items.clone();
        self.charge(items.len())?;
        Ok(items)
    }

    fn call_plain(&mut self, name: &Rc<str>, arguments: Vec<Id>) -> Result<(), PickleError> {
        match &**name {
            "collections.OrderedDict"
            | "builtins.dict"
            | "__builtin__.dict"
            | "collections.Counter" => self.dictionary(arguments.first().copied()),
            "collections.defaultdict" => self.dictionary(arguments.get(1).copied()),
            "builtins.set"
            | "builtins.frozenset"
            | "builtins.list"
            | "builtins.tuple"
            | "__builtin__.set"
            | "__builtin__.frozenset"
            | "__builtin__.list"
            | "__builtin__.tuple"
            | "collections.deque"
            | "torch.Size" => {
                let items = self.items(arguments.first().copied().unwrap_or(PLAIN))?;
                self.push_list(items)
            }
            CALLS_ITS_ARGUMENT => self.rebuild_from_type(&arguments),
            "torch.nn.parameter.Parameter" | "torch.nn.parameter.Buffer" => {
                self.push(arguments.first().copied().unwrap_or(PLAIN))
            }
            _ if name.starts_with("torch._utils._rebuild_") => self.rebuild(name, &arguments),
            _ => {
                let object = Object {
                    items: arguments.clone(),
                    ..Object::default()
                };
                self.push_new(Node::Object(Box::new(object)))?;
                let top = self.top()?;
                self.note_within(top, &arguments);
                Ok(())
            }
        }
    }

    /// Pushes a dictionary made from another one or from a list of pairs.
    fn dictionary(&mut self, from: Option<Id>) -> Result<(), PickleError> {
        let mut flat = Vec::new();
        match from.map(|id| self.node(id)) {
            Some(Node::Dict(entries)) => flat.extend(entries.iter().flat_map(|(k, v)| [*k, *v])),
            Some(Node::List(pairs)) => {
                for pair in pairs {
                    let Node::List(pair) = self.node(*pair) else {
                        return Err(malformed(message!(
                            "its pickle fills a dictionary with something other than pairs"
                        )));
                    };
                    flat.extend(pair.iter().take(2));
                }
            }
            Some(Node::Plain | Node::Int(_) | Node::Text(_) | Node::Global(..)) | None => {}
            Some(Node::Object(_) | Node::Storage(_) | Node::Tensor(_) | Node::OtherTensor(_)) => {}
        }
        self.charge(flat.len())?;
        self.push_new(Node::Dict(Vec::new()))?;
        self.put_entries(&flat)
    }

    /// `_rebuild_from_type_v2(function, type, arguments, state)`: the function has to be one that makes plain
    /// tensors. Any other is reported at the end of the pickle, with the code it stands for.
    fn rebuild_from_type(&mut self, arguments: &[Id]) -> Result<(), PickleError> {
        let [function, class, of_function, ..] = arguments else {
            return Err(malformed(message!(
                "its pickle makes a tensor from too few arguments"
            )));
        };
        if let Node::Global(class, trust) = self.node(*class)
            && *trust != Trust::Plain
        {
            return Err(runs(class));
        }
        match (self.node(*function), self.node(*of_function)) {
            (Node::Global(name, Trust::Plain), Node::List(_))
                if name.starts_with("torch._utils._rebuild_") =>
            {
                let name = name.clone();
                let items = self.items(*of_function)?;
                self.rebuild(&name, &items)
            }
            (Node::Global(name, _), _) => Err(runs(&name.clone())),
            _ => {
                self.computed_call = Some(message!("a callable that it computes").into());
                self.push(PLAIN)
            }
        }
    }

    /// PyTorch's functions that make tensors (`torch/_utils.py`).
    fn rebuild(&mut self, name: &str, arguments: &[Id]) -> Result<(), PickleError> {
        let function = name.trim_start_matches("torch._utils.");
        match function {
            // (storage, offset, size, stride, requires_grad, hooks, dtype, …); older ones end earlier.
            "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3" => {
                self.tensor(function, arguments)
            }
            // (data, requires_grad, hooks, …)
            "_rebuild_parameter" | "_rebuild_parameter_with_state" => {
                let data = arguments.first().copied();
                self.push(data.ok_or_else(|| {
                    malformed(message!("its pickle makes a parameter without data"))
                })?)
            }
            _ => self.push_new(Node::OtherTensor(function.into())),
        }
    }

    fn tensor(&mut self, function: &str, arguments: &[Id]) -> Result<(), PickleError> {
        let [storage, offset, shape, strides, ..] = arguments else {
            return Err(malformed(message!(
                "its pickle makes a tensor from too few arguments"
            )));
        };
        let Node::Storage(storage) = self.node(*storage) else {
            return Err(malformed(message!(
                "its pickle makes a tensor without a storage"
            )));
        };
        let elements = match (function, arguments.get(6).map(|id| self.node(*id))) {
            ("_rebuild_tensor_v3", Some(Node::Global(name, _))) => of_dtype(name),
            ("_rebuild_tensor_v3", _) => {
                return Err(malformed(message!(
                    "its pickle has a tensor without a type"
                )));
            }
            _ => storage.elements.clone(),
        };
        let storage = storage.clone();
        let shape = self.shape(*shape)?;
        let strides = self.extents(*strides)?;
        if shape.len() != strides.len() {
            return Err(malformed(message!(
                "its pickle has a tensor with different numbers of strides and extents"
            )));
        }
        let offset = self.count(*offset)?;
        let offset = offset.saturating_add(storage.offset);
        self.push_new(Node::Tensor(Box::new(TensorView {
            storage,
            elements,
            offset,
            shape,
            strides,
        })))
    }

    fn extents(&self, id: Id) -> Result<Vec<usize>, PickleError> {
        let Node::List(items) = self.node(id) else {
            return Err(malformed(message!(
                "its pickle has a tensor whose shape is not a list"
            )));
        };
        if items.len() > MAX_DIMENSIONS {
            return Err(malformed(message!(
                "its pickle has a tensor of more than 64 dimensions"
            )));
        }
        let extent = |id: &Id| Ok(self.count(*id)? as usize);
        items.iter().map(extent).collect()
    }

    fn shape(&self, id: Id) -> Result<Vec<usize>, PickleError> {
        let shape = self.extents(id)?;
        let mut extents = shape.iter().filter(|extent| **extent > 0);
        let values = extents.try_fold(1_usize, |product, extent| product.checked_mul(*extent));
        if values.is_none() {
            return Err(malformed(message!(
                "its pickle has a tensor with too many values to count"
            )));
        }
        Ok(shape)
    }

    fn count(&self, id: Id) -> Result<u64, PickleError> {
        let Node::Int(number) = self.node(id) else {
            return Err(malformed(message!(
                "its pickle has a tensor whose size is not a number"
            )));
        };
        u64::try_from(*number)
            .map_err(|_| malformed(message!("its pickle has a tensor whose size is negative")))
    }

    /// Pushes the value of a persistent id: `("storage", type, key, device, count)`, in legacy files followed
    /// by a view of it; or `("module", class, file, source)`, which stands for the class.
    pub(super) fn push_stored(&mut self, id: Id) -> Result<(), PickleError> {
        let Node::List(fields) = self.node(id) else {
            return self.push(PLAIN);
        };
        let is =
            |id: &Id, word: &str| matches!(self.node(*id), Node::Text(text) if &**text == word);
        match fields.as_slice() {
            [kind, class, ..] if is(kind, "module") => self.push(*class),
            [kind, class, key, _, count, rest @ ..] if is(kind, "storage") => {
                let Node::Global(class, _) = self.node(*class) else {
                    return Err(malformed(message!(
                        "its pickle has a storage without a type"
                    )));
                };
                let key: Rc<str> = match self.node(*key) {
                    Node::Text(key) => key.clone(),
                    Node::Int(key) => key.to_string().into(),
                    _ => {
                        return Err(malformed(message!(
                            "its pickle has a storage without a name"
                        )));
                    }
                };
                let mut storage = Storage {
                    key,
                    elements: of_storage(class),
                    count: self.count(*count)?,
                    offset: 0,
                };
                // (key, offset, size) of the view.
                if let Some(Node::List(view)) = rest.first().map(|id| self.node(*id))
                    && let [_, offset, _] = view.as_slice()
                {
                    storage.offset = self.count(*offset)?;
                }
                self.push_new(Node::Storage(Rc::new(storage)))
            }
            _ => Err(malformed(message!(
                "its pickle refers to something outside that is not a storage"
            ))),
        }
    }
}

/// Element type of `torch.FloatStorage` and similar classes.
fn of_storage(class: &str) -> Elements {
    let name = class.rsplit('.').next().unwrap_or(class);
    Elements::Known(match name {
        "DoubleStorage" => ElementType::F64,
        "FloatStorage" => ElementType::F32,
        "HalfStorage" => ElementType::F16,
        "BFloat16Storage" => ElementType::Bf16,
        "LongStorage" => ElementType::I64,
        "IntStorage" => ElementType::I32,
        "ShortStorage" => ElementType::I16,
        "CharStorage" => ElementType::I8,
        "ByteStorage" => ElementType::U8,
        "BoolStorage" => ElementType::Bool,
        "UntypedStorage" => return Elements::Untyped,
        "ComplexDoubleStorage" => return Elements::Other(name.into(), 16),
        "ComplexFloatStorage" => return Elements::Other(name.into(), 8),
        "QInt32Storage" => return Elements::Other(name.into(), 4),
        _ => return Elements::Other(name.into(), 1),
    })
}

/// Element type of `torch.float32` and similar names.
fn of_dtype(dtype: &str) -> Elements {
    let name = dtype.rsplit('.').next().unwrap_or(dtype);
    Elements::Known(match name {
        "float64" | "double" => ElementType::F64,
        "float32" | "float" => ElementType::F32,
        "float16" | "half" => ElementType::F16,
        "bfloat16" => ElementType::Bf16,
        "float8_e4m3fn" => ElementType::F8E4m3,
        "float8_e5m2" => ElementType::F8E5m2,
        "int64" | "long" => ElementType::I64,
        "int32" | "int" => ElementType::I32,
        "int16" | "short" => ElementType::I16,
        "int8" => ElementType::I8,
        "uint64" => ElementType::U64,
        "uint32" => ElementType::U32,
        "uint16" => ElementType::U16,
        "uint8" => ElementType::U8,
        "bool" => ElementType::Bool,
        "complex128" => return Elements::Other(name.into(), 16),
        "complex64" => return Elements::Other(name.into(), 8),
        _ => return Elements::Other(name.into(), 1),
    })
}
