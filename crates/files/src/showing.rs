//! File names made safe to print.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use warmstart_language::message;

/// A text on one line: control characters are escaped (`\n`, `\u{1b}`), and so are the marks that change the
/// direction of writing, so that a name can neither break a line nor control the terminal.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unsafe) {
        Cow::Owned(escaped(text))
    } else {
        Cow::Borrowed(text)
    }
}

/// A time in words: `42 s`, `7 min`, `2.5 h`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        ..100.0 => message!("{seconds:.0} s"),
        ..6000.0 => message!("{:.0} min", seconds / 60.0),
        _ => message!("{:.1} h", seconds / 3600.0),
    }
}

/// A path on one line, escaped as by [`one_line`]. Bytes that are not UTF-8 are escaped too (`\xff`), so that
/// different names stay different.
pub fn shown(path: &Path) -> String {
    let mut line = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        line.push_str(&one_line(chunk.valid()));
        line.push_str(&escaped_bytes(chunk.invalid()));
    }
    line
}

/// A path as text for other programs, such as in JSON: unchanged, except that bytes that are not UTF-8 are
/// escaped (`\xff`), so that different names stay different.
pub fn text(path: &Path) -> Cow<'_, str> {
    if let Some(text) = path.to_str() {
        return Cow::Borrowed(text);
    }
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.push_str(&escaped_bytes(chunk.invalid()));
    }
    Cow::Owned(text)
}

/// The path that [`shown`] printed as `line`. It may be a different one if the name itself contains an
/// escape.
#[cfg(unix)]
pub fn path_shown(line: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find('\\') {
        bytes.extend(&rest.as_bytes()[..start]);
        rest = &rest[start..];
        let (unescaped, length) = unescaped(rest);
        bytes.extend(unescaped);
        rest = &rest[length..];
    }
    bytes.extend(rest.as_bytes());
    std::ffi::OsString::from_vec(bytes).into()
}

/// The path that [`shown`] printed as `line`, where names are Unicode.
#[cfg(not(unix))]
pub fn path_shown(line: &str) -> PathBuf {
    line.into()
}

/// The bytes of the escape at the start of `text`, and the escape's length; the backslash alone if it is not
/// an escape.
#[cfg(unix)]
fn unescaped(text: &str) -> (Vec<u8>, usize) {
    let of_char = |letter: char| letter.to_string().into_bytes();
    let backslash = (of_char('\\'), 1);
    match text.as_bytes().get(1) {
        Some(b'n') => (of_char('\n'), 2),
        Some(b'r') => (of_char('\r'), 2),
        Some(b't') => (of_char('\t'), 2),
        Some(b'x') => {
            let byte = text.get(2..4).map(|digits| u8::from_str_radix(digits, 16));
            byte.and_then(Result::ok)
                .map_or(backslash, |byte| (vec![byte], 4))
        }
        Some(b'u') => {
            let digits = text.get(3..).and_then(|digits| digits.split('}').next());
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            let letter = code.and_then(char::from_u32).zip(digits);
            letter.map_or(backslash, |(letter, digits)| {
                (of_char(letter), digits.len() + 4)
            })
        }
        _ => backslash,
    }
}

fn escaped_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if is_unsafe(letter) {
            line.extend(letter.escape_default());
        } else {
            line.push(letter);
        }
    }
    line
}

/// Control characters, line and paragraph separators, and the marks of bidirectional text (Unicode
/// Standard Annex 9, section 2).
fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["cat", "图片", "café", "a b\\c", "👍🏽"] {
            assert!(matches!(one_line(name), Cow::Borrowed(same) if same == name));
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(one_line("a\nb"), "a\\nb");
        assert_eq!(one_line("\u{1b}[2J"), "\\u{1b}[2J");
        assert_eq!(one_line("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(one_line("\u{9b}1m\u{7f}"), "\\u{9b}1m\\u{7f}");
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_not_text_can_be_told_apart() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let path = |bytes| shown(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(path(b"a/\xff\n.png"), "a/\\xff\\n.png");
        assert_ne!(path(b"\xfe"), path(b"\xff"));
        for bytes in [
            &b"a/\xff\n\r\t\x1b.png"[..],
            b"\\",
            b"\\x\\u\\",
            "\u{202e}图".as_bytes(),
        ] {
            let name = Path::new(OsStr::from_bytes(bytes));
            assert_eq!(path_shown(&shown(name)), name);
        }
        let of = |bytes| text(Path::new(OsStr::from_bytes(bytes))).into_owned();
        assert_eq!(of(b"a/\xff\n.png"), "a/\\xff\n.png");
        assert_eq!(of("图\n".as_bytes()), "图\n");
    }
}
