//! A task of one file, as docs/extending.md describes it: the brightness of an image, from 0 to 1.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use warmstart_data::{DataError, Dataset, Fit, Preprocessing, Sample, Skipped, evaluation_pixels};
use warmstart_models::{Architecture, Pretrained};
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::ops::{global_average_pool, linear};
use warmstart_nn::{Activation, Folded, Forward, Kind, ParameterInfo, Parameters, StepKey};
use warmstart_recipe::{Error, Phase, Recipe, TaskKind, View};
use warmstart_tasks::preprocessing::for_size;
use warmstart_tasks::task::{Evaluation, Example, HeadParts, Loss, Opened, Task};
use warmstart_tasks::task_data::{ClassOf, TaskData};

const WEIGHT: &str = "head.weight";
const BIAS: &str = "head.bias";

/// The task of learning the brightness of an image.
pub struct Brightness {
    preprocessing: Preprocessing,
    data: Arc<TaskData<f32>>,
    channels: usize,
}

/// Absolute errors of an evaluation.
#[derive(Default, Serialize, Deserialize)]
pub struct Errors(Vec<f64>);

impl Brightness {
    fn predicted(&self, features: Vec<Tensor<4>>, parameters: &Parameters) -> Tensor<2> {
        let features = features
            .into_iter()
            .next()
            .expect("a backbone has a result");
        let average = global_average_pool(features);
        linear(average, parameters.get(WEIGHT), parameters.get(BIAS))
    }
}

impl Task for Brightness {
    type Label = f32;
    type Target = f32;
    type Outputs = Vec<f32>;
    type Tally = Errors;

    const KIND: TaskKind = TaskKind::Classify;
    const CLASS_OF: ClassOf<f32> = None;

    /// Images in `train` and `val`, each called by its brightness.
    fn open(recipe: &Recipe) -> Result<Opened<f32>, Error> {
        let samples = |split: &str| -> Result<Vec<Sample<f32>>, Error> {
            let folder = recipe.data.join(split);
            let listed =
                fs::read_dir(&folder).map_err(|error| Error::io("list", &folder, error))?;
            let mut paths: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            let label = |path: &Path| path.file_stem()?.to_str()?.parse().ok();
            let samples = paths.into_iter().filter_map(|path| {
                let label = label(&path)?;
                Some(Sample { path, label })
            });
            Ok(samples.collect())
        };
        Ok(Opened {
            data: Dataset {
                classes: vec!["brightness".to_owned()],
                train: samples("train")?,
                validation: samples("val")?,
                test: None,
                ignored: Skipped::default(),
                without_validation: Vec::new(),
                notes: Vec::new(),
            },
            unreadable: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn require_learnable(_: &Dataset<f32>) -> Result<(), Error> {
        Ok(())
    }

    fn classes_of(_: &f32) -> Vec<usize> {
        vec![0]
    }

    fn backbone(architecture: Architecture) -> Result<Architecture, Error> {
        Ok(architecture)
    }

    fn preprocessing(pretrained: &Pretrained, recipe: &Recipe) -> Preprocessing {
        for_size(pretrained, recipe.image_size, Fit::Squash)
    }

    fn new(
        _: &Recipe,
        backbone: &Architecture,
        data: &Arc<TaskData<f32>>,
        preprocessing: Preprocessing,
    ) -> Self {
        Self {
            preprocessing,
            data: Arc::clone(data),
            channels: backbone.features,
        }
    }

    fn head(&self) -> HeadParts<'_> {
        let parameter = |name: &str, shape: Vec<usize>, kind| ParameterInfo {
            name: name.to_owned(),
            shape,
            kind,
            activation: Activation::Identity,
        };
        HeadParts {
            parameters: vec![
                parameter(WEIGHT, vec![1, self.channels], Kind::LinearWeight),
                parameter(BIAS, vec![1], Kind::LinearBias),
            ],
            layers: Vec::new(),
            class_layers: vec!["head".to_owned()],
        }
    }

    fn training_example(
        &self,
        image: usize,
        _: View,
        _: &Phase,
    ) -> Result<Example<f32>, DataError> {
        self.evaluation_example(&self.data.train[image])
    }

    fn training_target(&self, image: usize, _: View, _: &Phase) -> f32 {
        self.data.train[image].label
    }

    fn evaluation_example(&self, sample: &Sample<f32>) -> Result<Example<f32>, DataError> {
        Ok(Example {
            pixels: evaluation_pixels(&sample.path, &self.preprocessing)?,
            target: sample.label,
        })
    }

    fn evaluation_target(&self, label: &f32) -> f32 {
        *label
    }

    fn pool_features(features: Vec<Tensor<4>>) -> Vec<Tensor<4>> {
        features
    }

    /// Mean of the squared errors.
    fn loss(
        &self,
        features: Vec<Tensor<4>>,
        _: &mut Forward,
        parameters: &Parameters,
        targets: &[f32],
        _: &Phase,
        _: StepKey,
    ) -> Loss {
        let predicted = self.predicted(features, parameters);
        let targets = TensorData::new(targets.to_vec(), predicted.dims());
        let targets = Tensor::<2>::from_data(targets, &predicted.device());
        let root = (predicted - targets).powi_scalar(2).mean();
        let value: f32 = root.clone().inner().into_scalar();
        Loss {
            value: value.into(),
            root,
        }
    }

    fn outputs(&self, features: Vec<Tensor<4>>, _: &Folded, parameters: &Parameters) -> Vec<f32> {
        let predicted = self.predicted(features, parameters);
        predicted.into_data().try_into_vec().expect("they are f32")
    }

    fn mean_of(&self, _outputs: [&Vec<f32>; 2]) -> Option<Vec<f32>> {
        None
    }

    fn add(&self, tally: &mut Errors, predicted: Vec<f32>, targets: &[f32]) {
        let errors = predicted.iter().zip(targets);
        tally
            .0
            .extend(errors.map(|(predicted, target)| f64::from((predicted - target).abs())));
    }

    fn append(tally: &mut Errors, more: Errors) {
        tally.0.extend(more.0);
    }

    fn evaluation(&self, tally: &Errors) -> Evaluation {
        let error = tally.0.iter().sum::<f64>() / tally.0.len().max(1) as f64;
        Evaluation {
            loss: error,
            losses: Vec::new(),
            metric: 1.0 - error,
            interval: None,
            others: BTreeMap::new(),
        }
    }

    fn gain_p_value(&self, before: &Errors, after: &Errors) -> f64 {
        let better = after
            .0
            .iter()
            .zip(&before.0)
            .filter(|(after, before)| after < before);
        1.0 - better.count() as f64 / before.0.len().max(1) as f64
    }
}

/// Makes a data set of grey images: so many to train on, and four to validate on.
pub fn grey_images(folder: &Path, images: usize) {
    let splits = [("train", images), ("val", 4)];
    for (split, count) in splits {
        let folder = folder.join(split);
        fs::create_dir_all(&folder).unwrap();
        for image in 0..count {
            let brightness = (image as f32 + 0.5) / count as f32;
            let grey = (brightness * 255.0) as u8;
            fs::write(folder.join(format!("{brightness:.4}.bmp")), bitmap(grey)).unwrap();
        }
    }
}

/// A picture of 32 × 32 pixels of one grey, in the format BMP.
fn bitmap(grey: u8) -> Vec<u8> {
    const EDGE: u32 = 32;
    const HEADER: u32 = 54;
    let pixels = EDGE * EDGE * 3;
    let mut file = b"BM".to_vec();
    for number in [HEADER + pixels, 0, HEADER, 40, EDGE, EDGE] {
        file.extend(number.to_le_bytes());
    }
    // One plane of 24 bits a pixel.
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    file.resize((HEADER + pixels) as usize, grey);
    file
}
