//! Commands that a message tells the user to type.

use std::borrow::Cow;
use std::path::Path;

/// `warmstart resume RUN`, of which a shell makes the same words.
pub fn resume(run: &Path) -> String {
    format!("warmstart resume {}", word(run))
}

/// A path as one word of a shell, quoted where it has to be.
pub fn word(path: &Path) -> String {
    let shown = path.to_string_lossy();
    quoted(&shown).into_owned()
}

#[cfg(not(windows))]
fn quoted(word: &str) -> Cow<'_, str> {
    // Only a word with a zero byte has none, which no path can have.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

/// Both shells of Windows take double quotes, which no path there can have.
#[cfg(windows)]
fn quoted(word: &str) -> Cow<'_, str> {
    match word.contains(|letter: char| !(letter.is_alphanumeric() || r"\/:._-".contains(letter))) {
        true => Cow::Owned(format!("\"{word}\"")),
        false => Cow::Borrowed(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word() {
        let of = |path: &str| resume(Path::new(path));
        assert_eq!(of("runs/pets"), "warmstart resume runs/pets");
        let words = shlex::split(&of("my runs/o'neill's $1")).unwrap();
        assert_eq!(words, ["warmstart", "resume", "my runs/o'neill's $1"]);
    }
}
