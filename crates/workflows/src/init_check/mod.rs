//! `warmstart init-check`: the effect of an initialization on the signal of a forward pass, and on the gradient of a
//! backward pass.

mod network;
mod passes;
mod request;
mod unit_by_unit;

use serde::Serialize;
use warmstart_language::{english, message, translated};
use warmstart_recipe::{Error, Init};

use network::Network;
pub use network::{PLAIN, names};
use passes::{Pass, Passes};
pub use request::Request;

/// Factor by which a signal may grow or shrink through a network that can still be trained.
const MOST_GROWTH: f64 = 1e3;

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
    /// Whether vanishing and growth are measured on it. They are not where its results reach the sum with the shortcut
    /// only through a layer scale: that begins near zero on purpose, and the gradient takes the shortcut. Nor are they
    /// on patches before the class token joins them: its gradient is not a part of theirs.
    pub on_main_path: bool,
}

/// A network under an initialization, from the image to the head.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// The initialization.
    pub init: String,
    /// The layers in the order of the forward pass.
    pub layers: Vec<Layer>,
    /// The classifier behind them; `None` for the plain network. The values below leave it out: it begins small on
    /// purpose, and the pool before it spreads the gradient over the pixels.
    pub head: Option<Layer>,
    /// Deviation of the last layer's results over that of the first's, of those on the main path.
    pub forward: f64,
    /// Deviation of the gradient at the first layer over that at the last, of those on the main path.
    pub backward: f64,
    /// Problems, in sentences; empty if there are none.
    pub findings: Vec<String>,
}

impl Check {
    /// The layers, then the classifier.
    pub fn with_head(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().chain(&self.head)
    }

    /// The layers that vanishing and growth are measured on.
    fn main_path(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        self.layers.iter().filter(|layer| layer.on_main_path)
    }
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

fn of(init: &Init, passes: Passes) -> Check {
    let layers: Vec<Layer> = passes.layers.into_iter().map(layer).collect();
    let mut main_path = layers.iter().filter(|layer| layer.on_main_path);
    let first = main_path.next().expect("a path has a first layer");
    let last = main_path.next_back().unwrap_or(first);
    let mut check = Check {
        init: init.to_string(),
        forward: last.deviation / first.deviation,
        backward: first.gradient_deviation / last.gradient_deviation,
        findings: Vec::new(),
        head: passes.head.map(layer),
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
        on_main_path: pass.on_main_path,
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
    let layers = check.main_path();
    let forward = layers.map(|layer| (layer.name.as_str(), layer.deviation));
    let layers = check.main_path().rev();
    let backward = layers.map(|layer| (layer.name.as_str(), layer.gradient_deviation));
    let signal = growth(
        translated(english!("the signal")),
        &forward.collect::<Vec<_>>(),
        [
            translated(english!("the last layers hardly depend on the image")),
            translated(english!("the initial loss is far too large")),
        ],
    );
    let gradient = growth(
        translated(english!("the gradient")),
        &backward.collect::<Vec<_>>(),
        [
            translated(english!("lower layers hardly learn")),
            translated(english!("updates destroy the lower layers")),
        ],
    );
    let mut findings: Vec<String> = signal.into_iter().chain(gradient).collect();
    let dead: Vec<&str> = check
        .layers
        .iter()
        .filter(|layer| layer.zeros > 0.99)
        .map(|layer| layer.name.as_str())
        .collect();
    if !dead.is_empty() {
        findings.push(message!("nearly all results are zero: {}", dead.join(", ")));
    }
    findings
}

/// The problem with the deviations along the layers, each with its layer's name: how far they grow or shrink, and from
/// which layer on too far. `consequences` are those of vanishing and of exploding.
fn growth(what: &str, way: &[(&str, f64)], consequences: [&str; 2]) -> Option<String> {
    let (start, begins) = way[0];
    let count = way
        .iter()
        .take_while(|(_, deviation)| deviation.is_finite())
        .count();
    let (finite, overflow) = way.split_at(count);
    if finite.is_empty() {
        return Some(message!(
            "{what} is not finite anywhere; {}",
            consequences[1]
        ));
    }
    let grown = |deviation: f64| deviation / begins;
    // Values that are not finite count, too.
    let too_far = |grown: f64| !(1.0 / MOST_GROWTH..=MOST_GROWTH).contains(&grown);
    let (limit, _) = way
        .iter()
        .find(|(_, deviation)| too_far(grown(*deviation)))?;
    let distance = |deviation: f64| match grown(deviation).ln().abs() {
        distance if distance.is_nan() => f64::INFINITY,
        distance => distance,
    };
    let (layers, (end, ends)) = finite
        .iter()
        .enumerate()
        .max_by(|(_, (_, a)), (_, (_, b))| distance(*a).total_cmp(&distance(*b)))?;
    let growth = grown(*ends);
    let (verb, consequence) = if growth < 1.0 && overflow.is_empty() {
        (translated(english!("vanishes")), consequences[0])
    } else {
        (translated(english!("explodes")), consequences[1])
    };
    let overflows = match overflow.first() {
        Some((layer, _)) => message!(", not finite from {layer} on"),
        None => String::new(),
    };
    Some(message!(
        "{what} {verb}: × {growth:.1e} from {start} to {end}, × {:.2} per layer, too far from {limit} on{overflows}; \
         {consequence}",
        growth.powf(1.0 / layers.max(1) as f64)
    ))
}
