//! Formatting of numbers, shapes, names and lists in reports and errors.

use std::path::Path;

use warmstart_language::message;

/// `2223872` as `2,223,872`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `fraction`, 0 to 1, in percent, rounded down so that only 1 is 100%.
pub(crate) fn percent(fraction: f64) -> String {
    let tenths = (fraction * 1000.0).floor() / 10.0;
    if tenths.fract() == 0.0 {
        format!("{tenths:.0}%")
    } else {
        format!("{tenths:.1}%")
    }
}

/// `[64, 3, 7, 7]`.
pub(crate) fn shape(shape: &[usize]) -> String {
    format!("{shape:?}")
}

/// `1 tensor`, `2,000 tensors`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let text = warmstart_language::counted(count, noun);
    text.replacen(&count.to_string(), &grouped(count), 1)
}

/// Serializes a path as text, which has to be Unicode.
pub(crate) fn as_shown<S: serde::Serializer>(
    path: &Path,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&warmstart_files::shown(path))
}

/// Names from a file, each on one line, and how many more there are.
pub(crate) fn cut_names<S: AsRef<str>>(names: &[S], limit: usize) -> String {
    const LONGEST: usize = 200;
    let names: Vec<String> = names
        .iter()
        .map(|name| cut_line(name.as_ref(), LONGEST))
        .collect();
    cut_list(&names, limit)
}

/// The first `limit` items, and how many more there are.
pub(crate) fn cut_list<S: AsRef<str>>(items: &[S], limit: usize) -> String {
    let shown: Vec<&str> = items.iter().take(limit).map(AsRef::as_ref).collect();
    let rest = items.len().saturating_sub(limit);
    match rest {
        0 => shown.join(", "),
        _ => message!("{} and {} more", shown.join(", "), grouped(rest)),
    }
}

/// A list of prefixes in backquotes, of which at most ten are shown.
pub(crate) fn quoted<'a>(prefixes: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 10;
    let quoted: Vec<String> = prefixes
        .map(|prefix| format!("`{}`", cut_line(prefix, 100)))
        .collect();
    cut_list(&quoted, SHOWN)
}

/// Text from a file on one line of at most `limit` characters and an ellipsis, safe to print.
pub(crate) fn cut_line(text: &str, limit: usize) -> String {
    let line = warmstart_files::one_line(text.trim());
    let mut letters = line.chars();
    let mut cut: String = letters.by_ref().take(limit).collect();
    if letters.next().is_some() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(2_223_872), "2,223,872");
    }

    #[test]
    fn only_the_whole_is_a_hundred_percent() {
        assert_eq!(percent(1.0), "100%");
        assert_eq!(percent(0.9999), "99.9%");
        assert_eq!(percent(0.5), "50%");
    }

    #[test]
    fn long_lists_end_in_a_count() {
        assert_eq!(cut_list(&["a", "b", "c"], 3), "a, b, c");
        assert_eq!(cut_list(&["a", "b", "c", "d"], 2), "a, b and 2 more");
    }
}
