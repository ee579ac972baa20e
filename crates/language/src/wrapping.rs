//! Lines that break where Chinese may break, too: between any two of its characters, except before a mark that closes and
//! after one that opens.

use std::iter;

use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter};
use unicode_width::UnicodeWidthChar as _;

/// Marks that end no line.
const OPENING: &str = "（《【“‘([<{";
/// Marks that begin no line.
const CLOSING: &str = "，。、；：？！）》】”’…,.;:?!)]>}%";
/// Beginning of an item of a list, below whose text it goes on.
const ITEM: &str = "- ";

/// Between words and, in Chinese, between characters; for ASCII the same as [`WordSeparator::AsciiSpace`].
const BETWEEN_WORDS: WordSeparator = WordSeparator::Custom(words);

/// A line in parts, bent as the options say.
pub fn bent(line: &str, options: Options) -> Vec<String> {
    let parts = textwrap::wrap(line, options.word_separator(BETWEEN_WORDS)).into_iter();
    parts.map(|part| part.into_owned()).collect()
}

/// The lines of a text, bent to a number of columns. Continuation lines keep the indent of their first line.
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let lines = text.lines().flat_map(|line| {
        let rest = line.trim_start();
        let hanging = if rest.starts_with(ITEM) {
            ITEM.len()
        } else {
            0
        };
        let indent = " ".repeat(line.len() - rest.len() + hanging);
        let options = Options::new(columns)
            .subsequent_indent(&indent)
            .word_splitter(WordSplitter::NoHyphenation)
            .break_words(false);
        bent(line, options)
    });
    lines.collect()
}

fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let mut rest = line;
    Box::new(iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (word, after) = rest.split_at(first_break(rest));
        rest = after;
        Some(Word::from(word))
    }))
}

/// Length of what stands before the first place where a line may break.
fn first_break(text: &str) -> usize {
    let letters = text.char_indices();
    let mut pairs = letters.clone().zip(letters.skip(1));
    let found = pairs.find(|((_, before), (_, after))| may_break(*before, *after));
    found.map_or(text.len(), |(_, (place, _))| place)
}

fn may_break(before: char, after: char) -> bool {
    let is_wide = |letter: char| letter.width() == Some(2);
    match (before, after) {
        (_, ' ') => false,
        (' ', _) => true,
        _ => {
            (is_wide(before) || is_wide(after))
                && !OPENING.contains(before)
                && !CLOSING.contains(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_breaks_between_characters_but_not_beside_marks() {
        assert_eq!(
            wrapped("冻结阶段，解冻后（见 train）的学习率", 10),
            ["冻结阶段，", "解冻后（见", "train）的", "学习率"]
        );
        assert_eq!(wrapped("“冻结”", 4), ["“冻", "结”"]);
        assert_eq!(wrapped("a/花.jpg b", 6), ["a/", "花.jpg", "b"]);
    }

    #[test]
    fn what_goes_on_is_indented_as_its_beginning() {
        assert_eq!(
            wrapped("  two words\n\n- an item of a list", 9),
            ["  two", "  words", "", "- an item", "  of a", "  list"]
        );
    }

    #[test]
    fn words_of_ascii_stay_whole() {
        for text in [
            "  a --long-flag, and  two spaces",
            "",
            "(one) [two] <three>",
        ] {
            let words = |separator: WordSeparator| separator.find_words(text).collect::<Vec<_>>();
            assert_eq!(words(BETWEEN_WORDS), words(WordSeparator::AsciiSpace));
        }
    }
}
