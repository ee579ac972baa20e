//! The pages of the runs that a command trains: the curves after an epoch, and the whole at the end.

use std::path::{Path, PathBuf};
use std::time::Instant;

use warmstart_files::shown;
use warmstart_language::message;
use warmstart_run::event::Event;
use warmstart_run::record::EpochRecord;
use warmstart_run::stop::Stop;
use warmstart_workflows::devices::device_of_run;
use warmstart_workflows::report::{report, report_of_files};

/// Share of an epoch's time that its page may take.
const SHARE: f64 = 0.01;

/// The pages of the runs that a command trains.
pub struct RunPages {
    run: Option<PathBuf>,
    /// The epochs that were seen: their records may not be on the disk yet.
    seen: Vec<EpochRecord>,
    /// Seconds that the last page took.
    cost: f64,
    /// Finished runs that have no whole page yet.
    finished: Vec<PathBuf>,
    /// Why pages could not be written.
    problems: Vec<String>,
    workers: usize,
    stop: Stop,
}

impl RunPages {
    /// No page so far. Pictures are read by `workers` threads; after a request to stop, no page is begun.
    pub fn new(workers: usize, stop: Stop) -> Self {
        Self {
            run: None,
            seen: Vec::new(),
            cost: 0.0,
            finished: Vec::new(),
            problems: Vec::new(),
            workers,
            stop,
        }
    }

    /// Takes an event.
    pub fn see(&mut self, event: &Event) {
        match event {
            Event::Run { path } => {
                self.run = Some(path.to_path_buf());
                self.seen.clear();
            }
            Event::Epoch { record, .. } => {
                self.seen.push((*record).clone());
                if self.cost <= SHARE * record.seconds {
                    self.write_curves();
                }
            }
            Event::Finished { run, .. } => self.finished.push(run.to_path_buf()),
            // The memory of the run before is free, and the next one has not taken any.
            Event::Checking { .. } => self.write_whole(),
            Event::Checked { .. }
            | Event::Data { .. }
            | Event::Measuring
            | Event::Plan(_)
            | Event::Loaded(_)
            | Event::Phase { .. }
            | Event::Step(_)
            | Event::Evaluated { .. }
            | Event::Downloading { .. }
            | Event::Note(_) => {}
        }
    }

    /// A page that cannot be written is no reason to stop, nor to speak before the end.
    fn write_curves(&mut self) {
        let Some(run) = &self.run else { return };
        let began = Instant::now();
        if let Ok(mut report) = report_of_files(run) {
            let history = &mut report.files.history;
            let done = history.len();
            let new = self.seen.iter().filter(|record| record.epoch > done);
            history.extend(new.cloned());
            let _ = warmstart_report::write_report(&report);
        }
        self.cost = began.elapsed().as_secs_f64();
    }

    /// Writes the whole pages of the finished runs. The runs are complete: a request to stop ends the work, and is no
    /// failure.
    fn write_whole(&mut self) {
        self.stop.saves(true);
        for run in self.finished.drain(..) {
            if !self.stop.is_requested() {
                self.problems.extend(page(&run, self.workers).err());
            }
        }
        self.stop.saves(false);
    }

    /// Writes the pages that are missing, and returns why one could not be written.
    pub fn finish(mut self) -> Vec<String> {
        self.write_whole();
        self.problems
    }
}

/// The line of the whole page of a run that was just trained, or why there is none.
pub fn page(run: &Path, workers: usize) -> Result<String, String> {
    let device = device_of_run(run);
    let report = report(run, workers, &device).map_err(|error| error.to_string())?;
    let path = warmstart_report::write_report(&report).map_err(|error| error.to_string())?;
    Ok(message!("report: {}", shown(&path)))
}
