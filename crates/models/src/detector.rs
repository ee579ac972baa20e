//! A single-stage, anchor-free detector on the features of any backbone: the neck of Liu, Qi, Qin, Shi
//! and Jia, "Path Aggregation Network for Instance Segmentation" (arXiv 1803.01534), section 3.1, and
//! the head of Lyu and others, "RTMDet: An Empirical Study of Designing Real-Time Object Detectors"
//! (arXiv 2212.07784), section 3, in a width for processors: separable 5×5 kernels, 96 channels.

use std::collections::HashSet;
use std::slice::from_ref;

use warmstart_nn::Activation::{self, Silu};
use warmstart_nn::Parameters;
use warmstart_nn::block::{Block, Forward, Kind, ParameterInfo, Shortcut, Unit};
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::ops::linear;

/// Pixels from one point of a map to the next, in the image.
pub const STRIDES: [usize; 3] = [8, 16, 32];
/// Channels of the neck and the head.
const WIDTH: usize = 96;
/// Convolutions in front of a predictor.
const DEPTH: usize = 2;
/// Values of a box: left, top, right, bottom.
const SIDES: usize = 4;
/// Name of the only part that depends on the classes.
pub const CLASS_PREDICTOR: &str = "head.class_predictor";
const BOX_PREDICTOR: &str = "head.box_predictor";
/// First parts of the names of all its parameters.
pub(crate) const PARTS: [&str; 2] = ["neck", "head"];

/// The part of a detector after its backbone.
#[derive(Clone, Debug)]
pub struct Detector {
    classes: usize,
    /// 1×1, from the backbone's widths to the neck's.
    laterals: [Block; 3],
    /// At strides 16 and 8.
    top_down: [PartialBlock; 2],
    /// 3×3, to strides 16 and 32.
    down: [Block; 2],
    /// At strides 16 and 32.
    bottom_up: [PartialBlock; 2],
    /// By stride: the convolutions are shared, their batch norms are not.
    heads: [Head; 3],
}

/// The two branches of the head at one stride.
#[derive(Clone, Debug)]
struct Head {
    classes: Vec<Block>,
    boxes: Vec<Block>,
}

/// A detector's results for each point of its maps: those of stride 8 first, each map row by row.
pub struct Predictions {
    /// Logits `[batch, points, classes]`.
    pub classes: Tensor<3>,
    /// `[batch, points, 4]`: logarithms of the distances from the point to the left, top, right and
    /// bottom of its box, in strides.
    pub boxes: Tensor<3>,
}

impl Detector {
    /// A detector of that many classes on maps of those channels at strides 8, 16 and 32.
    pub fn new(channels: [usize; 3], classes: usize) -> Self {
        let levels: [usize; 3] = [0, 1, 2];
        Self {
            classes,
            laterals: levels.map(|level| {
                let name = format!("neck.lateral.{level}");
                Block::Unit(unit(&name, "norm", [channels[level], WIDTH], 1, 1))
            }),
            top_down: [1, 0].map(|level| PartialBlock::new(&format!("neck.top_down.{level}"))),
            down: [0, 1].map(|level| {
                let name = format!("neck.down.{level}");
                Block::Unit(unit(&name, "norm", [WIDTH, WIDTH], 3, 2))
            }),
            bottom_up: [1, 2].map(|level| PartialBlock::new(&format!("neck.bottom_up.{level}"))),
            heads: levels.map(|level| Head {
                classes: branch("head.classes", level),
                boxes: branch("head.boxes", level),
            }),
        }
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        let merges = self.top_down.iter().chain(&self.bottom_up);
        let heads = self.heads.iter();
        self.laterals
            .iter()
            .chain(&self.down)
            .chain(merges.flat_map(PartialBlock::blocks))
            .chain(heads.flat_map(|head| head.classes.iter().chain(&head.boxes)))
    }

    /// Its units; those of the head share convolutions.
    pub fn units(&self) -> Vec<&Unit> {
        self.blocks().flat_map(Block::units).collect()
    }

    /// Its parameters, each once.
    pub fn parameters(&self) -> Vec<ParameterInfo> {
        let predictor = |name: &str, outputs: usize, bias| {
            let parameter = |field: &str, shape, kind| ParameterInfo {
                name: format!("{name}.{field}"),
                shape,
                kind,
                activation: Activation::Identity,
            };
            [
                parameter("weight", vec![outputs, WIDTH], Kind::LinearWeight),
                parameter("bias", vec![outputs], bias),
            ]
        };
        let mut seen = HashSet::new();
        let blocks = self.blocks().flat_map(Block::parameters);
        blocks
            .chain(predictor(CLASS_PREDICTOR, self.classes, Kind::PriorBias))
            .chain(predictor(BOX_PREDICTOR, SIDES, Kind::LinearBias))
            .filter(|info| seen.insert(info.name.clone()))
            .collect()
    }

    /// Sends the backbone's features at strides 8, 16 and 32 through neck and head. `parameters` holds
    /// the predictors.
    pub fn forward(
        &self,
        features: [Tensor<4>; 3],
        forward: &mut Forward,
        parameters: &Parameters,
    ) -> Predictions {
        let maps = self.neck(features, forward);
        let mut classes = Vec::new();
        let mut boxes = Vec::new();
        for (head, map) in self.heads.iter().zip(maps) {
            let mut predict = |branch: &[Block], name: &str| {
                let map = run(branch, map.clone(), forward);
                let [batch, height, width, channels] = map.dims();
                let points = linear(
                    map.reshape([batch * height * width, channels]),
                    parameters.get(&format!("{name}.weight")),
                    parameters.get(&format!("{name}.bias")),
                );
                let [_, values] = points.dims();
                points.reshape([batch, height * width, values])
            };
            classes.push(predict(&head.classes, CLASS_PREDICTOR));
            boxes.push(predict(&head.boxes, BOX_PREDICTOR));
        }
        Predictions {
            classes: Tensor::cat(classes, 1),
            boxes: Tensor::cat(boxes, 1),
        }
    }

    fn neck(&self, features: [Tensor<4>; 3], forward: &mut Forward) -> [Tensor<4>; 3] {
        let [c3, c4, c5] = features;
        let [l3, l4, l5] = &self.laterals;
        let [merge4, merge3] = &self.top_down;
        let p5 = l5.forward(c5, forward);
        let p4 = l4.forward(c4, forward);
        let p4 = merge4.forward(p4, upsample(p5.clone()), forward);
        let p3 = l3.forward(c3, forward);
        let p3 = merge3.forward(p3, upsample(p4.clone()), forward);
        let [down4, down5] = &self.down;
        let [merge4, merge5] = &self.bottom_up;
        let down = down4.forward(p3.clone(), forward);
        let n4 = merge4.forward(p4, down, forward);
        let down = down5.forward(n4.clone(), forward);
        let n5 = merge5.forward(p5, down, forward);
        [p3, n4, n5]
    }
}

/// Two maps merged into one: half of the channels take the path through convolutions, the other half
/// the short one. Wang and others, "CSPNet" (arXiv 1911.11929), section 3.2, with RTMDet's large
/// kernel.
#[derive(Clone, Debug)]
struct PartialBlock {
    main: [Block; 2],
    short: Block,
    merge: Block,
}

impl PartialBlock {
    fn new(name: &str) -> Self {
        let half = WIDTH / 2;
        let part = |part: &str, channels, kernel| {
            unit(&format!("{name}.{part}"), "norm", channels, kernel, 1)
        };
        Self {
            main: [
                chain(vec![
                    part("reduce", [2 * WIDTH, half], 1),
                    part("spatial", [half, half], 3),
                ]),
                separable(name, "norm", half),
            ],
            short: Block::Unit(part("short", [2 * WIDTH, half], 1)),
            merge: Block::Unit(part("merge", [WIDTH, WIDTH], 1)),
        }
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.main.iter().chain([&self.short, &self.merge])
    }

    fn forward(&self, a: Tensor<4>, b: Tensor<4>, forward: &mut Forward) -> Tensor<4> {
        let both = Tensor::cat(vec![a, b], 3);
        let main = run(&self.main, both.clone(), forward);
        let short = run(from_ref(&self.short), both, forward);
        self.merge
            .forward(Tensor::cat(vec![main, short], 3), forward)
    }
}

/// The convolutions in front of a predictor at one level.
fn branch(name: &str, level: usize) -> Vec<Block> {
    let layer = |layer| separable(&format!("{name}.{layer}"), &format!("norm.{level}"), WIDTH);
    (0..DEPTH).map(layer).collect()
}

/// Depthwise 5×5 → 1×1.
fn separable(name: &str, norm: &str, channels: usize) -> Block {
    let both = [channels; 2];
    let (depthwise, pointwise) = (format!("{name}.depthwise"), format!("{name}.pointwise"));
    let mut depthwise = unit(&depthwise, norm, both, 5, 1);
    depthwise.spec.conv.groups = channels;
    chain(vec![depthwise, unit(&pointwise, norm, both, 1, 1)])
}

fn unit(name: &str, norm: &str, channels: [usize; 2], kernel: usize, stride: usize) -> Unit {
    let (conv, norm) = (format!("{name}.conv"), format!("{name}.{norm}"));
    Unit::new(&conv, &norm, channels, kernel, stride, 1, Silu)
}

fn chain(branch: Vec<Unit>) -> Block {
    Block::Residual {
        branch,
        shortcut: Shortcut::None,
    }
}

fn run(blocks: &[Block], x: Tensor<4>, forward: &mut Forward) -> Tensor<4> {
    blocks.iter().fold(x, |x, block| block.forward(x, forward))
}

/// Every pixel twice in both directions: `[batch, 2 · height, 2 · width, channels]`.
fn upsample(x: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let columns = x.reshape([batch * height, width, 1, channels]);
    let columns = Tensor::cat(vec![columns.clone(), columns], 2);
    let rows = columns.reshape([batch, height, 1, 2 * width * channels]);
    let rows = Tensor::cat(vec![rows.clone(), rows], 2);
    rows.reshape([batch, 2 * height, 2 * width, channels])
}

#[cfg(test)]
mod tests {
    use warmstart_nn::burn::tensor::TensorData;

    use super::*;

    #[test]
    fn upsampling_repeats_every_pixel_in_both_directions() {
        let pixels: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let x = Tensor::from_data(
            TensorData::new(pixels, [1, 2, 3, 2]),
            &warmstart_nn::device(),
        );
        let large: Vec<f32> = upsample(x).into_data().try_into_vec().unwrap();
        #[rustfmt::skip]
        let expected = [
            0., 1., 0., 1., 2., 3., 2., 3., 4., 5., 4., 5.,
            0., 1., 0., 1., 2., 3., 2., 3., 4., 5., 4., 5.,
            6., 7., 6., 7., 8., 9., 8., 9., 10., 11., 10., 11.,
            6., 7., 6., 7., 8., 9., 8., 9., 10., 11., 10., 11.,
        ];
        assert_eq!(large, expected);
    }

    #[test]
    fn a_parameter_that_levels_share_is_there_once() {
        let detector = Detector::new([32, 96, 320], 7);
        let parameters = detector.parameters();
        let named = |name: &str| parameters.iter().filter(|info| info.name == name).count();
        assert_eq!(named("head.classes.1.pointwise.conv.weight"), 1);
        assert_eq!(named("head.classes.1.pointwise.norm.2.running_var"), 1);
        let names: HashSet<_> = parameters.iter().map(|info| &info.name).collect();
        assert_eq!(names.len(), parameters.len());
    }

    #[test]
    fn every_architecture_has_its_taps_where_the_strides_are() {
        for name in crate::names() {
            let architecture = crate::by_name(name).unwrap().with_taps();
            assert_eq!(architecture.stages.len(), architecture.taps[2] + 1);
            let mut stride = 1;
            let mut strides = Vec::new();
            for (index, stage) in architecture.stages.iter().enumerate() {
                for block in stage.blocks() {
                    stride *= match block {
                        Block::MaxPool { stride, .. } => *stride,
                        Block::Unit(unit) => unit.spec.conv.stride[0],
                        Block::Residual { branch, .. } => {
                            branch.iter().map(|unit| unit.spec.conv.stride[0]).product()
                        }
                    };
                }
                if architecture.taps.contains(&index) {
                    strides.push(stride);
                }
                // A tap is the last of its stride.
                let last = architecture.stages.len() - 1;
                assert!(
                    index == last || !architecture.taps.contains(&index) || {
                        architecture.stages[index + 1]
                            .blocks()
                            .iter()
                            .any(|block| match block {
                                Block::MaxPool { .. } => true,
                                Block::Unit(unit) => unit.spec.conv.stride[0] == 2,
                                Block::Residual { branch, .. } => {
                                    branch.iter().any(|unit| unit.spec.conv.stride[0] == 2)
                                }
                            })
                    }
                );
            }
            assert_eq!(strides, STRIDES, "{name}");
        }
    }
}
