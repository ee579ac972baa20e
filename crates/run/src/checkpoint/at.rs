use std::fmt;

use serde::{Deserialize, Serialize};

/// Time of a checkpoint, which names its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum At {
    /// After this many finished epochs.
    Epoch(usize),
    /// Within an epoch, after this many steps of the run.
    Step(u64),
}

impl At {
    /// The one with that folder name.
    pub(super) fn of(folder: &str) -> Option<Self> {
        let number = |prefix: &str| folder.strip_prefix(prefix)?.parse().ok();
        let epoch = number("epoch-").map(|epoch: u64| Self::Epoch(epoch as usize));
        let at = epoch.or_else(|| number("step-").map(Self::Step))?;
        // `epoch-5` is not a name that a run gives.
        (at.to_string() == folder).then_some(at)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Epoch(epoch) => write!(f, "epoch-{epoch:04}"),
            Self::Step(step) => write!(f, "step-{step:08}"),
        }
    }
}
