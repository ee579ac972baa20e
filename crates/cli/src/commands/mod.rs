//! The commands, one file each: what a command calls and prints.

pub mod cache;
mod coco_results;
pub mod data;
pub mod demo;
pub mod devices;
mod doubtful_boxes;
mod elsewhere;
pub mod eval;
mod eval_boxes;
mod eval_files;
mod eval_parts;
pub mod export;
pub mod features;
mod find;
mod found_pictures;
pub mod init_check;
mod labels;
pub mod lr_find;
pub mod manual;
pub mod merge;
mod mistakes;
pub mod models;
pub mod new;
mod on_ranks;
pub mod plan;
pub mod predict;
mod prediction_table;
mod predictions;
pub mod rank;
pub mod report;
pub mod runs;
mod seen;
pub mod serve;
mod shards;
pub mod train;
pub mod weights;

use std::io;
use std::process::ExitCode;

use serde::Serialize;
use warmstart_data::DataError;
use warmstart_language::{english, message, translated};
use warmstart_recipe::{Error, Fields, Problem};
use warmstart_weights::WeightError;

use crate::arguments::Threads;
use crate::printing;

/// The end of a command without success: a line, and the exit code.
pub struct Failure {
    message: String,
    code: u8,
    /// Whether it was stopped rather than failed.
    stopped: bool,
    /// The error in parts, for programs.
    fields: Box<Fields>,
}

/// An error as JSON on standard error.
#[derive(Serialize)]
struct JsonError<'a> {
    error: &'a str,
    #[serde(flatten)]
    fields: &'a Fields,
}

/// Beginning of the line of an error.
const ERROR: &str = english!("error: ");
/// Exit code of a failure.
const FAILED: u8 = 1;
/// Exit code of a wrong request.
const USAGE: u8 = 2;

impl Failure {
    /// A failure of the work itself.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: FAILED,
            stopped: false,
            fields: of_kind("failure"),
        }
    }

    /// Work that was stopped from outside.
    pub fn stopped(message: String, code: u8) -> Self {
        Self {
            message,
            code,
            stopped: true,
            fields: of_kind("stopped"),
        }
    }

    /// The end of a comparison of things that differ: nothing more is said.
    pub fn differs() -> Self {
        Self::failed("")
    }

    /// A wrong request.
    pub fn usage(message: impl Into<String>) -> Self {
        Problem::new(message).into()
    }

    /// A command line that is not understood, in words, with the flag and the value in question as far as they are
    /// known.
    pub fn command_line(message: String, key: Option<String>, found: String) -> Self {
        Self {
            message,
            code: USAGE,
            stopped: false,
            fields: Box::new(Fields {
                key: key.map(Into::into),
                found,
                ..*of_kind("usage")
            }),
        }
    }

    /// Prints the error, and returns the exit code.
    pub fn report(self, as_json: bool) -> ExitCode {
        if !self.message.is_empty() {
            self.print(as_json);
        }
        ExitCode::from(self.code)
    }

    /// Prints the error.
    pub fn print(&self, as_json: bool) {
        if as_json {
            let error = JsonError {
                error: &self.message,
                fields: &self.fields,
            };
            // Ignored if nobody reads it.
            let _ = printing::json(&mut io::stderr(), &error);
        } else {
            printing::print_to_stderr(self.line());
        }
    }

    /// The error in a line.
    pub fn line(&self) -> String {
        let kind = if self.stopped { "" } else { translated(ERROR) };
        format!("{kind}{}", self.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            message: error.to_string(),
            code: if error.is_usage() { USAGE } else { FAILED },
            stopped: false,
            fields: Box::new(error.fields()),
        }
    }
}

impl From<warmstart_report::Error> for Failure {
    fn from(error: warmstart_report::Error) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Error::from(error).into()
    }
}

impl From<WeightError> for Failure {
    fn from(error: WeightError) -> Self {
        Error::from(error).into()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Error::from(problem).into()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // The reader of our output has closed it, as `head` does, which is no failure.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                message: String::new(),
                code: 0,
                stopped: false,
                fields: Box::default(),
            };
        }
        Self::failed(message!("could not print: {error}"))
    }
}

fn of_kind(kind: &'static str) -> Box<Fields> {
    Box::new(Fields {
        kind,
        ..Fields::default()
    })
}

/// Refuses a `WARMSTART_SIMD` that this CPU does not support.
pub fn simd_level() -> Result<(), Failure> {
    warmstart_nn::simd_level()
        .map(drop)
        .map_err(|error| Failure::usage(error.to_string()))
}

/// Starts the pool of threads for computing.
pub fn use_threads(threads: &Threads) -> Result<usize, Failure> {
    let count = threads.count();
    start_threads(count)?;
    Ok(count)
}

/// Starts a pool of `count` threads.
pub fn start_threads(count: usize) -> Result<(), Failure> {
    warmstart_workflows::use_threads(count)
        .map_err(|error| Failure::failed(message!("could not start {count} threads: {error}")))
}
