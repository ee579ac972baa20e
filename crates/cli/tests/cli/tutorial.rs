//! The tutorial's commands work, in order, in an empty folder; the Chinese page has the same ones.

use std::fs;
use std::path::Path;

fn page(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of a page's blocks of commands, each with what follows a backslash at its end.
fn commands(page: &str) -> Vec<String> {
    let blocks = page.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| {
        let (block, _) = block.split_once("```").expect("the block ends");
        let joined = block.replace("\\\n", " ");
        joined.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    lines.filter(|line| !line.trim().is_empty()).collect()
}

#[test]
fn both_languages_have_the_same_commands() {
    let [english, chinese] = ["docs/tutorial.md", "docs/zh/tutorial.md"].map(page);
    assert!(commands(&english).len() > 9);
    assert_eq!(commands(&english), commands(&chinese));
    // No block of commands escapes by another mark.
    for page in [english, chinese] {
        let mut marks = page.lines().filter_map(|line| line.strip_prefix("```"));
        assert!(marks.all(|mark| ["", "sh", "toml"].contains(&mark)));
    }
}

#[cfg(unix)]
#[test]
fn every_command_works_in_order() {
    use std::env;
    use std::process::Command;

    use crate::common::{said, warmstart};

    let dir = tempfile::tempdir().unwrap();
    let program = warmstart();
    let folder = Path::new(program.get_program()).parent().unwrap();
    let mut path = folder.as_os_str().to_owned();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    for line in commands(&page("docs/tutorial.md")) {
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(dir.path())
            .env("PATH", &path)
            .env("LC_ALL", "C")
            // Cached features of other runs have no part in it.
            .env("XDG_CACHE_HOME", dir.path().join("cache"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}\n{}", said(&output));
    }
}
