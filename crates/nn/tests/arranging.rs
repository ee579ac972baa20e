//! Concatenation, rearrangement and sums behind the seam against stock Burn and its derivatives: copies and sums of two
//! are exact.

mod common;

use common::{assert_close, filled, host, leaf, run, tensor, values};
use proptest::prelude::*;
use warmstart_nn::burn::backend::Flex;
use warmstart_nn::burn::backend::tensor::FloatTensor;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::ops::{self, VisionOps, stock};

type Primitive = FloatTensor<Flex>;

fn primitive<const D: usize>(tensor: Tensor<D>) -> Primitive {
    tensor.try_into_primitive::<Flex>().unwrap()
}

fn host4(primitive: Primitive) -> Vec<f32> {
    host(Tensor::<4>::from_primitive::<Flex>(primitive))
}

fn shapes() -> impl Strategy<Value = [usize; 4]> {
    let channels = prop_oneof![1usize..5, 1usize..40];
    (1usize..4, 1usize..7, 1usize..7, channels)
        .prop_map(|(batch, height, width, channels)| [batch, height, width, channels])
}

/// Every pixel twice, as stock operations have it.
fn upsampled(x: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let columns = x.reshape([batch * height, width, 1, channels]);
    let columns = Tensor::cat(vec![columns.clone(), columns], 2);
    let rows = columns.reshape([batch, height, 1, 2 * width * channels]);
    let rows = Tensor::cat(vec![rows.clone(), rows], 2);
    rows.reshape([batch, 2 * height, 2 * width, channels])
}

/// Blocks as pixels, as stock operations have it.
fn deep(x: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let blocks: Tensor<6> = x.reshape([batch, height / 2, 2, width / 2, 2, channels]);
    let blocks = blocks.permute([0, 1, 3, 4, 2, 5]);
    blocks.reshape([batch, height / 2, width / 2, 4 * channels])
}

fn assert_same(found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(found == expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn rearrangements_and_their_gradients_are_those_of_stock_burn(shape in shapes()) {
        let [batch, height, width, channels] = shape;
        assert_same(&run(shape, ops::upsample), &run(shape, upsampled));
        let flipped = |x: Tensor<4>| x.flip([3]);
        assert_same(&run(shape, ops::reverse_channels), &run(shape, flipped));
        let even = [batch, 2 * height, 2 * width, channels];
        assert_same(&run(even, ops::space_to_depth), &run(even, deep));
    }

    #[test]
    fn the_stock_bodies_rearrange_as_ours(shape in shapes()) {
        let [batch, height, width, channels] = shape;
        let even = [batch, 2 * height, 2 * width, channels];
        let [x, large] = [shape, even].map(|shape| primitive(tensor(shape, 1)));
        let deep = primitive(tensor([batch, height, width, 4 * channels], 1));
        for (ours, stock) in [
            (Flex::upsample(x.clone()), stock::upsample::<Flex>(x.clone())),
            (Flex::reverse_channels(x.clone()), stock::reverse_channels::<Flex>(x)),
            (Flex::space_to_depth(large.clone()), stock::space_to_depth::<Flex>(large.clone())),
            (Flex::depth_to_space(deep.clone()), stock::depth_to_space::<Flex>(deep)),
        ] {
            prop_assert!(host4(ours) == host4(stock));
        }
        let ours = host4(Flex::upsample_backward(large.clone()));
        assert_close(&ours, &host4(stock::upsample_backward::<Flex>(large)), 1e-6);
    }

    #[test]
    fn concatenated_maps_and_their_gradients_are_those_of_stock_burn(
        shape in shapes(), others in prop::collection::vec(1usize..9, 0..7),
    ) {
        let [batch, height, width, _] = shape;
        let other = |(channels, seed): (&usize, u64)| tensor([batch, height, width, *channels], seed);
        // The first map is there twice.
        let maps = |x: Tensor<4>| {
            let others = others.iter().zip(3..).map(other);
            let others = others.map(|other| other.autodiff());
            [x.clone()].into_iter().chain(others).chain([x]).collect::<Vec<_>>()
        };
        let ours = run(shape, |x| ops::concatenate(maps(x)));
        assert_same(&ours, &run(shape, |x| Tensor::cat(maps(x), 3)));
    }

    #[test]
    fn the_stock_bodies_concatenate_and_split_as_ours(
        shape in shapes(), channels in 1usize..9,
    ) {
        let [batch, height, width, first] = shape;
        let maps = || [tensor(shape, 1), tensor([batch, height, width, channels], 2)].map(primitive);
        let ours = Flex::concatenate(maps().into_iter().collect());
        let stock = stock::concatenate::<Flex>(maps().into_iter().collect());
        let whole = host4(ours.clone());
        prop_assert!(whole == host4(stock));
        let parts = vec![0..first, first..first + channels, 0..1];
        let stock = stock::split_channels::<Flex>(ours.clone(), parts.clone());
        let split = Flex::split_channels(ours, parts);
        for (ours, stock) in split.into_tensors().zip(stock.into_tensors()) {
            prop_assert!(host4(ours) == host4(stock));
        }
    }

    #[test]
    fn sums_and_their_gradients_are_those_of_stock_burn(shape in shapes()) {
        let other = || tensor(shape, 3).autodiff();
        // A value that is added to itself has two gradients.
        let ours = run(shape, |x| ops::add(ops::add(x.clone(), other()), x));
        assert_same(&ours, &run(shape, |x| (x.clone() + other()) + x));
        let [x, y] = [1, 2].map(|seed| primitive(tensor(shape, seed)));
        let stock = host4(stock::add::<Flex>(x.clone(), y.clone()));
        // In a place of its own, and in that of either summand.
        prop_assert!(host4(Flex::add(x.clone(), y.clone())) == stock);
        let own = |seed| primitive(tensor(shape, seed));
        prop_assert!(host4(Flex::add(own(1), y.clone())) == stock);
        prop_assert!(host4(Flex::add(x.clone(), own(2))) == stock);
        prop_assert!([x, y].map(host4) == [host4(own(1)), host4(own(2))]);
    }

    #[test]
    fn a_product_with_one_number_is_that_of_stock_burn(shape in shapes(), factor in -2.0f32..2.0) {
        let [x, factor] = [primitive(tensor(shape, 1)), primitive(filled(&[factor], [1]))];
        let stock = host4(stock::scale::<Flex>(x.clone(), factor.clone()));
        prop_assert!(host4(Flex::scale(x.clone(), factor.clone())) == stock);
        drop(x);
        prop_assert!(host4(Flex::scale(primitive(tensor(shape, 1)), factor)) == stock);
    }

    #[test]
    fn a_fork_adds_up_the_gradients_of_its_uses(shape in shapes(), uses in 2usize..5) {
        let weights = |way: usize| tensor(shape, 10 + way as u64).autodiff();
        let learn = |x: Tensor<4>, forks: bool| {
            // A leaf, and a value between.
            let x = x * 1.5;
            let ways = if forks { ops::fork(x, uses) } else { vec![x; uses] };
            let products = ways.into_iter().enumerate().map(|(way, x)| x * weights(way));
            products.reduce(|sum, product| sum + product).unwrap()
        };
        let ours = run(shape, |x| learn(x, true));
        let stock = run(shape, |x| learn(x, false));
        assert_same(&ours[..1], &stock[..1]);
        // More than two are summed in another order.
        let tolerance = if uses == 2 { 0.0 } else { 1e-6 };
        assert_close(&ours[1], &stock[1], tolerance);
    }

    #[test]
    fn a_given_gradient_is_the_one_of_a_backward_pass(shape in shapes(), share in 0.1f32..1.0) {
        let x = leaf(shape, 1);
        let y = x.clone() * 2.0;
        let given = values(shape.iter().product(), 5);
        let root = ops::with_gradient(y, filled(&given, shape));
        prop_assert_eq!(host(root.clone()), [0.0]);
        let gradients = (root * share).backward();
        let expected: Vec<f32> = given.iter().map(|value| value * share * 2.0).collect();
        assert_close(&host(x.grad(&gradients).unwrap()), &expected, 1e-6);
    }
}

#[test]
fn a_given_gradient_arrives_as_it_is() {
    let x = leaf([2, 3], 1);
    let given = values(6, 5);
    let gradients = ops::with_gradient(x.clone(), filled(&given, [2, 3])).backward();
    assert_eq!(host(x.grad(&gradients).unwrap()), given);
}

#[test]
fn only_maps_that_need_a_gradient_get_one() {
    let (x, y) = (tensor([1, 2, 2, 3], 1).autodiff(), leaf([1, 2, 2, 2], 2));
    let both = ops::concatenate(vec![x.clone(), y.clone()]);
    let weights = tensor(both.dims(), 3);
    let gradients = (both * weights.clone().autodiff()).sum().backward();
    assert!(x.grad(&gradients).is_none());
    let expected = weights.slice([0..1, 0..2, 0..2, 3..5]);
    assert_eq!(host(y.grad(&gradients).unwrap()), host(expected));
}

#[test]
fn a_way_of_a_fork_that_leads_nowhere_counts_for_nothing() {
    let x = leaf([1, 2, 2, 3], 1);
    let mut ways = ops::fork(x.clone() * 2.0, 3);
    let unused = ways.remove(1);
    let sum = ways.into_iter().reduce(|a, b| a + b).unwrap();
    let gradients = sum.sum().backward();
    assert_eq!(host(x.grad(&gradients).unwrap()), [4.0; 12]);
    drop(unused);
}

#[test]
fn a_leaf_may_be_forked() {
    let x = leaf([1, 2, 2, 3], 1);
    let ways = ops::fork(x.clone(), 3);
    let sum = ways.into_iter().reduce(|a, b| a + b).unwrap();
    let gradients = sum.sum().backward();
    assert_eq!(host(x.grad(&gradients).unwrap()), [3.0; 12]);
}

#[test]
fn views_may_be_handed_in() {
    let channels_first = || tensor([2, 3, 4, 6], 1);
    let view = || channels_first().permute([0, 2, 3, 1]);
    let copy = || {
        let view = view();
        Tensor::<4>::from_data(view.clone().into_data(), &view.device())
    };
    let of = |x: &dyn Fn() -> Tensor<4>| {
        let results = [
            ops::upsample(x()),
            ops::reverse_channels(x()),
            ops::space_to_depth(x()),
            ops::add(x(), x()),
            ops::concatenate(vec![x(), x()]),
        ];
        results.map(host)
    };
    assert_same(&of(&view), &of(&copy));
}

#[test]
fn values_are_those_of_a_tensor_whoever_else_has_it() {
    let expected = values(24, 1);
    let x: Tensor<4> = tensor([1, 2, 3, 4], 1);
    assert_eq!(ops::values(x.clone()), expected);
    assert_eq!(ops::values(x.clone().autodiff()), expected);
    let view = x.clone().permute([0, 2, 1, 3]);
    assert_eq!(ops::values(view.clone()), host(view));
    assert_eq!(ops::values(x), expected);
}

#[test]
#[should_panic(expected = "expected 1 to 8 maps, found 9")]
fn more_maps_than_training_can_take_are_refused() {
    let map = || tensor([1, 1, 1, 2], 1).autodiff();
    ops::concatenate((0..9).map(|_| map()).collect());
}
