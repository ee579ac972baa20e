//! Frozen features computed ahead of training: those of a shard's images, into the cache.

use warmstart_data::{Batches, Loader};
use warmstart_recipe::{Error, Phase, View, Views};
use warmstart_run::event::{Event, Observer};
use warmstart_run::shard::Shard;
use warmstart_tasks::task::Task;
use warmstart_tasks::task_data::EvaluationSplit;

use crate::frozen::Source;
use crate::trainer::{CurrentPhase, Trainer, batches_ahead};

/// What was done for a shard of a phase's features.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Features that the shard is to have: of each view of an image.
    pub images: usize,
    /// Those among them that were not in the cache, and were computed.
    pub computed: usize,
    /// Why no more were cached, where the disk refused.
    pub failure: Option<String>,
}

/// Whether the features of a phase can be computed before training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fillable {
    /// They can.
    Yes,
    /// The phase has no frozen part.
    NothingFrozen,
    /// An earlier phase trains a part of what is frozen in this one.
    TrainedBefore,
    /// Every epoch sees other variants of the images, whose features are not cached.
    FreshViews,
}

/// The views of a phase whose features are cached, in the order of their places.
fn kept_views(phase: &Phase) -> Vec<View> {
    let Views::Number(views) = phase.views else {
        return Vec::new();
    };
    let places = 0..phase.kept_views().unwrap_or_default();
    let view = |place: usize| View {
        number: place % views.max(1),
        closing: place >= views,
    };
    places.map(view).collect()
}

impl<T: Task> Trainer<T> {
    /// Whether the features of each phase can be computed before training.
    pub fn fillable(&self) -> Vec<Fillable> {
        let mut unchanged = self.architecture.stages.len();
        let phases = self.recipe.phases.iter().zip(&self.boundaries);
        let of_phase = |(phase, &boundary): (&Phase, &usize)| {
            let is_unchanged = boundary <= unchanged;
            unchanged = unchanged.min(boundary);
            if boundary == 0 {
                Fillable::NothingFrozen
            } else if !is_unchanged {
                Fillable::TrainedBefore
            } else if phase.is_solved() || phase.kept_views().is_some() {
                Fillable::Yes
            } else {
                Fillable::FreshViews
            }
        };
        phases.map(of_phase).collect()
    }

    /// Computes and caches the features of the shard's part of a phase's training images, under every view that is kept,
    /// and of its validation images. Those that are there stay. `None` if a stop was requested.
    ///
    /// # Errors
    /// If an image cannot be read. A disk that refuses is none: it is noted and told.
    pub fn fill_features(
        &self,
        current: &CurrentPhase,
        shard: Shard,
        observe: Observer,
    ) -> Result<Option<Filled>, Error> {
        let frozen = &current.frozen;
        let mut filled = Filled::default();
        if frozen.cache_keys().is_empty() {
            return Ok(Some(filled));
        }
        let phase = &self.recipe.phases[current.number];
        let of_training = if phase.is_solved() {
            vec![frozen.clean_source(&self.task, &self.data)]
        } else {
            let views = kept_views(phase).into_iter();
            views
                .map(|view| frozen.training_source(&self.task, &self.data, phase, view))
                .collect()
        };
        let own = |images: Vec<usize>| images[shard.range(images.len())].to_vec();
        let training = own(self.data.training());
        let split = EvaluationSplit::Validation;
        let validation = own(self.data.evaluated(split));
        let of_validation = frozen.evaluation_source(&self.task, &self.data, split);
        let sources = of_training.iter().map(|source| (source, &training));
        let sources = sources.chain(std::iter::once((&of_validation, &validation)));
        let sources: Vec<_> = sources.collect();
        let all = sources.iter().map(|(_, images)| images.len()).sum();
        for (source, images) in sources {
            if !self.fill(current, source, images, (&mut filled, all), observe)? {
                return Ok(None);
            }
            if filled.failure.is_some() {
                break;
            }
        }
        Ok(Some(filled))
    }

    /// Computes what the cache lacks of some images. False if a stop was requested.
    fn fill(
        &self,
        current: &CurrentPhase,
        source: &Source<T::Target>,
        images: &[usize],
        (filled, all): (&mut Filled, usize),
        observe: Observer,
    ) -> Result<bool, Error> {
        let frozen = &current.frozen;
        let loader = Loader::new(
            Batches::of(images.to_vec(), frozen.images()),
            self.resources.workers,
            batches_ahead(frozen.images()),
            source.prepare(),
        );
        for batch in loader {
            if self.resources.stop.is_requested() {
                return Ok(false);
            }
            let batch = batch?;
            filled.images += batch.len();
            let missing = batch.into_iter().filter(|image| !image.is_cached());
            let missing: Vec<_> = missing.collect();
            if !missing.is_empty() {
                filled.computed += missing.len();
                let computed = frozen.features(&missing, source, &self.architecture, &self.device);
                if let (_, Some(failure)) = computed {
                    observe(Event::Note(failure.clone()));
                    filled.failure = Some(failure);
                    return Ok(true);
                }
            }
            observe(Event::Evaluated {
                images: filled.images,
                of: all,
            });
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use warmstart_recipe::Draft;

    use super::*;

    #[test]
    fn every_kept_view_is_at_its_place() {
        for (of_phase, expected) in [
            ("views = 3", 3),
            ("views = 'fresh'", 0),
            (
                "views = 2\naugmentation = {mosaic = 0.5, mosaic_closing = 0.5}",
                4,
            ),
        ] {
            let task = if expected == 4 { "detect" } else { "classify" };
            let text = format!(
                "data = 'd'\ntask = '{task}'\nmodel = 'resnet18'\nweights = 'w'\n[[phase]]\ntrain = 'head'\n\
                 head = 'linear'\nepochs = 4\n{of_phase}\n"
            );
            let draft: Draft = toml::from_str(&text).unwrap();
            let phase = draft.resolve(224, None).unwrap().phases.remove(0);
            let views = kept_views(&phase);
            assert_eq!(views.len(), expected, "{of_phase}");
            for (place, view) in views.into_iter().enumerate() {
                assert_eq!(phase.place_of(view), place, "{of_phase}");
            }
        }
    }
}
