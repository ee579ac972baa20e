//! The labels that the training images themselves speak against: doubts.csv.

use warmstart_language::message;
use warmstart_metrics::label_doubts;
use warmstart_recipe::Error;
use warmstart_recipe::run_files::DOUBTS;
use warmstart_ridge::LeftOut;
use warmstart_run::doubts::{Doubt, count};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::task::Task;

use super::run::Run;

impl<T: Task> Run<T> {
    /// Writes the doubt in the label of each training image, the most doubtful first, and reports how many are doubtful.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn write_doubts(&self, left_out: &LeftOut, observe: Observer) -> Result<(), Error> {
        let doubts = label_doubts(&left_out.probabilities, &left_out.labels, left_out.classes);
        let data = &self.trainer.data;
        let training = data.training();
        let folder = &self.trainer.recipe.data;
        let named = doubts.iter().map(|doubt| {
            let sample = &data.train[training[left_out.images[doubt.image]]];
            Doubt::new(doubt, &sample.path, folder, &data.classes)
        });
        let named: Vec<Doubt> = named.collect();
        self.run.write_doubts(&named)?;
        let doubtful = count(&named);
        if doubtful > 0 {
            observe(Event::Note(message!(
                "{doubtful} of {} training labels are doubtful: the other images speak for another class; {DOUBTS} in \
                 the run lists them, the most doubtful first",
                named.len()
            )));
        }
        Ok(())
    }
}
