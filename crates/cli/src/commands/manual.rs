//! `warmstart completions` and `warmstart man`, from the definitions of `--help`.

use std::io::{Write as _, stdout};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_recipe::Error;

use super::Failure;
use crate::arguments::{self, Arguments};
use crate::printing::line;

/// Name of the binary.
const NAME: &str = "warmstart";

pub fn completions(arguments: &arguments::Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut shown_commands(), NAME, &mut script);
    Ok(stdout().write_all(&script)?)
}

pub fn man(arguments: &arguments::Man) -> Result<(), Failure> {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &arguments.out else {
        return Ok(stdout().write_all(&page(&command)?.1)?);
    };
    let mut pages = Vec::new();
    add_pages(&command, &mut pages)?;
    warmstart_files::create_folder(folder).map_err(|error| Error::io("create", folder, error))?;
    for (name, page) in &pages {
        let path = folder.join(name);
        warmstart_files::replace(&path, |file| file.write_all(page))
            .map_err(|error| Error::io("write", &path, error))?;
    }
    let written = message!("wrote {} manual pages into {}", pages.len(), shown(folder));
    Ok(line(&mut stdout(), written)?)
}

/// The command line without the commands that are hidden, which clap_complete would list.
fn shown_commands() -> Command {
    let whole = Arguments::command();
    let shown = whole.get_subcommands().filter(|below| !below.is_hide_set());
    Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .arg(crate::language::flag())
        .subcommands(shown.cloned())
}

/// The file name of a command's page, and its text.
fn page(command: &Command) -> Result<(String, Vec<u8>), Failure> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    man.render(&mut text)?;
    Ok((man.get_filename(), text))
}

/// Adds the pages of a command and of those below it.
fn add_pages(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    pages.push(page(command)?);
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        add_pages(below, pages)?;
    }
    Ok(())
}
