//! The layers of a network as ONNX nodes. Values are `[batch, channels, height, width]`, as ONNX's convolutions want
//! them; batch norms are folded into the convolutions in front of them.

use warmstart_nn::layers::{
    Branch, ChannelAttention, Layer, Shape, Shortcut, SqueezeExcite, folded_values,
};
use warmstart_nn::ops::PoolSpec;
use warmstart_nn::{Activation, Graph, Unit, Value};

use super::builder::{GraphBuilder, Scalar, float, integer, integers, word};
use super::schema::AttributeProto;
use super::transformer;
use super::value::{Map, Scope};

/// Adds the layers of a graph, and returns its results.
pub fn layers(builder: &mut GraphBuilder, scope: Scope, graph: &Graph, inputs: &[Map]) -> Vec<Map> {
    let mut results: Vec<Option<Map>> = vec![None; graph.nodes().len()];
    let found = |results: &[Option<Map>], value: &Value| match *value {
        Value::Input(index) => inputs[index].clone(),
        Value::Node(index) => results[index]
            .clone()
            .expect("a graph's order is one in which it can be computed"),
    };
    for &index in graph.order() {
        let node = &graph.nodes()[index];
        let of_node: Vec<Map> = node
            .inputs
            .iter()
            .map(|value| found(&results, value))
            .collect();
        let shapes: Vec<Shape> = of_node.iter().map(|map| map.shape).collect();
        let name = layer(builder, scope, &node.layer, &of_node);
        let shape = node.layer.kind().output_shape(&shapes);
        results[index] = Some(Map { name, shape });
    }
    let outputs = graph.outputs().iter();
    outputs.map(|value| found(&results, value)).collect()
}

/// The one place that knows how each kind of layer is written.
fn layer(builder: &mut GraphBuilder, scope: Scope, layer: &Layer, inputs: &[Map]) -> String {
    let input = &inputs[0];
    match layer {
        Layer::Branch(layer) => branch(builder, scope, layer, inputs),
        Layer::MaxPool(layer) => {
            let name = format!("{}/max_pool", input.name);
            let attributes = windows(layer.0, input.shape);
            builder.node("MaxPool", &name, &[&input.name], attributes)
        }
        Layer::AveragePool(layer) => {
            let name = format!("{}/average_pool", input.name);
            let mut attributes = windows(layer.0, input.shape);
            attributes.push(integer("count_include_pad", 0));
            builder.node("AveragePool", &name, &[&input.name], attributes)
        }
        Layer::GlobalAverage(_) => global_average(builder, input),
        Layer::SqueezeExcite(layer) => squeeze_excite(builder, scope, layer, input),
        Layer::ChannelAttention(layer) => channel_attention(builder, scope, layer, input),
        Layer::Linear(layer) => pointwise(
            builder,
            scope,
            &layer.name,
            [layer.outputs, layer.inputs],
            layer.activation,
            &input.name,
        ),
        Layer::Upsample(_) => {
            let twice = builder.floats(&["twice"], &[4], &[1.0, 1.0, 2.0, 2.0]);
            let attributes = vec![
                word("mode", "nearest"),
                word("coordinate_transformation_mode", "asymmetric"),
                word("nearest_mode", "floor"),
            ];
            let name = format!("{}/upsample", input.name);
            builder.node("Resize", &name, &[&input.name, "", &twice], attributes)
        }
        Layer::Concatenate(_) => {
            let names: Vec<&str> = inputs.iter().map(|map| map.name.as_str()).collect();
            let name = format!("{}/concatenate", input.name);
            builder.node("Concat", &name, &names, vec![integer("axis", 1)])
        }
        Layer::Add(_) => {
            let names: Vec<&str> = inputs.iter().map(|map| map.name.as_str()).collect();
            let name = format!("{}/add", input.name);
            builder.node("Add", &name, &names, Vec::new())
        }
        Layer::ReverseChannels(_) => reverse_channels(builder, input),
        Layer::SpaceToDepth(_) => space_to_depth(builder, input),
        Layer::LayerNorm(layer) => transformer::layer_norm(builder, scope, layer, input),
        Layer::ResponseNorm(layer) => transformer::response_norm(builder, scope, layer, input),
        Layer::Attention(layer) => transformer::attention(builder, scope, layer, input),
        Layer::Tokens(layer) => transformer::tokens(builder, scope, layer, input),
        Layer::TokenPool(layer) => transformer::token_pool(builder, layer, input),
    }
}

fn reverse_channels(builder: &mut GraphBuilder, input: &Map) -> String {
    let [_, _, channels] = input.shape;
    let order: Vec<i64> = (0..channels as i64).rev().collect();
    let order = builder.integers("channels/reversed", &order);
    let name = format!("{}/reverse_channels", input.name);
    let along = vec![integer("axis", 1)];
    builder.node("Gather", &name, &[&input.name, &order], along)
}

/// ONNX's own `SpaceToDepth` takes the pixels of a block row by row; here they are taken column by column.
fn space_to_depth(builder: &mut GraphBuilder, input: &Map) -> String {
    let named = |part: &str| format!("{}/{part}", input.name);
    let [height, width, channels] = input.shape.map(|length| length as i64);
    let (rows, columns) = (height / 2, width / 2);
    let shape = [0, channels, rows, 2, columns, 2];
    let shape = builder.integers("blocks/shape", &shape);
    let inputs = [&*input.name, &shape];
    let blocks = builder.node("Reshape", &named("blocks"), &inputs, Vec::new());
    let columns_first = vec![integers("perm", &[0, 5, 3, 1, 2, 4])];
    let name = named("columns_first");
    let blocks = builder.node("Transpose", &name, &[&blocks], columns_first);
    let shape = builder.integers("blocks/depth", &[0, 4 * channels, rows, columns]);
    let name = named("space_to_depth");
    builder.node("Reshape", &name, &[&blocks, &shape], Vec::new())
}

/// The mean over the image, `[batch, channels, 1, 1]`.
pub fn global_average(builder: &mut GraphBuilder, map: &Map) -> String {
    let name = format!("{}/mean", map.name);
    builder.node("GlobalAveragePool", &name, &[&map.name], Vec::new())
}

fn branch(builder: &mut GraphBuilder, scope: Scope, branch: &Branch, inputs: &[Map]) -> String {
    let shortcut = match branch.shortcut {
        Shortcut::None => None,
        Shortcut::Identity => Some(&inputs[0]),
        Shortcut::Second => Some(&inputs[1]),
    };
    let last = branch.units.len() - 1;
    let mut map = inputs[0].clone();
    for (place, unit) in branch.units.iter().enumerate() {
        let shape = unit.output_shape(map.shape);
        let mut name = convolution(builder, scope, unit, &map);
        if let Some(shortcut) = shortcut.filter(|_| place == last) {
            let sum = format!("{name}/add");
            name = builder.node("Add", &sum, &[&name, &shortcut.name], Vec::new());
        }
        name = activation(builder, unit.spec.activation, name);
        map = Map { name, shape };
    }
    map.name
}

/// The convolution of a unit, its batch norm folded.
fn convolution(builder: &mut GraphBuilder, scope: Scope, unit: &Unit, input: &Map) -> String {
    let [weight, bias] = folded_values(scope.parameters, unit);
    let spec = unit.spec.conv;
    let shape = [
        unit.out_channels,
        unit.in_channels / spec.groups,
        unit.kernel[0],
        unit.kernel[1],
    ];
    // Layers that share a convolution, but not its batch norm, have other values once it is folded.
    let names = |field: &str| {
        [&*unit.conv, unit.name()].map(|name| scope.named(&format!("{name}.{field}")))
    };
    let [by_conv, by_norm] = names("weight");
    let weight = builder.weight(&[&by_conv, &by_norm], &shape, &weight);
    let [by_conv, by_norm] = names("bias");
    let bias = builder.floats(&[&by_conv, &by_norm], &[unit.out_channels], &bias);
    let [height, width, _] = input.shape;
    let [[top, left], [bottom, right]] = spec.zeros([height, width], unit.kernel);
    let attributes = vec![
        integers("kernel_shape", &unit.kernel),
        integers("strides", &spec.stride),
        integers("pads", &[top, left, bottom, right]),
        integers("dilations", &spec.dilation),
        integer("group", spec.groups as i64),
    ];
    let name = scope.named(&unit.conv);
    builder.node("Conv", &name, &[&input.name, &weight, &bias], attributes)
}

/// A linear layer `[out, in]` on the channels of each pixel, as a 1×1 convolution.
fn pointwise(
    builder: &mut GraphBuilder,
    scope: Scope,
    name: &str,
    [outputs, inputs]: [usize; 2],
    activated: Activation,
    input: &str,
) -> String {
    let parameter = |field: &str| format!("{name}.{field}");
    let (weight, bias) = (parameter("weight"), parameter("bias"));
    let values = scope.values(&weight);
    let weight = builder.weight(&[&scope.named(&weight)], &[outputs, inputs, 1, 1], &values);
    let values = scope.values(&bias);
    let bias = builder.floats(&[&scope.named(&bias)], &[outputs], &values);
    let attributes = vec![integers("kernel_shape", &[1, 1])];
    let name = scope.named(name);
    let result = builder.node("Conv", &name, &[input, &weight, &bias], attributes);
    activation(builder, activated, result)
}

fn squeeze_excite(
    builder: &mut GraphBuilder,
    scope: Scope,
    layer: &SqueezeExcite,
    input: &Map,
) -> String {
    let SqueezeExcite {
        reduce,
        expand,
        channels,
        reduced,
        activation,
        gate,
    } = layer;
    let mean = global_average(builder, input);
    let few = [*reduced, *channels];
    let few = pointwise(builder, scope, reduce, few, *activation, &mean);
    let all = [*channels, *reduced];
    let gates = pointwise(builder, scope, expand, all, *gate, &few);
    scale_channels(builder, &scope.named(expand), input, &gates)
}

fn channel_attention(
    builder: &mut GraphBuilder,
    scope: Scope,
    layer: &ChannelAttention,
    input: &Map,
) -> String {
    let ChannelAttention {
        conv,
        channels,
        gate,
    } = layer;
    let mean = global_average(builder, input);
    let gates = pointwise(builder, scope, conv, [*channels; 2], *gate, &mean);
    scale_channels(builder, &scope.named(conv), input, &gates)
}

/// Every channel multiplied by its gate, which the layer of that name made.
fn scale_channels(builder: &mut GraphBuilder, gate: &str, input: &Map, gates: &str) -> String {
    let name = format!("{gate}/scale");
    builder.node("Mul", &name, &[&input.name, gates], Vec::new())
}

/// The windows of a pooling. Where a last window reaches beyond the padding, the padding is made larger: neither kind
/// of pooling counts it.
fn windows(spec: PoolSpec, [height, width, _]: Shape) -> Vec<AttributeProto> {
    let input = [height, width];
    let output = spec.output_size(input);
    let after: [usize; 2] = std::array::from_fn(|axis| {
        let reach = (output[axis] - 1) * spec.stride[axis] + spec.size[axis];
        reach.saturating_sub(input[axis] + spec.padding[axis])
    });
    let [top, left] = spec.padding;
    vec![
        integers("kernel_shape", &spec.size),
        integers("strides", &spec.stride),
        integers("pads", &[top, left, after[0], after[1]]),
    ]
}

/// The one place that knows how each activation is written.
fn activation(builder: &mut GraphBuilder, activation: Activation, input: String) -> String {
    let named = |suffix: &str| format!("{input}/{suffix}");
    match activation {
        Activation::Identity => input,
        Activation::Relu => builder.node("Relu", &named("relu"), &[&input], Vec::new()),
        Activation::Relu6 => {
            let zero = builder.scalar("zero", Scalar::Float(0.0));
            let six = builder.scalar("six", Scalar::Float(6.0));
            builder.node("Clip", &named("relu6"), &[&input, &zero, &six], Vec::new())
        }
        Activation::HardSwish => {
            builder.node("HardSwish", &named("hard_swish"), &[&input], Vec::new())
        }
        Activation::Silu => {
            let gate = builder.node("Sigmoid", &named("sigmoid"), &[&input], Vec::new());
            builder.node("Mul", &named("silu"), &[&input, &gate], Vec::new())
        }
        Activation::Sigmoid => builder.node("Sigmoid", &named("sigmoid"), &[&input], Vec::new()),
        Activation::HardSigmoid => {
            let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
            builder.node("HardSigmoid", &named("hard_sigmoid"), &[&input], attributes)
        }
        Activation::Gelu => gelu(builder, &input),
    }
}

/// `x · (1 + erf(x / √2)) / 2`, in the nodes and the order that onnxruntime makes one of: the operator `Gelu` came with
/// opset 20.
fn gelu(builder: &mut GraphBuilder, input: &str) -> String {
    let named = |suffix: &str| format!("{input}/{suffix}");
    let root = builder.scalar("root_of_two", Scalar::Float(std::f32::consts::SQRT_2));
    let one = builder.scalar("one", Scalar::Float(1.0));
    let half = builder.scalar("half", Scalar::Float(0.5));
    let scaled = builder.node("Div", &named("scaled"), &[input, &root], Vec::new());
    let erf = builder.node("Erf", &named("erf"), &[&scaled], Vec::new());
    let above = builder.node("Add", &named("above"), &[&erf, &one], Vec::new());
    let twice = builder.node("Mul", &named("twice"), &[input, &above], Vec::new());
    builder.node("Mul", &named("gelu"), &[&twice, &half], Vec::new())
}
