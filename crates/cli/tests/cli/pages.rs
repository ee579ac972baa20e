//! The pages about the code name files that exist, and quote code that is there; links lead somewhere; the pages
//! for those who come from other trainers name options that exist.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::warmstart;

/// The pages, and whether their paths leave out `crates/` and `src/`.
const PAGES: [(&str, bool); 2] = [("docs/architecture.md", true), ("docs/extending.md", false)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The parts of a page between backticks that look like a path with a folder in it.
fn paths(page: &str) -> Vec<&str> {
    let is_path = |text: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        // A folder alone is one of the crate in its row.
        text.trim_end_matches('/').contains('/') && text.chars().all(plain)
    };
    let code = page.split('`').skip(1).step_by(2);
    code.filter(is_path).collect()
}

/// The place of a path, which may leave out `crates/` and `src/`.
fn place(path: &str, is_short: bool) -> PathBuf {
    let whole = root().join(path);
    match path.split_once('/') {
        Some((name, rest)) if is_short && !whole.exists() => {
            root().join("crates").join(name).join("src").join(rest)
        }
        _ => whole,
    }
}

#[test]
fn every_path_on_the_pages_exists() {
    for (page, is_short) in PAGES {
        let text = read(page);
        // Blocks of code hold no paths in backticks, but an odd number of them.
        let text: Vec<&str> = text.split("```").step_by(2).collect();
        let text = text.concat();
        let paths = paths(&text);
        assert!(paths.len() > 9, "{page}: {paths:?}");
        for path in paths {
            assert!(place(path, is_short).exists(), "{page}: there is no {path}");
        }
    }
}

/// Lines without their indentation, documentation and empty lines.
fn lines(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("///");
    lines.filter(is_code).collect()
}

#[test]
fn code_on_the_pages_is_that_of_the_files() {
    let mut quotes = 0;
    for (page, _) in PAGES {
        let text = read(page);
        for block in text.split("```rust\n").skip(1) {
            let (block, _) = block.split_once("```").expect("the block ends");
            let quoted = lines(block);
            let [file, code @ ..] = &quoted[..] else {
                panic!("{page}: an empty block");
            };
            let file = file.strip_prefix("// ").expect("a block names its file");
            let content = read(file);
            let is_there = lines(&content).windows(code.len()).any(|part| part == code);
            assert!(is_there, "{page}: {file} does not hold\n{block}");
            quotes += 1;
        }
    }
    assert!(quotes > 4, "the examples are checked: {quotes}");
}

/// The pages of `docs/` and the READMEs of the repository, below its root.
fn all_pages() -> Vec<PathBuf> {
    let mut waiting = vec![PathBuf::from("docs")];
    let mut pages = vec![PathBuf::from("README.md"), "README.zh-CN.md".into()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> HashSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let mut links = 0;
    for page in all_pages() {
        let text = prose(&read(page.to_str().unwrap()));
        let folder = root().join(&page);
        let folder = folder.parent().unwrap();
        for rest in text.split("](").skip(1) {
            let (link, _) = rest.split_once(')').unwrap();
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => root().join(&page),
                _ => folder.join(file),
            };
            let place = format!("{}: {link}", page.display());
            assert!(target.exists(), "{place}");
            if !anchor.is_empty() {
                let target = prose(&fs::read_to_string(target).unwrap());
                assert!(anchors(&target).contains(anchor), "{place}");
            }
            links += 1;
        }
    }
    assert!(links > 100, "{links}");
}

/// The flags of a command, by its help.
fn flags(command: &[&str]) -> HashSet<String> {
    let output = warmstart().args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "{command:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let flags = words.filter(|word| word.starts_with("--"));
    flags.map(str::to_owned).collect()
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The pages for those who come from other trainers.
const MIGRATION: [&str; 2] = ["docs/coming-from.md", "docs/zh/coming-from.md"];

#[test]
fn commands_for_those_who_come_from_elsewhere_have_only_flags_that_exist() {
    for page in MIGRATION {
        let text = read(page);
        let mut checked = 0;
        let blocks = text.split("```").skip(1).step_by(2);
        let lines = blocks.flat_map(|block| {
            let joined = block.replace("\\\n", " ");
            joined.lines().map(str::to_owned).collect::<Vec<_>>()
        });
        let in_text = prose(&text);
        let in_text = quoted(&in_text).map(str::to_owned);
        let is_command = |line: &String| line.starts_with("warmstart ");
        for command in lines.chain(in_text).filter(is_command) {
            let words: Vec<&str> = command.split_whitespace().skip(1).collect();
            let nested = ["data", "weights", "cache"].contains(&words[0]) && words.len() > 1;
            let known = flags(&words[..1 + usize::from(nested)]);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(known.contains(*flag), "{page}: {flag} in {command}");
                checked += 1;
            }
        }
        assert!(checked > 30, "{page}: {checked}");
    }
}

#[test]
fn our_column_for_those_who_come_from_elsewhere_has_only_options_that_exist() {
    let of_commands = [
        &["train"][..],
        &["resume"],
        &["eval"],
        &["predict"],
        &["export"],
        &["models"],
        &["data", "check"],
    ];
    let known: HashSet<String> = of_commands
        .iter()
        .flat_map(|command| flags(command))
        .collect();
    let options = read("docs/recipes/options.md") + &read("docs/recipes/README.md");
    for page in MIGRATION {
        let text = prose(&read(page));
        let mut checked = 0;
        for row in text.lines().filter(|line| line.starts_with("| ")) {
            let ours = row
                .trim_end_matches(['|', ' '])
                .rsplit(" | ")
                .next()
                .unwrap();
            for code in quoted(ours) {
                for flag in code
                    .split_whitespace()
                    .filter(|word| word.starts_with("--"))
                {
                    assert!(known.contains(flag), "{page}: {flag} in {row}");
                    checked += 1;
                }
                if let Some((key, _)) = code.split_once(" = ") {
                    let is_key = options.contains(&format!("`{key}`"))
                        || options.contains(&format!("\n{key} = "));
                    assert!(is_key, "{page}: {key} in {row}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 100, "{page}: {checked}");
    }
}

#[test]
fn recipes_for_those_who_come_from_elsewhere_are_recipes() {
    let dir = tempfile::tempdir().unwrap();
    for page in MIGRATION.into_iter().chain(["docs/zh/recipes.md"]) {
        let text = read(page);
        let recipes: Vec<&str> = text.split("```toml\n").skip(1).collect();
        assert!(!recipes.is_empty(), "{page}");
        for recipe in recipes {
            let (recipe, _) = recipe.split_once("```").unwrap();
            let file = dir.path().join("recipe.toml");
            fs::write(&file, recipe).unwrap();
            // What is missing on this machine is found after the recipe is read.
            let output = warmstart()
                .current_dir(dir.path())
                .args(["plan", "recipe.toml", "--weights", "none"])
                .output()
                .unwrap();
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(
                message.contains("cannot read") && message.contains("No such file"),
                "{page}: {message}"
            );
        }
    }
}
