//! Commands that a message tells the user to type.

use std::borrow::Cow;
use std::path::Path;

use warmstart_files::shown;

/// `warmstart resume RUN`, quoted for a shell.
pub fn resume(run: &Path) -> String {
    format!("warmstart resume {}", word(run))
}

/// A path as one word of a shell, on one line, quoted if necessary.
pub fn word(path: &Path) -> String {
    let shown = shown(path);
    match path.to_str() {
        Some(text) if text == shown => quoted(text).into_owned(),
        _ => escaped(path),
    }
}

/// A path in `$'…'`, which bash, zsh and ksh know, with every byte outside plain characters as `\xff`.
fn escaped(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    let letters = bytes.map(|&byte| match byte {
        b'\'' | b'\\' => format!("\\{}", byte as char),
        b' '..=b'~' => (byte as char).to_string(),
        _ => format!("\\x{byte:02x}"),
    });
    format!("$'{}'", letters.collect::<String>())
}

#[cfg(not(windows))]
fn quoted(word: &str) -> Cow<'_, str> {
    // Only a word with a zero byte cannot be quoted, and no path has one.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

/// A path in double quotes, which both shells of Windows take and which no path there can contain.
#[cfg(windows)]
fn quoted(word: &str) -> Cow<'_, str> {
    if word.contains(|letter: char| !(letter.is_alphanumeric() || r"\/:._-".contains(letter))) {
        Cow::Owned(format!("\"{word}\""))
    } else {
        Cow::Borrowed(word)
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

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_back_a_path_of_any_bytes() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        for bytes in [
            &b"runs/\xff"[..],
            b"a\nb",
            b"\x1b[2J'\\",
            "图\u{202e}片".as_bytes(),
        ] {
            let word = word(Path::new(OsStr::from_bytes(bytes)));
            assert!(!word.chars().any(char::is_control), "{word:?}");
            let script = format!("printf %s {word}");
            let output = std::process::Command::new("bash")
                .args(["-c", &script])
                .output();
            assert_eq!(output.unwrap().stdout, bytes, "{word}");
        }
    }
}
