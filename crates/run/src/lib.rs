//! A run on disk: its folder, checkpoints and records; and what follows from them.
//!
//! No tensors: a checkpoint's files are written by closures.

mod atomic_file;
pub mod background_writer;
pub mod checkpoint;
pub mod data_files;
pub mod doubts;
pub mod epoch_progress;
pub mod event;
pub mod files;
pub mod folder;
pub mod health;
pub mod kills;
pub mod list;
mod lock;
pub mod loss_scale;
pub mod part_key;
pub mod parts;
pub mod plan;
pub mod position;
pub mod record;
mod results;
pub mod shard;
pub mod stop;
pub mod summary;
mod tensorboard;
pub mod verdict;

pub use atomic_file::{file_checksum, replace_file};
