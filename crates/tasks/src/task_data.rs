//! The images of a run: its splits, its fold of a cross-validation, and the order of an epoch.

use std::sync::Arc;

use warmstart_data::{Batches, Dataset, Permutation, Sample, balanced_order, epoch_order};
use warmstart_language::message;
use warmstart_recipe::folds::FoldImages;
use warmstart_recipe::{Balance, Error, Key, Phase, Problem, Recipe, Shuffle, TrainingImages};

/// A split that a model is evaluated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationSplit {
    /// Evaluated after every epoch; picks the best one.
    Validation,
    /// Evaluated once, at the end.
    Test,
}

/// The images of a run.
#[derive(Clone)]
pub struct TaskData<L> {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Training images; in a cross-validation, all of them.
    pub train: Arc<Vec<Sample<L>>>,
    validation: Arc<Vec<Sample<L>>>,
    test: Arc<Vec<Sample<L>>>,
    /// The run's fold of a cross-validation.
    fold: Option<Arc<FoldImages>>,
    /// Class of each training image; `None` where an image has several.
    train_classes: Option<Vec<usize>>,
    /// Number of validation images of each class; empty where an image has several.
    validation_counts: Vec<usize>,
}

/// The function from a label to its class, for tasks in which an image has one class.
pub type ClassOf<L> = Option<fn(&L) -> usize>;

/// Class of each image; `None` where an image has several.
fn classes_of<L>(samples: &[Sample<L>], class_of: ClassOf<L>) -> Option<Vec<usize>> {
    class_of.map(|class_of| {
        samples
            .iter()
            .map(|sample| class_of(&sample.label))
            .collect()
    })
}

fn counts(classes: &[usize], number: usize) -> Vec<usize> {
    let mut counts = vec![0; number];
    for &class in classes {
        counts[class] += 1;
    }
    counts
}

impl<L: Clone> TaskData<L> {
    /// The images of a data set as a recipe uses them; the functions give the class of a label, and all of its classes.
    /// In a cross-validation, training and validation images are the same.
    ///
    /// # Errors
    /// If a class of a cross-validation has one image or, where an image has several classes, fewer images than folds
    /// have any.
    pub(crate) fn new(
        data: Dataset<L>,
        recipe: &Recipe,
        class_of: ClassOf<L>,
        all_classes_of: impl Fn(&L) -> Vec<usize>,
    ) -> Result<Self, Error> {
        let Dataset {
            classes,
            train,
            validation,
            test,
            ..
        } = data;
        let train_classes = classes_of(&train, class_of);
        let fold = match (recipe.fold, &train_classes) {
            (None, _) => None,
            (Some(fold_id), Some(of_train)) => {
                require_several(&counts(of_train, classes.len()), &classes, fold_id.of)?;
                Some(Arc::new(FoldImages::new(fold_id, of_train, recipe.seed)))
            }
            (Some(fold_id), None) => {
                let labels = train.iter().map(|sample| all_classes_of(&sample.label));
                let of_train: Vec<Vec<usize>> = labels.collect();
                require_labelled(&of_train, fold_id.of)?;
                let images = FoldImages::of_several(fold_id, &of_train, recipe.seed);
                Some(Arc::new(images))
            }
        };
        let validation_counts = classes_of(&validation, class_of)
            .map(|of_validation| counts(&of_validation, classes.len()))
            .unwrap_or_default();
        Ok(Self {
            classes,
            train: Arc::new(train),
            validation: Arc::new(validation),
            test: Arc::new(test.unwrap_or_default()),
            fold,
            train_classes,
            validation_counts,
        })
    }

    /// A data set of training images alone, without folds.
    pub fn of_training_images(
        classes: Vec<String>,
        train: Vec<Sample<L>>,
        class_of: ClassOf<L>,
    ) -> Self {
        Self {
            train_classes: classes_of(&train, class_of),
            validation_counts: Vec::new(),
            train: Arc::new(train),
            validation: Arc::default(),
            test: Arc::default(),
            fold: None,
            classes,
        }
    }

    /// Replaces the validation images.
    pub fn validate_on(&mut self, samples: Vec<Sample<L>>) {
        self.validation = Arc::new(samples);
    }

    /// The run's images of the three splits: training, validation and test; in a cross-validation, those of its fold.
    pub fn splits(&self) -> [Vec<&Sample<L>>; 3] {
        let evaluated = |split: EvaluationSplit| {
            let images = self.evaluated(split).into_iter();
            images.map(|image| &self.split(split)[image]).collect()
        };
        let training = self.training().into_iter();
        [
            training.map(|image| &self.train[image]).collect(),
            evaluated(EvaluationSplit::Validation),
            evaluated(EvaluationSplit::Test),
        ]
    }

    /// The images of the three splits; in a cross-validation, those of all folds for training and for validation.
    pub fn whole_splits(&self) -> [Vec<&Sample<L>>; 3] {
        [&self.train, &self.validation, &self.test].map(|samples| samples.iter().collect())
    }

    /// All images of a split to evaluate on; empty without such a split.
    pub fn split(&self, split: EvaluationSplit) -> &Arc<Vec<Sample<L>>> {
        match split {
            EvaluationSplit::Validation => &self.validation,
            EvaluationSplit::Test => &self.test,
        }
    }

    /// Indices of the images to train on.
    pub fn training(&self) -> Vec<usize> {
        match &self.fold {
            Some(fold) => fold.training.clone(),
            None => (0..self.train.len()).collect(),
        }
    }

    /// Indices of the images of a split to evaluate on.
    pub fn evaluated(&self, split: EvaluationSplit) -> Vec<usize> {
        match (split, &self.fold) {
            (EvaluationSplit::Validation, Some(fold)) => fold.validation.clone(),
            (EvaluationSplit::Validation | EvaluationSplit::Test, _) => {
                (0..self.split(split).len()).collect()
            }
        }
    }

    /// Indices of the images that may be mixed into others, where they are not all training images.
    pub fn partners(&self) -> Option<&[usize]> {
        self.fold.as_ref().map(|fold| &*fold.training)
    }

    /// Number of images to train on.
    pub fn training_images(&self) -> usize {
        let of_fold = self.fold.as_ref().map(|fold| fold.training.len());
        of_fold.unwrap_or(self.train.len())
    }

    /// Number of training images of each class, of the run's fold; `None` where an image has several.
    pub fn class_counts(&self) -> Option<Vec<usize>> {
        let classes = self.train_classes.as_ref()?;
        let own: Vec<usize> = self
            .training()
            .iter()
            .map(|&image| classes[image])
            .collect();
        Some(counts(&own, self.classes.len()))
    }

    /// The facts about the images that a recipe's defaults depend on.
    pub fn scale(&self) -> TrainingImages {
        // The folds of a cross-validation split the same images, so their classes are as unequal.
        let training = self.train_classes.as_ref();
        let training = training.map(|classes| counts(classes, self.classes.len()));
        TrainingImages::new(
            self.training_images(),
            &training.unwrap_or_default(),
            &self.validation_counts,
        )
    }

    /// The batches of an epoch, which is counted from 1, from a place of its order on.
    ///
    /// Where classes are sampled, the order is a list of its own, whatever the recipe's `shuffle`: it needs the class of
    /// every image.
    pub fn batches(&self, recipe: &Recipe, epoch: usize, phase: &Phase, from: usize) -> Batches {
        let (seed, epoch) = (recipe.seed, epoch as u64);
        let images = self.training_images();
        let order = match (phase.balance, &self.train_classes) {
            (Balance::Sampling, Some(classes)) => {
                let own = self.training().into_iter().map(|image| classes[image]);
                balanced_order(seed, epoch, &own.collect::<Vec<_>>())
            }
            (Balance::Sampling, None) | (Balance::None | Balance::Loss | Balance::Prior, _) => {
                match recipe.shuffle {
                    Shuffle::List => epoch_order(seed, epoch, images),
                    Shuffle::Permutation => {
                        let order = Permutation::new(seed, epoch, images);
                        return self.training_batches(from, phase, move |place| order.at(place));
                    }
                }
            }
        };
        self.training_batches(from, phase, move |place| order[place])
    }

    /// Batches of training images; `order` gives a place among them for each place of an epoch.
    fn training_batches(
        &self,
        from: usize,
        phase: &Phase,
        order: impl Fn(usize) -> usize + Send + Sync + 'static,
    ) -> Batches {
        let images = self.training_images();
        let places = from.min(images)..images;
        match self.fold.clone() {
            Some(fold) => {
                let sample = move |place| fold.training[order(place)];
                Batches::new(places, phase.batch, sample)
            }
            None => Batches::new(places, phase.batch, order),
        }
    }
}

/// Refuses a class of one image: the run that validates on it could not learn the class.
fn require_several(counts: &[usize], classes: &[String], folds: usize) -> Result<(), Error> {
    let Some(class) = counts.iter().position(|images| *images == 1) else {
        return Ok(());
    };
    let what = message!(
        "{} {folds}: class \"{}\" has one image, and the run that validates on it could not learn the class",
        Key::FOLDS,
        classes[class]
    );
    Err(Problem::new(what)
        .of_key(Key::FOLDS)
        .fix(message!("add images, or remove the class"))
        .into())
}

/// Refuses fewer labelled images than folds: a fold without any has nothing to be judged by.
fn require_labelled(classes: &[Vec<usize>], folds: usize) -> Result<(), Error> {
    let labelled = classes.iter().filter(|of_image| !of_image.is_empty());
    let labelled = labelled.count();
    if labelled >= folds {
        return Ok(());
    }
    let what = message!(
        "{} {folds}: only {labelled} of {} images are labelled, and each fold needs one",
        Key::FOLDS,
        classes.len()
    );
    Err(Problem::new(what)
        .of_key(Key::FOLDS)
        .fix(message!("give fewer folds, or label more images"))
        .into())
}
