//! The file of a run's page.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use warmstart_recipe::run_files::REPORT;
use warmstart_workflows::report::RunReport;

use crate::Error;
use crate::page::page;
use crate::picture::MARK;

/// Writes the page of a run into its folder, and returns its path. What was there before stays if it cannot be written.
///
/// # Errors
/// If the file cannot be written.
pub fn write_report(report: &RunReport) -> Result<PathBuf, Error> {
    let path = report.files.run.join(REPORT);
    write_page(&path, &page(report), MARK)?;
    Ok(path)
}

/// Writes a page, with a mark at its end.
///
/// # Errors
/// If the file cannot be written.
pub fn write_page(path: &Path, page: &str, mark: &str) -> Result<(), Error> {
    // A page can be made again, and a flush may take longer than an epoch.
    let written = warmstart_files::replace_unflushed(path, |file| {
        file.write_all(page.as_bytes())?;
        file.write_all(mark.as_bytes())
    });
    written.map_err(|error| Error::Write {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}
