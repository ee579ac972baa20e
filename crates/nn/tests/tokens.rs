//! Layer norm, global response norm and attention behind the seam against stock Burn and its derivatives.

mod common;

use common::{assert_close, filled, host, leaf, run, tensor, values};
use proptest::prelude::*;
use warmstart_nn::burn::backend::Flex;
use warmstart_nn::burn::backend::tensor::FloatTensor;
use warmstart_nn::burn::tensor::ops::AttentionModuleOptions;
use warmstart_nn::burn::tensor::{Tensor, module};
use warmstart_nn::ops::{self, NormGradients, stock};

/// That of the networks.
const EPSILON: f32 = 1e-6;

type Primitive = FloatTensor<Flex>;

fn primitive<const D: usize>(tensor: Tensor<D>) -> Primitive {
    tensor.try_into_primitive::<Flex>().unwrap()
}

fn read<const D: usize>(primitive: Primitive) -> Vec<f32> {
    host(Tensor::<D>::from_primitive::<Flex>(primitive))
}

/// A norm's result and the gradients of x, gamma and beta, every output weighted differently.
fn run_norm(
    shape: [usize; 4],
    norm: impl Fn(Tensor<4>, Tensor<1>, Tensor<1>) -> Tensor<4>,
) -> [Vec<f32>; 4] {
    let x = leaf(shape, 1);
    let [gamma, beta] = [3, 4].map(|seed| leaf([shape[3]], seed));
    let y = norm(x.clone(), gamma.clone(), beta.clone());
    let weights = tensor(y.dims(), 2).autodiff();
    let gradients = (y.clone() * weights).sum().backward();
    let x = host(x.grad(&gradients).unwrap());
    let [gamma, beta] = [gamma, beta].map(|tensor| host(tensor.grad(&gradients).unwrap()));
    [host(y), x, gamma, beta]
}

/// The same from the stock bodies.
fn run_stock_bodies(
    shape: [usize; 4],
    norm: fn(Primitive, Primitive, Primitive, f32) -> Primitive,
    backward: fn(Primitive, Primitive, Primitive, f32, bool) -> NormGradients<Flex>,
) -> [Vec<f32>; 4] {
    let [x, gradient] = [1, 2].map(|seed| primitive(tensor(shape, seed)));
    let [gamma, beta] = [3, 4].map(|seed| primitive(tensor([shape[3]], seed)));
    let y = norm(x.clone(), gamma.clone(), beta, EPSILON);
    let found = backward(gradient, x, gamma, EPSILON, true);
    let [gamma, beta] = [found.gamma, found.beta].map(read::<1>);
    [read::<4>(y), read::<4>(found.x), gamma, beta]
}

/// The global response norm in Burn's own operations.
fn response_norm(x: Tensor<4>, gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<4> {
    let [_, _, _, channels] = x.dims();
    let by_channel = |tensor: Tensor<1>| -> Tensor<4> { tensor.reshape([1, 1, 1, channels]) };
    let squares = x.clone() * x.clone();
    let lengths = squares.sum_dim(1).sum_dim(2).sqrt();
    let mean = lengths.clone().mean_dim(3);
    x * (lengths / (mean + EPSILON) * by_channel(gamma) + 1.0) + by_channel(beta)
}

/// Attention between all pixels of an image in Burn's own operations.
fn attention(qkv: Tensor<4>, heads: usize) -> Tensor<4> {
    let [batch, height, width, channels] = qkv.dims();
    let (tokens, size) = (height * width, channels / (3 * heads));
    let parts: Tensor<5> = qkv.reshape([batch, tokens, 3, heads, size]);
    let [queries, keys, values] = [0, 1, 2].map(|index| {
        let part = [0..batch, 0..tokens, index..index + 1, 0..heads, 0..size];
        let part = parts.clone().slice(part);
        let part: Tensor<4> = part.reshape([batch, tokens, heads, size]);
        part.permute([0, 2, 1, 3])
    });
    let options = AttentionModuleOptions::default();
    let output = module::attention(queries, keys, values, None, None, options);
    output
        .permute([0, 2, 1, 3])
        .reshape([batch, height, width, channels / 3])
}

fn images() -> impl Strategy<Value = [usize; 3]> {
    (1usize..4, 1usize..7, 1usize..7).prop_map(|(batch, height, width)| [batch, height, width])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    // Of very few channels a layer norm cancels nearly all of a gradient, and leaves its rounding.
    #[test]
    fn layer_norm_and_its_gradients_are_those_of_stock_burn(
        [batch, height, width] in images(), channels in 5usize..100,
    ) {
        let shape = [batch, height, width, channels];
        let ours = run_norm(shape, |x, gamma, beta| ops::layer_norm(x, gamma, beta, EPSILON));
        let stock = run_norm(shape, |x, gamma, beta| {
            module::layer_norm(x, gamma, Some(beta), f64::from(EPSILON))
        });
        let bodies = run_stock_bodies(
            shape,
            stock::layer_norm::<Flex>,
            stock::layer_norm_backward::<Flex>,
        );
        for ((ours, stock), body) in ours.iter().zip(&stock).zip(&bodies) {
            assert_close(ours, stock, 1e-4);
            assert_close(body, stock, 1e-4);
        }
    }

    #[test]
    fn response_norm_and_its_gradients_are_those_of_stock_burn(
        [batch, height, width] in images(), channels in 1usize..100,
    ) {
        let shape = [batch, height, width, channels];
        let ours = run_norm(shape, |x, gamma, beta| ops::response_norm(x, gamma, beta, EPSILON));
        let stock = run_norm(shape, response_norm);
        let bodies = run_stock_bodies(
            shape,
            stock::response_norm::<Flex>,
            stock::response_norm_backward::<Flex>,
        );
        for ((ours, stock), body) in ours.iter().zip(&stock).zip(&bodies) {
            assert_close(ours, stock, 1e-4);
            assert_close(body, stock, 1e-4);
        }
    }

    #[test]
    fn attention_and_its_gradient_are_those_of_stock_burn(
        batch in 1usize..4,
        [height, width] in prop_oneof![
            6 => (1usize..7, 1usize..7).prop_map(|(height, width)| [height, width]),
            1 => Just([1usize, 197]),
            1 => Just([16usize, 17]),
        ],
        heads in 1usize..4,
        size in 1usize..70,
    ) {
        let shape = [batch, height, width, 3 * heads * size];
        let ours = run(shape, |qkv| ops::attention(qkv, heads));
        let stock = run(shape, |qkv| attention(qkv, heads));
        let qkv = primitive(tensor(shape, 1));
        let gradient = primitive(tensor([batch, height, width, heads * size], 2));
        let bodies = [
            stock::attention::<Flex>(qkv.clone(), heads),
            stock::attention_backward::<Flex>(gradient, qkv, heads),
        ];
        for ((ours, stock), body) in ours.iter().zip(&stock).zip(bodies.map(read::<4>)) {
            assert_close(ours, stock, 1e-4);
            assert_close(&body, stock, 1e-4);
        }
    }
}

/// An operation on a map of six channels.
type Operation = fn(Tensor<4>) -> Tensor<4>;

fn parameters() -> [Tensor<1>; 2] {
    [3, 4].map(|seed| tensor([6], seed))
}

fn operations() -> [Operation; 3] {
    [
        |x| {
            let [gamma, beta] = parameters();
            ops::layer_norm(x, gamma, beta, EPSILON)
        },
        |x| {
            let [gamma, beta] = parameters();
            ops::response_norm(x, gamma, beta, EPSILON)
        },
        |x| ops::attention(x, 2),
    ]
}

#[test]
fn values_are_the_same_with_and_without_gradients() {
    let shape = [2, 3, 4, 6];
    for operation in operations() {
        let with = host(operation(leaf(shape, 1)));
        assert_eq!(with, host(operation(tensor(shape, 1))));
    }
}

#[test]
fn a_view_may_be_handed_in() {
    for operation in operations() {
        let view = tensor([2, 6, 3, 4], 1).permute([0, 2, 3, 1]);
        let copy = Tensor::<4>::from_data(view.clone().into_data(), &view.device());
        assert_eq!(host(operation(view)), host(operation(copy)));
    }
}

#[test]
fn a_norm_gives_gradients_to_what_needs_one_alone() {
    let shape = [2, 3, 4, 6];
    for norm in [ops::layer_norm, ops::response_norm] {
        let constant = tensor(shape, 1).autodiff();
        let [gamma, beta] = [3, 4].map(|seed| leaf([6], seed));
        let y = norm(constant.clone(), gamma.clone(), beta.clone(), EPSILON);
        let gradients = y.sum().backward();
        assert!(constant.grad(&gradients).is_none());
        assert!(gamma.grad(&gradients).is_some() && beta.grad(&gradients).is_some());

        let x = leaf(shape, 1);
        let [gamma, beta] = parameters().map(|tensor| tensor.autodiff());
        let y = norm(x.clone(), gamma.clone(), beta.clone(), EPSILON);
        let gradients = y.sum().backward();
        assert!(x.grad(&gradients).is_some());
        assert!(gamma.grad(&gradients).is_none() && beta.grad(&gradients).is_none());
    }
}

/// Its length has no derivative there; PyTorch takes zero for it.
#[test]
fn a_channel_of_zeros_passes_its_gradient_through_a_response_norm_as_it_is() {
    let shape = [2, 3, 4, 6];
    let mut pixels = values(2 * 3 * 4 * 6, 1);
    for channels in pixels.chunks_mut(6) {
        channels[2] = 0.0;
    }
    let x = filled(&pixels, shape).autodiff().require_grad();
    let [gamma, beta] = parameters();
    let weights = tensor(shape, 2);
    let y = ops::response_norm(x.clone(), gamma.clone(), beta, EPSILON);
    let gradients = (y * weights.clone().autodiff()).sum().backward();
    let ours = host(x.grad(&gradients).unwrap());
    let stock = stock::response_norm_backward::<Flex>(
        primitive(weights.clone()),
        primitive(filled(&pixels, shape)),
        primitive(gamma),
        EPSILON,
        true,
    );
    let stock = read::<4>(stock.x);
    assert_close(&ours, &stock, 1e-5);
    let expected = host(weights);
    for found in [ours, stock] {
        for (found, expected) in found.chunks(6).zip(expected.chunks(6)) {
            assert_eq!(found[2], expected[2]);
        }
    }
}

#[test]
fn one_token_attends_to_itself() {
    let qkv = tensor([3, 1, 1, 12], 1);
    let values = qkv.clone().slice([0..3, 0..1, 0..1, 8..12]);
    assert_close(&host(ops::attention(qkv, 2)), &host(values), 1e-6);
}

#[test]
#[should_panic(expected = "expected queries, keys and values of 4 heads, found 18 channels")]
fn channels_that_are_no_queries_keys_and_values_of_the_heads_are_refused() {
    ops::attention(tensor([1, 1, 2, 18], 1), 4);
}
