//! `--help` in languages other than English. clap still decides which command's help it is, and whether the short or the
//! long one. Its layout is made here: clap's own has English words in it, and breaks lines at spaces alone.

use clap::builder::{PossibleValue, StyledStr, Styles};
use clap::{Arg, Command};
use console::measure_text_width;
use warmstart_language::{english, help_text, message, translated, wrapped};

use crate::printing::{stderr_columns, stdout_columns};

/// Columns where no terminal shows the help, as clap has them.
const USUAL_COLUMNS: usize = 100;
/// Columns before a name.
const MARGIN: &str = "  ";
/// Columns before a text that stands below its name.
const BELOW: usize = 10;

/// The commands with their help in the user's language.
pub fn translated_commands(mut commands: Command) -> Command {
    // With the flags and commands that clap adds.
    commands.build();
    let columns = stdout_columns().or_else(stderr_columns);
    translated_command(commands, columns.unwrap_or(USUAL_COLUMNS))
}

fn translated_command(command: Command, columns: usize) -> Command {
    let [short, long] = [false, true].map(|is_long| Layout { columns, is_long });
    let [about, long_about] = [&short, &long].map(|layout| layout.about(&command));
    let [rest, long_rest] = [&short, &long].map(|layout| layout.rest(&command));
    let style = command.get_styles().get_usage();
    let usage = format!("{style}{}{style:#}", translated(english!("Usage: ")));
    command
        .help_template(format!(
            "{{about-with-newline}}\n{usage}{{usage}}\n\n{{before-help}}"
        ))
        // Lines are broken already.
        .term_width(0)
        .about(about)
        .long_about(long_about)
        .before_help(rest)
        .before_long_help(long_rest)
        .mut_subcommands(|below| translated_command(below, columns))
}

/// The form of a page of help.
struct Layout {
    columns: usize,
    is_long: bool,
}

/// A line of a table, or more of them.
struct Row {
    /// A command, a flag or an argument.
    name: String,
    text: String,
}

impl Layout {
    /// What a command does.
    fn about(&self, command: &Command) -> String {
        let about = self.chosen(command.get_about(), command.get_long_about());
        self.wrapped(about)
    }

    /// What stands below the usage: the tables of commands, arguments and flags, and the examples.
    fn rest(&self, command: &Command) -> String {
        let styles = command.get_styles();
        let commands = command.get_subcommands();
        let commands = commands.filter(|below| !below.is_hide_set());
        let commands = commands.map(|below| row_of_command(below, styles));
        let mut options: Vec<&Arg> = command
            .get_arguments()
            .filter(|argument| !argument.is_positional() && self.shows(argument))
            .collect();
        options.sort_by_key(|option| option.get_display_order());
        let positionals = command.get_positionals().filter(|it| self.shows(it));
        let of_group = |heading: Option<&str>| -> Vec<Row> {
            let options = options.iter();
            let options = options.filter(|option| option.get_help_heading() == heading);
            options.map(|option| self.row(option, styles)).collect()
        };
        let mut tables = vec![
            (
                translated(english!("Commands")).to_owned(),
                commands.collect(),
                false,
            ),
            (
                translated(english!("Arguments")).to_owned(),
                positionals.map(|it| self.row(it, styles)).collect(),
                self.is_long,
            ),
            (
                translated(english!("Options")).to_owned(),
                of_group(None),
                self.is_long,
            ),
        ];
        for heading in headings(command) {
            tables.push((in_language(heading), of_group(Some(heading)), self.is_long));
        }
        let after = self.chosen(command.get_after_help(), command.get_after_long_help());
        let tables = tables.iter().filter(|(_, rows, _)| !rows.is_empty());
        let sections = tables.map(|(heading, rows, is_below)| {
            let style = styles.get_header();
            let heading = message!("{heading}:");
            let rows = self.table(rows, *is_below);
            format!("{style}{heading}{style:#}\n{rows}")
        });
        let sections = sections.chain(after.map(|after| self.wrapped(Some(after))));
        sections.collect::<Vec<_>>().join("\n\n")
    }

    /// The short or the long text, or the one that there is.
    fn chosen<'a>(
        &self,
        short: Option<&'a StyledStr>,
        long: Option<&'a StyledStr>,
    ) -> Option<&'a StyledStr> {
        if self.is_long { long.or(short) } else { short }
    }

    fn shows(&self, argument: &Arg) -> bool {
        let is_hidden = if self.is_long {
            argument.is_hide_long_help_set()
        } else {
            argument.is_hide_short_help_set()
        };
        !is_hidden && !argument.is_hide_set()
    }

    fn wrapped(&self, text: Option<&StyledStr>) -> String {
        let text = text.map(ToString::to_string).unwrap_or_default();
        wrapped(&in_language(&text), self.columns).join("\n")
    }

    /// A flag or an argument, with its values.
    fn row(&self, argument: &Arg, styles: &Styles) -> Row {
        let help = self.chosen(argument.get_help(), argument.get_long_help());
        let help = help.or(argument.get_long_help());
        let help = help.map(|help| in_language(&help.to_string()));
        let mut values = argument.get_possible_values();
        values.retain(|value| !value.is_hide_set());
        let is_list = self.is_long && values.iter().any(|value| value.get_help().is_some());
        let defaults: Vec<_> = argument
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect();
        let has_default = argument.get_action().takes_values()
            && !argument.is_hide_default_value_set()
            && !defaults.is_empty();
        let names: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
        let parts = [
            help,
            is_list.then(|| list(&values)),
            has_default.then(|| message!("[default: {}]", defaults.join(" "))),
            (!is_list && !names.is_empty())
                .then(|| message!("[possible values: {}]", names.join(", "))),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        Row {
            name: name(argument, styles),
            text: parts.join(if self.is_long { "\n\n" } else { " " }),
        }
    }

    /// Rows with their texts beside the names, or below them.
    fn table(&self, rows: &[Row], is_below: bool) -> String {
        let widths = rows.iter().map(|row| measure_text_width(&row.name));
        let beside = widths.max().unwrap_or(0) + 2 * MARGIN.len();
        // As clap does it: names do not take more than two fifths of a line.
        let indent = if is_below || 5 * beside > 2 * self.columns {
            BELOW
        } else {
            beside
        };
        let lines_of = |row: &Row| {
            let name = format!("{MARGIN}{}", row.name);
            let text = wrapped(&row.text, self.columns.saturating_sub(indent));
            let mut lines = text.iter();
            let mut shown = match lines.as_slice() {
                [first, ..] if indent == beside && !is_below => {
                    lines.next();
                    let gap = " ".repeat(indent - measure_text_width(&name));
                    vec![format!("{name}{gap}{first}")]
                }
                _ => vec![name],
            };
            let indented = lines.map(|line| format!("{:indent$}{line}", ""));
            shown.extend(indented.map(|line| line.trim_end().to_owned()));
            shown.join("\n")
        };
        let rows: Vec<String> = rows.iter().map(lines_of).collect();
        rows.join(if is_below { "\n\n" } else { "\n" })
    }
}

/// The groups of flags, in order.
fn headings(command: &Command) -> Vec<&str> {
    let mut headings = Vec::new();
    for heading in command.get_arguments().filter_map(Arg::get_help_heading) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    headings
}

fn row_of_command(command: &Command, styles: &Styles) -> Row {
    let style = styles.get_literal();
    let about = command.get_about().or(command.get_long_about());
    Row {
        name: format!("{style}{}{style:#}", command.get_name()),
        text: about
            .map(|about| in_language(&about.to_string()))
            .unwrap_or_default(),
    }
}

/// An argument as help names it: `-h, --help`, `--data <DIR>`, `<MODEL>`.
fn name(argument: &Arg, styles: &Styles) -> String {
    let style = styles.get_literal();
    let text = argument.to_string();
    if argument.get_long().is_none() {
        return text;
    }
    let short = match argument.get_short() {
        Some(short) => format!("{style}-{short}{style:#}, "),
        None => "    ".to_owned(),
    };
    let (flag, value) = text.split_at(text.find([' ', '[']).unwrap_or(text.len()));
    format!("{short}{style}{flag}{style:#}{value}")
}

/// Values, each with its meaning.
fn list(values: &[PossibleValue]) -> String {
    let items = values.iter().map(|value| {
        let name = value.get_name();
        let item = match value.get_help() {
            Some(help) => message!("{name}: {}", in_language(&help.to_string())),
            None => name.to_owned(),
        };
        format!("- {item}")
    });
    let heading = translated(english!("Possible values:")).to_owned();
    let lines: Vec<String> = [heading].into_iter().chain(items).collect();
    lines.join("\n")
}

/// A text of help in the user's language. Documentation and default of an option are texts of their own.
fn in_language(english: &str) -> String {
    match parts(english) {
        (documentation, Some(default)) => message!(
            "{} [default: {}]",
            help_text(documentation),
            help_text(default)
        ),
        (text, None) => help_text(text).to_owned(),
    }
}

/// The documentation and the default of an option; the whole text, where it has no default.
fn parts(text: &str) -> (&str, Option<&str>) {
    let inside = text.strip_suffix(']');
    match inside.and_then(|text| text.rsplit_once(" [default: ")) {
        Some((documentation, default)) => (documentation, Some(default)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::language::catalogue;
    use clap::CommandFactory as _;
    use warmstart_language::Language;
    use warmstart_recipe::{PHASE_OPTIONS, RUN_OPTIONS};

    use super::super::Arguments;
    use super::*;

    fn commands() -> Command {
        let mut commands = Arguments::command();
        commands.build();
        commands
    }

    /// The texts of help that are shown of a command, and of those below it.
    fn add_texts(command: &Command, texts: &mut BTreeSet<String>) {
        let mut add = |text: Option<&StyledStr>| {
            if let Some(text) = text.map(ToString::to_string) {
                let (text, default) = parts(&text);
                texts.insert(text.to_owned());
                texts.extend(default.filter(|it| is_of_words(it)).map(str::to_owned));
            }
        };
        add(command.get_about());
        add(command.get_long_about());
        add(command.get_after_help());
        add(command.get_after_long_help());
        for argument in command.get_arguments().filter(|it| !it.is_hide_set()) {
            add(argument.get_help());
            add(argument.get_long_help());
            let values = argument.get_possible_values();
            values.iter().for_each(|value| add(value.get_help()));
        }
        texts.extend(headings(command).into_iter().map(str::to_owned));
        for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
            add_texts(below, texts);
        }
    }

    /// Whether a default is said in words; one word is a value.
    fn is_of_words(default: &str) -> bool {
        default.contains(' ')
    }

    #[test]
    fn catalogues_have_every_text_of_help_and_nothing_else() {
        let mut texts = BTreeSet::new();
        add_texts(&commands(), &mut texts);
        // Options without a flag are in the recipes that `new` writes.
        for option in RUN_OPTIONS.iter().chain(PHASE_OPTIONS) {
            texts.insert(option.documentation.trim().to_owned());
            let default = Some(option.default).filter(|default| is_of_words(default));
            texts.extend(default.map(str::to_owned));
        }
        assert!(texts.len() > 200, "{}", texts.len());
        for language in Language::ALL {
            let Some(catalogue) = catalogue(language) else {
                continue;
            };
            let word = language.word();
            let has = |text: &&String| catalogue.help.contains_key(text.as_str());
            let missing: Vec<&String> = texts.iter().filter(|text| !has(text)).collect();
            assert!(
                missing.is_empty(),
                "messages/{word}.toml lacks help: {missing:#?}"
            );
            let is_used = |text: &&String| texts.contains(*text);
            let unused: Vec<_> = catalogue
                .help
                .keys()
                .filter(|text| !is_used(text))
                .collect();
            assert!(
                unused.is_empty(),
                "messages/{word}.toml has help of nothing: {unused:#?}"
            );
        }
    }

    /// The words of a page below its usage.
    fn words(page: &str) -> Vec<&str> {
        let (_, from_usage) = page.split_once("Usage: ").unwrap();
        let (_, rest) = from_usage.split_once('\n').unwrap();
        rest.split_whitespace().collect()
    }

    fn compare_with_clap(command: &mut Command) {
        let pages = [command.render_help(), command.render_long_help()];
        for (page, is_long) in pages.iter().zip([false, true]) {
            let layout = Layout {
                columns: 80,
                is_long,
            };
            let rest = StyledStr::from(layout.rest(command)).to_string();
            assert_eq!(
                rest.split_whitespace().collect::<Vec<_>>(),
                words(&page.to_string()),
                "{}",
                command.get_name()
            );
        }
        command.get_subcommands_mut().for_each(compare_with_clap);
    }

    #[test]
    fn in_english_it_would_say_what_clap_says() {
        compare_with_clap(&mut commands());
    }

    #[test]
    fn texts_stand_beside_their_names_or_below_them() {
        let flag = Arg::new("data").long("data").value_name("DIR");
        let flag = flag.help("The folder of the pictures, which is read once");
        let mut command = Command::new("a").arg(flag).disable_help_flag(true);
        command.build();
        let rest = |columns, is_long| {
            let rest = Layout { columns, is_long }.rest(&command);
            StyledStr::from(rest).to_string()
        };
        assert_eq!(
            rest(50, false),
            "Options:\n      --data <DIR>  The folder of the pictures,\n                    which is read once"
        );
        let below = "Options:\n      --data <DIR>\n          The folder of the pictures,\n          which is read once";
        assert_eq!(rest(40, true), below);
        assert_eq!(rest(40, false), below);
    }
}
