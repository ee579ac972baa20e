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
    layers.push(architecture.last_layer().to_owned());
    layers.sort();
    layers.dedup();
    layers
}
