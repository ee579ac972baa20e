//! Safe reading of files that other people made, and atomic writing of our own ([`replace`]).
//!
//! A data folder may hold a pipe called `x.jpg`, a sparse file of 100 GB, or a name with a newline in
//! it. [`open`] and [`read`] refuse the first two, and [`one_line`] and [`shown`] make the third safe to
//! print; [`text`] gives a path to other programs.

mod key;
mod reading;
mod showing;
mod writing;

pub use key::{Key, plain, spell};
pub use reading::{open, read, read_text};
pub use showing::{duration, one_line, path_shown, shown, text};
pub use writing::{
    create_folder, create_unflushed, flush_folder, is_being_written, replace, replace_unflushed,
};
