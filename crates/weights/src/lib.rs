//! Reading of pretrained weights, and comparison with a model.
//!
//! [`read`] turns a `.pth` or `.safetensors` file into plain arrays. [`compare`] compares them with the
//! tensors a model expects; the [`LoadPlan`] it returns holds the tensors that fit, the reasons why others do
//! not, and a text report. [`inspect`] lists what a file holds; a [`Difference`] is that between two. [`save`]
//! writes safetensors files whose bytes depend on nothing but their contents.
//!
//! A pickle is parsed as data, never executed. A file that would run code when Python loads it is refused
//! with the name of the call, even if its tensors could be read.
//!
//! This crate knows no model and no tensor library: models describe themselves as a list of
//! [`Expected`] tensors, and data are `f32` vectors in row-major order.

mod compare;
mod difference;
mod error;
mod inspect;
mod read;
mod save;
mod text;

pub use compare::{
    Contradiction, Convention, Coverage, Expected, Grid, Joined, KeptRows, LoadPlan, Missing, Part,
    ResizedPositions, Rows, ShapeDifference, Target, TokenPosition, compare,
};
pub use difference::{Changed, Difference, Lone, Reshaped};
pub use error::WeightError;
pub use inspect::{Guess, Inspection, TensorLine, inspect};
pub use read::{
    FileTensor, Format, HostTensor, NotFinite, TensorMap, Unreadable, WeightFile, read,
};
pub use save::{SavedData, SavedTensor, save, to_bytes, write};
