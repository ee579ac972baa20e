//! The groups of flags in help. `-h` has the flags that most people need, in a few words; `--help` has all.

use clap::Arg;

use self::Short::{Nothing, Same, Words};

/// The group of the flags about the machine, which commands without groups have, too.
const MACHINE: &str = "Memory and cache";

/// What `-h` says of a flag.
#[derive(Clone, Copy)]
enum Short {
    /// Nothing.
    Nothing,
    /// What `--help` says.
    Same,
    /// These words.
    Words(&'static str),
}

/// The groups in order, each with its flags.
static GROUPS: [(&str, &[(&str, Short)]); 5] = [
    (
        "Basics",
        &[
            (
                "data",
                Words("Data set: a folder, its data.yaml, or a list"),
            ),
            (
                "model",
                Words("Architecture; without it, that of the weights"),
            ),
            ("weights", Words("Published name, file, run, or \"none\"")),
            (
                "epochs",
                Words("Epochs of all phases [default: 14; detectors 20]"),
            ),
            ("out", Words("Folder of the run [default: runs/<data>]")),
            ("from-epoch", Same),
            ("picture", Words("Picture to write")),
            ("quiet", Same),
            ("json", Same),
        ],
    ),
    (
        "Schedule",
        &[
            ("freeze-epochs", Words("Epochs with a frozen backbone")),
            ("batch", Words("Batch size after the thaw [default: auto]")),
            ("freeze-batch", Nothing),
            ("lr", Words("Highest learning rate after the thaw")),
            ("freeze-lr", Nothing),
            ("optimizer", Nothing),
            ("patience", Nothing),
        ],
    ),
    (
        "Data",
        &[
            ("task", Nothing),
            (
                "val-split",
                Words("Share for validation without val/ [default: 0.2]"),
            ),
            (
                "image-size",
                Words("Edge of the image in pixels [default: model's]"),
            ),
            ("fit", Nothing),
            ("decode", Nothing),
            ("balance", Nothing),
            ("folds", Words("Cross-validate with K runs")),
            ("shard", Nothing),
            ("parts", Nothing),
            ("accept-data-change", Same),
        ],
    ),
    (
        MACHINE,
        &[
            (
                "memory",
                Words("Memory limit, such as 6GiB [default: auto]"),
            ),
            ("out-of-memory", Same),
            ("device", Words("Device: cpu, gpu, gpu:1 [default: auto]")),
            ("precision", Nothing),
            ("cache", Nothing),
            ("cache-limit", Nothing),
            ("no-cache", Nothing),
            (
                "threads",
                Words("Threads; same result [default: all cores]"),
            ),
            ("ranks", Nothing),
            ("network", Nothing),
        ],
    ),
    (
        "Expert",
        &[
            ("head", Nothing),
            ("head-layers", Nothing),
            ("views", Nothing),
            ("seed", Nothing),
            ("shuffle", Nothing),
            ("virtual-shards", Nothing),
            ("weights-prefix", Nothing),
            ("init", Nothing),
            ("allow-partial", Nothing),
            ("no-guard", Nothing),
            ("checkpoint-every", Nothing),
            ("on-nonfinite", Nothing),
            ("health-every", Nothing),
        ],
    ),
];

/// A flag in its group, with its words for `-h`; an argument that is none stays as it is.
pub fn grouped(argument: Arg) -> Arg {
    let Some((heading, short)) = row(&argument) else {
        return argument;
    };
    shortened(argument.help_heading(heading), short)
}

/// A flag of a command without groups: one about the machine has its words for `-h`.
pub fn ungrouped(argument: Arg) -> Arg {
    match row(&argument) {
        Some((MACHINE, short)) => shortened(argument, short),
        Some(_) | None => argument,
    }
}

fn shortened(argument: Arg, short: Short) -> Arg {
    match short {
        Nothing => argument.hide_short_help(true),
        Same => argument,
        Words(words) => match argument.get_help().cloned() {
            Some(all) => argument.long_help(all).help(words),
            None => argument.help(words),
        },
    }
}

/// A flag in its group, with the same words for `-h` as for `--help`: for commands where it means something else.
pub fn headed(argument: Arg) -> Arg {
    let Some((heading, short)) = row(&argument) else {
        return argument;
    };
    argument
        .help_heading(heading)
        .hide_short_help(matches!(short, Nothing))
}

/// The place of a flag's group among the groups; flags without one come last. The name is in a recipe's spelling.
pub fn place(name: &str) -> usize {
    let flag = name.replace('_', "-");
    let mut groups = GROUPS.iter();
    let found = groups.position(|(_, flags)| flags.iter().any(|(of_group, _)| *of_group == flag));
    found.unwrap_or(GROUPS.len())
}

fn row(argument: &Arg) -> Option<(&'static str, Short)> {
    let flag = argument.get_long()?;
    GROUPS.iter().find_map(|(heading, flags)| {
        let (_, short) = flags.iter().find(|(of_group, _)| *of_group == flag)?;
        Some((*heading, *short))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::Arguments;
    use super::*;

    /// Most lines of a screen.
    const SCREEN: usize = 40;

    #[test]
    fn every_flag_is_in_one_group_and_short_help_fits_a_screen() {
        let mut arguments = Arguments::command().term_width(80);
        arguments.build();
        let mut listed: Vec<&str> = GROUPS
            .iter()
            .flat_map(|(_, flags)| flags.iter().map(|(flag, _)| *flag))
            .collect();
        let count = listed.len();
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed.len(), count, "a flag is in two groups");
        let mut used = Vec::new();
        for name in ["train", "resume", "plan", "lr-find", "rank", "features"] {
            let command = arguments.find_subcommand_mut(name).unwrap();
            for argument in command.get_arguments() {
                let Some(flag) = argument.get_long() else {
                    continue;
                };
                if !["help", "version", "lang"].contains(&flag) {
                    assert!(listed.contains(&flag), "{name}: --{flag} is in no group");
                    used.push(flag.to_owned());
                }
            }
            let help = command.render_help().to_string();
            let lines = help.lines().count();
            assert!(lines <= SCREEN, "{name}: {lines} lines\n{help}");
            assert!(help.contains("--help"), "{help}");
        }
        for flag in listed {
            assert!(used.iter().any(|of| of == flag), "no command has --{flag}");
        }
    }

    #[test]
    fn without_groups_the_flags_about_the_machine_are_short_too() {
        let mut arguments = Arguments::command().term_width(80);
        arguments.build();
        let demo = arguments.find_subcommand_mut("demo").unwrap();
        let help = demo.render_help().to_string();
        let lines = help.lines().count();
        assert!(lines <= SCREEN, "{lines} lines\n{help}");
        assert!(
            help.contains("Device: cpu, gpu, gpu:1 [default: auto]"),
            "{help}"
        );
        assert!(!help.contains("--cache"), "{help}");
        let help = demo.render_long_help().to_string();
        assert!(help.contains("WARMSTART_DEVICE") && help.contains("--cache-limit"));
        assert_eq!(help.matches("[default: auto]").count(), 1, "{help}");
    }

    #[test]
    fn groups_come_in_order() {
        let mut arguments = Arguments::command();
        arguments.build();
        let train = arguments.find_subcommand_mut("train").unwrap();
        let help = train.render_long_help().to_string();
        let places: Vec<_> = GROUPS
            .iter()
            .map(|(heading, _)| help.find(&format!("\n{heading}:")).expect("a heading"))
            .collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}
