//! The options as a table for the documentation.

use crate::option::{Flag, OptionInfo, PhaseFlag, ResumeFlag};
use crate::options::{PHASE_OPTIONS, RUN_OPTIONS};

/// Markdown with every option: its key, documentation, default, values, flags, and the rules of `resume`.
pub fn table() -> String {
    let mut text = String::from(
        "# Options\n\n\
         Generated from their declarations (crates/recipe/src/options.rs) by \
         `cargo run --release -p warmstart-recipe --example options > docs/recipes/options.md`.\n",
    );
    for (title, options) in [
        ("Of the run", RUN_OPTIONS),
        ("Of a phase, below `[[phase]]`", PHASE_OPTIONS),
    ] {
        text += &format!(
            "\n## {title}\n\n| key | meaning | default | values | flag of `train` | changed on `resume` |\n|---|---|---|---|---|---|\n"
        );
        for option in options {
            text += &line(option);
        }
    }
    text
}

fn line(option: &OptionInfo) -> String {
    let words: Vec<String> = option
        .choices
        .iter()
        .map(|choice| format!("`{}`", choice.word))
        .collect();
    let values = if words.is_empty() {
        option.range.to_owned()
    } else {
        words.join(", ")
    };
    let flag = |name: &str| format!("`--{}`", name.replace('_', "-"));
    let flags: Vec<String> = match option.flag {
        Flag::None => Vec::new(),
        Flag::Value(_) => vec![flag(option.key)],
        Flag::Switch { name, .. } => vec![flag(name)],
        Flag::Phases { frozen, thawed, .. } => {
            let given = [frozen, thawed].into_iter().flatten();
            given.map(|PhaseFlag { name, .. }| flag(name)).collect()
        }
    };
    let mut resume = Vec::new();
    resume.push(match option.resume.flag {
        ResumeFlag::None => "in recipe.toml",
        ResumeFlag::AsInTrain
        | ResumeFlag::Documented(_)
        | ResumeFlag::Phases { .. }
        | ResumeFlag::Thawed(_) => "by flag",
    });
    if option.resume.fixed_in_phase {
        resume.push("not in the middle of a phase");
    }
    if !option.resume.effect.is_empty() {
        resume.push(option.resume.effect);
    }
    let cells = [
        format!("`{}`", option.key),
        option.documentation.trim().to_owned(),
        if option.default.is_empty() {
            "(must be given)".to_owned()
        } else {
            option.default.to_owned()
        },
        values,
        flags.join(", "),
        resume.join("; "),
    ];
    format!(
        "| {} |\n",
        cells.map(|cell| cell.replace('|', "\\|")).join(" | ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_up_to_date() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/recipes/options.md");
        let page = std::fs::read_to_string(page).unwrap();
        assert!(
            page == table(),
            "docs/recipes/options.md is not what the declarations give: make it again as its first lines say"
        );
    }
}
