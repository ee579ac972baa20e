//! The column of class names in a table for people.

use warmstart_files::one_line;

/// Most characters of a class name in a table.
const NAME_WIDTH: usize = 24;

/// A class name on one line, cut to [`NAME_WIDTH`] characters.
pub(crate) fn short(class: &str) -> String {
    let class = one_line(class);
    if class.chars().count() <= NAME_WIDTH {
        return class.into_owned();
    }
    class.chars().take(NAME_WIDTH - 1).chain(['…']).collect()
}

/// Width in characters of the column of these names with the heading "class".
pub(crate) fn width(classes: &[String]) -> usize {
    classes
        .iter()
        .map(|class| short(class).chars().count())
        .max()
        .unwrap_or(0)
        .max("class".len())
}
