//! The column of class names in a table for people.

use warmstart_files::one_line;

/// Characters of a class name in a table.
const NAME_WIDTH: usize = 24;

/// The name on one line, cut where it is longer than the column may be.
pub(crate) fn short(class: &str) -> String {
    let class = one_line(class);
    if class.chars().count() <= NAME_WIDTH {
        return class.into_owned();
    }
    class.chars().take(NAME_WIDTH - 1).chain(['…']).collect()
}

/// Characters of the column that holds these names and the heading "class".
pub(crate) fn width(classes: &[String]) -> usize {
    classes
        .iter()
        .map(|class| short(class).chars().count())
        .max()
        .unwrap_or(0)
        .max("class".len())
}
