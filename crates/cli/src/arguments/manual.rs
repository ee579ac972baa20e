//! The arguments of the commands that document the others.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart completions bash > ~/.local/share/bash-completion/completions/warmstart
  warmstart completions zsh > ~/.zfunc/_warmstart
  warmstart completions fish > ~/.config/fish/completions/warmstart.fish")]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  warmstart man | man -l -
  warmstart man --out ~/.local/share/man/man1")]
pub struct Man {
    /// Write the page of each command into this folder, which is created
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
