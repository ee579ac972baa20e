//! Widths of texts on a terminal, where a Chinese character takes two columns.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The columns that a text takes on a terminal.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A text with spaces up to a width: after it, or before it if it is flush right.
pub fn padded(text: &str, width: usize, is_right: bool) -> String {
    let spaces = " ".repeat(width.saturating_sub(columns(text)));
    if is_right {
        spaces + text
    } else {
        text.to_owned() + &spaces
    }
}

/// A text that takes at most so many columns: what is too long ends in `…`.
pub fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub(1);
    let fits = |letter: &char| {
        let width = letter.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_to_its_columns() {
        assert_eq!(cut("thaw", 4), "thaw");
        assert_eq!(cut("extension", 4), "ext…");
        assert_eq!(cut("解冻主干", 6), "解冻…");
        assert_eq!(columns(&cut("解冻主干", 6)), 5);
    }

    #[test]
    fn spaces_fill_a_width_on_either_side() {
        assert_eq!(padded("花", 4, false), "花  ");
        assert_eq!(padded("花", 4, true), "  花");
        assert_eq!(padded("rose", 2, true), "rose");
    }
}
