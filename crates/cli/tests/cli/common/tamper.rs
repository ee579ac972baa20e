//! Changes to a checkpoint that its checksums do not reveal.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// The values of a tensor in a safetensors file, as bytes that can be changed.
pub fn with_tensor(file: &Path, name: &str, change: impl FnOnce(&mut [u8])) {
    let mut bytes = fs::read(file).unwrap();
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let (start, end) = metadata.info(name).unwrap().data_offsets;
    let data = 8 + header;
    change(&mut bytes[data + start..data + end]);
    fs::write(file, bytes).unwrap();
}

/// Changes the metadata that warmstart wrote into a safetensors file.
pub fn with_metadata(file: &Path, change: impl FnOnce(&mut Value)) {
    let bytes = fs::read(file).unwrap();
    let data = 8 + header_bytes(&bytes);
    let mut header: Value = serde_json::from_slice(&bytes[8..data]).unwrap();
    let entry = &mut header["__metadata__"]["warmstart"];
    let mut metadata: Value = serde_json::from_str(entry.as_str().unwrap()).unwrap();
    change(&mut metadata);
    *entry = metadata.to_string().into();
    let header = serde_json::to_vec(&header).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(file, [&length[..], &header, &bytes[data..]].concat()).unwrap();
}

/// Bytes of the header of a safetensors file.
fn header_bytes(file: &[u8]) -> usize {
    u64::from_le_bytes(file[..8].try_into().unwrap()) as usize
}

/// Changes the state of a checkpoint, and makes all of its checksums right again.
pub fn with_state(checkpoint: &Path, change: impl FnOnce(&mut Value)) {
    let path = checkpoint.join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let sum = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    for (name, checksum) in state["files"].as_object_mut().unwrap() {
        *checksum = sum(&fs::read(checkpoint.join(name)).unwrap()).into();
    }
    change(&mut state);
    let zeros = "0".repeat(64);
    state["checksum"] = zeros.clone().into();
    let text = serde_json::to_string_pretty(&state).unwrap() + "\n";
    fs::write(path, text.replacen(&zeros, &sum(text.as_bytes()), 1)).unwrap();
}
