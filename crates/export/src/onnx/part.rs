//! A part of a graph as a graph of its own.

use std::collections::HashSet;

use super::NetworkPorts;
use super::schema::ModelProto;

/// The network of a file without what comes before its input and after its outputs.
pub fn network_part(whole: &ModelProto, ports: &NetworkPorts) -> ModelProto {
    let mut part = whole.clone();
    let graph = part.graph.get_or_insert_default();
    let mut needed: HashSet<String> = ports.outputs.iter().map(|port| port.name.clone()).collect();
    let mut kept = Vec::new();
    // Nodes are in an order in which they can be computed, so what a node needs comes before it.
    for node in graph.node.drain(..).rev() {
        let is_needed = node.output.iter().any(|output| needed.contains(output));
        if is_needed && !node.output.contains(&ports.input.name) {
            needed.extend(node.input.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    graph.node = kept;
    graph
        .initializer
        .retain(|tensor| needed.contains(&tensor.name));
    graph.input = vec![ports.input.to_message()];
    graph.output = ports.outputs.iter().map(|port| port.to_message()).collect();
    part
}
