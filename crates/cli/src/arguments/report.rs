//! The arguments of the commands that show runs.

use std::path::PathBuf;

use clap::Args;

use super::Threads;
use super::choices::html;

#[derive(Args)]
#[command(after_help = "\
Example:
  warmstart report runs/pets

The page is one file, RUN/report.html, that loads nothing: it can be sent to
others. A finished run has it already; this makes it again, with the pictures
and the model as they are now.")]
pub struct Report {
    /// Folder of the run
    pub run: PathBuf,
    #[command(flatten)]
    pub threads: Threads,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart compare runs/pets runs/pets-2
  warmstart compare runs/* --page compare.html

Runs that were measured on the same images are tested in pairs: whether the
first, whose figure is the highest, is better than each other by more than luck.")]
pub struct Compare {
    /// Folders of two runs or more
    #[arg(required = true, num_args = 2..)]
    pub runs: Vec<PathBuf>,
    /// Write a page with the curves, too; only an earlier page of warmstart's is overwritten
    #[arg(long, value_name = "FILE.html", value_parser = html)]
    pub page: Option<PathBuf>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub threads: Threads,
}
