//! Lines for people, and JSON for programs: everything that is printed goes through here. Whatever names of files and
//! classes hold, they neither break a line nor send commands to the terminal. Options are spelled as flags.

use std::io::{self, Write, stderr, stdout};

use console::Term;
use serde::Serialize;
use warmstart_files::one_line;
use warmstart_recipe::{has_flag, spell};

/// The flag of an option, by its name in a recipe; that name where it has none.
pub fn flag(name: &str) -> String {
    if has_flag(name) {
        format!("--{}", name.replace('_', "-"))
    } else {
        name.to_owned()
    }
}

/// A text as it is printed: on one line, with options spelled as flags.
pub fn printed(text: &str) -> String {
    one_line(&spell(text, flag)).into_owned()
}

/// Prints one line.
///
/// # Errors
/// If the output is closed.
pub fn line(out: &mut impl Write, line: impl AsRef<str>) -> io::Result<()> {
    writeln!(out, "{}", printed(line.as_ref()))
}

/// Prints a value as JSON, on one line.
///
/// # Errors
/// If the output is closed.
pub fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value).expect("results are plain data");
    writeln!(out, "{}", spell(&text, flag))
}

/// Prints a text of several lines.
///
/// # Errors
/// If the output is closed.
pub fn lines(out: &mut impl Write, text: &str) -> io::Result<()> {
    text.lines().try_for_each(|text| line(out, text))
}

/// Prints one line to standard error, whether or not anyone reads it.
pub fn print_to_stderr(text: impl AsRef<str>) {
    let _ = line(&mut stderr(), text);
}

/// Prints one line to standard output, whether or not anyone reads it.
pub fn print_to_stdout(text: impl AsRef<str>) {
    let _ = line(&mut stdout(), text);
}

/// Columns of tables where no terminal shows them.
pub const USUAL_COLUMNS: usize = 80;

/// Columns of the terminal that shows standard output; `None` if none does.
pub fn stdout_columns() -> Option<usize> {
    columns(&Term::stdout())
}

/// Columns of the terminal that shows standard error; `None` if none does.
pub fn stderr_columns() -> Option<usize> {
    columns(&Term::stderr())
}

fn columns(terminal: &Term) -> Option<usize> {
    terminal.is_term().then(|| usize::from(terminal.size().1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_spelled_as_flags() {
        let text = format!("give {} 64", warmstart_recipe::Key::IMAGE_SIZE);
        assert_eq!(printed(&text), "give --image-size 64");
        let mut out = Vec::new();
        json(&mut out, &[&text]).unwrap();
        assert_eq!(out, b"[\"give --image-size 64\"]\n");
    }

    #[test]
    fn a_line_stays_one_and_commands_nothing() {
        let mut out = Vec::new();
        line(&mut out, "a\nb\u{1b}[2J\u{202e}").unwrap();
        lines(&mut out, "first\nsecond\u{7}").unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out, "a\\nb\\u{1b}[2J\\u{202e}\nfirst\nsecond\\u{7}\n");
    }

    #[test]
    fn every_flag_in_messages_exists() {
        fn has(command: &clap::Command, long: &str) -> bool {
            command
                .get_arguments()
                .any(|argument| argument.get_long() == Some(long))
                || command.get_subcommands().any(|command| has(command, long))
        }
        let command = <crate::arguments::Arguments as clap::CommandFactory>::command();
        for key in warmstart_recipe::Key::ALL {
            let spelled = flag(key.0);
            if let Some(long) = spelled.strip_prefix("--") {
                assert!(has(&command, long), "{spelled}");
            }
        }
    }
}
