//! Pooling and the linear layer behind the seam against stock Burn and its derivatives.

mod common;

use common::{assert_close, host, leaf, run, tensor};
use proptest::prelude::*;
use warmstart_nn::burn::backend::Flex;
use warmstart_nn::burn::tensor::Tensor;
use warmstart_nn::burn::tensor::module::{avg_pool2d, max_pool2d};
use warmstart_nn::burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use warmstart_nn::ops::{self, PoolSpec, stock};

fn poolings() -> impl Strategy<Value = ([usize; 4], PoolSpec)> {
    let axis = || (1usize..12, 1usize..6, 0usize..3, 1usize..4);
    ((1usize..3, 1usize..20), axis(), axis(), any::<bool>()).prop_map(
        |((batch, channels), vertical, horizontal, ceil)| {
            // Brought into range, so that no case is thrown away.
            let axis = |(extent, size, padding, stride): (usize, usize, usize, usize)| {
                let size = size.min(extent);
                (extent, size, padding.min(size / 2), stride)
            };
            let (vertical, horizontal) = (axis(vertical), axis(horizontal));
            let spec = PoolSpec {
                size: [vertical.1, horizontal.1],
                stride: [vertical.3, horizontal.3],
                padding: [vertical.2, horizontal.2],
                ceil,
            };
            ([batch, vertical.0, horizontal.0, channels], spec)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn max_pooling_equals_stock_burn((shape, spec) in poolings()) {
        let options = MaxPoolOptions::new(spec.size)
            .with_stride(spec.stride)
            .with_padding(spec.padding)
            .with_ceil_mode(spec.ceil);
        let stock = run(shape, |x| {
            max_pool2d(x.permute([0, 3, 1, 2]), options.clone()).permute([0, 2, 3, 1])
        });
        let ours = run(shape, |x| ops::max_pool(x, spec));
        assert_close(&ours[0], &stock[0], 0.0);
        assert_close(&ours[1], &stock[1], 1e-6);
        let primitive = |t: Tensor<4>| t.try_into_primitive::<Flex>().unwrap();
        let x = primitive(tensor(shape, 1));
        let y: Tensor<4> = Tensor::from_primitive::<Flex>(stock::max_pool::<Flex>(x.clone(), spec));
        let gradient = stock::max_pool_backward::<Flex>(x, primitive(tensor(y.dims(), 2)), spec);
        assert_close(&ours[0], &host(y), 0.0);
        assert_close(&ours[1], &host(Tensor::<4>::from_primitive::<Flex>(gradient)), 1e-6);
    }

    #[test]
    fn average_pooling_equals_stock_burn((shape, spec) in poolings()) {
        let options = AvgPoolOptions::new(spec.size)
            .with_stride(spec.stride)
            .with_padding(spec.padding)
            .with_count_include_pad(false)
            .with_ceil_mode(spec.ceil);
        let stock = run(shape, |x| {
            avg_pool2d(x.permute([0, 3, 1, 2]), options.clone()).permute([0, 2, 3, 1])
        });
        let ours = run(shape, |x| ops::average_pool(x, spec));
        for (ours, stock) in ours.iter().zip(&stock) {
            assert_close(ours, stock, 1e-6);
        }
        let primitive = |t: Tensor<4>| t.try_into_primitive::<Flex>().unwrap();
        let y = stock::average_pool::<Flex>(primitive(tensor(shape, 1)), spec);
        let y: Tensor<4> = Tensor::from_primitive::<Flex>(y);
        let weights = primitive(tensor(y.dims(), 2));
        let gradient = stock::average_pool_backward::<Flex>(weights, [shape[1], shape[2]], spec);
        assert_close(&ours[0], &host(y), 1e-6);
        assert_close(&ours[1], &host(Tensor::<4>::from_primitive::<Flex>(gradient)), 1e-6);
    }

    #[test]
    fn a_linear_layer_equals_stock_burn(batch in 1usize..20, inputs in 1usize..70, outputs in 1usize..70) {
        let run = |through_seam: bool| {
            let [x, weight] = [leaf([batch, inputs], 1), leaf([outputs, inputs], 2)];
            let bias = leaf([outputs], 3);
            let y = if through_seam {
                ops::linear(x.clone(), weight.clone(), bias.clone())
            } else {
                x.clone().matmul(weight.clone().transpose()) + bias.clone().unsqueeze()
            };
            let weights = tensor(y.dims(), 4).autodiff();
            let gradients = (y.clone() * weights).sum().backward();
            let [x, weight] = [x, weight].map(|t| host(t.grad(&gradients).unwrap()));
            [host(y), x, weight, host(bias.grad(&gradients).unwrap())]
        };
        let ours = run(true);
        for (ours, stock) in ours.iter().zip(run(false)) {
            assert_close(ours, &stock, 1e-5);
        }
        let primitive = |t: Tensor<2>| t.try_into_primitive::<Flex>().unwrap();
        let (x, weight) = (primitive(tensor([batch, inputs], 1)), primitive(tensor([outputs, inputs], 2)));
        let bias = tensor::<1>([outputs], 3).try_into_primitive::<Flex>().unwrap();
        let y = stock::linear::<Flex>(x.clone(), weight.clone(), bias);
        let gradient = primitive(tensor([batch, outputs], 4));
        let stock = stock::linear_backward::<Flex>(gradient, x, weight, true);
        let [y, x, weight] = [y, stock.x, stock.weight].map(|t| host(Tensor::<2>::from_primitive::<Flex>(t)));
        let bias = host(Tensor::<1>::from_primitive::<Flex>(stock.bias));
        for (ours, stock) in ours.iter().zip([y, x, weight, bias]) {
            assert_close(ours, &stock, 1e-5);
        }
    }
}

#[test]
fn the_mean_over_an_image_is_the_mean_of_its_pixels() {
    let x: Tensor<4> = tensor([2, 3, 5, 4], 1);
    let expected = x.clone().reshape([2, 15, 4]).mean_dim(1).reshape([2, 4]);
    assert_close(
        &host(ops::global_average_pool(x)),
        &host::<2>(expected),
        1e-6,
    );
}

#[test]
fn only_what_needs_a_gradient_gets_one() {
    let x = tensor([3, 4], 1).autodiff();
    let weight = leaf([5, 4], 2);
    let bias = leaf([5], 3);
    let gradients = ops::linear(x.clone(), weight.clone(), bias.clone())
        .sum()
        .backward();
    assert!(weight.grad(&gradients).is_some() && bias.grad(&gradients).is_some());
    assert!(x.grad(&gradients).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn channels_scaled_by_a_gate_equal_stock_burn(
        batch in 1usize..4, height in 1usize..9, width in 1usize..9, channels in 1usize..40,
    ) {
        let shape = [batch, height, width, channels];
        let gate = || leaf([batch, 1, 1, channels], 3);
        let (ours, stock) = (gate(), gate());
        let by_gate = ours.clone().reshape([batch, channels]);
        let scaled = run(shape, |x| ops::scale_channels(x, by_gate.clone()));
        let expected = run(shape, |x| x * stock.clone());
        for (found, expected) in scaled.iter().zip(&expected) {
            assert_close(found, expected, 1e-6);
        }
        // The gate's own gradient, by sums over an image.
        let [x, gradient] = [1, 2].map(|seed| tensor(shape, seed));
        let root = ops::scale_channels(x.clone().autodiff(), ours.clone().reshape([batch, channels]));
        let gradients = (root * gradient.clone().autodiff()).sum().backward();
        let expected = (x * gradient).sum_dim(1).sum_dim(2);
        assert_close(&host(ours.grad(&gradients).unwrap()), &host(expected), 1e-5);
    }
}
