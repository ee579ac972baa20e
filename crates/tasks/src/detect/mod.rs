//! Detection: a neck and a head behind the backbone's features at strides 8, 16 and 32.

mod assigner;
mod boxes;
mod loss;
mod nms;
mod objective;
mod target;

use rayon::prelude::*;
use warmstart_data::random::{Purpose, below, stream};
use warmstart_data::scenes::{self, OpenedScenes};
use warmstart_data::{
    DataError, Dataset, Letterbox, Object, Preprocessing, Sample, Scene, ScenePlan, decode,
    letterboxed,
};
use warmstart_metrics::{CocoFigures, Detected, DetectionEvaluation, Truth};
use warmstart_models::Architecture;
use warmstart_models::detector::{CLASS_PREDICTOR, Detector, Predictions, STRIDES};
use warmstart_nn::block::{Forward, ParameterInfo, Unit};
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::{Folded, Parameters};

use warmstart_recipe::Error;
use warmstart_run::event::Event;
use warmstart_run::event::Observer;
use warmstart_recipe::folds::Fold;
use warmstart_recipe as recipe;
use warmstart_recipe::Phase;
use warmstart_recipe::Recipe;
use warmstart_recipe::View;
use crate::task::Evaluation;
use crate::task::Example;
use crate::task::Loss;
use crate::task::Opened;
use crate::task::Split;
use crate::task::StepKey;
use crate::task::Task;
use boxes::Point;
pub use nms::{Found, Selection};
use objective::{Objective, Outputs};
use target::{Judged, target};
pub use target::{Target, detected, in_picture, truth};

/// Sets of images that a gain is looked for in.
const RESAMPLES: u64 = 200;

/// Finding the objects of an image.
pub struct Detection {
    data: Dataset<Scene>,
    preprocessing: Preprocessing,
    /// Of the augmentation.
    seed: u64,
    head: Head,
    fold: Option<Fold>,
}

/// The part of a detector behind its backbone, for images of one size.
pub struct Head {
    detector: Detector,
    points: Vec<Point>,
    classes: usize,
}

/// Collected over an evaluation.
#[derive(Default)]
pub struct Tally {
    objective: Objective,
    /// Of each image, what is there and what was found.
    images: Vec<(Vec<Truth>, Vec<Detected>)>,
}

impl Head {
    /// A head for a backbone's features.
    pub fn new(backbone: &Architecture, classes: usize, image_size: usize) -> Self {
        let channels = backbone.taps.map(|tap| backbone.channels_of(tap));
        Self {
            detector: Detector::new(channels, classes),
            points: boxes::points(image_size),
            classes,
        }
    }

    /// Everything that it learns.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        self.detector.parameters()
    }

    /// Its units.
    pub fn units(&self) -> Vec<&Unit> {
        self.detector.units()
    }

    fn predictions(
        &self,
        features: Vec<Tensor<4>>,
        forward: &mut Forward,
        parameters: &Parameters,
    ) -> Predictions {
        let features: [Tensor<4>; STRIDES.len()] = features
            .try_into()
            .unwrap_or_else(|_| panic!("a detector's backbone gives a map for each stride"));
        self.detector.forward(features, forward, parameters)
    }

    fn outputs(&self, predictions: Predictions) -> Outputs<'_> {
        Outputs {
            points: &self.points,
            classes: self.classes,
            logits: values(predictions.classes),
            boxes: values(predictions.boxes).as_chunks().0.to_vec(),
        }
    }

    /// What is found in each image of a batch, the surest first, from the backbone's features.
    pub fn find(
        &self,
        features: Vec<Tensor<4>>,
        folded: &Folded,
        parameters: &Parameters,
        selection: Selection,
    ) -> Vec<Vec<Found>> {
        let mut forward = Forward::Inference(folded);
        let outputs = self.outputs(self.predictions(features, &mut forward, parameters));
        self.select(&outputs, selection)
    }

    fn select(&self, outputs: &Outputs, selection: Selection) -> Vec<Vec<Found>> {
        let image = |(logits, boxes)| nms::select(&self.points, logits, boxes, selection);
        outputs.images().map(image).collect()
    }
}

impl Detection {
    /// COCO's figures over some of an evaluation's images.
    fn figures(&self, tally: &Tally, images: impl Iterator<Item = usize>) -> CocoFigures {
        let mut figures = DetectionEvaluation::new(self.data.classes.clone());
        for image in images {
            let (truths, detected) = &tally.images[image];
            figures.add_image(truths, detected);
        }
        figures.coco()
    }

    fn plan(&self, sample: usize, view: View, phase: &Phase) -> ScenePlan<'_> {
        let augmentation = phase.augmentation.of_scenes();
        let augmentation = match view.closing {
            true => augmentation.without_mosaic(),
            false => augmentation.clone(),
        };
        let (size, view) = (self.preprocessing.crop, view.number as u64);
        let partners = self.fold.as_ref().map(|fold| &*fold.training);
        ScenePlan::draw_among(
            sample,
            &self.data.train,
            partners,
            &augmentation,
            size,
            (self.seed, view),
        )
    }
}

impl Task for Detection {
    type Label = Scene;
    type Target = Target;
    type Tally = Tally;

    const KIND: recipe::Task = recipe::Task::Detect;
    const COUNTED: &'static str = "objects";

    fn open(recipe: &Recipe, observe: Observer) -> Result<Opened<Scene>, Error> {
        let OpenedScenes {
            dataset,
            findings,
            unreadable,
            ..
        } = scenes::open(&recipe.data, recipe.val_split, recipe.seed)?;
        for (problem, finding) in findings.iter() {
            let examples = finding.examples.join("; ");
            observe(Event::Note(format!(
                "{} {}: {examples}",
                finding.count,
                problem.description()
            )));
        }
        Ok(Opened {
            data: dataset,
            unreadable,
        })
    }

    fn require_learnable(data: &Dataset<Scene>) -> Result<(), Error> {
        for (name, samples) in [("training", &data.train), ("validation", &data.validation)] {
            let labelled = |sample: &Sample<Scene>| sample.label.objects.iter().any(|o| !o.crowd);
            if !samples.iter().any(labelled) {
                let crowds: usize = samples
                    .iter()
                    .map(|sample| sample.label.objects.len())
                    .sum();
                if crowds > 0 {
                    return Err(Error::usage(format!(
                        "every box of the {name} images is a crowd ({crowds} with iscrowd 1): crowds are \
                         not learned from; set iscrowd to 0 where a box is around one object"
                    )));
                }
                return Err(Error::usage(format!(
                    "no {name} image that can be read has a box of an object: repair the images, or \
                     label some"
                )));
            }
        }
        Ok(())
    }

    fn class_counts<'a>(_: &'a [String], _: &[Sample<Scene>]) -> Vec<(&'a str, usize)> {
        Vec::new()
    }

    fn label_counts(classes: &[String], samples: &[Sample<Scene>]) -> Vec<usize> {
        let mut counts = vec![0; classes.len()];
        for object in samples.iter().flat_map(|sample| &sample.label.objects) {
            counts[object.class] += 1;
        }
        counts
    }

    fn backbone(architecture: Architecture) -> Architecture {
        architecture.with_taps()
    }

    fn class_head(_backbone: &Architecture) -> &'static str {
        CLASS_PREDICTOR
    }

    fn new(
        recipe: &Recipe,
        backbone: &Architecture,
        data: Dataset<Scene>,
        preprocessing: Preprocessing,
    ) -> Self {
        Self {
            head: Head::new(backbone, data.classes.len(), preprocessing.crop),
            // An image has objects of many classes: none of them decides.
            fold: recipe
                .fold
                .map(|part| Fold::new(part, &vec![0; data.train.len()], recipe.seed)),
            data,
            preprocessing,
            seed: recipe.seed,
        }
    }

    fn data(&self) -> &Dataset<Scene> {
        &self.data
    }

    fn fold(&self) -> Option<&Fold> {
        self.fold.as_ref()
    }

    fn validate_on(&mut self, samples: Vec<Sample<Scene>>) {
        self.data.validation = samples;
    }

    fn head_parameters(&self) -> Vec<ParameterInfo> {
        self.head.parameters()
    }

    fn head_units(&self) -> Vec<&Unit> {
        self.head.units()
    }

    fn training_example(
        &self,
        sample: usize,
        view: View,
        phase: &Phase,
    ) -> Result<Example<Target>, DataError> {
        let plan = self.plan(sample, view, phase);
        let image = plan.render(self.preprocessing.interpolation, |sample| {
            decode(&self.data.train[sample].path)
        })?;
        Ok(Example {
            pixels: self.preprocessing.normalized(&image),
            target: target(plan.objects()),
        })
    }

    fn training_target(&self, sample: usize, view: View, phase: &Phase) -> Target {
        target(self.plan(sample, view, phase).objects())
    }

    fn evaluation_example(
        &self,
        split: Split,
        sample: usize,
    ) -> Result<Example<Target>, DataError> {
        Ok(Example {
            pixels: evaluation_pixels(
                &decode(&self.split(split)[sample].path)?,
                &self.preprocessing,
            ),
            target: self.evaluation_target(split, sample),
        })
    }

    fn evaluation_target(&self, split: Split, sample: usize) -> Target {
        let scene = &self.split(split)[sample].label;
        let letterbox = Letterbox::new(scene.width, scene.height, self.preprocessing.crop);
        let placed = scene.objects.iter().map(|object| Object {
            bounds: letterbox.place(object.bounds),
            ..*object
        });
        Target {
            judged: Some(Judged {
                letterbox,
                scene: scene.clone(),
            }),
            ..target(placed)
        }
    }

    /// Neck and head want all of them.
    fn condense(features: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
        features
    }

    fn loss(
        &self,
        features: Vec<Tensor<4>>,
        forward: &mut Forward,
        parameters: &Parameters,
        targets: &[Target],
        _phase: &Phase,
        _key: StepKey,
    ) -> Loss {
        let predictions = self.head.predictions(features, forward, parameters);
        let Predictions { classes, boxes } = &predictions;
        let (classes, boxes) = (classes.clone(), boxes.clone());
        let outputs = self.head.outputs(Predictions {
            classes: predictions.classes.inner(),
            boxes: predictions.boxes.inner(),
        });
        let (objective, gradients) = objective::with_gradients(&outputs, targets);
        let along = |predicted: Tensor<3>, gradient: Vec<f32>| {
            let gradient = TensorData::new(gradient, predicted.dims());
            let gradient = Tensor::<3>::from_data(gradient, &predicted.device());
            (predicted * gradient).sum()
        };
        Loss {
            value: objective.value(),
            root: along(classes, gradients.logits) + along(boxes, gradients.boxes),
        }
    }

    fn tally(
        &self,
        tally: &mut Tally,
        features: Vec<Tensor<4>>,
        folded: &Folded,
        parameters: &Parameters,
        targets: &[Target],
    ) {
        let mut forward = Forward::Inference(folded);
        let predictions = self.head.predictions(features, &mut forward, parameters);
        let outputs = self.head.outputs(predictions);
        tally.objective.add(objective::of(&outputs, targets));
        let found = self.head.select(&outputs, Selection::EVALUATION);
        tally
            .images
            .extend(found.iter().zip(targets).map(|(found, target)| {
                let judged = target.judged.as_ref().expect("an image to evaluate on");
                (judged.truths(), judged.detected(found))
            }));
    }

    fn evaluation(&self, tally: &Tally) -> Evaluation {
        let figures = self.figures(tally, 0..tally.images.len());
        Evaluation {
            loss: tally.objective.value(),
            metric: figures.ap.unwrap_or(0.0),
            interval: None,
            others: [("map50".to_owned(), figures.ap_50.unwrap_or(0.0))].into(),
        }
    }

    /// A paired bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16): how
    /// often, of sets of as many images drawn from these with replacement, the gain is none.
    fn chance_of_gain(&self, before: &Tally, after: &Tally) -> f64 {
        let images = before.images.len();
        let is_no_gain = |&resample: &u64| {
            let mut random = stream(self.seed, resample, 0, Purpose::Resampling);
            let drawn: Vec<usize> = (0..images).map(|_| below(&mut random, images)).collect();
            let figure = |tally| self.figures(tally, drawn.iter().copied()).ap;
            figure(after) <= figure(before)
        };
        let resamples: Vec<u64> = (0..RESAMPLES).collect();
        let none = resamples
            .par_iter()
            .filter(|resample| is_no_gain(resample))
            .count();
        (none as f64 + 1.0) / (RESAMPLES as f64 + 1.0)
    }
}

/// The input of a detector for evaluation: `[size, size, 3]`, the whole picture on grey, normalised.
pub fn evaluation_pixels(
    image: &warmstart_data::RgbImage,
    preprocessing: &Preprocessing,
) -> Vec<f32> {
    let Preprocessing {
        crop,
        interpolation,
        ..
    } = *preprocessing;
    preprocessing.normalized(&letterboxed(image, crop, interpolation))
}

fn values(tensor: Tensor<3>) -> Vec<f32> {
    tensor
        .into_data()
        .try_into_vec()
        .expect("predictions are f32")
}
