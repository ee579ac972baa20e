//! The findings on a data set, as a table.

use textwrap::Options;
use warmstart_data::Finding;
use warmstart_language::{bent, columns as width_of, padded, translated};

use crate::printing::printed;

/// Fewest columns of a sentence, however narrow the terminal.
const NARROWEST: usize = 30;

/// A row for each finding: its kind, its count, and a sentence, which is wrapped to the terminal's `columns`. Without a
/// terminal, a finding is one line, which can be searched for.
pub fn table(findings: &[Finding], columns: Option<usize>) -> Vec<String> {
    let widest = |of: fn(&Finding) -> &str| {
        let widths = findings.iter().map(|finding| width_of(of(finding)));
        widths.max().unwrap_or(0)
    };
    let (what, count) = (
        widest(|finding| translated(finding.what)),
        widest(|finding| &finding.count),
    );
    let rows = findings.iter().flat_map(|finding| {
        let begin = format!(
            "  {}  {}  ",
            padded(translated(finding.what), what, false),
            padded(&finding.count, count, true)
        );
        let sentence = printed(&finding.sentence);
        let Some(columns) = columns else {
            return vec![begin + &sentence];
        };
        let indent = " ".repeat(width_of(&begin));
        let options = Options::new(columns.max(width_of(&begin) + NARROWEST))
            .initial_indent(&begin)
            .subsequent_indent(&indent)
            .break_words(false);
        bent(&sentence, options)
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        let finding = |what, count: &str, sentence: &str| Finding {
            what,
            count: count.into(),
            sentence: sentence.into(),
        };
        vec![
            finding(
                "imbalance",
                "90 : 9",
                "cats has 90 training images and dogs has 9: read the recall of each class",
            ),
            finding(
                "few validation images",
                "12 images",
                "give validation more images",
            ),
        ]
    }

    #[test]
    fn a_finding_is_a_line_where_nobody_counts_columns() {
        assert_eq!(
            table(&findings(), None),
            [
                "  imbalance                 90 : 9  cats has 90 training images and dogs has 9: read the recall of each class",
                "  few validation images  12 images  give validation more images",
            ]
        );
    }

    #[test]
    fn a_name_breaks_no_line() {
        let mut finding = findings().remove(0);
        finding.sentence = "cats\n\u{1b}[2J has 90".into();
        let shown = "  imbalance  90 : 9  cats\\n\\u{1b}[2J has 90";
        for columns in [None, Some(80)] {
            assert_eq!(table(std::slice::from_ref(&finding), columns), [shown]);
        }
    }

    #[test]
    fn in_a_terminal_a_sentence_goes_on_below_itself() {
        assert_eq!(
            table(&findings()[..1], Some(60)),
            [
                "  imbalance  90 : 9  cats has 90 training images and dogs",
                "                     has 9: read the recall of each class",
            ]
        );
        let narrow = table(&findings(), Some(10));
        assert!(narrow.iter().all(|line| line.len() < 70), "{narrow:?}");
        assert_eq!(table(&[], Some(80)), [""; 0]);
    }
}
