//! The pages about the code name files that exist, and quote code that is there.

use std::fs;
use std::path::{Path, PathBuf};

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
