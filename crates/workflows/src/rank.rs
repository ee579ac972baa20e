//! `warmstart rank`: a ranking of pretrained weights by how well they suit data, before anything is trained.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use warmstart_data::{Dataset, Fit, Sample, scenes};
use warmstart_files::shown;
use warmstart_language::message;
use warmstart_metrics::{Interval, McNemar, wilson};
use warmstart_models::full_name;
use warmstart_nn::devices::DeviceName;
use warmstart_recipe::run_files::resolve_path;
use warmstart_recipe::{
    Auto, Draft, Error, Key, NO_WEIGHTS, Problem, Recipe, Undecided, architecture, named_record,
    resolve,
};
use warmstart_run::event::{Event, Observer};
use warmstart_tasks::classify::Classification;
use warmstart_tasks::task::Task;
use warmstart_train::device;
use warmstart_train::initial_weights::initial_weights;
use warmstart_train::linear_probe::{choose_fit, judge, some_of};
use warmstart_train::open_data::open_data;
use warmstart_train::resources::Resources;
use warmstart_train::trainer::Trainer;

use crate::named_weights::settle_weights;
use crate::recognise::known_model;
use crate::run_data::{RunData, Seen};

/// Most training images of the linear probe.
pub const MOST_IMAGES: usize = 1000;

/// A request to rank weights.
pub struct Request {
    /// Folder of a data set of classes.
    pub data: PathBuf,
    /// Pretrained files, or names of published weights; `none` for random weights.
    pub weights: Vec<String>,
    /// Prefix of the tensors that are taken, of each file that has several copies of its network.
    pub weights_prefix: Option<String>,
    /// The architecture, where the files do not tell.
    pub model: Option<String>,
    /// Edge of the image in pixels, if it is not the architecture's own.
    pub image_size: Option<usize>,
    /// Fit of images; `None` for the way that the linear probe chooses for each file.
    pub fit: Option<Fit>,
    /// Seed of the choice of images of a large data set, and of random weights.
    pub seed: u64,
    /// The device that computes the features; `None` for the one that `auto` stands for.
    pub device: Option<DeviceName>,
}

/// Score of weights on the data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// The file.
    pub weights: String,
    /// The architecture.
    pub model: String,
    /// Share of the images that a regression on the features of the others classifies correctly.
    pub accuracy: f64,
    /// Its 95% confidence interval.
    pub interval: Interval,
    /// Chance of a difference from the first at least this large if both were equal: McNemar's exact test, two-sided,
    /// times the number of files that the first was chosen over (Bonferroni); `null` for the first.
    pub p_value: Option<f64>,
    /// The images that these weights were trained on; `None` where they do not lie in the folder of a run.
    pub seen: Option<Seen>,
}

/// Weights in falling order of suitability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// Number of images of the linear probe.
    pub images: usize,
    /// Share of the images in the largest class: the accuracy of always guessing it.
    pub largest_class: f64,
    /// The weights, the best first.
    pub ranked: Vec<Ranked>,
}

/// Ranks weights by a linear probe on frozen features of the training images.
///
/// # Errors
/// If a file or the data cannot be read, or a file's architecture is unknown.
pub fn rank(request: &Request, resources: Resources, observe: Observer) -> Result<Ranking, Error> {
    let contest = Contest::open(request, &resources, observe)?;
    let all = 0..request.weights.len();
    let mut judged = Vec::new();
    contest.judge(all, &resources, observe, &mut |one| judged.push(one))?;
    Ok(contest.ground().ranking(judged))
}

/// Weights that are to be compared, and the images that judge them.
pub struct Contest<'a> {
    request: &'a Request,
    /// The recipe of each of the weights.
    asked: Vec<(Recipe, Undecided)>,
    data: Dataset,
    samples: Vec<Sample>,
}

/// What all weights are judged on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ground {
    images: usize,
    largest_class: f64,
}

impl<'a> Contest<'a> {
    /// Reads the images.
    ///
    /// # Errors
    /// As [`rank`].
    pub fn open(
        request: &'a Request,
        resources: &Resources,
        observe: Observer,
    ) -> Result<Self, Error> {
        if request.weights.is_empty() {
            return Err(Error::usage(message!("no weights were named"))
                .fix(message!("give {} FILE …", Key::WEIGHTS)));
        }
        // Errors in the request are reported before anything is downloaded or computed.
        if scenes::is_detection(&request.data) {
            let what =
                message!("it holds boxes, and rank compares weights for classification only");
            return Err(Problem::new(what)
                .of_file(&request.data)
                .fix(message!(
                    "give a folder of class folders; compare detectors by short runs"
                ))
                .into());
        }
        let mut asked = Vec::new();
        for weights in &request.weights {
            asked.push(recipe_for(weights, request, observe)?);
        }
        let (first, _) = &asked[0];
        device::announce(first, observe)?;
        // The images are checked once.
        let data = open_data::<Classification>(first, resources.cache.as_ref(), observe)?;
        let samples = some_of(&data.train, MOST_IMAGES, request.seed);
        Ok(Self {
            request,
            asked,
            data,
            samples,
        })
    }

    /// The images.
    pub fn pictures(&self) -> impl Iterator<Item = &Path> {
        self.samples.iter().map(|sample| sample.path.as_path())
    }

    /// Everything that the result depends on besides the pictures and the files of the weights, in words.
    ///
    /// # Errors
    /// If the device is not there.
    pub fn words(&self) -> Result<String, Error> {
        let (first, _) = &self.asked[0];
        let device = device::identity(&device::open(first)?, first.precision);
        let labels: Vec<usize> = self.samples.iter().map(|sample| sample.label).collect();
        let Request {
            data: _,
            weights,
            weights_prefix,
            model,
            image_size,
            fit,
            seed,
            // It is in the device's own words.
            device: _,
        } = self.request;
        let options = (weights, weights_prefix, model, image_size, fit, seed);
        Ok(format!(
            "{device} {options:?} {labels:?} {:?}",
            self.data.classes
        ))
    }

    /// The files of the weights that are no published ones, which are known by their name.
    ///
    /// # Errors
    /// If a folder has no model.
    pub fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let own = self.asked.iter().map(|(recipe, _)| recipe.weights.as_str());
        let own = own.filter(|weights| *weights != NO_WEIGHTS && named_record(weights).is_none());
        own.map(|weights| resolve_path(Path::new(weights)))
            .collect()
    }

    /// What all weights are judged on.
    pub fn ground(&self) -> Ground {
        let mut counts = vec![0; self.data.classes.len()];
        self.samples
            .iter()
            .for_each(|sample| counts[sample.label] += 1);
        let largest = counts.into_iter().max().unwrap_or(0);
        Ground {
            images: self.samples.len(),
            largest_class: largest as f64 / self.samples.len().max(1) as f64,
        }
    }

    /// Judges some of the weights, and hands each result to `each`, in their order.
    ///
    /// # Errors
    /// As [`rank`].
    pub fn judge(
        &self,
        which: Range<usize>,
        resources: &Resources,
        observe: Observer,
        each: &mut dyn FnMut(Judged),
    ) -> Result<(), Error> {
        let paths: Vec<PathBuf> = self.pictures().map(Path::to_owned).collect();
        let asked = self.request.weights.iter().zip(&self.asked);
        for (weights, (recipe, undecided)) in asked.skip(which.start).take(which.len()) {
            let recipe = recipe.clone();
            let images = Classification::images(self.data.clone(), &recipe)?;
            let model = recipe.model.clone();
            let is_named = named_record(&recipe.weights).is_some();
            let mut trainer = Trainer::<Classification>::new(recipe, images, resources.clone())?;
            let parameters = initial_weights(&trainer, observe)?.parameters;
            choose_fit(&mut trainer, undecided, &parameters, observe)?;
            let fit = trainer.recipe.fit;
            each(Judged {
                weights: weights.clone(),
                model,
                right: judge(&trainer, fit, self.samples.clone(), &parameters, observe)?,
                // Published weights have seen other images.
                seen: if is_named {
                    None
                } else {
                    seen(weights, &paths)?
                },
            });
        }
        Ok(())
    }
}

impl Ground {
    /// Whether a result is one on these images.
    pub fn fits(self, judged: &Judged) -> bool {
        judged.right.len() == self.images
    }

    /// The ranking of all weights.
    pub fn ranking(self, judged: Vec<Judged>) -> Ranking {
        Ranking {
            images: self.images,
            largest_class: self.largest_class,
            ranked: ranked(judged),
        }
    }
}

fn recipe_for(
    weights: &str,
    request: &Request,
    observe: Observer,
) -> Result<(Recipe, Undecided), Error> {
    let mut named = Draft {
        data: Some(request.data.clone()),
        model: request.model.clone(),
        weights: Some(weights.to_owned()),
        ..Draft::default()
    };
    if !settle_weights(&mut named, observe)? {
        named.model = Some(model_of(weights, request, observe)?);
    }
    resolve(Draft {
        data: Some(request.data.clone()),
        model: named.model,
        weights: named.weights,
        weights_prefix: request
            .weights_prefix
            .clone()
            .filter(|_| weights != NO_WEIGHTS),
        image_size: request.image_size,
        fit: request.fit.map(Auto::Value),
        seed: Some(request.seed),
        device: request.device.map(Auto::Value),
        ..Draft::default()
    })
}

/// The images that these weights were trained on, if they come from a run.
fn seen(weights: &str, images: &[PathBuf]) -> Result<Option<Seen>, Error> {
    if weights == NO_WEIGHTS {
        return Ok(None);
    }
    let run = RunData::beside(Path::new(weights), None)?;
    run.map_or(Ok(None), |run| run.seen(images))
}

/// A file of weights and the result of the linear probe on its features.
#[derive(Debug, Serialize, Deserialize)]
pub struct Judged {
    weights: String,
    model: String,
    /// Whether each image is classified correctly.
    right: Vec<bool>,
    #[serde(with = "seen_paths")]
    seen: Option<Seen>,
}

/// The images that were seen, with their paths, as other programs read them.
mod seen_paths {
    use std::path::PathBuf;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use warmstart_files::text;

    use super::Seen;

    /// Trained on, and chosen by.
    type Paths = Option<[Vec<String>; 2]>;

    pub(super) fn serialize<S: Serializer>(
        seen: &Option<Seen>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let texts = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| text(path).into_owned()).collect()
        };
        let paths: Paths = seen
            .as_ref()
            .map(|seen| [texts(&seen.trained_on), texts(&seen.chosen_by)]);
        paths.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Seen>, D::Error> {
        let paths = Paths::deserialize(deserializer)?;
        let seen = |[trained_on, chosen_by]: [Vec<String>; 2]| Seen {
            trained_on: trained_on.into_iter().map(PathBuf::from).collect(),
            chosen_by: chosen_by.into_iter().map(PathBuf::from).collect(),
        };
        Ok(paths.map(seen))
    }
}

/// The ranking, best first; equals stay in the order of the request.
fn ranked(mut judged: Vec<Judged>) -> Vec<Ranked> {
    let count = |right: &[bool]| right.iter().filter(|right| **right).count();
    judged.sort_by_key(|judged| std::cmp::Reverse(count(&judged.right)));
    let first = judged
        .first()
        .map(|judged| judged.right.clone())
        .unwrap_or_default();
    let others = judged.len().saturating_sub(1) as f64;
    let line = |(place, judged): (usize, Judged)| Ranked {
        accuracy: count(&judged.right) as f64 / judged.right.len().max(1) as f64,
        interval: wilson(count(&judged.right), judged.right.len()),
        p_value: (place > 0).then(|| {
            let one_sided = McNemar::of(&judged.right, &first).p_value();
            (2.0 * others * one_sided).min(1.0)
        }),
        weights: judged.weights,
        model: judged.model,
        seen: judged.seen,
    };
    judged.into_iter().enumerate().map(line).collect()
}

fn model_of(weights: &str, request: &Request, observe: Observer) -> Result<String, Error> {
    let named = request.model.as_deref().map(architecture).transpose()?;
    match (weights == NO_WEIGHTS, named) {
        (true, Some(named)) => Ok(full_name(&named).to_owned()),
        (true, None) => {
            let what = message!("{} none: the model is not known", Key::WEIGHTS);
            Err(Problem::new(what)
                .of_key(Key::MODEL)
                .fix(message!("give {} NAME beside it", Key::MODEL))
                .into())
        }
        (false, named) => {
            let prefix = request.weights_prefix.as_deref();
            let known = known_model(weights, named.as_ref(), prefix)?;
            if let Some(note) = known.note {
                observe(Event::Note(message!(
                    "{}: the weights are of {}; {note}",
                    shown(Path::new(weights)),
                    known.model
                )));
            }
            Ok(known.model)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_first_and_the_others_are_compared_with_it() {
        let judged = |name: &str, right: usize| Judged {
            weights: name.to_owned(),
            model: "m".to_owned(),
            right: (0..40).map(|image| image < right).collect(),
            seen: None,
        };
        let ranked = ranked(vec![judged("a", 20), judged("b", 30), judged("c", 30)]);
        let names: Vec<&str> = ranked.iter().map(|line| line.weights.as_str()).collect();
        assert_eq!(names, ["b", "c", "a"]);
        assert_eq!(ranked[0].p_value, None);
        assert_eq!(ranked[1].p_value, Some(1.0));
        // Ten of ten, on two sides, of two files that the first was chosen over.
        assert_eq!(ranked[2].p_value, Some(4.0 / 1024.0));
        assert_eq!(ranked[2].accuracy, 0.5);
    }

    #[test]
    fn a_result_in_a_line_is_the_same_again() {
        let judged = Judged {
            weights: "runs/a".to_owned(),
            model: "m".to_owned(),
            right: vec![true, false],
            seen: Some(Seen {
                trained_on: vec!["a.jpg".into()],
                chosen_by: Vec::new(),
            }),
        };
        let line = serde_json::to_string(&judged).unwrap();
        let again: Judged = serde_json::from_str(&line).unwrap();
        assert_eq!((again.right, again.seen), (judged.right, judged.seen));
    }
}
