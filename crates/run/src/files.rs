//! What the files of a run say, for reading alone.

use std::path::{Path, PathBuf};

use warmstart_files::read_text;
use warmstart_recipe::run_files::{LOAD_REPORT, LOG};
use warmstart_recipe::{Error, Recipe};

use crate::folder::{LARGEST_RECORD, METRICS, PLAN, recipe_of, summary_of};
use crate::plan::Plan;
use crate::record::EpochRecord;
use crate::summary::Summary;

/// What the files of a run say. A file that is missing or damaged is empty here: a run in progress has not written all
/// of them.
#[derive(Clone, Debug)]
pub struct RunFiles {
    /// The folder.
    pub run: PathBuf,
    /// Its recipe.
    pub recipe: Recipe,
    /// Its finished epochs, in order.
    pub history: Vec<EpochRecord>,
    /// Its result so far.
    pub summary: Option<Summary>,
    /// Its plan.
    pub plan: Option<Plan>,
    /// What was loaded from the weight file.
    pub load_report: String,
    /// What it said while it ran.
    pub log: String,
}

impl RunFiles {
    /// Reads the files of a run.
    ///
    /// # Errors
    /// If it is not a run, or its recipe cannot be read.
    pub fn read(run: &Path) -> Result<Self, Error> {
        let text = |name: &str| read_text(&run.join(name), LARGEST_RECORD).unwrap_or_default();
        let (recipe, _) = recipe_of(run)?;
        let lines = text(METRICS);
        let records = lines.lines().map(serde_json::from_str);
        Ok(Self {
            run: run.to_owned(),
            recipe,
            history: records.map_while(Result::ok).collect(),
            summary: summary_of(run),
            plan: serde_json::from_str(&text(PLAN)).ok(),
            load_report: text(LOAD_REPORT),
            log: text(LOG),
        })
    }
}
