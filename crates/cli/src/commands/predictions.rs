//! The results of `predict`, picture by picture: lines or JSON on standard output, rows of a table, and the number of
//! pictures that cannot be read.

use std::io::{Write, stdout};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::Value;
use warmstart_data::DataError;
use warmstart_files::text;
use warmstart_language::message;
use warmstart_tasks::answer;

use super::Failure;
use super::prediction_table::{PredictionTable, Row};
use crate::picture_bar::PictureBar;
use crate::printing::{json, line, printed};

/// What is known of a picture.
pub struct Predicted<'a> {
    /// For people.
    pub line: String,
    /// For programs.
    pub json: Value,
    /// For a table, the likeliest first.
    pub rows: Vec<Row<'a>>,
}

/// Where results go.
#[derive(Default)]
pub struct Outputs<'a, 'file> {
    /// Whether they are printed as JSON.
    pub as_json: bool,
    /// What takes that in place of standard output.
    pub lines: Option<&'a mut dyn Write>,
    /// A table for them. With one, standard output has JSON or nothing.
    pub table: Option<&'a mut PredictionTable<'file>>,
}

/// The results of `predict`.
pub struct Predictions<'a, 'file> {
    outputs: Outputs<'a, 'file>,
    bar: PictureBar,
    pictures: usize,
    unreadable: usize,
    refused: Option<Failure>,
}

impl<'a, 'file> Predictions<'a, 'file> {
    /// Results of so many pictures.
    pub fn new(pictures: usize, outputs: Outputs<'a, 'file>) -> Self {
        Self {
            outputs,
            bar: PictureBar::new(pictures),
            pictures,
            unreadable: 0,
            refused: None,
        }
    }

    /// Takes the result of a picture; breaks if nobody takes more.
    pub fn add(&mut self, path: &Path, predicted: &Predicted) -> ControlFlow<()> {
        let added = self.print(&predicted.json, &predicted.line).and_then(|()| {
            match &mut self.outputs.table {
                Some(table) => table.add(path, &predicted.rows),
                None => Ok(()),
            }
        });
        self.next(added)
    }

    /// Takes the error of a picture that cannot be read; breaks if nobody takes more.
    pub fn add_unreadable(&mut self, path: &Path, error: DataError) -> ControlFlow<()> {
        self.unreadable += 1;
        let words = printed(&error.to_string());
        let mut added = Ok(());
        if self.outputs.as_json {
            let value = answer::of_error(&text(path), &error);
            added = self.print(&value, "");
        } else {
            let failure = Failure::from(error);
            self.bar.suspend(|| failure.print(false));
        }
        if let (Ok(()), Some(table)) = (&added, &mut self.outputs.table) {
            added = table.add_unreadable(path, &words);
        }
        self.next(added)
    }

    /// Ends with a failure that has nothing to do with a picture; breaks.
    pub fn refuse(&mut self, failure: Failure) -> ControlFlow<()> {
        self.next(Err(failure))
    }

    fn print(&mut self, value: &Value, words: &str) -> Result<(), Failure> {
        let Outputs {
            as_json,
            lines,
            table,
        } = &mut self.outputs;
        if let Some(mut out) = lines.as_deref_mut() {
            return Ok(json(&mut out, value)?);
        }
        let mut out = stdout();
        self.bar.suspend(|| {
            if *as_json {
                Ok(json(&mut out, value)?)
            } else if table.is_none() {
                Ok(line(&mut out, words)?)
            } else {
                Ok(())
            }
        })
    }

    fn next(&mut self, added: Result<(), Failure>) -> ControlFlow<()> {
        self.bar.advance();
        match added {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                self.refused = Some(failure);
                ControlFlow::Break(())
            }
        }
    }

    /// The number of pictures that cannot be read.
    ///
    /// # Errors
    /// If a result could not be printed or written.
    pub fn unreadable(self) -> Result<Unreadable, Failure> {
        match self.refused {
            Some(failure) => Err(failure),
            None => Ok(Unreadable {
                count: self.unreadable,
                pictures: self.pictures,
            }),
        }
    }
}

/// How many of the pictures cannot be read.
#[derive(Clone, Copy)]
pub struct Unreadable {
    count: usize,
    pictures: usize,
}

impl Unreadable {
    /// So many of so many.
    pub fn new((count, pictures): (usize, usize)) -> Self {
        Self { count, pictures }
    }

    /// How many they are.
    pub fn count(self) -> usize {
        self.count
    }

    /// The end of the command: a failure if a picture cannot be read.
    pub fn end(self) -> Result<(), Failure> {
        match self.count {
            0 => Ok(()),
            count => Err(Failure::failed(message!(
                "{count} of {} files could not be read",
                self.pictures
            ))),
        }
    }
}
