//! Parts of cross-stage partial networks and of the detectors on them: Wang and others, "CSPNet" (arXiv 1911.11929).

use warmstart_nn::Activation::Silu;
use warmstart_nn::layers::{
    Add, Branch, ChannelAttention, Concatenate, Layer, MaxPool, Shortcut, Upsample,
};
use warmstart_nn::ops::PoolSpec;
use warmstart_nn::{Graph, Place, Unit, Value};

use crate::record::Numerics;

/// Factors on the channels and the blocks of a network.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    pub width: f64,
    pub depth: f64,
}

impl Scale {
    pub fn channels(self, channels: usize) -> usize {
        (self.width * channels as f64) as usize
    }

    pub fn blocks(self, blocks: usize) -> usize {
        ((self.depth * blocks as f64).round() as usize).max(1)
    }
}

/// Units of convolution, batch norm and SiLU, whose names end in `conv` and `bn`.
#[derive(Clone, Copy)]
pub(crate) struct Units(pub Numerics);

impl Units {
    pub fn conv(self, name: &str, channels: [usize; 2], kernel: usize, stride: usize) -> Unit {
        self.unit(name, channels, kernel, stride, 1)
    }

    pub fn depthwise(self, name: &str, channels: usize, kernel: usize, stride: usize) -> Unit {
        self.unit(name, [channels; 2], kernel, stride, channels)
    }

    fn unit(
        self,
        name: &str,
        channels: [usize; 2],
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> Unit {
        let [conv, norm] = ["conv", "bn"].map(|part| format!("{name}.{part}"));
        let names = [&*conv, &norm];
        self.0.unit(names, channels, kernel, stride, groups, Silu)
    }
}

/// Units one after the other.
pub(crate) fn chain(units: Vec<Unit>) -> Layer {
    Layer::Branch(Branch::new(units, Shortcut::None))
}

/// A cross-stage partial layer (section 3.2): half of the channels go through blocks, the other half past them.
pub(crate) struct CrossStage {
    main: Place,
    short: Place,
    merge: Place,
    blocks: Vec<Place>,
    attention: Option<Place>,
    adds_input: bool,
}

impl CrossStage {
    /// Gives its layers their places: the 1×1 convolutions to both halves and of both together, the blocks, and the
    /// attention to both, where there is any. A block's input is added to its result if `adds_input`.
    pub fn place(
        graph: &mut Graph,
        [main, short, merge]: [Unit; 3],
        blocks: impl IntoIterator<Item = Vec<Unit>>,
        attention: Option<ChannelAttention>,
        adds_input: bool,
    ) -> Self {
        let [main, short, merge] = [main, short, merge].map(|unit| graph.place(unit.into()));
        let blocks = blocks.into_iter();
        let blocks = blocks.map(|units| graph.place(chain(units))).collect();
        Self {
            main,
            short,
            merge,
            blocks,
            attention: attention.map(|layer| graph.place(Layer::ChannelAttention(layer))),
            adds_input,
        }
    }

    /// Puts its layers on a value, and returns the result.
    pub fn connect(self, graph: &mut Graph, input: Value) -> Value {
        let short = graph.connect(self.short, [input]);
        let mut main = graph.connect(self.main, [input]);
        for block in self.blocks {
            let result = graph.connect(block, [main]);
            main = if self.adds_input {
                graph.add(Layer::Add(Add), [result, main])
            } else {
                result
            };
        }
        let mut both = graph.add(Layer::Concatenate(Concatenate), [main, short]);
        if let Some(attention) = self.attention {
            both = graph.connect(attention, [both]);
        }
        graph.connect(self.merge, [both])
    }
}

/// Kernel of a pyramid's first pooling.
const POOL: usize = 5;
/// Poolings of a pyramid: of 5, 9 and 13 pixels.
const POOLINGS: usize = 3;

/// A map beside the largest values around each pixel, in three windows: He, Zhang, Ren and Sun, "Spatial Pyramid Pooling"
/// (arXiv 1406.4729), as detectors have it.
pub(crate) fn pyramid_pooling(units: Units, name: &str, channels: usize) -> Graph {
    let half = channels / 2;
    let [reduce, merge] = ["conv1", "conv2"].map(|part| format!("{name}.{part}"));
    let mut graph = Graph::of_inputs(1);
    let reduce = units.conv(&reduce, [channels, half], 1, 1);
    let mut maps = vec![graph.add(reduce.into(), [Value::Input(0)])];
    for _ in 0..POOLINGS {
        // A window of 9 pixels is one of 5 over windows of 5, and one of 13 once more.
        let last = maps[maps.len() - 1];
        let pool = Layer::MaxPool(MaxPool(PoolSpec {
            size: [POOL; 2],
            stride: [1; 2],
            padding: [POOL / 2; 2],
            ceil: false,
        }));
        maps.push(graph.add(pool, [last]));
    }
    let channels = [half * maps.len(), channels];
    let all = graph.add(Layer::Concatenate(Concatenate), maps);
    let result = graph.add(units.conv(&merge, channels, 1, 1).into(), [all]);
    graph.with_outputs([result])
}

/// Layers that bring maps of three strides together: Liu, Qi, Qin, Shi and Jia, "Path Aggregation Network for Instance
/// Segmentation" (arXiv 1803.01534), section 3.1. Of each pair, the one that runs first comes first.
pub(crate) struct PathAggregation {
    /// On the way down, to the channels of the next finer map, which is doubled in size then.
    pub reduce: [Place; 2],
    pub top_down: [CrossStage; 2],
    /// On the way up, to the size of the next coarser map.
    pub down: [Place; 2],
    pub bottom_up: [CrossStage; 2],
}

impl PathAggregation {
    /// Puts the layers on the graph's inputs, at strides 8, 16 and 32, and returns the results at these strides.
    pub fn connect(self, graph: &mut Graph) -> [Value; 3] {
        let Self {
            reduce: [reduce_coarse, reduce_middle],
            top_down: [merge_middle, merge_fine],
            down: [down_fine, down_middle],
            bottom_up: [remerge_middle, remerge_coarse],
        } = self;
        let [fine, middle, coarse] = [0, 1, 2].map(Value::Input);
        let coarse = graph.connect(reduce_coarse, [coarse]);
        let large = graph.add(Layer::Upsample(Upsample), [coarse]);
        let middle = merged(graph, merge_middle, [large, middle]);
        let middle = graph.connect(reduce_middle, [middle]);
        let large = graph.add(Layer::Upsample(Upsample), [middle]);
        let fine = merged(graph, merge_fine, [large, fine]);
        let small = graph.connect(down_fine, [fine]);
        let middle = merged(graph, remerge_middle, [small, middle]);
        let small = graph.connect(down_middle, [middle]);
        let coarse = merged(graph, remerge_coarse, [small, coarse]);
        [fine, middle, coarse]
    }
}

/// Two maps of one size, as one.
fn merged(graph: &mut Graph, layer: CrossStage, maps: [Value; 2]) -> Value {
    let both = graph.add(Layer::Concatenate(Concatenate), maps);
    layer.connect(graph, both)
}
