//! Options that are one of a few words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use warmstart_data::{Decode, Fit};
use warmstart_language::{english, message, translated};

use crate::user_value::{Choice, UserValue, parsed};

/// An enumeration of words, each with its meaning for help; the same word in TOML, as a flag and in messages.
macro_rules! choices {
    ($(
        $(#[$outer:meta])*
        $name:ident {
            $( $(#[$inner:meta])* $variant:ident = $word:literal: $meaning:literal ),* $(,)?
        }
    )*) => { $(
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $( $(#[$inner])* #[doc = $meaning] #[serde(rename = $word)] $variant ),*
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str(match self { $( Self::$variant => $word ),* })
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $( $word => Ok(Self::$variant), )*
                    _ => Err(message!("expected {}", [$( $word ),*].join(translated(english!(" or "))))),
                }
            }
        }

        impl UserValue for $name {
            type Stored = Self;
            const CHOICES: &'static [Choice] =
                &[$( Choice { word: $word, meaning: $meaning } ),*];

            fn stored(self) -> Option<Self> {
                Some(self)
            }

            fn of_flag(flag: &std::ffi::OsStr) -> Result<Self, String> {
                parsed(flag)
            }
        }
    )* };
}

choices! {
    /// Kind of task.
    TaskKind {
        Classify = "classify": "The class of an image",
        Detect = "detect": "The objects of an image, each with its class and its box",
    }

    /// Handling of class imbalance.
    #[derive(Default)]
    Balance {
        #[default]
        None = "none": "Each image once per epoch",
        Sampling = "sampling": "Every class equally often: images of small classes are repeated",
        Loss = "loss": "The loss of an image is weighted by how rare its class is",
        Prior = "prior": "Probabilities are divided by the square root of the share of each class: rare classes are found more often",
    }

    /// Handling of a step whose loss or gradient is not finite.
    #[derive(Default)]
    OnNonFinite {
        #[default]
        Stop = "stop": "Stop before the step changes anything",
        Skip = "skip": "Skip the step, at most ten in a row",
    }

    /// Format of the numbers that a graphics card computes with.
    #[derive(Default)]
    Precision {
        #[default]
        F32 = "f32": "32 bits",
        Bf16 = "bf16": "16 bits with the range of f32, and 8 of its 24 bits of precision",
        F16 = "f16": "16 bits with a small range, and 11 bits of precision; the loss is scaled, so that small gradients do not become 0",
    }

    /// Order of the training images in an epoch.
    Shuffle {
        List = "list": "By a shuffled list, which holds a number for each image",
        Permutation = "permutation": "By a keyed permutation, which needs no memory, however many images there are",
    }

    /// Learning rate schedule of a phase, after warm-up.
    ScheduleKind {
        Cosine = "cosine": "Falls along half a cosine to 1% of its highest value",
        Step = "step": "Divided by ten after each third of the phase",
        Constant = "constant": "Stays the same",
    }

    /// Source of batch norm's statistics.
    BatchNorm {
        Batch = "batch": "From the batch; the running statistics follow",
        Frozen = "frozen": "The running statistics, unchanged; scale and shift still learn",
    }

    /// How the head of a phase with a frozen backbone is found.
    HeadKind {
        Ridge = "ridge": "Solved in closed form on features of several layers, by ridge regression",
        Linear = "linear": "Trained step by step on the last layer",
    }

    /// Optimizer. Settings that are not options have PyTorch's defaults.
    OptimizerKind {
        Sgd = "sgd": "Stochastic gradient descent with Nesterov momentum 0.9",
        Adam = "adam": "Adam (Kingma and Ba, arXiv 1412.6980); weight decay is added to the gradient",
        AdamW = "adamw": "AdamW (Loshchilov and Hutter, arXiv 1711.05101); weight decay is decoupled from the gradient",
    }
}

impl BatchNorm {
    /// Whether the running statistics are used, and stay as they are.
    pub fn keeps_statistics(self) -> bool {
        match self {
            Self::Frozen => true,
            Self::Batch => false,
        }
    }
}

impl UserValue for Fit {
    type Stored = Self;
    const CHOICES: &'static [Choice] = &[
        Choice {
            word: "auto",
            meaning: "Whichever a linear probe on frozen features classifies best",
        },
        Choice {
            word: "crop",
            meaning: "Centre crop: the ends of long images are cut off",
        },
        Choice {
            word: "squash",
            meaning: "The whole image, stretched to a square",
        },
        Choice {
            word: "letterbox",
            meaning: "The whole image, padded with grey",
        },
    ];

    fn stored(self) -> Option<Self> {
        Some(self)
    }

    fn of_flag(flag: &std::ffi::OsStr) -> Result<Self, String> {
        let all = [Self::Crop, Self::Squash, Self::Letterbox];
        let fit = all.into_iter().find(|fit| flag == fit.to_string().as_str());
        fit.ok_or_else(|| message!("expected crop, squash or letterbox"))
    }
}

impl UserValue for Decode {
    type Stored = Self;
    const CHOICES: &'static [Choice] = &[
        Choice {
            word: "full",
            meaning: "Every pixel",
        },
        Choice {
            word: "scaled",
            meaning: "A half, a quarter or an eighth of its width and height, where that is enough for the network",
        },
    ];

    fn stored(self) -> Option<Self> {
        Some(self)
    }

    fn of_flag(flag: &std::ffi::OsStr) -> Result<Self, String> {
        let all = [Self::Full, Self::Scaled];
        let decode = all
            .into_iter()
            .find(|decode| flag == decode.to_string().as_str());
        decode.ok_or_else(|| message!("expected full or scaled"))
    }
}
