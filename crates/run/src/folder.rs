//! The folder of a run, whose files are kept consistent with the checkpoints.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use warmstart_files::{read_text, shown};
use warmstart_language::message;
use warmstart_recipe::run_files::{
    BEST, CHECKPOINTS, DOUBTS, LOAD_REPORT, MODEL, RECIPE, RESULTS, fold_folder,
};
use warmstart_recipe::{Error, Keep, Key, Problem, Recipe, command, plain};

use crate::atomic_file::{replace_by_copy, replace_file};
use crate::checkpoint::{At, Checkpoints};
use crate::data_files::DataFiles;
use crate::doubts::{self, Doubt};
use crate::event::{Event, Observer};
use crate::kills::{EndCause, Kills};
use crate::lock::{LOCK, Lock};
use crate::plan::Plan;
use crate::position;
use crate::record::{EpochFigure, EpochRecord};
use crate::results;
use crate::summary::Summary;
use crate::tensorboard;
use crate::verdict::Candidates;

const DATA_FILES: &str = "data-files.txt";
pub(crate) const METRICS: &str = "metrics.jsonl";
const SUMMARY: &str = "summary.json";
pub(crate) const PLAN: &str = "plan.json";
const RUNNING: &str = "running.json";
/// Most bytes of a file of a run that is read whole: the list of several million images.
pub(crate) const LARGEST_RECORD: u64 = 1 << 30;

/// The content of running.json, which exists while a run trains. If a run ended and left it, it tells why.
#[derive(Serialize, Deserialize)]
struct Running {
    /// Name of the phase.
    phase: String,
    /// Kills for lack of memory before the phase began.
    kills: Option<Kills>,
}

/// A run on disk, locked by this process, or by another one that trains it together with this one.
pub struct RunFolder {
    path: PathBuf,
    /// Its checkpoints.
    pub checkpoints: Checkpoints,
    /// `None` where another process has it, which alone writes.
    lock: Option<Lock>,
}

impl RunFolder {
    /// Refuses a path at which something exists already.
    ///
    /// # Errors
    /// A usage error with the command that resumes it, if it is a run.
    pub fn require_new(path: &Path) -> Result<(), Error> {
        let problem = |what: String| Problem::new(what).of_file(path);
        let other = message!("give another {}", Key::OUT);
        if path.join(RECIPE).exists() {
            let fix = message!(
                "continue it with `{}`, or give another {}",
                command::resume(path),
                Key::OUT
            );
            return Err(problem(message!("it is a run already")).fix(fix).into());
        }
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(problem(message!("it is not a folder")).fix(other).into());
            }
            Err(error) => return Err(Error::io("list", path, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| Error::io("list", path, error))?;
            let name = entry.file_name();
            // A process that was killed before it wrote the recipe leaves its lock and a half-written file.
            if name != LOCK && !warmstart_files::is_being_written(&name) {
                return Err(problem(message!("it exists and is not empty"))
                    .fix(other)
                    .into());
            }
        }
        Ok(())
    }

    /// Makes the folder of a new run.
    ///
    /// # Errors
    /// If the disk refuses, or another process has made it in the meantime.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let created = warmstart_files::create_folder(path);
        created.map_err(|error| Error::io("create", path, error))?;
        let run = Self::lock(path)?;
        Self::require_new(path)?;
        Ok(run)
    }

    /// Writes the files that a run has before its first epoch.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn begin(&self, recipe: &Recipe, load_report: &str, data: &DataFiles) -> Result<(), Error> {
        let files = [
            // The recipe first: with it alone, the folder is a run that can be resumed.
            (RECIPE, recipe.to_toml()),
            (DATA_FILES, data.text().to_owned()),
            (LOAD_REPORT, plain(load_report)),
        ];
        for (name, text) in files {
            self.write(name, text.as_bytes())?;
        }
        Ok(())
    }

    /// Opens the folder of a run, with its recipe: that of its newest checkpoint if the file is lost.
    ///
    /// # Errors
    /// If there is no run, or another process has it.
    pub fn open(path: &Path, observe: Observer) -> Result<(Self, Recipe), Error> {
        if !path.join(RECIPE).is_file() && !path.join(CHECKPOINTS).is_dir() {
            return Err(not_a_run(path));
        }
        // The recipe after the lock: before, another process might change it.
        let run = Self::lock(path)?;
        run.checkpoints.recover()?;
        let (recipe, lost) = recipe_of(path)?;
        if lost {
            observe(Event::Note(message!(
                "{} is missing: restored from the newest checkpoint",
                shown(&path.join(RECIPE))
            )));
        }
        Ok((run, recipe))
    }

    /// A file that a run without a checkpoint cannot have.
    pub fn trace_of_epochs(&self) -> Option<PathBuf> {
        let files = [BEST, METRICS].map(|name| self.path.join(name));
        let holds = |file: &PathBuf| file.metadata().is_ok_and(|metadata| metadata.len() > 0);
        files.into_iter().find(holds)
    }

    fn lock(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            checkpoints: Checkpoints::of(path),
            lock: Some(Lock::take(path)?),
        })
    }

    /// The folder of a run that another process has locked and writes. Nothing is written here: every function that
    /// writes does nothing, with success.
    pub fn of_another_process(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            checkpoints: Checkpoints::of(path),
            lock: None,
        }
    }

    /// Whether this process writes the run.
    pub fn writes(&self) -> bool {
        self.lock.is_some()
    }

    /// Replaces a file of the run.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        if !self.writes() {
            return Ok(());
        }
        replace_file(&self.path.join(name), bytes)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Saves the resolved recipe.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_recipe(&self, recipe: &Recipe) -> Result<(), Error> {
        self.write(RECIPE, recipe.to_toml().as_bytes())
    }

    /// Saves the list of its data files.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_data_files(&self, files: &DataFiles) -> Result<(), Error> {
        self.write(DATA_FILES, files.text().as_bytes())
    }

    /// Reads the list of its data files, if it is there.
    pub fn data_files(&self) -> Option<DataFiles> {
        data_files_of(&self.path)
    }

    /// Rewrites metrics.jsonl from the history.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_metrics(&self, history: &[EpochRecord]) -> Result<(), Error> {
        let mut text = String::new();
        for record in history {
            text += &serde_json::to_string(record).expect("a record is plain data");
            text.push('\n');
        }
        self.write(METRICS, text.as_bytes())
    }

    /// Brings the files with the same metrics for spreadsheets and TensorBoard in line with the history. Nothing else
    /// depends on them, and the program that shows one may hold it: a failure is no reason to end a run.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_copies(&self, recipe: &Recipe, history: &[EpochRecord]) -> Result<(), Error> {
        if !self.writes() {
            return Ok(());
        }
        let table = self.write(RESULTS, &results::table(history));
        let events = tensorboard::write(&self.path, recipe.task.metric(), history);
        table.and(events)
    }

    /// Rewrites summary.json.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_summary(&self, summary: &Summary) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(summary).expect("a summary is plain data");
        self.write(SUMMARY, (text + "\n").as_bytes())
    }

    /// Reads summary.json, if there is a sound one.
    pub fn summary(&self) -> Option<Summary> {
        summary_of(&self.path)
    }

    /// Writes the doubt in the label of each training image, the most doubtful first.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_doubts(&self, doubts: &[Doubt]) -> Result<(), Error> {
        self.write(DOUBTS, &doubts::table(doubts))
    }

    /// Saves the plan.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write_plan(&self, plan: &Plan) -> Result<(), Error> {
        let text = plain(&serde_json::to_string_pretty(plan).expect("a plan is plain data"));
        self.write(PLAN, (text + "\n").as_bytes())
    }

    /// Reads the plan, if there is a sound one.
    pub fn plan(&self) -> Option<Plan> {
        plan_of(&self.path)
    }

    /// Notes that a phase is being trained, until [`mark_ended`](Self::mark_ended).
    pub fn mark_running(&self, phase: &str) {
        let running = Running {
            phase: phase.to_owned(),
            kills: Kills::now(),
        };
        let text = serde_json::to_string(&running).expect("a name and numbers");
        // If it cannot be written, a kill for lack of memory goes unnoticed, and nothing else happens.
        let _ = self.write(RUNNING, text.as_bytes());
    }

    /// Notes that the run ended with success or an error.
    pub fn mark_ended(&self) {
        if self.writes() {
            // If the file cannot be removed, the user has still seen the end.
            let _ = fs::remove_file(self.path.join(RUNNING));
        }
    }

    /// The phase in which the run ended without an error, and the cause that the system's kills for lack of memory
    /// since that phase began suggest; `None` if it ended with success or an error.
    pub fn silent_end(&self) -> Option<(String, EndCause)> {
        let text = read_text(&self.path.join(RUNNING), LARGEST_RECORD).ok()?;
        let running: Running = serde_json::from_str(&text).ok()?;
        let cause = match (running.kills, Kills::now()) {
            (Some(before), Some(now)) => before.end_cause(&now),
            _ => EndCause::OtherEnd,
        };
        Some((running.phase, cause))
    }

    /// Makes best.safetensors the model of an epoch's checkpoint.
    ///
    /// # Errors
    /// If that checkpoint is damaged, or the disk refuses.
    pub fn write_kept(&self, kept: &EpochFigure) -> Result<(), Error> {
        if !self.writes() {
            return Ok(());
        }
        let model = self
            .checkpoints
            .open(At::Epoch(kept.epoch))?
            .folder
            .join(MODEL);
        replace_by_copy(&self.path.join(BEST), &model)
    }

    /// Removes the checkpoints that the recipe doesn't keep: all but the last few, the last of each phase, and for each
    /// of these the highest epochs up to it, frozen and thawed, so that a run can continue from any of them.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn prune(&self, recipe: &Recipe, history: &[EpochRecord]) -> Result<(), Error> {
        let (Keep::Last(count), true) = (recipe.keep, self.writes()) else {
            return Ok(());
        };
        let epochs = self.checkpoints.epochs()?;
        // A resumed run continues from the newest.
        let recent = epochs.len().saturating_sub(count.max(1));
        let stays =
            |index: usize| index >= recent || position::ends_phase(recipe, history, epochs[index]);
        let candidates = |epoch: usize| Some(Candidates::of(recipe, history.get(..epoch)?, ""));
        let highest: Vec<usize> = (0..epochs.len())
            .filter(|&index| stays(index))
            .filter_map(|index| candidates(epochs[index]))
            .flat_map(|candidates| {
                candidates
                    .iter()
                    .map(|figure| figure.epoch)
                    .collect::<Vec<_>>()
            })
            .collect();
        for (index, epoch) in epochs.iter().enumerate() {
            if !stays(index) && !highest.contains(epoch) {
                self.checkpoints.remove(At::Epoch(*epoch))?;
            }
        }
        Ok(())
    }
}

/// The list of a run's data files, if it is there and not empty.
pub fn data_files_of(run: &Path) -> Option<DataFiles> {
    let text = read_text(&run.join(DATA_FILES), LARGEST_RECORD).ok()?;
    (!text.is_empty()).then(|| DataFiles::from_text(text))
}

/// The summary.json of a run, if there is a sound one.
pub fn summary_of(run: &Path) -> Option<Summary> {
    serde_json::from_str(&read_text(&run.join(SUMMARY), LARGEST_RECORD).ok()?).ok()
}

/// The plan of a run, if there is a sound one.
pub fn plan_of(run: &Path) -> Option<Plan> {
    serde_json::from_str(&read_text(&run.join(PLAN), LARGEST_RECORD).ok()?).ok()
}

fn not_a_run(path: &Path) -> Error {
    let first = fold_folder(path, 1);
    if first.join(RECIPE).exists() {
        return Problem::new(message!("it is a cross-validation of several runs"))
            .of_file(path)
            .fix(message!(
                "start it again with the same arguments to continue it; one of its runs is {}",
                shown(&first)
            ))
            .into();
    }
    Problem::new(message!("it is not a run (it has no {RECIPE})"))
        .of_file(path)
        .into()
}

/// The recipe of a run, and whether it comes from the newest checkpoint because recipe.toml is lost. A recipe.toml that
/// cannot be parsed is not replaced: a user may have written it.
///
/// # Errors
/// If there is none.
pub fn recipe_of(path: &Path) -> Result<(Recipe, bool), Error> {
    let file = path.join(RECIPE);
    if file.metadata().is_ok_and(|metadata| metadata.len() > 0) {
        return Ok((Recipe::read(&file)?, false));
    }
    match Checkpoints::of(path).newest_state()? {
        Some(state) => Ok((state.recipe, true)),
        None => Err(not_a_run(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_reported_its_end_has_no_silent_end() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::lock(dir.path()).unwrap();
        assert_eq!(run.silent_end(), None);
        run.mark_running("thaw");
        let silent = Some(("thaw".to_owned(), EndCause::OtherEnd));
        assert_eq!(run.silent_end(), silent);
        run.mark_ended();
        assert_eq!(run.silent_end(), None);
    }

    #[test]
    fn the_folder_of_a_run_that_another_process_writes_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::of_another_process(dir.path());
        run.mark_running("thaw");
        run.write_metrics(&[EpochRecord::example(1, 0.5)]).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let first = RunFolder::lock(dir.path()).unwrap();
        first.mark_running("thaw");
        run.mark_ended();
        assert!(first.silent_end().is_some());
        assert!(first.writes() && !run.writes());
    }
}
