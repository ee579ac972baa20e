//! Eight-bit weights that are useless without the scales beside them.

use crate::read::WeightFile;

/// Element types in which tools store a weight divided by a scale.
const EIGHT_BITS: [&str; 4] = ["f8_e4m3", "f8_e5m2", "i8", "u8"];

/// Prefixes of the names of activation scales, which the weights do not need.
const OF_ACTIVATIONS: [&str; 4] = ["input", "output", "act", "kv"];

/// The key of the scale that an eight-bit tensor was divided by, if the same layer has one: `weight_scale`
/// and `weight_scale_inv` of DeepSeek and vLLM, `scale_weight` of ComfyUI, `weight.SCB` of bitsandbytes, and
/// similar names.
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
        // A scale of this weight, or one of the layer that does not name another tensor.
        let own = rest.strip_prefix(&format!("{}.", name.to_lowercase()));
        let rest = own.unwrap_or(&rest);
        let is_of_activations = OF_ACTIVATIONS.iter().any(|of| rest.starts_with(of));
        let is_scale = rest == "scb" || rest.contains("scale");
        !rest.contains('.') && is_scale && !is_of_activations && is_of(rest, name)
    };
    let beside = |key: &&str| key.starts_with(layer);
    let readable = file
        .tensors
        .range(layer.to_owned()..)
        .map(|(key, _)| key.as_str());
    let unreadable = file
        .unreadable
        .range(layer.to_owned()..)
        .map(|(key, _)| key.as_str());
    readable
        .take_while(beside)
        .chain(unreadable.take_while(beside))
        .filter(|other| *other != key)
        .find(is_scale)
}

/// Whether a scale belongs to a tensor: it names that tensor, or none of the layer's.
fn is_of(scale: &str, name: &str) -> bool {
    let others = ["weight", "bias"]
        .into_iter()
        .filter(|other| *other != name);
    scale.contains(name) || others.into_iter().all(|other| !scale.contains(other))
}
