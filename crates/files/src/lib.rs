//! Files that other people made: opened only if they are files, read only up to a limit, and named on
//! one line; and files of our own: there whole, or as they were ([`replace`]).
//!
//! A folder of data may hold a pipe called `x.jpg`, a sparse file of 100 GB, or a name with a newline in
//! it. [`open`] and [`read`] refuse the first two, and [`one_line`] and [`shown`] make the third safe to
//! print; [`text`] is for other programs.

mod reading;
mod showing;
mod writing;

pub use reading::{open, read, read_text};
pub use showing::{one_line, path_shown, shown, text};
pub use writing::{create_folder, flush_folder, is_being_written, replace, replace_unflushed};
