//! Stages: the steps of a backbone that can be named.

use std::fmt;

use warmstart_language::message;
use warmstart_nn::{Graph, ParameterInfo};

/// A step of a backbone that can be named: everything before it can be frozen (`from:layer4`).
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name, e.g. `features.14` or `layer4.0`.
    pub name: String,
    /// Depth for layer decay, from 0 at the image: stages of one group learn at the same rate.
    pub group: usize,
    graph: Graph,
    /// Those of the graph.
    parameters: Vec<ParameterInfo>,
}

impl Stage {
    /// A stage of one input and one result; or a neck, of the maps of all strides and as many results.
    pub(crate) fn new(name: String, group: usize, graph: Graph) -> Self {
        Self {
            name,
            group,
            parameters: graph.parameters(),
            graph,
        }
    }

    /// Its layers, and the paths between them.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// All its parameters, in the order of PyTorch's `state_dict`.
    pub fn parameters(&self) -> &[ParameterInfo] {
        &self.parameters
    }
}

/// Whether a name is another one, or begins with it and a dot.
pub(crate) fn is_within(name: &str, outer: &str) -> bool {
    name.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// There is no stage of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageError {
    model: &'static str,
    asked: String,
    known: Vec<String>,
}

impl StageError {
    /// The error for a name that none of a network's stages has.
    pub(crate) fn new(model: &'static str, asked: &str, stages: &[Stage]) -> Self {
        Self {
            model,
            asked: asked.to_owned(),
            known: stages.iter().map(|stage| stage.name.clone()).collect(),
        }
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            model,
            asked,
            known,
        } = self;
        f.write_str(&message!(
            "{model} has no stage `{asked}`; its stages are {}",
            known.join(", ")
        ))
    }
}

impl std::error::Error for StageError {}
