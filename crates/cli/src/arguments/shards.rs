//! The arguments of work in shards: parts that machines compute without talking to each other.

use std::path::PathBuf;

use clap::Args;
use warmstart_run::shard::ShardWord;

use super::groups::grouped;
use super::{Threads, Train};

#[derive(Args)]
pub struct PartOfWork {
    /// Do a part of the work only: 3/8, or auto (or auto/8) for the task that Slurm, Kubernetes, HyperQueue, MPI or GNU
    /// parallel has started; `merge` joins the parts
    #[arg(long, value_name = "PART", requires = "parts")]
    pub shard: Option<ShardWord>,
    /// Folder of the parts; one that is there already is not computed again
    #[arg(long, value_name = "DIR", requires = "shard")]
    pub parts: Option<PathBuf>,
}

#[derive(Args)]
#[command(
    mut_args = grouped,
    after_help = "\
Example: warmstart features --data pets/ --model resnet18 --cache /shared/cache
`warmstart features --help` has every flag, and more examples.",
    after_long_help = "\
Examples:
  warmstart features recipe.toml --cache /shared/cache
  warmstart features recipe.toml --cache /shared/cache --shard 3/8
  warmstart features recipe.toml --cache /shared/cache --shard auto
  warmstart features recipe.toml --cache cache-3 --shard 3/8     no common disk

Takes the arguments of train; --out has no effect, and no run is created. Computed
are the features of the frozen part that train with the same options reads from
the cache, for every phase whose frozen part is known before training. What is in
the cache is not computed again, so a killed process is just started anew.
`warmstart merge` joins caches of machines without a common disk."
)]
pub struct Features {
    #[command(flatten)]
    pub train: Train,
    /// Compute a part of the features only: 3/8, or auto (or auto/8) for the task that Slurm, Kubernetes, HyperQueue, MPI
    /// or GNU parallel has started
    #[arg(long, value_name = "PART")]
    pub shard: Option<ShardWord>,
    /// Print one JSON object for each phase
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart merge parts/                        what the unsharded command prints
  warmstart merge parts/ --out predictions.jsonl
  warmstart merge cache-1 cache-2 --out cache   features of several machines
  warmstart merge cache                         are all features there?
  warmstart merge runs/pets-folds               ends train --folds --shard

What is missing or damaged is named, with the command that computes it.")]
pub struct Merge {
    /// Folders of parts of predict, eval or rank; folders of cached features; or the folder of a cross-validation
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// File to write instead of printing; of cached features, the cache to merge into
    #[arg(short, long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// The result that is meant, where a folder has parts of several
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Cached features: accept files with missing entries, as those of one fold are
    #[arg(long)]
    pub partial: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub threads: Threads,
}
