//! What PyTorch computes, and how far ours is from it.
#![allow(dead_code, reason = "each test file uses some of it")]

pub mod names;
pub mod training;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use warmstart_models::Architecture;
use warmstart_nn::Parameters;
use warmstart_nn::burn::tensor::activation::log_softmax;
use warmstart_nn::burn::tensor::{Device, Tensor, TensorData};

/// Classes of all networks here.
pub const CLASSES: usize = 10;
/// The class of each of the two pictures.
const LABELS: [usize; 2] = [3, 7];

/// The folder of all that PyTorch computed.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// Tensors by name: shape and values.
pub type Goldens = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The goldens of one model.
pub fn goldens(model: &str) -> Goldens {
    let bytes = std::fs::read(fixtures().join(format!("models/{model}.safetensors"))).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            let values = view
                .data()
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect();
            (name, (view.shape().to_vec(), values))
        })
        .collect()
}

/// A picture batch `[batch, 3, height, width]` as the models take it.
pub fn picture(shape: &[usize], values: Vec<f32>) -> Tensor<4> {
    picture_on(shape, values, &warmstart_nn::device())
}

/// Such a batch on a device.
pub fn picture_on(shape: &[usize], values: Vec<f32>, device: &Device) -> Tensor<4> {
    let data = TensorData::new(values, shape.to_vec());
    Tensor::<4>::from_data(data, device).permute([0, 2, 3, 1])
}

/// What the classifier makes of the features of a backbone.
pub fn logits(
    architecture: &Architecture,
    features: Tensor<4>,
    parameters: &Parameters,
) -> Tensor<2> {
    let [batch, height, width, channels] = features.dims();
    let average: Tensor<2> = features
        .reshape([batch, height * width, channels])
        .mean_dim(1)
        .reshape([batch, channels]);
    let [weight, bias] = architecture.classifier_parameters(CLASSES);
    let weight: Tensor<2> = parameters.get(&weight.name);
    let bias: Tensor<1> = parameters.get(&bias.name);
    average.matmul(weight.transpose()) + bias.unsqueeze()
}

/// The mean cross-entropy of the logits of the two pictures of a training pass.
pub fn loss(logits: Tensor<2>) -> Tensor<1> {
    let mut one_hot = vec![0f32; LABELS.len() * CLASSES];
    for (row, label) in LABELS.into_iter().enumerate() {
        one_hot[row * CLASSES + label] = -1.0 / LABELS.len() as f32;
    }
    let data = TensorData::new(one_hot, [LABELS.len(), CLASSES]);
    let device = logits.clone().inner().device();
    let picked = Tensor::<2>::from_data(data, &device);
    (log_softmax(logits, 1) * picked.autodiff()).sum()
}

/// Holds gradients against the goldens `<prefix>gradient_norm.…`, of every parameter, and `<prefix>gradient.…`, of some
/// values. Values may be off by `tolerance` of the largest, and norms by twice that.
pub fn compare_gradients(
    model: &str,
    gradients: &Parameters,
    goldens: &Goldens,
    prefix: &str,
    tolerance: f32,
) {
    let largest_norm = goldens
        .iter()
        .filter(|(name, _)| name.starts_with(&format!("{prefix}gradient_norm.")))
        .fold(0f32, |a, (_, (_, norm))| a.max(norm[0]));
    let mut compared = 0;
    for (name, (_, golden)) in goldens {
        if let Some(parameter) = name.strip_prefix(&format!("{prefix}gradient_norm.")) {
            let values = gradients.values(parameter);
            let squares = values.iter().map(|value| f64::from(*value).powi(2));
            let norm = squares.sum::<f64>().sqrt() as f32;
            let scale = golden[0].max(1e-3 * largest_norm);
            let off = (norm - golden[0]).abs() / scale;
            assert!(
                off < 2.0 * tolerance,
                "{model} {name}: {norm} is not {}",
                golden[0]
            );
            compared += 1;
        } else if let Some(parameter) = name.strip_prefix(&format!("{prefix}gradient.")) {
            let ours = gradients.values(parameter);
            let off = difference(&ours[..golden.len()], golden);
            assert!(off < tolerance, "{model} {name}: {off:e}");
        }
    }
    assert_eq!(
        compared,
        gradients.names().count(),
        "every parameter of {model} has a gradient"
    );
}

/// The values of a tensor.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

/// Largest difference as a share of the largest value.
pub fn difference(ours: &[f32], golden: &[f32]) -> f32 {
    assert_eq!(ours.len(), golden.len());
    let largest = golden.iter().fold(f32::MIN_POSITIVE, |a, v| a.max(v.abs()));
    let pairs = ours.iter().zip(golden);
    pairs.fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs())) / largest
}
