//! What `bench/models` makes its tables of: a line of JSON for each network, with its size, the error of its logits
//! against PyTorch's, and its records.
//!
//! ```text
//! cargo run --release --example table
//! ```
//!
//! The error is that of inference at 97×65, or at the smallest size that a network's goldens have, with the weights of
//! `tests/fixtures/README.md`, as the tests of this crate compare it: the largest difference as a share of the largest
//! logit. PyTorch's own error is `null` where the goldens are of f64.
#![allow(clippy::print_stdout, reason = "an example reports on the terminal")]

#[path = "../tests/formula/mod.rs"]
mod formula;

use std::collections::HashSet;
use std::error::Error;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Value, json};
use warmstart_models::{Architecture, Numerics, Record, by_name, names, records, with_record};
use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::ops;
use warmstart_nn::{Forward, Parameters};

use formula::{formula, symmetric};

/// Classes of the published weights, and of the goldens.
const CLASSES: usize = 1000;
const GOLDEN_CLASSES: usize = 10;
/// Height and width of the goldens' two pictures, where their name does not say it.
const PICTURE: [usize; 2] = [97, 65];
const LOGITS: &str = "eval_logits";

fn main() -> Result<(), Box<dyn Error>> {
    for name in names() {
        println!("{}", network(name)?);
    }
    Ok(())
}

fn network(name: &str) -> Result<Value, Box<dyn Error>> {
    let architecture = by_name(name).ok_or("the network has a usual record")?;
    let classifier = architecture.classifier_parameters(CLASSES);
    let parameters = architecture.backbone_parameters();
    let trained = parameters.iter().chain(&classifier);
    let trained = trained.filter(|info| info.kind.is_trained());
    let size = architecture.pretrained().image_size;
    let multiply_adds =
        architecture.multiply_adds([size, size, 3]) + architecture.features * CLASSES;
    let goldens = Goldens::read(name)?;
    let (key, picture) = goldens.logits()?;
    let golden = goldens.values(&key)?;
    let exact = goldens.values("eval_logits_f64").ok();
    let ours = logits(&with_pytorchs_constants(name)?, picture)?;
    Ok(json!({
        "name": name,
        "stages": architecture.stages.len(),
        "parameters": trained.map(|info| info.shape.iter().product::<usize>()).sum::<usize>(),
        "image_size": size,
        "multiply_adds": multiply_adds,
        "error": difference(&ours, &golden),
        "error_of_pytorch": exact.map(|exact| difference(&golden, &exact)),
        "usual": architecture.record.name,
        "records": records(name).map(record).collect::<Vec<_>>(),
    }))
}

fn record(record: &Record) -> Value {
    let pretrained = &record.pretrained;
    json!({
        "name": record.name,
        "library": record.library,
        "image_size": pretrained.image_size,
        "resized": pretrained.resized(pretrained.image_size),
        "interpolation": pretrained.interpolation.to_string(),
        "mean": pretrained.mean,
        "deviation": pretrained.deviation,
        "same_padding": record.numerics.same_padding,
        "epsilon": record.numerics.epsilon,
        "momentum": record.numerics.momentum,
        "classes": record.classes,
        "top1": record.top1,
        "license": record.license,
    })
}

/// The network with the constants of the goldens, which are those of the library whose names it has.
fn with_pytorchs_constants(name: &str) -> Result<Architecture, Box<dyn Error>> {
    let architecture = by_name(name).ok_or("the network has a usual record")?;
    // Its names are timm's, which resizes positions in its own way.
    if architecture.tokens.is_some() {
        let record = records(name).find(|record| record.library == "timm");
        let record = record.ok_or("timm has weights of the network")?;
        return Ok(with_record(name, record).ok_or("the network is there")?);
    }
    if !architecture.record.numerics.same_padding {
        return Ok(architecture);
    }
    let numerics = Numerics {
        epsilon: 1e-5,
        momentum: 0.1,
        same_padding: false,
    };
    let record = Record {
        numerics,
        ..architecture.record.clone()
    };
    let record = Box::leak(Box::new(record));
    Ok(with_record(name, record).ok_or("the network is there")?)
}

/// Logits of the goldens' pictures of that height and width in inference.
fn logits(
    architecture: &Architecture,
    [height, width]: [usize; 2],
) -> Result<Vec<f32>, Box<dyn Error>> {
    let device = warmstart_nn::device();
    let parameters = formulas(architecture)?;
    let all = 0..architecture.stages.len();
    let folded = architecture.fold(all.clone(), &parameters, &device);
    let shape = [2, 3, height, width];
    let pixels = symmetric("input", shape.iter().product(), 2.0);
    let pictures = Tensor::<4>::from_data(TensorData::new(pixels, shape), &device);
    let pictures = pictures.permute([0, 2, 3, 1]);
    let features = architecture.forward(all, pictures, &mut Forward::Inference(&folded));
    let classifier = |field: &str| format!("{}.{field}", architecture.classifier);
    let logits = ops::linear(
        ops::image_means(features),
        parameters.get(&classifier("weight")),
        parameters.get(&classifier("bias")),
    );
    Ok(logits.into_data().try_into_vec()?)
}

/// Largest difference as a share of the largest value.
fn difference(values: &[f32], golden: &[f32]) -> f32 {
    let largest = golden.iter().fold(0.0f32, |a, value| a.max(value.abs()));
    let pairs = values.iter().zip(golden);
    pairs.fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs())) / largest
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// What PyTorch computed of a network.
struct Goldens(Vec<u8>);

impl Goldens {
    fn read(name: &str) -> Result<Self, Box<dyn Error>> {
        let path = fixtures().join(format!("models/{name}.safetensors"));
        Ok(Self(std::fs::read(path)?))
    }

    /// Name of the logits of two pictures, and the pictures' height and width: the smallest of several sizes.
    fn logits(&self) -> Result<(String, [usize; 2]), Box<dyn Error>> {
        let file = SafeTensors::deserialize(&self.0)?;
        let names = file.names().into_iter().map(ToString::to_string);
        let sizes = names.filter_map(|name| {
            let rest = name.strip_prefix(LOGITS)?;
            if rest.is_empty() {
                return Some((name, PICTURE));
            }
            let (height, width) = rest.strip_prefix('_')?.split_once('x')?;
            let size = [height.parse().ok()?, width.parse().ok()?];
            Some((name, size))
        });
        let smallest = sizes.min_by_key(|(_, [height, width])| height * width);
        smallest.ok_or_else(|| "the goldens have logits".into())
    }

    fn values(&self, key: &str) -> Result<Vec<f32>, Box<dyn Error>> {
        let file = SafeTensors::deserialize(&self.0)?;
        let bytes = file.tensor(key)?.data().to_vec();
        let values = bytes.chunks_exact(4).map(|bytes| bytes.try_into());
        let values = values.map(|bytes| bytes.map(f32::from_le_bytes));
        Ok(values.collect::<Result<_, _>>()?)
    }
}

/// The scales of the batch norms that end a branch.
fn ends_of_branches(architecture: &Architecture) -> Result<HashSet<String>, Box<dyn Error>> {
    let path = fixtures().join(format!("names/{}.tsv", architecture.name));
    let names = std::fs::read_to_string(path)?;
    let ends = names.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let kind = columns.next()?;
        (kind == "norm_end").then_some(format!("{}.weight", columns.nth(1)?))
    });
    Ok(ends.collect())
}

/// The parameters of `tests/fixtures/README.md`.
fn formulas(architecture: &Architecture) -> Result<Parameters, Box<dyn Error>> {
    let mut units = architecture.units(0..architecture.stages.len());
    let ends = if units.any(|unit| unit.norm.is_some()) {
        ends_of_branches(architecture)?
    } else {
        HashSet::new()
    };
    let device = warmstart_nn::device();
    let mut parameters = Parameters::new();
    let mut infos = architecture.backbone_parameters();
    infos.extend(architecture.classifier_parameters(GOLDEN_CLASSES));
    for info in infos {
        let values = formula(&info, ends.contains(&info.name));
        parameters.insert_values(&info.name, &info.shape, values, &device);
    }
    Ok(parameters)
}
