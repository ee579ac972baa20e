//! A trained model as an ONNX file.

mod builder;
mod classifier;
mod detector;
mod network;
mod part;
mod preprocessing;
pub mod schema;
mod transformer;
mod value;

use prost::Message as _;
use serde_json::json;
use warmstart_models::full_name;
use warmstart_tasks::detect::{self, Selection};

use builder::GraphBuilder;
pub use builder::{Dim, Element, Port};
pub use detector::{POINT_BOXES, POINT_SCORES};
pub use part::network_part;
use schema::{IR_VERSION, ModelProto, OPSET, OperatorSetIdProto, StringStringEntryProto};
use value::Map;

use crate::model::{Model, Network};

/// What a file is to hold.
#[derive(Clone, Copy, Debug)]
pub struct OnnxOptions {
    /// Whether the way from pixels to the network's input is in the graph.
    pub preprocessing: bool,
    /// Whether a classifier's outputs are logits instead of probabilities.
    pub logits: bool,
    /// The boxes that a detector selects, within each class; with `None`, its outputs are those of all points.
    pub selection: Option<Selection>,
    /// Whether weights are stored in 16 bits.
    pub half: bool,
}

/// A graph with what its reader has to know.
pub struct OnnxFile {
    /// The file's content.
    pub message: ModelProto,
    /// Channels of the network's input.
    pub channels: usize,
    /// Edge of the network's input, in pixels.
    pub size: usize,
    /// Its inputs.
    pub inputs: Vec<Port>,
    /// Its outputs.
    pub outputs: Vec<Port>,
    /// The network's own input and outputs, which are values in every graph.
    pub network: NetworkPorts,
}

/// The input and the outputs of a network without what comes before and after it.
pub struct NetworkPorts {
    /// Name of the input, `[batch, channels, size, size]`.
    pub input: Port,
    /// Names of the outputs.
    pub outputs: Vec<Port>,
}

impl OnnxFile {
    /// The bytes of the file.
    pub fn bytes(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }
}

/// Writes a model as an ONNX graph. `facts` are texts by key that the file holds besides those of the model.
pub fn build(model: &Model, options: OnnxOptions, facts: &[(String, String)]) -> OnnxFile {
    let info = &model.info;
    let (size, classes) = (info.preprocessing.crop, info.classes.len());
    let channels = model.channels();
    let mut builder = GraphBuilder::new(options.half);
    let input_port = preprocessing::input_port(channels, size);
    let (input, placement, inputs) = if options.preprocessing {
        let (input, placement) = preprocessing::nodes(&mut builder, &info.preprocessing);
        (input, placement, vec![preprocessing::pixels_port(channels)])
    } else {
        let input = Map {
            name: input_port.name.clone(),
            shape: [size, size, channels],
        };
        (input, None, vec![input_port.clone()])
    };
    let (outputs, network_outputs) = match &model.network {
        Network::Classifier(parts) => {
            classifier::nodes(&mut builder, parts, classes, input, options.logits);
            let outputs = vec![classifier::port(options.logits, classes)];
            (outputs.clone(), outputs)
        }
        Network::Detector(parts) => {
            detector::nodes(&mut builder, parts, input, placement, options.selection);
            let points = detect::points(size, parts.head.coding()).len();
            let outputs = detector::ports(options.selection.is_none(), points, classes);
            (outputs, detector::network_ports(points, classes))
        }
    };
    let graph = builder.finish(&info.model.replace('.', "_"), &inputs, &outputs);
    let message = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "warmstart".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: format!("{}, exported by warmstart", info.model),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
        metadata_props: metadata(model, options, facts),
    };
    OnnxFile {
        message,
        channels,
        size,
        inputs,
        outputs,
        network: NetworkPorts {
            input: input_port,
            outputs: network_outputs,
        },
    }
}

/// The texts that the file holds, by key.
fn metadata(
    model: &Model,
    options: OnnxOptions,
    facts: &[(String, String)],
) -> Vec<StringStringEntryProto> {
    let info = &model.info;
    let preprocessing = &info.preprocessing;
    let network = match &model.network {
        Network::Classifier(parts) => full_name(&parts.architecture),
        Network::Detector(parts) => full_name(&parts.backbone),
    };
    let own = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("task", info.task.to_string()),
        ("model", network.to_owned()),
        ("classes", json!(info.classes).to_string()),
        ("image_size", preprocessing.crop.to_string()),
        ("fit", preprocessing.fit.to_string()),
        ("preprocessing", json!(preprocessing).to_string()),
        (
            "preprocessing_is",
            if options.preprocessing {
                "inside"
            } else {
                "outside"
            }
            .to_owned(),
        ),
        (
            "weights_are",
            if options.half { "f16" } else { "f32" }.to_owned(),
        ),
    ];
    let own = own.map(|(key, value)| (key.to_owned(), value));
    let all = own.into_iter().chain(facts.iter().cloned());
    all.map(|(key, value)| StringStringEntryProto { key, value })
        .collect()
}
