//! What an initialization does to a signal on its way forward, and to a gradient on its way back.

mod network;
mod unit_by_unit;

use serde::Serialize;
use warmstart_nn::burn::tensor::Tensor;

use network::{Network, Pass};
pub use network::{PLAIN, names};

use crate::Error;
use crate::recipe::Init;

/// Ends of a network between which a signal may grow or shrink by this factor: training still gets through.
const MOST_GROWTH: f64 = 1e3;

/// What is to be pushed through which network.
pub struct Request {
    /// Name of an architecture, or [`PLAIN`].
    pub model: String,
    /// Images in the batch.
    pub batch: usize,
    /// Edge of the square images in pixels; `None` for the model's own.
    pub image_size: Option<usize>,
    /// Everything random follows from it.
    pub seed: u64,
    /// Images to take; noise if there are none.
    pub data: Option<std::path::PathBuf>,
}

/// A layer under an initialization.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Mean of its results.
    pub mean: f64,
    /// Standard deviation of its results.
    pub deviation: f64,
    /// Share of results that are exactly zero; 0..1.
    pub zeros: f64,
    /// Standard deviation of the gradient of the loss by its results.
    pub gradient_deviation: f64,
}

/// A network under an initialization, from the image to the head.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The initialization.
    pub init: String,
    /// The layers in the order of the forward pass.
    pub layers: Vec<Layer>,
    /// Deviation of the last layer's results over that of the first's.
    pub forward: f64,
    /// Deviation of the gradient at the first layer over that at the last.
    pub backward: f64,
    /// What is wrong, in sentences; empty if nothing is.
    pub findings: Vec<String>,
}

/// Pushes a batch through a network, forward and back, under each initialization.
///
/// # Errors
/// If there is no such model, or the images cannot be read.
pub fn check(request: &Request, inits: &[Init]) -> Result<Vec<Check>, Error> {
    let network = Network::new(request)?;
    inits
        .iter()
        .map(|init| Ok(of(init, network.pass(init, request.seed)?)))
        .collect()
}

fn of(init: &Init, passes: Vec<Pass>) -> Check {
    let layers: Vec<Layer> = passes.into_iter().map(layer).collect();
    let (first, last) = (&layers[0], &layers[layers.len() - 1]);
    let mut check = Check {
        init: init.to_string(),
        forward: last.deviation / first.deviation,
        backward: first.gradient_deviation / last.gradient_deviation,
        findings: Vec::new(),
        layers,
    };
    check.findings = findings(&check);
    check
}

fn layer(pass: Pass) -> Layer {
    let Moments {
        mean,
        deviation,
        zeros,
    } = Moments::of(&pass.output);
    Layer {
        name: pass.name,
        mean,
        deviation,
        zeros,
        gradient_deviation: Moments::of(&pass.gradient).deviation,
    }
}

struct Moments {
    mean: f64,
    deviation: f64,
    zeros: f64,
}

impl Moments {
    fn of(values: &[f32]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let squares = values
            .iter()
            .map(|&value| (f64::from(value) - mean).powi(2));
        Self {
            mean,
            deviation: (squares.sum::<f64>() / count).sqrt(),
            zeros: values.iter().filter(|value| **value == 0.0).count() as f64 / count,
        }
    }
}

fn findings(check: &Check) -> Vec<String> {
    let steps = (check.layers.len() - 1) as f64;
    let mut findings = Vec::new();
    let first = &check.layers[0];
    let last = &check.layers[check.layers.len() - 1];
    for (what, growth, from, to, consequence) in [
        (
            "the signal",
            check.forward,
            first,
            last,
            [
                "what the last layers see no longer depends on the image",
                "the loss overflows",
            ],
        ),
        (
            "the gradient",
            check.backward,
            last,
            first,
            [
                "lower layers hardly learn",
                "steps throw the lower layers away",
            ],
        ),
    ] {
        let each = growth.powf(1.0 / steps);
        let (verb, consequence) = match growth {
            growth if growth < 1.0 / MOST_GROWTH => ("vanishes", consequence[0]),
            growth if growth <= MOST_GROWTH => continue,
            // Also where it is no number any more.
            _ => ("explodes", consequence[1]),
        };
        findings.push(format!(
            "{what} {verb}: × {growth:.1e} from {} to {}, × {each:.2} a layer; {consequence}",
            from.name, to.name
        ));
    }
    let dead = check.layers.iter().filter(|layer| layer.zeros > 0.99);
    let dead: Vec<&str> = dead.map(|layer| layer.name.as_str()).collect();
    if !dead.is_empty() {
        findings.push(format!("nearly all results are zero: {}", dead.join(", ")));
    }
    findings
}

/// All values of a tensor.
fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("tensors are f32")
}
