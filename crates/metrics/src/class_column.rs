//! The column of class names in a table for people. Widths are those on a terminal, where a Chinese character takes two
//! columns: counted in characters, the numbers after such names would not line up.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use warmstart_files::one_line;
use warmstart_language::{english, translated};

/// Most columns of a class name in a table.
const NAME_WIDTH: usize = 24;
/// The column's heading.
const HEADING: &str = english!("class");

/// A class name on one line, cut to [`NAME_WIDTH`] columns.
pub(crate) fn short(class: &str) -> String {
    let class = one_line(class);
    if class.width() <= NAME_WIDTH {
        return class.into_owned();
    }
    let mut left = NAME_WIDTH - 1;
    let fits = |letter: &char| {
        let width = letter.width().unwrap_or(0);
        let fits = width <= left;
        left = left.saturating_sub(width);
        fits
    };
    class.chars().take_while(fits).chain(['…']).collect()
}

/// A class name as [`short`], with spaces up to the width of its column.
pub(crate) fn cell(class: &str, width: usize) -> String {
    let class = short(class);
    let spaces = width.saturating_sub(class.width());
    class + &" ".repeat(spaces)
}

/// The heading of the column, with spaces up to its width.
pub(crate) fn heading(width: usize) -> String {
    cell(translated(HEADING), width)
}

/// A text with spaces before it, up to the width of its column.
pub(crate) fn right(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(text.width())) + text
}

/// Width of the column of these names with its heading.
pub(crate) fn width(classes: &[String]) -> usize {
    classes
        .iter()
        .map(|class| short(class).width())
        .max()
        .unwrap_or(0)
        .max(translated(HEADING).width())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_after_chinese_names_line_up() {
        let classes = ["花卉".repeat(9), "rose".to_owned()];
        let width = width(&classes);
        assert_eq!(width, 23, "cut to whole characters and a mark");
        assert!(
            classes
                .iter()
                .all(|class| cell(class, width).width() == width)
        );
    }
}
