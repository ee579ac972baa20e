//! The labels that the training images themselves speak against: doubts.csv.

use std::path::Path;

use warmstart_data::{Sample, data_folder};
use warmstart_files::text;
use warmstart_metrics::{LabelDoubt, label_doubts};
use warmstart_recipe::Error;
use warmstart_recipe::run_files::DOUBTS;
use warmstart_ridge::LeftOut;
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::task::Task;

use super::run::Run;

const COLUMNS: [&str; 5] = [
    "file",
    "label",
    "label_probability",
    "probable",
    "probability",
];

impl<T: Task> Run<T> {
    /// Writes the doubt in the label of each training image, the most doubtful first, and reports how many are doubtful.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn write_doubts(&self, left_out: &LeftOut, observe: Observer) -> Result<(), Error> {
        let doubts = label_doubts(&left_out.probabilities, &left_out.labels, left_out.classes);
        let data = &self.trainer.data;
        let training = data.training();
        let sample = |doubt: &LabelDoubt| &data.train[training[left_out.images[doubt.image]]];
        let folder = data_folder(&self.trainer.recipe.data);
        let lines = doubts
            .iter()
            .map(|doubt| line(doubt, sample(doubt), folder, &data.classes));
        self.run.write_doubts(&table(lines))?;
        let doubtful = doubts.iter().filter(|doubt| doubt.is_doubtful).count();
        if doubtful > 0 {
            observe(Event::Note(format!(
                "{doubtful} of {} training labels are doubtful: the other images speak for another class; {DOUBTS} in the \
                 run lists them, the most doubtful first",
                doubts.len()
            )));
        }
        Ok(())
    }
}

fn line<L>(
    doubt: &LabelDoubt,
    sample: &Sample<L>,
    folder: &Path,
    classes: &[String],
) -> [String; 5] {
    let path = sample.path.strip_prefix(folder).unwrap_or(&sample.path);
    [
        text(path).into_owned(),
        classes[doubt.label].clone(),
        format!("{:.4}", doubt.label_probability),
        classes[doubt.probable].clone(),
        format!("{:.4}", doubt.probability),
    ]
}

/// The lines as comma-separated values, with the names of the columns.
fn table(lines: impl Iterator<Item = [String; 5]>) -> Vec<u8> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let mut write = |line: &[String]| table.write_record(line).expect("memory takes every line");
    write(&COLUMNS.map(str::to_owned));
    lines.for_each(|line| write(&line));
    table.into_inner().expect("memory takes every line")
}
