//! The labels that the images themselves speak against, as a table: doubts.csv.

use std::path::Path;

use serde::{Deserialize, Serialize};
use warmstart_data::data_folder;
use warmstart_files::{read_text, text};
use warmstart_language::message;
use warmstart_metrics::LabelDoubt;
use warmstart_recipe::run_files::DOUBTS;
use warmstart_recipe::{Error, Problem};

/// The columns, which are the fields of a [`Doubt`].
const COLUMNS: [&str; 6] = [
    "file",
    "label",
    "label_probability",
    "probable",
    "probability",
    "doubtful",
];
/// Most bytes of a table that is read: several million images.
const LARGEST_TABLE: u64 = 1 << 30;

/// An image, and what the others say of its label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Doubt {
    /// The file, below the data set's folder.
    pub file: String,
    /// Its label.
    pub label: String,
    /// Probability of the label: the lower, the more doubtful.
    pub label_probability: f32,
    /// Its likeliest class.
    pub probable: String,
    /// Probability of that class.
    pub probability: f32,
    /// Whether the image counts as one of its likeliest class rather than of its label ([`LabelDoubt::is_doubtful`]).
    pub doubtful: bool,
}

impl Doubt {
    /// The doubt in the label of an image at `path`, in a data set that `data` names.
    pub fn new(doubt: &LabelDoubt, path: &Path, data: &Path, classes: &[String]) -> Self {
        let below = path.strip_prefix(data_folder(data)).unwrap_or(path);
        Self {
            file: text(below).into_owned(),
            label: classes[doubt.label].clone(),
            label_probability: doubt.label_probability,
            probable: classes[doubt.probable].clone(),
            probability: doubt.probability,
            doubtful: doubt.is_doubtful,
        }
    }

    /// How doubtful the label is, from 0 to 1: the probability of all other classes together.
    pub fn score(&self) -> f32 {
        1.0 - self.label_probability
    }
}

/// Number of images whose label is doubtful.
pub fn count(doubts: &[Doubt]) -> usize {
    doubts.iter().filter(|doubt| doubt.doubtful).count()
}

/// The doubts as comma-separated values, with the names of the columns.
pub fn table(doubts: &[Doubt]) -> Vec<u8> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut write = |row: [&str; COLUMNS.len()]| {
        let written = table.write_record(row);
        written.expect("memory takes every row");
    };
    write(COLUMNS);
    for doubt in doubts {
        write([
            &doubt.file,
            &doubt.label,
            &format!("{:.4}", doubt.label_probability),
            &doubt.probable,
            &format!("{:.4}", doubt.probability),
            &doubt.doubtful.to_string(),
        ]);
    }
    table.into_inner().expect("memory takes every row")
}

/// The doubts of a run, the most doubtful first.
///
/// # Errors
/// If the run has none, or its table cannot be read.
pub fn doubts_of(run: &Path) -> Result<Vec<Doubt>, Error> {
    let path = run.join(DOUBTS);
    let instead = message!("let `warmstart data labels DIR` compute them from the images");
    if !path.exists() {
        let what = message!("it has no {DOUBTS}, which a frozen phase with a ridge head writes");
        return Err(Problem::new(what).of_file(run).fix(instead).into());
    }
    let text = read_text(&path, LARGEST_TABLE).map_err(|error| Error::io("read", &path, error))?;
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let doubts: Result<Vec<Doubt>, csv::Error> = table.deserialize().collect();
    doubts.map_err(|error| {
        let problem = Problem {
            expected: COLUMNS.join(","),
            ..Problem::new(message!(
                "it is not a table of doubts, or one of an earlier version: {error}"
            ))
        };
        problem.of_file(&path).fix(instead).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(file: &str, label_probability: f32, doubtful: bool) -> Doubt {
        Doubt {
            file: file.to_owned(),
            label: "cat".to_owned(),
            label_probability,
            probable: "dog, \"grey\"".to_owned(),
            probability: 0.5,
            doubtful,
        }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let doubts = [
            doubt("train/cat/1.png", 0.125, true),
            doubt("2", 0.5, false),
        ];
        std::fs::write(dir.path().join(DOUBTS), table(&doubts)).unwrap();
        assert_eq!(doubts_of(dir.path()).unwrap(), doubts);
        assert_eq!((count(&doubts), doubts[0].score()), (1, 0.875));
        let text = String::from_utf8(table(&doubts)).unwrap();
        assert!(text.starts_with("file,label,label_probability,probable,probability,doubtful\n"));
    }

    #[test]
    fn what_is_no_table_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let words = |expected: &str| {
            let error = doubts_of(dir.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        words("it has no doubts.csv");
        std::fs::write(dir.path().join(DOUBTS), "file,label\na,b\n").unwrap();
        words("doubts.csv");
        words("it is not a table of doubts");
    }
}
