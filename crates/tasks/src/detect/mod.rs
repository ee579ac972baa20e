//! Detection: the objects of an image, each with its class and its box.

mod assigner;
mod boxes;
pub mod detector;
pub mod found_object;
mod head;
mod judged_scenes;
mod loss;
mod nms;
pub mod objective;
mod outputs;
mod search;
mod target;
mod tiles;
mod views;

use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use warmstart_data::random::{Purpose, below, stream};
use warmstart_data::scenes::{self, OpenedScenes};
use warmstart_data::{
    DataError, Dataset, DecodedPicture, Letterbox, Object, Preprocessing, Sample, Scene, ScenePlan,
    letterboxed, letterboxed_picture,
};
use warmstart_language::{english, message, translated};
use warmstart_metrics::{CONFIDENCE, Detected, DetectionEvaluation, Truth};
use warmstart_models::detector::Predictions;
use warmstart_models::{Architecture, Pretrained};
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::{Folded, Forward, Parameters, StepKey, ops};
use warmstart_recipe::{Error, Phase, Recipe, TaskKind, View};

pub use boxes::{Corners, LARGEST_LOGARITHM, Point, points};
pub use head::Head;
pub use judged_scenes::{BoxEvaluation, JudgedScenes, line_of};
pub use nms::{Found, Selection};
pub use outputs::{ImageOutputs, Outputs};
pub use search::Search;
pub use target::{Target, detected, in_picture, truth};

use crate::preprocessing;
use crate::task::{Evaluation, Example, HeadParts, Loss, Opened, Task};
use crate::task_data::{ClassOf, TaskData};
use objective::Objective;
use target::{Judged, target};

/// Bootstrap samples by which a gain is tested.
pub const RESAMPLES: u64 = 200;

/// The task of detecting the objects of an image.
pub struct Detection {
    data: Arc<TaskData<Scene>>,
    preprocessing: Preprocessing,
    /// Seed of the augmentation.
    seed: u64,
    head: Head,
}

/// What an evaluation has found of its images, in their order.
#[derive(Default, Serialize, Deserialize)]
pub struct Tally {
    /// The sums of each batch, which are added in order, whoever evaluated the batches.
    batches: Vec<Objective>,
    images: Vec<JudgedObjects>,
}

impl Tally {
    fn objective(&self) -> Objective {
        let mut sum = Objective::default();
        for batch in &self.batches {
            sum.add(*batch);
        }
        sum
    }
}

/// Labelled and detected objects of an image.
pub type JudgedObjects = (Vec<Truth>, Vec<Detected>);

/// The metrics over some images.
fn figures<'a>(
    classes: &[String],
    images: impl Iterator<Item = &'a JudgedObjects>,
) -> DetectionEvaluation {
    let mut figures = DetectionEvaluation::new(classes.to_vec());
    for (truths, detected) in images {
        figures.add_image(truths, detected);
    }
    figures
}

/// p-value of the gain in mAP@[.5:.95] from `before` to `after`, which are of the same images in the same order, by
/// that many `resamples`: the smallest p-value is one over one more.
///
/// A paired bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 16): the share of sets of
/// as many images, drawn from these with replacement, in which there is no gain.
pub fn gain_p_value(
    classes: &[String],
    before: &[JudgedObjects],
    after: &[JudgedObjects],
    (seed, resamples): (u64, u64),
) -> f64 {
    let images = before.len();
    let is_no_gain = |&resample: &u64| {
        let mut random = stream(seed, resample, 0, Purpose::Resampling);
        let drawn: Vec<usize> = (0..images).map(|_| below(&mut random, images)).collect();
        let figure = |of: &[JudgedObjects]| {
            let drawn = drawn.iter().map(|&at| &of[at]);
            figures(classes, drawn).coco().ap
        };
        figure(after) <= figure(before)
    };
    let drawn: Vec<u64> = (0..resamples).collect();
    let none = drawn
        .par_iter()
        .filter(|resample| is_no_gain(resample))
        .count();
    (none as f64 + 1.0) / (resamples as f64 + 1.0)
}

impl Detection {
    fn plan(&self, sample: usize, view: View, phase: &Phase) -> ScenePlan<'_> {
        let augmentation = phase.augmentation.of_scenes();
        let augmentation = if view.closing {
            augmentation.without_mosaic()
        } else {
            augmentation.clone()
        };
        let (size, view) = (self.preprocessing.crop, view.number as u64);
        ScenePlan::draw_among(
            sample,
            &self.data.train,
            self.data.partners(),
            &augmentation,
            size,
            (self.seed, view),
        )
    }
}

impl Task for Detection {
    type Label = Scene;
    type Target = Target;
    type Outputs = Predictions;
    type Tally = Tally;

    const KIND: TaskKind = TaskKind::Detect;
    const CLASS_OF: ClassOf<Scene> = None;

    fn open(recipe: &Recipe) -> Result<Opened<Scene>, Error> {
        let OpenedScenes {
            dataset,
            findings,
            unreadable,
            ..
        } = scenes::open(&recipe.data, recipe.val_split, recipe.seed)?;
        let notes = findings.iter().map(|(problem, finding)| {
            let examples = finding.examples.join("; ");
            message!("{}: {examples}", problem.counted(finding.count))
        });
        Ok(Opened {
            notes: notes.collect(),
            data: dataset,
            unreadable,
        })
    }

    fn require_learnable(data: &Dataset<Scene>) -> Result<(), Error> {
        let splits = [
            (english!("training"), &data.train),
            (english!("validation"), &data.validation),
        ];
        for (name, samples) in splits {
            let is_labelled =
                |sample: &Sample<Scene>| sample.label.objects.iter().any(|o| !o.crowd);
            if samples.iter().any(is_labelled) {
                continue;
            }
            let objects = samples.iter().map(|sample| sample.label.objects.len());
            let crowds: usize = objects.sum();
            let name = translated(name);
            return Err(if crowds > 0 {
                let what =
                    message!("every box of the {name} images is a crowd ({crowds} with iscrowd 1)");
                Error::usage(what).fix(message!(
                    "crowds are not learned from; set iscrowd to 0 where a box is around one object"
                ))
            } else {
                let what = message!("no {name} image that can be read has a box of an object");
                Error::usage(what).fix(message!("repair the images, or label some"))
            });
        }
        Ok(())
    }

    fn classes_of(label: &Scene) -> Vec<usize> {
        label.objects.iter().map(|object| object.class).collect()
    }

    fn backbone(architecture: Architecture) -> Result<Architecture, Error> {
        Ok(architecture.with_taps()?)
    }

    fn preprocessing(pretrained: &Pretrained, recipe: &Recipe) -> Preprocessing {
        Preprocessing {
            decode: recipe.decode,
            ..preprocessing::letterboxed(pretrained, recipe.image_size)
        }
    }

    fn new(
        recipe: &Recipe,
        backbone: &Architecture,
        data: &Arc<TaskData<Scene>>,
        preprocessing: Preprocessing,
    ) -> Self {
        Self {
            head: Head::new(backbone, data.classes.len(), preprocessing.crop),
            data: Arc::clone(data),
            preprocessing,
            seed: recipe.seed,
        }
    }

    fn head(&self) -> HeadParts<'_> {
        HeadParts {
            parameters: self.head.parameters(),
            layers: self.head.layers(),
            class_layers: self.head.class_layers().to_vec(),
        }
    }

    fn training_example(
        &self,
        sample: usize,
        view: View,
        phase: &Phase,
    ) -> Result<Example<Target>, DataError> {
        let plan = self.plan(sample, view, phase);
        let image = plan.render_files(&self.preprocessing)?;
        Ok(Example {
            pixels: self.preprocessing.normalized(&image),
            target: target(plan.objects(), view.closing),
        })
    }

    fn training_target(&self, sample: usize, view: View, phase: &Phase) -> Target {
        target(self.plan(sample, view, phase).objects(), view.closing)
    }

    fn evaluation_example(&self, sample: &Sample<Scene>) -> Result<Example<Target>, DataError> {
        let picture = self.preprocessing.decoded(&sample.path)?;
        Ok(Example {
            pixels: evaluation_pixels_of_picture(&picture, &self.preprocessing),
            target: self.evaluation_target(&sample.label),
        })
    }

    fn evaluation_target(&self, scene: &Scene) -> Target {
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
            ..target(placed, false)
        }
    }

    /// All features, because neck and head need them.
    fn pool_features(features: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
        features
    }

    fn loss(
        &self,
        features: Vec<Tensor<4>>,
        forward: &mut Forward,
        _parameters: &Parameters,
        targets: &[Target],
        _phase: &Phase,
        _key: StepKey,
    ) -> Loss {
        let Predictions {
            classes,
            boxes,
            objectness,
        } = self.head.predictions(features, forward);
        let outputs = self.head.outputs(Predictions {
            classes: classes.clone().inner(),
            boxes: boxes.clone().inner(),
            objectness: objectness.clone().map(|logits| logits.inner()),
        });
        let (objective, gradients) =
            objective::with_gradients(&outputs, targets, self.head.assignment());
        let given = |predicted: Tensor<3>, gradient: Vec<f32>| {
            let gradient = TensorData::new(gradient, predicted.dims());
            let gradient = Tensor::<3>::from_data(gradient, &predicted.device());
            ops::with_gradient(predicted, gradient)
        };
        let mut root = given(classes, gradients.logits) + given(boxes, gradients.boxes);
        if let Some(objectness) = objectness {
            root = root + given(objectness, gradients.objectness);
        }
        Loss {
            value: objective.value(),
            root,
        }
    }

    fn outputs(&self, features: Vec<Tensor<4>>, folded: &Folded, _: &Parameters) -> Predictions {
        let mut forward = Forward::Inference(folded);
        self.head.predictions(features, &mut forward)
    }

    /// The boxes of two detectors have no mean.
    fn mean_of(&self, _outputs: [&Predictions; 2]) -> Option<Predictions> {
        None
    }

    fn add(&self, tally: &mut Tally, predictions: Predictions, targets: &[Target]) {
        let outputs = self.head.outputs(predictions);
        let objective = objective::of(&outputs, targets, self.head.assignment());
        tally.batches.push(objective);
        let found = self.head.select(&outputs, Selection::EVALUATION);
        tally
            .images
            .extend(found.iter().zip(targets).map(|(found, target)| {
                let judged = target.judged.as_ref().expect("an image to evaluate on");
                (judged.truths(), judged.detected(found))
            }));
    }

    fn append(tally: &mut Tally, more: Tally) {
        tally.batches.extend(more.batches);
        tally.images.extend(more.images);
    }

    fn evaluation(&self, tally: &Tally) -> Evaluation {
        let figures = figures(&self.data.classes, tally.images.iter());
        let coco = figures.coco();
        let at_half = ("map50", coco.ap_50.unwrap_or(0.0));
        let confidence = figures.best_f1().map(|best| (CONFIDENCE, best.confidence));
        let others = [at_half].into_iter().chain(confidence);
        Evaluation {
            loss: tally.objective().value(),
            losses: Vec::new(),
            metric: coco.ap.unwrap_or(0.0),
            interval: None,
            others: others
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }

    fn gain_p_value(&self, before: &Tally, after: &Tally) -> f64 {
        let classes = &self.data.classes;
        let draws = (self.seed, RESAMPLES);
        gain_p_value(classes, &before.images, &after.images, draws)
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

/// [`evaluation_pixels`] of a picture that may have been decoded smaller: its objects lie where they would in the whole
/// one.
pub fn evaluation_pixels_of_picture(
    picture: &DecodedPicture,
    preprocessing: &Preprocessing,
) -> Vec<f32> {
    let Preprocessing {
        crop,
        interpolation,
        ..
    } = *preprocessing;
    preprocessing.normalized(&letterboxed_picture(picture, crop, interpolation))
}
