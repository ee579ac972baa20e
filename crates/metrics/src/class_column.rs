//! The column of class names in a table for people. Widths are those on a terminal, where a Chinese character takes two
//! columns: counted in characters, the numbers after such names would not line up.

use warmstart_files::one_line;
use warmstart_language::{columns, cut, english, padded, translated};

/// Most columns of a class name in a table.
const NAME_WIDTH: usize = 24;
/// The column's heading.
const HEADING: &str = english!("class");

/// A class name on one line, cut to [`NAME_WIDTH`] columns.
pub(crate) fn short(class: &str) -> String {
    cut(&one_line(class), NAME_WIDTH)
}

/// A class name as [`short`], with spaces up to the width of its column.
pub(crate) fn cell(class: &str, width: usize) -> String {
    padded(&short(class), width, false)
}

/// The heading of the column, with spaces up to its width.
pub(crate) fn heading(width: usize) -> String {
    cell(translated(HEADING), width)
}

/// A text with spaces before it, up to the width of its column.
pub(crate) fn right(text: &str, width: usize) -> String {
    padded(text, width, true)
}

/// Width of the column of these names with its heading.
pub(crate) fn width(classes: &[String]) -> usize {
    classes
        .iter()
        .map(|class| columns(&short(class)))
        .max()
        .unwrap_or(0)
        .max(columns(translated(HEADING)))
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
                .all(|class| columns(&cell(class, width)) == width)
        );
    }
}
