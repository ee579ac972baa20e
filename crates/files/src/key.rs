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

/// The names that messages use. A test in the recipe's crate checks that each is an option or a flag of a command.
macro_rules! keys {
    ($( $(#[$doc:meta])+ $constant:ident = $name:literal; )*) => {
        impl Key {
            $( $(#[$doc])+ pub const $constant: Self = Self($name); )*
            /// All of the names above.
            pub const ALL: &'static [Self] = &[$( Self::$constant ),*];
        }
    };
}

keys! {
    /// Kind of task, where the guess at it is overridden.
    TASK = "task";
    /// Folder of a run.
    OUT = "out";
    /// Folds of a cross-validation.
    FOLDS = "folds";
    /// Epoch after which a run is resumed.
    FROM_EPOCH = "from_epoch";
    /// Consent to other files than the run has learned from.
    ACCEPT_DATA_CHANGE = "accept_data_change";
    /// Statement that the run ended for lack of memory.
    OUT_OF_MEMORY = "out_of_memory";
    /// Threads to compute with.
    THREADS = "threads";
    /// Prefix of the tensors to load from a weight file.
    WEIGHTS_PREFIX = "weights_prefix";
    /// Consent to a weight file that covers little.
    ALLOW_PARTIAL = "allow_partial";
    /// File of a picture.
    PICTURE = "picture";
    /// Training pictures of each class of a demonstration.
    PICTURES = "pictures";
    /// Folder of a data set.
    DATA = "data";
    /// Name of the architecture.
    MODEL = "model";
    /// Pretrained file.
    WEIGHTS = "weights";
    /// Initialization.
    INIT = "init";
    /// Edge of the image in pixels.
    IMAGE_SIZE = "image_size";
    /// Way in which an image fills the network's square.
    FIT = "fit";
    /// How much of a JPEG is decoded.
    DECODE = "decode";
    /// Order of the training images in an epoch.
    SHUFFLE = "shuffle";
    /// Parts of a batch whose gradients are added in a fixed tree.
    VIRTUAL_SHARDS = "virtual_shards";
    /// Share of the images used for validation.
    VAL_SPLIT = "val_split";
    /// Total of epochs.
    EPOCHS = "epochs";
    /// Epochs with a frozen backbone.
    FREEZE_EPOCHS = "freeze_epochs";
    /// Part of the network to train.
    TRAIN = "train";
    /// How the head is found while the backbone is frozen.
    HEAD = "head";
    /// Layers that a head in closed form reads.
    HEAD_LAYERS = "head_layers";
    /// Batch size of the thawed phases.
    BATCH = "batch";
    /// Batch size of the frozen phases.
    FREEZE_BATCH = "freeze_batch";
    /// Images processed at once.
    MICRO_BATCH = "micro_batch";
    /// Learning rate of the thawed phases.
    LR = "lr";
    /// Learning rate of the frozen phases.
    FREEZE_LR = "freeze_lr";
    /// Decay of the moving average.
    EMA_DECAY = "ema_decay";
    /// Epochs without improvement after which a phase ends.
    PATIENCE = "patience";
    /// Handling of class imbalance.
    BALANCE = "balance";
    /// Views of each image.
    VIEWS = "views";
    /// Handling of a step whose loss or gradient is not finite.
    ON_NONFINITE = "on_nonfinite";
    /// Largest size of the cached features.
    CACHE_LIMIT = "cache_limit";
    /// Memory limit.
    MEMORY = "memory";
    /// Device to compute on.
    DEVICE = "device";
    /// Format of the numbers that a graphics card computes with.
    PRECISION = "precision";
    /// Whether the thaw has to beat the frozen model.
    GUARD = "guard";
    /// The flag that turns [`GUARD`](Self::GUARD) off.
    NO_GUARD = "no_guard";
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
