use std::collections::HashSet;

use warmstart_data::{Fit, epoch_order, evaluation_pixels};
use warmstart_language::message;
use warmstart_models::Architecture;
use warmstart_nn::burn::tensor::{Tensor, TensorData, activation::relu};
use warmstart_nn::initialization::{LinearDefault, ModelDefaults, Scheme};
use warmstart_nn::ops::linear;
use warmstart_nn::{Activation, Kind, ParameterInfo, Parameters};
use warmstart_recipe::{Error, Init, Key, Problem, VAL_SPLIT, architecture, require_whole_patches};
use warmstart_tasks::classify::Head;
use warmstart_tasks::preprocessing;
use warmstart_train::initial_weights::is_scaled_by_images;
use warmstart_train::layer_sequential;

use super::passes::{Pass, Passes, values};
use super::request::Request;
use super::unit_by_unit::pass;

/// The textbook's network: linear layers and ReLUs, without batch norm, which would compensate for the
/// initialization.
pub const PLAIN: &str = "plain";
/// Depth and width of the plain network.
const DEPTH: usize = 30;
const WIDTH: usize = 512;
/// Classes of the loss where there are no data.
const CLASSES: usize = 10;

/// Names of the networks that can be checked.
pub fn names() -> impl Iterator<Item = &'static str> {
    warmstart_models::names().chain([PLAIN])
}

/// A network with a batch for it.
pub enum Network {
    /// Linear layers without batch norm, and `[batch, width]`.
    Plain(Vec<f32>, usize),
    /// An architecture.
    Of(Box<Classifier>),
}

/// An architecture with a batch for it.
pub struct Classifier {
    architecture: Architecture,
    /// `[batch, size, size, 3]`
    images: Tensor<4>,
    labels: Vec<usize>,
}

impl Network {
    pub fn new(request: &Request) -> Result<Self, Error> {
        let noise = |values: usize| noise("images", values, request.seed);
        if request.model == PLAIN {
            let given = [
                (Key::DATA, request.data.is_some()),
                (Key::IMAGE_SIZE, request.image_size.is_some()),
            ];
            if let Some((key, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
                return Err(Problem::new(message!("the plain network takes no images"))
                    .of_key(key)
                    .fix(message!("leave {key} out"))
                    .into());
            }
            return Ok(Self::Plain(noise(request.batch * WIDTH), request.batch));
        }
        let architecture = architecture(&request.model)?;
        let size = request
            .image_size
            .unwrap_or(architecture.pretrained().image_size);
        require_whole_patches(&architecture, size)?;
        let (pixels, labels) = match &request.data {
            None => (
                noise(request.batch * size * size * 3),
                (0..request.batch).map(|image| image % CLASSES).collect(),
            ),
            Some(folder) => {
                let data = warmstart_data::open(folder, VAL_SPLIT, request.seed)?;
                let preprocessing =
                    preprocessing::for_size(architecture.pretrained(), size, Fit::Crop);
                let order = epoch_order(request.seed, 0, data.train.len());
                let (mut pixels, mut labels) = (Vec::new(), Vec::new());
                for &sample in order.iter().take(request.batch) {
                    let sample = &data.train[sample];
                    pixels.extend(evaluation_pixels(&sample.path, &preprocessing)?);
                    labels.push(sample.label);
                }
                (pixels, labels)
            }
        };
        let shape = [labels.len(), size, size, 3];
        let images = Tensor::from_data(TensorData::new(pixels, shape), &warmstart_nn::device());
        Ok(Self::Of(Box::new(Classifier {
            architecture,
            images,
            labels,
        })))
    }

    /// A forward and a backward pass under an initialization.
    ///
    /// # Errors
    /// If it names a layer that isn't there.
    pub fn pass(&self, init: &Init, seed: u64) -> Result<Passes, Error> {
        match self {
            Self::Plain(..) if is_scaled_by_images(init.0.weights) => Err(Error::usage(message!(
                "lsuv scales convolutions, and the plain network has none"
            ))
            .fix(message!("give another {}, or a {}", Key::INIT, Key::MODEL))),
            Self::Plain(batch, images) => {
                let infos = plain_parameters();
                let defaults = ModelDefaults {
                    linear: LinearDefault::Uniform { inputs: WIDTH },
                    light_detector: &[],
                    last_norms: Vec::new(),
                    layer_scale: 1.0,
                };
                let parameters = parameters(&infos, &defaults, init, PLAIN, seed)?;
                let batch = TensorData::new(batch.clone(), [*images, WIDTH]);
                let batch = Tensor::from_data(batch, &warmstart_nn::device());
                Ok(Passes {
                    layers: plain_pass(&parameters, batch, seed),
                    head: None,
                })
            }
            Self::Of(classifier) => {
                let Classifier {
                    architecture,
                    images,
                    labels,
                } = &**classifier;
                if is_scaled_by_images(init.0.weights) {
                    layer_sequential::check(architecture)?;
                }
                let classes = labels
                    .iter()
                    .max()
                    .map_or(CLASSES, |most| (most + 1).max(CLASSES));
                let head = Head::new(architecture, classes);
                let mut infos = architecture.backbone_parameters();
                infos.extend(head.parameters().iter().cloned());
                let defaults = architecture.initialization();
                let mut parameters = parameters(&infos, &defaults, init, architecture.name, seed)?;
                if is_scaled_by_images(init.0.weights) {
                    let all: HashSet<String> = infos.into_iter().map(|info| info.name).collect();
                    layer_sequential::scale(&mut parameters, architecture, &all, images.clone());
                }
                Ok(pass(
                    architecture,
                    &head,
                    &parameters,
                    images.clone(),
                    labels,
                ))
            }
        }
    }
}

/// Standard normal values, different for each purpose.
fn noise(purpose: &str, values: usize, seed: u64) -> Vec<f32> {
    let values = info(purpose, &[1, values], Kind::LinearWeight);
    Scheme::Normal { deviation: 1.0 }.values(&values, seed)
}

fn info(name: &str, shape: &[usize], kind: Kind) -> ParameterInfo {
    ParameterInfo {
        name: name.to_owned(),
        shape: shape.to_vec(),
        kind,
        activation: Activation::Relu,
    }
}

fn parameters(
    infos: &[ParameterInfo],
    defaults: &ModelDefaults,
    init: &Init,
    model: &str,
    seed: u64,
) -> Result<Parameters, Error> {
    if let Some(name) = init.0.unknown_name(infos) {
        return Err(Error::usage(message!(
            "{model} has no convolution or linear layer `{name}`"
        )));
    }
    let device = warmstart_nn::device();
    Ok(init.0.parameters(infos, defaults, seed, &device))
}

fn plain_name(layer: usize) -> String {
    format!("layer{layer}")
}

fn plain_parameters() -> Vec<ParameterInfo> {
    let layer = |layer: usize| {
        let name = plain_name(layer);
        let weight = info(
            &format!("{name}.weight"),
            &[WIDTH, WIDTH],
            Kind::LinearWeight,
        );
        [
            weight,
            info(&format!("{name}.bias"), &[WIDTH], Kind::LinearBias),
        ]
    };
    (1..=DEPTH).flat_map(layer).collect()
}

/// Passes of the plain network; the gradient at its end is noise, as large for every initialization.
fn plain_pass(parameters: &Parameters, batch: Tensor<2>, seed: u64) -> Vec<Pass> {
    let mut nodes = Vec::new();
    let mut x = batch;
    for layer in 1..=DEPTH {
        let name = plain_name(layer);
        let input = x.autodiff().require_grad();
        let weight = parameters.get::<2>(&format!("{name}.weight")).autodiff();
        let bias = parameters.get::<1>(&format!("{name}.bias")).autodiff();
        let output = relu(linear(input.clone(), weight, bias));
        x = output.clone().inner();
        nodes.push((name, input, output));
    }
    let [images, width] = x.dims();
    let end = TensorData::new(noise("gradient", images * width, seed), [images, width]);
    let mut gradient = Tensor::<2>::from_data(end, &warmstart_nn::device());
    let mut passes = Vec::new();
    for (name, input, output) in nodes.into_iter().rev() {
        passes.push(Pass {
            name,
            output: values(output.clone().inner()),
            gradient: values(gradient.clone()),
            on_main_path: true,
        });
        let gradients = (output * gradient.autodiff()).sum().backward();
        gradient = input.grad(&gradients).expect("the input is tracked");
    }
    passes.reverse();
    passes
}

#[cfg(test)]
mod tests {
    use warmstart_nn::layers::Layer;
    use warmstart_nn::{Forward, Unit};

    use super::*;
    use warmstart_tasks::classify::loss::cross_entropy;

    /// A batch norm's shift is added to what goes into the activation: its gradient is the sum of the
    /// result's over the places where the activation lets it through.
    #[test]
    fn gradients_unit_by_unit_are_those_of_the_whole_network() {
        for (model, highest) in [
            ("resnet18", f32::INFINITY),
            ("mobilenet_v2", 6.0),
            ("mobilenet_v3_small", f32::INFINITY),
            ("vit_tiny_patch16_224", f32::INFINITY),
        ] {
            let request = Request {
                model: model.into(),
                batch: 4,
                image_size: Some(32),
                seed: 3,
                data: None,
            };
            let Network::Of(classifier) = Network::new(&request).unwrap() else {
                panic!("an architecture has images")
            };
            let Classifier {
                architecture,
                images,
                labels,
            } = *classifier;
            let head = Head::new(&architecture, CLASSES);
            let mut infos = architecture.backbone_parameters();
            infos.extend(head.parameters().iter().cloned());
            let init = Init::default();
            let defaults = architecture.initialization();
            let parameters = parameters(&infos, &defaults, &init, model, 3).unwrap();

            let tracked = parameters.tracked(|_| true);
            let mut statistics = Vec::new();
            let mut forward = Forward::Training {
                parameters: &tracked,
                frozen_statistics: false,
                statistics: &mut statistics,
                stochastic_depth: None,
            };
            let stages = 0..architecture.stages.len();
            let features =
                architecture.forward(stages.clone(), images.clone().autodiff(), &mut forward);
            let loss = cross_entropy(head.logits(features, &tracked, None), &labels, 0.0);
            let expected = tracked.take_gradients(&mut loss.backward());

            let Passes {
                layers: passes,
                head: of_head,
            } = pass(&architecture, &head, &parameters, images, &labels);
            let of_head = of_head.unwrap();
            let of_bias = expected.values(&format!("{}.bias", of_head.name));
            for (class, of_bias) in of_bias.iter().enumerate() {
                let of_class = of_head.gradient.iter().skip(class).step_by(CLASSES);
                assert!((of_class.sum::<f32>() - of_bias).abs() < 1e-6);
            }
            let layers = architecture.layers(stages.clone());
            let linear = layers.filter(|layer| matches!(layer, Layer::Linear(_)));
            let count = architecture.units(stages.clone()).count() + linear.count();
            assert_eq!(passes.len(), count);
            // Where the derivative of an activation is 0 or 1, the result tells which.
            let tells = |unit: &&Unit| match unit.spec.activation {
                Activation::Identity | Activation::Relu | Activation::Relu6 => true,
                Activation::HardSwish
                | Activation::HardSigmoid
                | Activation::Sigmoid
                | Activation::Silu
                | Activation::Gelu => false,
            };
            for unit in architecture.units(stages).filter(tells) {
                let pass = passes.iter().find(|pass| pass.name == unit.conv).unwrap();
                let bounded = unit.spec.activation != Activation::Identity;
                let (mut found, mut size) = (vec![0.0; unit.out_channels], 0.0);
                let values = pass.output.iter().zip(&pass.gradient).enumerate();
                for (index, (&output, &gradient)) in values {
                    if !bounded || output > 0.0 && output < highest {
                        found[index % unit.out_channels] += f64::from(gradient);
                        size += f64::from(gradient.abs());
                    }
                }
                let expected = expected.values(&format!("{}.bias", unit.name()));
                // Behind a batch norm a shift changes little, so what is summed nearly cancels.
                let size = size / unit.out_channels as f64;
                for (found, expected) in found.iter().zip(expected) {
                    let apart = (found - f64::from(expected)).abs();
                    assert!(
                        apart <= 1e-4 * size,
                        "{model} {}: {found} {expected}",
                        unit.conv
                    );
                }
            }
        }
    }
}
