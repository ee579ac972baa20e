//! Suggestions for unknown names.

use warmstart_language::message;

/// Words of other programs, each with the name here.
const SYNONYMS: [(&str, &str); 16] = [
    ("learning_rate", "lr"),
    ("batch_size", "batch"),
    ("bs", "batch"),
    ("num_epochs", "epochs"),
    ("arch", "model"),
    ("architecture", "model"),
    ("backbone", "model"),
    ("dataset", "data"),
    ("data_dir", "data"),
    ("pretrained", "weights"),
    ("checkpoint", "weights"),
    ("imgsz", "image_size"),
    ("output", "out"),
    ("output_dir", "out"),
    ("wd", "weight_decay"),
    ("workers", "threads"),
];

/// The names that are likely meant by `given`, in their own order: the one that other programs call so, those that
/// begin with it, the one of the most similar spelling, or else those that it begins with. Case does not matter, nor
/// whether words are joined by `-` or `_`.
pub fn meant<'a>(given: &str, names: &[&'a str]) -> Vec<&'a str> {
    let given = plain(given);
    let synonym = SYNONYMS.iter().find(|(word, _)| *word == given);
    let all = |is_meant: &dyn Fn(&str) -> bool| -> Vec<&'a str> {
        let names = names.iter().copied();
        names.filter(|name| is_meant(&plain(name))).collect()
    };
    let called = all(&|name| synonym.is_some_and(|(_, ours)| *ours == name));
    if !called.is_empty() {
        return called;
    }
    let begin = all(&|name| given.len() >= 3 && name.starts_with(&given));
    if !begin.is_empty() {
        return begin;
    }
    let distances = names
        .iter()
        .map(|name| (distance(&given, &plain(name)), *name));
    let nearest = distances.min_by_key(|(distance, _)| *distance);
    let likely = nearest.filter(|(distance, _)| *distance <= given.chars().count() / 3);
    if let Some((_, name)) = likely {
        return vec![name];
    }
    all(&|name| name.len() >= 4 && given.starts_with(name))
}

/// Names as alternatives: `a`, `b` or `c`.
pub fn any_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => message!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

fn plain(name: &str) -> String {
    name.trim_start_matches('-')
        .replace('-', "_")
        .to_lowercase()
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn one word into another (optimal string
/// alignment: Boytsov, "Indexing methods for approximate dictionary searching", 2011).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = (0..=a.len()).map(|i| vec![i; b.len() + 1]).collect();
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substituted = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = substituted.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_changes_of_letters() {
        for (a, b, expected) in [
            ("", "ab", 2),
            ("epochs", "epochs", 0),
            ("epoch", "epochs", 1),
            ("epohcs", "epochs", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn near_misses_are_understood() {
        let names = [
            "data",
            "model",
            "freeze-epochs",
            "freeze-lr",
            "epochs",
            "lr",
            "batch",
        ];
        for (given, expected) in [
            ("--freeze", &["freeze-epochs", "freeze-lr"][..]),
            ("--learning-rate", &["lr"]),
            ("batch_size", &["batch"]),
            ("--epoch", &["epochs"]),
            ("--batchsize", &["batch"]),
            ("--data-root", &["data"]),
            ("Epohcs", &["epochs"]),
            ("--freeze_epoch", &["freeze-epochs"]),
            ("--mdoel", &["model"]),
            ("--zebra", &[]),
        ] {
            assert_eq!(meant(given, &names), expected, "{given}");
        }
        assert_eq!(any_of(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
