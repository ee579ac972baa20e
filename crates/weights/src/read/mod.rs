//! Reading of a file into plain arrays. The file's content decides its format, not its name.

mod content;
mod element;
mod pickle;
mod pytorch;
mod safetensors;
mod shards;
mod weight_file;

use std::collections::BTreeMap;
use std::path::Path;

use warmstart_language::message;

use crate::WeightError;
use crate::text::{counted, cut_line};
use content::Content;
pub use weight_file::{
    FileTensor, Format, HostTensor, NotFinite, TensorMap, Unreadable, WeightFile,
};

/// Reads a `.pth`, `.pt` or `.safetensors` file, or the `.index.json` of several.
///
/// # Errors
/// If the file cannot be opened, is something other than weights, is damaged, has no tensor that
/// can be read, or would run code when loaded with Python.
pub fn read(path: &Path) -> Result<WeightFile, WeightError> {
    let content = Content::of(path)?;
    let mut file = match content {
        Content::Index => shards::read(path)?,
        Content::Safetensors | Content::PytorchZip | Content::PytorchLegacy => {
            read_one(path, content)?
        }
    };
    set_moments_aside(&mut file);
    set_input_aside(&mut file);
    if file.tensors.is_empty() {
        let found = match file.unreadable.iter().next() {
            Some((name, unreadable)) => {
                message!("{}: {what}", cut_line(name, 100), what = unreadable.what)
            }
            None if !file.set_aside.is_empty() => message!("only the state of an optimizer"),
            None => message!("no tensors in this file"),
        };
        return Err(WeightError::Unsupported {
            path: path.into(),
            found,
            fix: message!("save the weights with torch.save(model.state_dict(), ...)"),
        });
    }
    strip_parallel_prefixes(&mut file);
    file.not_finite = file
        .tensors
        .iter()
        .map(|(name, tensor)| NotFinite {
            name: name.clone(),
            count: tensor.data.iter().filter(|v| !v.is_finite()).count(),
        })
        .filter(|found| found.count > 0)
        .collect();
    Ok(file)
}

/// Reads a file that is not an index.
fn read_one(path: &Path, content: Content) -> Result<WeightFile, WeightError> {
    match content {
        Content::Safetensors => safetensors::read(path),
        Content::PytorchZip => pytorch::read(path, Format::PthZip),
        Content::PytorchLegacy => pytorch::read(path, Format::PthLegacy),
        Content::Index => Err(WeightError::Unsupported {
            path: path.into(),
            found: message!("an index listed as a shard"),
            fix: message!("list only weight files in an index"),
        }),
    }
}

/// Path segments under which PyTorch's optimizers keep a tensor of each parameter's shape.
const MOMENTS: [&str; 6] = [
    "exp_avg",
    "exp_avg_sq",
    "exp_inf",
    "max_exp_avg_sq",
    "momentum_buffer",
    "square_avg",
];

/// Removes an optimizer's tensors, which have the names and shapes of a network's.
fn set_moments_aside(file: &mut WeightFile) {
    let prefix_of = |key: &str| {
        let mut end = 0;
        key.split('.')
            .find_map(|segment| {
                end += segment.len() + 1;
                (end < key.len() && MOMENTS.contains(&segment)).then_some(end - 1)
            })
            .map(|end| key[..end].to_owned())
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut is_kept = |key: &String| match prefix_of(key) {
        Some(prefix) => {
            *counts.entry(prefix).or_default() += 1;
            false
        }
        None => true,
    };
    file.tensors.retain(|key, _| is_kept(key));
    file.unreadable.retain(|key, _| is_kept(key));
    let lines = counts.iter().map(|(prefix, count)| {
        let prefix = cut_line(prefix, 60);
        format!("{prefix} ({})", counted(*count, "tensor"))
    });
    file.set_aside.extend(lines);
}

/// Path segment under which MMEngine's models keep the mean and deviation of their input.
const INPUT: &str = "data_preprocessor";

/// Removes the constants of a network's input, which are those of its record.
fn set_input_aside(file: &mut WeightFile) {
    let count = |file: &WeightFile| file.tensors.len() + file.unreadable.len();
    let before = count(file);
    let is_kept = |key: &String| key.split('.').all(|segment| segment != INPUT);
    file.tensors.retain(|key, _| is_kept(key));
    file.unreadable.retain(|key, _| is_kept(key));
    let removed = before - count(file);
    if removed > 0 {
        file.set_aside
            .push(format!("{INPUT} ({})", counted(removed, "tensor")));
    }
}

/// Prefixes that only `DataParallel` and `torch.compile` put before a name. Any other prefix
/// may be part of a model's own names, so the comparison decides about it.
const PARALLEL_PREFIXES: [&str; 2] = ["module.", "_orig_mod."];

fn strip_parallel_prefixes(file: &mut WeightFile) {
    while let Some(prefix) = PARALLEL_PREFIXES.into_iter().find(|prefix| {
        let mut keys = file.tensors.keys().chain(file.unreadable.keys());
        keys.all(|key| key.starts_with(prefix))
    }) {
        file.tensors = without_prefix(&mut file.tensors, prefix);
        file.unreadable = without_prefix(&mut file.unreadable, prefix);
        file.stripped.push(prefix.to_string());
    }
}

fn without_prefix<T>(of: &mut BTreeMap<String, T>, prefix: &str) -> BTreeMap<String, T> {
    std::mem::take(of)
        .into_iter()
        .map(|(key, value)| (key[prefix.len()..].to_string(), value))
        .collect()
}
