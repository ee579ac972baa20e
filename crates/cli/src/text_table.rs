//! Tables for people: columns as wide as their widest cell. Widths are those on a terminal, where a Chinese character
//! takes two columns.

use warmstart_language::{columns, padded};

/// The lines of a table. Columns whose cells begin with a digit are flush right.
pub fn rows<const N: usize>(
    head: &[String; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Vec<String> {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([head]);
        let widths = cells.map(|row| columns(&row[column]));
        widths.max().unwrap_or(0)
    };
    let is_number = |column: usize| {
        let mut cells = rows.iter().map(|row| row[column].as_str());
        cells.any(|cell| cell.starts_with(|letter: char| letter.is_ascii_digit()))
    };
    let layout: Vec<(usize, bool)> = (0..N).map(|it| (width(it), is_number(it))).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&layout);
        let cells = cells.map(|(cell, &(width, is_right))| padded(cell, width, is_right));
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    [head].into_iter().chain(&rows).map(line).collect()
}

/// A cell of what may not be known.
pub fn unknown(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "–".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_flush_left_and_numbers_right() {
        let head = ["name", "size"].map(str::to_owned);
        let cells = [["a", "10"], ["long name", "–"]].map(|row| row.map(str::to_owned));
        let expected = ["name       size", "a            10", "long name     –"];
        assert_eq!(rows(&head, cells), expected);
    }

    #[test]
    fn chinese_names_take_two_columns_a_character() {
        let head = ["name", "size"].map(str::to_owned);
        let cells = [["花卉", "10"], ["birds", "9"]].map(|row| row.map(str::to_owned));
        let expected = ["name   size", "花卉     10", "birds     9"];
        assert_eq!(rows(&head, cells), expected);
    }
}
