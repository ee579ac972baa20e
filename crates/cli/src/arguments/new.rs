use std::path::PathBuf;

use clap::Args;

use super::text_path;

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart new pets/
  warmstart new street/ --model mobilenet_v3_large --out street.toml
  warmstart train recipe.toml

The recipe has the data, the weights and the phases. Every other option is a
comment with its documentation and the value that it has for these data.")]
pub struct New {
    /// Folder of the data set, its data.yaml, a list, a table (pets.csv) or TAR shards
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// File to write; nothing is overwritten
    #[arg(long, value_name = "FILE", default_value = "recipe.toml")]
    pub out: PathBuf,
    /// Architecture (warmstart models), or the name of its published weights [default: that of the weights]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Name of published weights (warmstart weights list), a pretrained file, the folder of another run, or "none" to
    /// start from scratch [default: the model's usual ones]
    #[arg(long, value_name = "NAME|FILE", value_parser = text_path())]
    pub weights: Option<String>,
}
