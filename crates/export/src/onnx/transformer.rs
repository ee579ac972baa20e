//! The layers of transformers, and the norms that ConvNeXt has in common with them, as ONNX nodes. Values are
//! `[batch, channels, height, width]` as everywhere in a file, and a sequence of tokens is one row of pixels,
//! `[batch, channels, 1, tokens]`.
//!
//! So a linear layer on each token is a 1×1 convolution, like every unit, and is stored in 16 and in 8 bits as they are.
//! In graphs of these shapes, onnxruntime 1.32 took 4% longer for a ViT-Ti than with `MatMul` on
//! `[batch, tokens, channels]`, and up to 18% less for blocks of ConvNeXt.

use std::ops::Range;

use warmstart_nn::burn::tensor::{Tensor, TensorData};
use warmstart_nn::layers::{
    Attention, Layer, LayerNorm, Pool, ResponseNorm, Shape, TokenPool, Tokens, fold,
};
use warmstart_nn::{Forward, Parameters};

use super::builder::{GraphBuilder, Scalar, float, integer, integers};
use super::value::{Map, Scope};

/// A layer norm over the channels of each pixel; ONNX's own is over the last axes.
pub fn layer_norm(
    builder: &mut GraphBuilder,
    scope: Scope,
    layer: &LayerNorm,
    input: &Map,
) -> String {
    let name = scope.named(&layer.name);
    let shape = [layer.channels];
    let [scale, shift] = ["weight", "bias"].map(|field| {
        let parameter = format!("{}.{field}", layer.name);
        let values = scope.values(&parameter);
        builder.floats(&[&scope.named(&parameter)], &shape, &values)
    });
    let channels_last = vec![integers("perm", &[0, 2, 3, 1])];
    let pixels = format!("{name}/pixels");
    let pixels = builder.node("Transpose", &pixels, &[&input.name], channels_last);
    let attributes = vec![integer("axis", -1), float("epsilon", layer.epsilon)];
    let inputs = [&*pixels, &scale, &shift];
    let normalised = builder.node("LayerNormalization", &name, &inputs, attributes);
    let channels_second = vec![integers("perm", &[0, 3, 1, 2])];
    let planes = format!("{name}/planes");
    builder.node("Transpose", &planes, &[&normalised], channels_second)
}

/// `x · (1 + γ · n / (mean of n + ε)) + β`, where `n` is the Euclidean norm of each channel over the image.
pub fn response_norm(
    builder: &mut GraphBuilder,
    scope: Scope,
    layer: &ResponseNorm,
    input: &Map,
) -> String {
    let name = scope.named(&layer.name);
    let shape = [layer.channels, 1, 1];
    let [scale, shift] = ["weight", "bias"].map(|field| {
        let parameter = format!("{}.{field}", layer.name);
        let values = scope.values(&parameter);
        builder.floats(&[&scope.named(&parameter)], &shape, &values)
    });
    let pixels = builder.integers("axes/pixels", &[2, 3]);
    let channels = builder.integers("axes/channels", &[1]);
    let epsilon = builder.scalar("response/epsilon", Scalar::Float(ResponseNorm::EPSILON));
    let one = builder.scalar("one", Scalar::Float(1.0));
    let mut node = |operator: &str, part: &str, inputs: [&str; 2]| {
        builder.node(operator, &format!("{name}/{part}"), &inputs, Vec::new())
    };
    let norms = node("ReduceL2", "norms", [&input.name, &pixels]);
    let mean = node("ReduceMean", "mean", [&norms, &channels]);
    let positive = node("Add", "positive", [&mean, &epsilon]);
    let responses = node("Div", "responses", [&norms, &positive]);
    let scaled = node("Mul", "scaled", [&responses, &scale]);
    let gates = node("Add", "gates", [&scaled, &one]);
    let gated = node("Mul", "gated", [&input.name, &gates]);
    node("Add", "shifted", [&gated, &shift])
}

/// Attention between all pixels, whose channels are those of the queries, the keys and the values.
pub fn attention(
    builder: &mut GraphBuilder,
    scope: Scope,
    layer: &Attention,
    input: &Map,
) -> String {
    let name = scope.named(&layer.name);
    let named = |part: &str| format!("{name}/{part}");
    let [height, width, _] = input.shape;
    let of_head = layer.channels / layer.heads;
    let shape = [0, 3, layer.heads, of_head, height * width].map(|length| length as i64);
    let shape = builder.integers("attention/of_heads", &shape);
    let inputs = [&*input.name, &shape];
    let of_heads = builder.node("Reshape", &named("of_heads"), &inputs, Vec::new());
    let [queries, keys, values] =
        [("queries", 0), ("keys", 1), ("values", 2)].map(|(part, place)| {
            let place = builder.scalar(&format!("attention/{part}"), Scalar::Integer(place));
            let along = vec![integer("axis", 1)];
            builder.node("Gather", &named(part), &[&of_heads, &place], along)
        });
    let scale = Scalar::Float((of_head as f32).sqrt().recip());
    let scale = builder.scalar("attention/scale", scale);
    let scaled = builder.node("Mul", &named("scaled"), &[&queries, &scale], Vec::new());
    let swapped = || vec![integers("perm", &[0, 1, 3, 2])];
    let rows = builder.node("Transpose", &named("rows"), &[&scaled], swapped());
    let products = builder.node("MatMul", &named("products"), &[&rows, &keys], Vec::new());
    // Each query's row is a distribution over the keys.
    let along = vec![integer("axis", 3)];
    let shares = builder.node("Softmax", &named("shares"), &[&products], along);
    let shares = builder.node("Transpose", &named("columns"), &[&shares], swapped());
    let mixed = builder.node("MatMul", &named("mixed"), &[&values, &shares], Vec::new());
    let shape = [0, layer.channels, height, width].map(|length| length as i64);
    let shape = builder.integers("attention/joined", &shape);
    builder.node("Reshape", &named("joined"), &[&mixed, &shape], Vec::new())
}

/// Patches as tokens behind class tokens and registers. The patches are put behind zeros, and one constant is added,
/// which holds the other tokens and all positions: so nothing depends on the size of the batch.
pub fn tokens(builder: &mut GraphBuilder, scope: Scope, layer: &Tokens, input: &Map) -> String {
    let name = scope.named(&layer.positions.name);
    let named = |part: &str| format!("{name}/{part}");
    let [height, width, channels] = input.shape;
    let patches = height * width;
    let added = added_to_patches(scope.parameters, layer, input.shape);
    let all = added.len() / channels;
    let shape = [0, channels, 1, patches].map(|length| length as i64);
    let shape = builder.integers("patches/shape", &shape);
    let inputs = [&*input.name, &shape];
    let row = builder.node("Reshape", &named("patches"), &inputs, Vec::new());
    let before = [0, 0, 0, (all - patches) as i64, 0, 0, 0, 0];
    let before = builder.integers("patches/before", &before);
    let behind = builder.node("Pad", &named("behind"), &[&row, &before], Vec::new());
    let added = builder.floats(&[&name], &[1, channels, 1, all], &added);
    builder.node("Add", &named("tokens"), &[&behind, &added], Vec::new())
}

/// `[channels, tokens]`: what the layer makes of patches that are zero, of which there are `shape`,
/// `[height, width, channels]`.
fn added_to_patches(parameters: &Parameters, layer: &Tokens, shape: Shape) -> Vec<f32> {
    let device = warmstart_nn::device();
    let layer = Layer::Tokens(layer.clone());
    let folded = fold(parameters, [&layer], &device);
    let [height, width, channels] = shape;
    let zeros = TensorData::new(
        vec![0.0_f32; height * width * channels],
        [1, height, width, channels],
    );
    let zeros = Tensor::<4>::from_data(zeros, &device);
    let mut forward = Forward::Inference(&folded);
    let tokens = layer.kind().forward(vec![zeros], &mut forward);
    let tokens: Vec<f32> = tokens
        .into_data()
        .try_into_vec()
        .expect("activations are f32");
    let of_channel = |channel| tokens.iter().skip(channel).step_by(channels).copied();
    (0..channels).flat_map(of_channel).collect()
}

/// One vector of all tokens, `[batch, features, 1, 1]`.
pub fn token_pool(builder: &mut GraphBuilder, layer: &TokenPool, input: &Map) -> String {
    let [_, tokens, _] = input.shape;
    let class = 0..layer.class;
    let patches = layer.prefix..tokens;
    match layer.pool {
        Pool::Class => mean_of(builder, input, "class", class),
        Pool::Mean => mean_of(builder, input, "patches", patches),
        Pool::Both => {
            let class = mean_of(builder, input, "class", class);
            let patches = mean_of(builder, input, "patches", patches);
            let name = format!("{}/both", input.name);
            let along = vec![integer("axis", 1)];
            builder.node("Concat", &name, &[&class, &patches], along)
        }
    }
}

/// The mean of some tokens.
fn mean_of(builder: &mut GraphBuilder, input: &Map, part: &str, range: Range<usize>) -> String {
    let [from, to, axis] = [range.start, range.end, 3]
        .map(|place| builder.integers(&format!("tokens/{place}"), &[place as i64]));
    let inputs = [&*input.name, &from, &to, &axis];
    let name = format!("{}/{part}", input.name);
    let some = builder.node("Slice", &name, &inputs, Vec::new());
    if range.len() == 1 {
        return some;
    }
    builder.node(
        "GlobalAveragePool",
        &format!("{some}/mean"),
        &[&some],
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use warmstart_nn::layers::{PositionResize, Positions};

    use super::*;
    use crate::onnx::schema::GraphProto;

    /// Two channels; a class token with a position, two registers, and four patches in a square.
    fn layer() -> Tokens {
        Tokens {
            class: vec!["cls_token".into()],
            registers: Some(("reg_token".into(), 2)),
            positions: Positions {
                name: "pos_embed".into(),
                grid: [2, 2],
                prefix: 1,
                resize: PositionResize::Antialiased,
            },
            channels: 2,
        }
    }

    fn exported(shape: Shape) -> GraphProto {
        let device = warmstart_nn::device();
        let mut parameters = Parameters::new();
        let mut insert = |name: &str, tokens: usize, values: &[f32]| {
            parameters.insert_values(name, &[1, tokens, 2], values.to_vec(), &device);
        };
        insert("cls_token", 1, &[1.0, 2.0]);
        insert("reg_token", 2, &[3.0, 4.0, 5.0, 6.0]);
        let positions = [10.0, 20.0, 0.5, 0.5, 1.5, 1.5, 2.5, 2.5, 3.5, 3.5];
        insert("pos_embed", 5, &positions);
        let scope = Scope {
            prefix: "",
            parameters: &parameters,
        };
        let map = Map {
            name: "patches".into(),
            shape,
        };
        let mut builder = GraphBuilder::new(false);
        tokens(&mut builder, scope, &layer(), &map);
        builder.finish("g", &[], &[])
    }

    fn constant(graph: &GraphProto, name: &str) -> (Vec<i64>, Vec<u8>) {
        let mut constants = graph.initializer.iter();
        let found = constants.find(|constant| constant.name == name).unwrap();
        (found.dims.clone(), found.raw_data.clone())
    }

    #[test]
    fn tokens_before_the_patches_and_all_positions_are_one_constant() {
        let graph = exported([2, 2, 2]);
        let (dims, bytes) = constant(&graph, "pos_embed");
        assert_eq!(dims, [1, 2, 1, 7]);
        let of_channels = [
            [11.0, 3.0, 5.0, 0.5, 1.5, 2.5, 3.5],
            [22.0, 4.0, 6.0, 0.5, 1.5, 2.5, 3.5_f32],
        ];
        let values = of_channels.as_flattened().iter();
        let expected: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(bytes, expected);
        let operators: Vec<&str> = graph.node.iter().map(|node| &*node.op_type).collect();
        assert_eq!(operators, ["Reshape", "Pad", "Add"]);
    }

    #[test]
    fn positions_are_those_of_the_size_that_is_exported() {
        let (dims, _) = constant(&exported([3, 4, 2]), "pos_embed");
        assert_eq!(dims, [1, 2, 1, 3 + 12]);
    }
}
