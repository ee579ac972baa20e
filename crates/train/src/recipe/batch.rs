use std::str::FromStr;

/// Images a step, as a flag says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// As many as suit the data and fit into memory.
    Auto,
    /// So many.
    Images(usize),
}

impl Batch {
    /// The number; `None` for `auto`.
    pub(super) fn images(self) -> Option<usize> {
        match self {
            Self::Auto => None,
            Self::Images(images) => Some(images),
        }
    }
}

impl FromStr for Batch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            text => text
                .parse()
                .map(Self::Images)
                .map_err(|_| "a batch is a number of images, or auto".to_owned()),
        }
    }
}
