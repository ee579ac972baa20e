//! Weights of eight bits that are worth nothing without the scales beside them.

use crate::read::WeightFile;

/// Element types in which tools store a weight divided by a scale.
const EIGHT_BITS: [&str; 4] = ["f8_e4m3", "f8_e5m2", "i8", "u8"];

/// Scales of what goes in and out of a layer, by the beginnings of their names: the weights are whole without them.
const OF_ACTIVATIONS: [&str; 4] = ["input", "output", "act", "kv"];

/// The key of the scale that a tensor of eight bits was divided by, if the same layer has one: `weight_scale` and
/// `weight_scale_inv` of DeepSeek and vLLM, `scale_weight` of ComfyUI, `weight.SCB` of bitsandbytes, and their kin.
pub(super) fn scale_of<'a>(key: &str, file: &'a WeightFile) -> Option<&'a str> {
    let tensor = file.tensors.get(key)?;
    if !EIGHT_BITS.contains(&tensor.dtype) {
        return None;
    }
    let (layer, name) = match key.rfind('.') {
        Some(dot) => key.split_at(dot + 1),
        None => ("", key),
    };
    let is_scale = |other: &&str| {
        let rest = other[layer.len()..].to_lowercase();
        // A scale of the weight's own, or one of the layer that is not said to be another tensor's.
        let own = rest.strip_prefix(&format!("{}.", name.to_lowercase()));
        let rest = own.unwrap_or(&rest);
        let is_of_activations = OF_ACTIVATIONS.iter().any(|of| rest.starts_with(of));
        let is_scale = rest == "scb" || rest.contains("scale");
        !rest.contains('.') && is_scale && !is_of_activations && is_of(rest, name)
    };
    let beside = |key: &&str| key.starts_with(layer);
    let numbers = file.tensors.range(layer.to_owned()..);
    let numbers = numbers.map(|(key, _)| key.as_str()).take_while(beside);
    let unread = file.unreadable.range(layer.to_owned()..);
    let unread = unread.map(|(key, _)| key.as_str()).take_while(beside);
    numbers
        .chain(unread)
        .filter(|other| *other != key)
        .find(is_scale)
}

/// Whether a scale is that of a tensor: it names the tensor, or none of a layer's.
fn is_of(scale: &str, name: &str) -> bool {
    let others = ["weight", "bias"]
        .into_iter()
        .filter(|other| *other != name);
    scale.contains(name) || others.into_iter().all(|other| !scale.contains(other))
}
