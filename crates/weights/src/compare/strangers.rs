//! Parameters inside of a network's blocks that the network does not have: another network has the same names.

use std::collections::BTreeSet;

use warmstart_files::Key;
use warmstart_language::message;

use super::naming::Match;
use super::source::Source;
use super::target::{Expected, Part};
use crate::read::WeightFile;
use crate::text::{cut_line, grouped};

/// The last words of the names of parameters: of convolutions, linear layers and norms, and of layer scales in timm,
/// in Meta's and OpenMMLab's code, and in transformers. Counters, masks, indices and scales of quantization, which tools
/// leave beside them, have others.
const FIELDS: [&str; 9] = [
    "weight",
    "bias",
    "gamma",
    "beta",
    "gamma_1",
    "gamma_2",
    "lambda1",
    "layer_scale",
    "layer_scale_parameter",
];

/// Keys of parameters in those blocks of the file that load, which have no place in the network. A file of
/// `deit3_small_patch16_224` has all of `vit_small_patch16_224`, and `blocks.0.ls1.gamma` besides.
pub(crate) fn strangers_in(
    file: &WeightFile,
    matched: &Match,
    network: &[Expected],
) -> Vec<String> {
    let prefix = matched.prefix.as_str();
    let mut blocks: BTreeSet<&str> = BTreeSet::new();
    for expected in network {
        let source = Source::of(expected, matched);
        if expected.part != Part::Backbone || !source.fits(expected, false, file, false) {
            continue;
        }
        let names = source.keys().into_iter();
        blocks.extend(names.filter_map(|key| block(key.strip_prefix(prefix)?)));
    }
    let again = matched.copies.iter().map(|(_, key)| *key);
    let known: BTreeSet<&str> = matched.file_keys.values().copied().chain(again).collect();
    let is_stranger = |key: &str| {
        let Some(name) = key.strip_prefix(prefix).filter(|_| !known.contains(key)) else {
            return false;
        };
        let field = name.rsplit('.').next().unwrap_or(name);
        FIELDS.contains(&field) && block(name).is_some_and(|block| blocks.contains(block))
    };
    let keys = file.tensors.keys().map(String::as_str);
    keys.filter(|key| is_stranger(key))
        .map(str::to_owned)
        .collect()
}

/// The name of the block that a tensor belongs to: what is before the end of its first number.
fn block(name: &str) -> Option<&str> {
    let mut end = 0;
    for word in name.split('.') {
        end += word.len();
        if !word.is_empty() && word.bytes().all(|letter| letter.is_ascii_digit()) {
            return name.get(..end);
        }
        end += 1;
    }
    None
}

/// What such parameters mean, in a sentence without its end; `None` if there are none.
pub(crate) fn sentence(strangers: &[String], architecture: &str) -> Option<String> {
    let (first, others) = strangers.split_first()?;
    let first = cut_line(first, 100);
    Some(match others.len() {
        0 => message!(
            "{first} belongs to a layer that {architecture} does not have: it is another network"
        ),
        others => message!(
            "{first} and {} more belong to layers that {architecture} does not have: it is another network",
            grouped(others)
        ),
    })
}

/// The same with what a user can do about it.
pub(super) fn refusal(strangers: &[String], architecture: &str) -> Option<String> {
    let sentence = sentence(strangers, architecture)?;
    Some(message!(
        "{sentence}; use a file of {architecture}, or train anyway with {}",
        Key::ALLOW_PARTIAL
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_with_the_first_number() {
        for (name, expected) in [
            ("blocks.11.ls1.gamma", Some("blocks.11")),
            ("stages.1.blocks.0.gamma", Some("stages.1")),
            ("layer1.0.conv1.weight", Some("layer1.0")),
            ("0.weight", Some("0")),
            ("pos_embed", None),
            ("lateral_conv0.conv.weight", None),
        ] {
            assert_eq!(block(name), expected, "{name}");
        }
    }
}
