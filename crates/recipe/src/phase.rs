//! Values derived from the options of a phase.

use std::collections::BTreeSet;

use crate::augmentation::Augmentation;
use crate::choices::HeadKind;
use crate::options::Phase;
use crate::views::{View, Views};

impl Phase {
    /// Whether the head is solved in closed form rather than trained by steps.
    pub fn is_solved(&self) -> bool {
        match self.head {
            HeadKind::Ridge => true,
            HeadKind::Linear => false,
        }
    }

    /// Images that go through the trained part at a time.
    pub fn micro_batch(&self) -> usize {
        self.micro_batch.unwrap_or(self.batch).min(self.batch)
    }

    /// The view of an epoch, which is the phase's `epoch_in_phase`-th, from 0.
    pub fn view(&self, epoch: usize, epoch_in_phase: usize) -> View {
        View {
            number: match self.views {
                Views::Fresh => epoch,
                Views::Number(views) => epoch % views,
            },
            closing: epoch_in_phase >= self.epochs - self.closing_epochs(),
        }
    }

    /// Number of views of each image whose features are cached; `None` if none are.
    pub fn kept_views(&self) -> Option<usize> {
        match self.views {
            Views::Fresh => None,
            Views::Number(views) if self.closing_epochs() > 0 => Some(2 * views),
            Views::Number(views) => Some(views),
        }
    }

    /// Index of a view among the cached ones.
    pub fn place_of(&self, view: View) -> usize {
        match self.views {
            Views::Number(views) if view.closing => views + view.number,
            Views::Fresh | Views::Number(_) => view.number,
        }
    }

    /// Indices of the cached views that the phase's epochs see; its first epoch is the run's `first_epoch`, counted
    /// from 1.
    pub fn places(&self, first_epoch: usize) -> BTreeSet<usize> {
        let views = (0..self.epochs).map(|epoch| self.view(first_epoch + epoch, epoch));
        views.map(|view| self.place_of(view)).collect()
    }

    /// Keeps the share of the run without mosaics when the run's epochs change from `run_before` to `run_after`, and
    /// those of this phase, its last, to `own_after`.
    pub fn close_as_in(&mut self, run_before: usize, run_after: usize, own_after: usize) {
        match &mut self.augmentation {
            Augmentation::Images(_) => {}
            Augmentation::Scenes(scenes) => {
                let of_run = scenes.mosaic_closing * self.epochs as f64 / run_before as f64;
                scenes.mosaic_closing = (of_run * run_after as f64 / own_after as f64).min(1.0);
            }
        }
    }

    /// Epochs at the phase's end whose augmentation is without mosaic.
    fn closing_epochs(&self) -> usize {
        match &self.augmentation {
            Augmentation::Images(_) => 0,
            Augmentation::Scenes(scenes) if scenes.mosaic == 0.0 => 0,
            Augmentation::Scenes(scenes) => {
                (scenes.mosaic_closing * self.epochs as f64).round() as usize
            }
        }
    }
}
