//! RUN/log.txt: what a run said, whatever the screen shows.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use warmstart_files::shown;
use warmstart_language::{english, message, translated};
use warmstart_recipe::run_files::LOG;

use crate::printing::printed;

/// The line between what a run said before it was interrupted, and what it says when it goes on.
const CONTINUED: &str = english!("continued\n");

/// The log of a run. Training goes on whether or not it can be written.
#[derive(Default)]
pub struct Log {
    file: Option<(PathBuf, File)>,
    /// The lines before the folder of the run is known.
    early: String,
    /// Whether a failure was reported.
    has_failed: bool,
}

impl Log {
    /// Begins or continues the log in the folder of a run, with the lines so far. Returns a message if that fails, the
    /// first time.
    pub fn open(&mut self, run: &Path) -> Option<String> {
        let path = run.join(LOG);
        let early = std::mem::take(&mut self.early);
        self.file = None;
        let opened = open(&path).and_then(|(mut file, continues)| {
            let between = if continues { translated(CONTINUED) } else { "" };
            file.write_all(format!("{between}{early}").as_bytes())?;
            Ok(file)
        });
        match opened {
            Ok(file) => {
                self.file = Some((path, file));
                None
            }
            Err(error) => self.failed(&path, &error),
        }
    }

    /// Adds a line. Returns a message if that fails, the first time.
    pub fn line(&mut self, text: &str) -> Option<String> {
        let line = printed(text) + "\n";
        let Some((path, file)) = &mut self.file else {
            self.early += &line;
            return None;
        };
        let error = file.write_all(line.as_bytes()).err()?;
        let path = path.clone();
        self.failed(&path, &error)
    }

    /// Ends the log of a run: what follows belongs to the next one.
    pub fn close(&mut self) {
        self.file = None;
    }

    fn failed(&mut self, path: &Path, error: &io::Error) -> Option<String> {
        let is_first = !std::mem::replace(&mut self.has_failed, true);
        is_first.then(|| {
            message!(
                "could not write {}: {error}; training goes on without it",
                shown(path)
            )
        })
    }
}

/// The file, and whether it holds something already.
fn open(path: &Path) -> io::Result<(File, bool)> {
    // To open a pipe would wait for its reader.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::other(message!("it is not a file")));
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let continues = file.metadata()?.len() > 0;
    Ok((file, continues))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_before_the_folder_is_known_are_kept_and_a_resumed_run_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::default();
        assert_eq!(log.line("early"), None);
        assert_eq!(log.open(dir.path()), None);
        assert_eq!(log.line("a\nb"), None);
        log.close();
        log.line("of the next");
        assert_eq!(log.open(dir.path()), None);
        let text = fs::read_to_string(dir.path().join(LOG)).unwrap();
        assert_eq!(text, "early\na\\nb\ncontinued\nof the next\n");
    }

    #[test]
    fn a_failure_is_said_once() {
        let mut log = Log::default();
        let nowhere = Path::new("/no/such/folder");
        let message = log.open(nowhere).unwrap();
        assert!(message.starts_with("could not write "), "{message}");
        assert_eq!(log.open(nowhere), None);
        assert_eq!(log.line("goes on"), None);
    }
}
