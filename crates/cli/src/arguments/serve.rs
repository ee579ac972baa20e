//! The arguments of `warmstart serve`.

use std::path::PathBuf;

use clap::Args;

use super::{DeviceFlag, Threads};

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart serve runs/pets
  warmstart serve rtmdet_tiny           a published detector
  curl -F image=@a.jpg -F image=@b.jpg http://127.0.0.1:8080/predict
  curl --data-binary @a.jpg http://127.0.0.1:8080/predict

GET / is a page to try it, and GET /healthz says what is served. POST /predict
answers what `predict --json` prints: an object for an image as the body, a list
for the images of a form. Ctrl-C stops it after the answers that are due.")]
pub struct Serve {
    /// Folder of a run, a model file, a published detector's file, or its name (rtmdet_tiny)
    pub model: PathBuf,
    /// Address to listen on; whoever reaches it can use the model
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    #[command(flatten)]
    pub device: DeviceFlag,
    #[command(flatten)]
    pub threads: Threads,
}
