//! A graph of ONNX nodes that grows from its inputs to its outputs.

use std::collections::HashMap;

use half::f16;

use super::schema::{
    AttributeProto, Dimension, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorType,
    TypeProto, ValueInfoProto, attribute, element,
};

/// A dimension of an input or an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// So many.
    Fixed(usize),
    /// Any number, by a name that is the same wherever the number is.
    Named(&'static str),
}

/// The type of an input's or an output's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// `u8`
    Byte,
    /// `i64`
    Integer,
    /// `f32`
    Float,
}

/// An input or an output of a graph, as `docs/export.md` lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub element: Element,
    /// Its shape.
    pub shape: Vec<Dim>,
    /// Its meaning, in words.
    pub meaning: String,
}

/// A graph that grows.
#[derive(Default)]
pub struct GraphBuilder {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// Place of each constant among all, by its name.
    places: HashMap<String, usize>,
    /// How often each name of a node was asked for.
    names: HashMap<String, usize>,
    /// Whether weights are stored in 16 bits.
    half: bool,
}

impl GraphBuilder {
    /// An empty graph; with `half`, weights are stored as `f16`, and a node in front of their use makes `f32` of them.
    pub fn new(half: bool) -> Self {
        Self {
            half,
            ..Self::default()
        }
    }

    /// Adds a node of one result, whose name is that of the node: `name`, or that and a number if it is taken.
    pub fn node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let name = self.free(name);
        self.named_node(operator, &name, inputs, &[&name], attributes);
        name
    }

    /// Adds a node whose results have exactly these names, such as those of outputs.
    pub fn named_node(
        &mut self,
        operator: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.nodes.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes,
        });
    }

    /// A name that no other node has.
    fn free(&mut self, wanted: &str) -> String {
        let times = self.names.entry(wanted.to_owned()).or_default();
        *times += 1;
        if *times == 1 {
            wanted.to_owned()
        } else {
            format!("{wanted}.{times}")
        }
    }

    /// A constant of `f32` under the first of `names` that no other constant has; the same values under the same name
    /// are there once.
    pub fn floats(&mut self, names: &[&str], shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(names, element::FLOAT, shape, bytes.collect())
    }

    /// As [`floats`](Self::floats), for the weight of a layer: in 16 bits if the graph was made for them.
    pub fn weight(&mut self, names: &[&str], shape: &[usize], values: &[f32]) -> String {
        if !self.half {
            return self.floats(names, shape, values);
        }
        // Beyond the range of 16 bits, the nearest value is closer than infinity.
        let (least, most) = (f16::MIN.to_f32(), f16::MAX.to_f32());
        let bytes = values
            .iter()
            .flat_map(|value| f16::from_f32(value.clamp(least, most)).to_le_bytes());
        let stored = self.constant(names, element::FLOAT16, shape, bytes.collect());
        let cast = format!("{stored}.f32");
        if !self.names.contains_key(&cast) {
            self.node(
                "Cast",
                &cast,
                &[&stored],
                vec![integer("to", element::FLOAT.into())],
            );
        }
        cast
    }

    /// A constant of `i64`: `[values]`.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(&[name], element::INT64, &[values.len()], bytes.collect())
    }

    /// A constant of `f64`: `[values]`.
    pub fn doubles(&mut self, name: &str, values: &[f64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.constant(&[name], element::DOUBLE, &[values.len()], bytes.collect())
    }

    /// A constant of one element, without dimensions.
    pub fn scalar(&mut self, name: &str, value: Scalar) -> String {
        let (element, bytes) = match value {
            Scalar::Float(value) => (element::FLOAT, value.to_le_bytes().to_vec()),
            Scalar::Byte(value) => (element::UINT8, vec![value]),
            Scalar::Integer(value) => (element::INT64, value.to_le_bytes().to_vec()),
        };
        self.constant(&[name], element, &[], bytes)
    }

    fn constant(
        &mut self,
        names: &[&str],
        element: i32,
        shape: &[usize],
        values: Vec<u8>,
    ) -> String {
        let dims: Vec<i64> = shape.iter().map(|&length| length as i64).collect();
        let numbered = (2..).map(|number| format!("{}.{number}", names[0]));
        let wanted = names.iter().map(|name| (*name).to_owned());
        for name in wanted.chain(numbered) {
            let Some(&place) = self.places.get(&name) else {
                self.places.insert(name.clone(), self.constants.len());
                self.constants.push(TensorProto {
                    dims,
                    data_type: element,
                    name: name.clone(),
                    raw_data: values,
                });
                return name;
            };
            let same = &self.constants[place];
            if same.data_type == element && same.dims == dims && same.raw_data == values {
                return name;
            }
        }
        unreachable!("numbers do not end")
    }

    /// The whole graph.
    pub fn finish(self, name: &str, inputs: &[Port], outputs: &[Port]) -> GraphProto {
        GraphProto {
            node: self.nodes,
            name: name.to_owned(),
            initializer: self.constants,
            input: inputs.iter().map(Port::to_message).collect(),
            output: outputs.iter().map(Port::to_message).collect(),
            value_info: Vec::new(),
        }
    }
}

/// A number of a type.
#[derive(Clone, Copy, Debug)]
pub enum Scalar {
    /// `f32`
    Float(f32),
    /// `u8`
    Byte(u8),
    /// `i64`
    Integer(i64),
}

impl Port {
    /// The message that declares it.
    pub fn to_message(&self) -> ValueInfoProto {
        let dim = |dim: &Dim| match dim {
            Dim::Fixed(length) => Dimension {
                dim_value: Some(*length as i64),
                dim_param: None,
            },
            Dim::Named(name) => Dimension {
                dim_value: None,
                dim_param: Some((*name).to_owned()),
            },
        };
        let elem_type = match self.element {
            Element::Byte => element::UINT8,
            Element::Integer => element::INT64,
            Element::Float => element::FLOAT,
        };
        ValueInfoProto {
            name: self.name.clone(),
            r#type: Some(TypeProto {
                tensor_type: Some(TensorType {
                    elem_type,
                    shape: Some(TensorShapeProto {
                        dim: self.shape.iter().map(dim).collect(),
                    }),
                }),
            }),
            doc_string: self.meaning.clone(),
        }
    }
}

fn setting(name: &str, r#type: i32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type,
        ..AttributeProto::default()
    }
}

/// A setting of one integer.
pub fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        i: Some(value),
        ..setting(name, attribute::INT)
    }
}

/// A setting of several integers.
pub fn integers(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        ints: values.iter().map(|&value| value as i64).collect(),
        ..setting(name, attribute::INTS)
    }
}

/// A setting of one number.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        f: Some(value),
        ..setting(name, attribute::FLOAT)
    }
}

/// A setting of a word.
pub fn word(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: Some(value.as_bytes().to_vec()),
        ..setting(name, attribute::STRING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_constants_of_a_name_are_there_once_and_others_get_the_next_name() {
        let mut graph = GraphBuilder::new(false);
        assert_eq!(graph.floats(&["a", "b"], &[1], &[1.0]), "a");
        assert_eq!(graph.floats(&["a", "b"], &[1], &[1.0]), "a");
        assert_eq!(graph.floats(&["a", "b"], &[1], &[2.0]), "b");
        assert_eq!(graph.floats(&["a", "b"], &[1], &[3.0]), "a.2");
        let graph = graph.finish("g", &[], &[]);
        assert_eq!(graph.initializer.len(), 3);
    }

    #[test]
    fn nodes_of_one_name_are_told_apart() {
        let mut graph = GraphBuilder::new(false);
        assert_eq!(graph.node("Relu", "x", &["in"], Vec::new()), "x");
        assert_eq!(graph.node("Relu", "x", &["x"], Vec::new()), "x.2");
    }

    #[test]
    fn half_a_weight_is_half_the_bytes_and_used_as_f32() {
        let mut graph = GraphBuilder::new(true);
        assert_eq!(graph.weight(&["w"], &[2], &[1.0, 1e9]), "w.f32");
        assert_eq!(graph.weight(&["w"], &[2], &[1.0, 1e9]), "w.f32");
        let graph = graph.finish("g", &[], &[]);
        assert_eq!(graph.node.len(), 1);
        assert_eq!(graph.initializer[0].raw_data, [0, 0x3c, 0xff, 0x7b]);
    }
}
