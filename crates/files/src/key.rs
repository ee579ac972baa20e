//! Names of options in messages.

use std::fmt;

/// Marks the beginning and the end of an option's name in a text: Unicode's isolates, which nobody sees where a text
/// is shown as it is.
const MARKS: [char; 2] = ['\u{2068}', '\u{2069}'];

/// The name of an option, as a recipe spells it.
///
/// Displayed, it carries marks, so that whoever shows the text can spell it in another way: see [`spell`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub &'static str);

impl Key {
    /// Whether a guess at the data set's task is overridden.
    pub const TASK: Self = Self("task");
    /// Folder of a run.
    pub const OUT: Self = Self("out");
    /// Parts of a cross-validation.
    pub const FOLDS: Self = Self("folds");
    /// Epoch after which a run is resumed.
    pub const FROM_EPOCH: Self = Self("from_epoch");
    /// Consent to other files than the run has learned from.
    pub const ACCEPT_DATA_CHANGE: Self = Self("accept_data_change");
    /// Statement that the run ended for lack of memory.
    pub const OUT_OF_MEMORY: Self = Self("out_of_memory");
    /// Threads to compute with.
    pub const THREADS: Self = Self("threads");
    /// Tensors of a weight file that are taken, by their prefix.
    pub const WEIGHTS_PREFIX: Self = Self("weights_prefix");
    /// Consent to a weight file that covers little.
    pub const ALLOW_PARTIAL: Self = Self("allow_partial");
    /// File of a picture.
    pub const PICTURE: Self = Self("picture");
    /// Folder of a data set.
    pub const DATA: Self = Self("data");
    /// Name of the architecture.
    pub const MODEL: Self = Self("model");
    /// Pretrained file.
    pub const WEIGHTS: Self = Self("weights");
    /// Initialization.
    pub const INIT: Self = Self("init");
    /// Edge of the image in pixels.
    pub const IMAGE_SIZE: Self = Self("image_size");
    /// Total of epochs.
    pub const EPOCHS: Self = Self("epochs");
    /// Learning rate of the thawed phases.
    pub const LR: Self = Self("lr");
    /// Learning rate of the frozen phases.
    pub const FREEZE_LR: Self = Self("freeze_lr");
    /// Treatment of a step whose loss is not finite.
    pub const ON_NONFINITE: Self = Self("on_nonfinite");
    /// Memory limit.
    pub const MEMORY: Self = Self("memory");
    /// Whether the thaw has to beat the frozen model.
    pub const GUARD: Self = Self("guard");
    /// The flag that turns [`GUARD`](Self::GUARD) off.
    pub const NO_GUARD: Self = Self("no_guard");
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [begin, end] = MARKS;
        write!(f, "{begin}{}{end}", self.0)
    }
}

/// A text with each option's name spelled by a function of its [`Key`].
pub fn spell(text: &str, spelling: impl Fn(&str) -> String) -> String {
    let [begin, end] = MARKS;
    let mut spelled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(begin) {
        spelled += before;
        match after.split_once(end) {
            // A name of a file may hold a mark of its own.
            Some((name, after)) if is_name(name) => {
                spelled += &spelling(name);
                rest = after;
            }
            _ => {
                spelled.push(begin);
                rest = after;
            }
        }
    }
    spelled + rest
}

/// A text for a file, in which options have the names of a recipe.
pub fn plain(text: &str) -> String {
    spell(text, str::to_owned)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_spelled_as_the_reader_wants_them() {
        let text = format!("give {} or {}", Key::FREEZE_LR, Key::DATA);
        let flag = |name: &str| format!("--{}", name.replace('_', "-"));
        assert_eq!(spell(&text, flag), "give --freeze-lr or --data");
        assert_eq!(plain(&text), "give freeze_lr or data");
    }

    #[test]
    fn marks_in_a_name_of_a_file_stay() {
        for text in [
            "a\u{2068}b",
            "a\u{2068}B C\u{2069}",
            "\u{2068}\u{2069}",
            "\u{2069}",
        ] {
            assert_eq!(plain(text), text);
        }
    }
}
