//! The layers that a head in closed form reads.

use warmstart_models::{Architecture, head_layers};
use warmstart_recipe::HeadLayers;

/// The layers that a head in closed form reads, sorted by name, the last one among them.
pub fn layers_of(architecture: &Architecture, choice: &HeadLayers) -> Vec<String> {
    let mut layers: Vec<String> = match choice {
        HeadLayers::Auto => head_layers(architecture.name).map(str::to_owned).into(),
        HeadLayers::Last => Vec::new(),
        HeadLayers::Named(names) => names.clone(),
    };
    layers.push(last_layer(architecture));
    layers.sort();
    layers.dedup();
    layers
}

/// Name of the stage whose result the architecture's own head reads.
pub fn last_layer(architecture: &Architecture) -> String {
    let last = architecture.stages.last();
    last.expect("a network has stages").name.clone()
}
