//! The trainer, from images and weights to a trained model.
//!
//! [`open_data`] reads the images, [`Trainer`](trainer::Trainer) holds everything that a run needs,
//! [`initial_weights`] loads or initializes the parameters, [`plan`] chooses the options that were left open, and
//! [`Run`](run_loop::Run) goes through the phases. Events are reported; nothing here prints.

mod class_rows;
pub mod device;
pub mod epoch;
mod evaluation;
pub mod fill_features;
pub mod frozen;
pub mod head_layers;
mod image_supply;
pub mod initial_weights;
pub mod layer_sequential;
pub mod linear_probe;
mod load_file;
pub mod lockstep;
pub mod memory;
pub mod open_data;
pub mod optimizer;
pub mod phase_setup;
pub mod plan;
pub mod resources;
pub mod run_loop;
pub mod schedule;
pub mod solved_head;
pub mod step;
pub mod trainer;
pub mod training_state;
pub mod virtual_shards;
pub mod watch;

pub use warmstart_tasks::expectations::{IMAGENET_CLASSES, conventions, expectations, record_line};
