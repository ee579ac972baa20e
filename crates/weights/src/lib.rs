//! Reads pretrained weights and says what of them fits a model.
//!
//! The usual way in is three calls: [`read`] turns a `.pth` or `.safetensors` file into plain
//! arrays, [`compare`] sets them beside the tensors a model expects, and the [`LoadPlan`] it
//! returns holds the tensors that fit, the reasons why others do not, and a report for people.
//! [`inspect`] answers the question before that one: what is in this file? [`save`] writes
//! safetensors files whose bytes depend on nothing but their contents.
//!
//! A pickle is data here. It is parsed, never executed, and a file that would call code when
//! Python loads it is refused by name, also where its tensors could have been read.
//!
//! This room knows no model and no tensor library: models describe themselves as a list of
//! [`Expected`] tensors, and data are `f32` vectors in row-major order.

mod compare;
mod error;
mod inspect;
mod read;
mod save;
mod text;

pub use compare::{
    Convention, Coverage, Expected, LoadPlan, Missing, Part, ShapeDifference, Target, compare,
};
pub use error::WeightError;
pub use inspect::{Guess, Inspection, TensorLine, inspect};
pub use read::{
    FileTensor, Format, HostTensor, NotFinite, TensorMap, Unreadable, WeightFile, read,
};
pub use save::{SavedData, SavedTensor, save, to_bytes, write};
